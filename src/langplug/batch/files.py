"""Rows from files, read as they are needed, and records to files that are whole or not there."""

import codecs
import csv
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Protocol

from langplug.batch.rows import RawRow

STANDARD: Final = "-"
"""The name that stands for stdin, and for stdout."""

FORMATS: Final[Mapping[str, str]] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
"""The format of a file by the end of its name."""

_encode = json.JSONEncoder(ensure_ascii=False, default=str).encode

_COUNTS: Final = ("index", "input_tokens", "output_tokens", "attempts")
_NUMBERS: Final = (*_COUNTS, "latency_s")

_AT_ONCE: Final = 1_000
"""Rows of a Parquet file that are read, or written, together."""

_BLOCK: Final = 1 << 20
"""Bytes of a file in which lines are counted together."""


def format_of(file: str | Path, given: str | None = None) -> str:
    """The format of a file: what is given, else what its name says; JSONL of stdin and stdout.

    Raises:
        ValueError: If its name does not say, or what is given is unknown.
    """
    known = sorted(set(FORMATS.values()))
    if given is not None and given not in known:
        raise ValueError(f"unknown format {given!r}, expected {' or '.join(known)}")
    if given is not None or str(file) == STANDARD:
        return given or "jsonl"
    found = FORMATS.get(Path(file).suffix.lower())
    if found is None:
        raise ValueError(f"the name of {file} must end in {', '.join(FORMATS)}, or its format be given")
    return found


def read_rows(file: str | Path, format: str | None = None) -> Iterator[RawRow]:  # noqa: A002 - the field's word
    """The rows of a file, one by one; of one that cannot be read, why.

    Args:
        file: A path, or `-` for stdin.
        format: `jsonl`, `csv`, `tsv` or `parquet`; by default, what the name says.

    Raises:
        ValueError: If its format is unknown, or it is not of its format.
        OSError: If it cannot be read.
        ImportError: If its format needs a package that is not installed.
    """
    found = format_of(file, format)
    if str(file) != STANDARD and Path(file).is_dir():
        raise IsADirectoryError(f"{file} is a folder: name a file")
    if found == "parquet":
        parquet = _pyarrow_parquet()
        try:
            opened = parquet.ParquetFile(Path(file))
        except ValueError as error:
            raise ValueError(f"{file} is not Parquet: {error}") from error
        with opened as table:
            for group in table.iter_batches(batch_size=_AT_ONCE):
                yield from group.to_pylist()
        return
    with open_stdin() if str(file) == STANDARD else Path(file).open("rb") as stream:
        begins = stream.peek(2)[:2] if isinstance(stream, io.BufferedReader) else b""
        if begins in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError(f"{file} is UTF-16, as some spreadsheets write it: save it as UTF-8")
        yield from read_json_lines(stream) if found == "jsonl" else _read_table(stream, "\t" if found == "tsv" else ",")


def rows_in(file: str | Path, format: str | None = None) -> int | None:  # noqa: A002 - as everywhere
    """About how many rows a file has; None where only reading them tells, as from a pipe.

    Lines are counted, which takes less than a thousandth of asking: a cell that has several counts for as many rows.

    Args:
        file: As of `read_rows`.
        format: As of `read_rows`.
    """
    if str(file) == STANDARD or not Path(file).is_file():
        return None
    if (found := format_of(file, format)) == "parquet":
        with _pyarrow_parquet().ParquetFile(Path(file)) as table:
            return int(table.metadata.num_rows)
    with Path(file).open("rb") as stream:
        lines = sum(block.count(b"\n") for block in iter(partial(stream.read, _BLOCK), b""))
    return lines if found == "jsonl" else max(0, lines - 1)  # the first line of a table names the columns


def open_stdin() -> IO[bytes]:
    """Stdin, for a thread that may be reading when the process ends.

    Not `sys.stdin`: the interpreter wants to have that at its end, and dies if it cannot.
    """
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except OSError:  # it is somebody's own object
        return sys.stdin.buffer


def read_json_lines(lines: Iterable[bytes]) -> Iterator[RawRow]:
    """A JSON object a line; empty lines are no rows."""
    for number, line in enumerate(lines, 1):
        text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield ValueError(f"Line {number} is not JSON: {error}.")
            continue
        if isinstance(row, dict):
            yield row
        else:
            yield ValueError(f'Line {number} must be a JSON object, such as {{"prompt": "..."}}, not {row!r:.50}.')


def _read_table(stream: IO[bytes], delimiter: str) -> Iterator[RawRow]:
    csv.field_size_limit(2**31 - 1)  # the default, 128 KiB, is less than a long prompt

    def text() -> Iterator[str]:
        for number, line in enumerate(stream, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:  # to ask what is not there would cost money, and nobody would see it
                raise ValueError(
                    f"line {number} is not UTF-8 ({line[error.start : error.start + 1]!r} at byte {error.start}): save "
                    "the file as UTF-8, which spreadsheets call CSV UTF-8, and give the same command again"
                ) from error

    table = csv.DictReader(text(), delimiter=delimiter)
    try:
        names = table.fieldnames or ()
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise ValueError(f"two columns are called {twice[0]!r}: rename one, as a row has one of that name")
        for row in table:
            if None in row:
                said = f"Line {table.line_num} has more cells than the {len(table.fieldnames or ())} of the first line."
                yield ValueError(said)
            else:
                yield row
    except csv.Error as error:
        raise ValueError(f"line {max(1, table.line_num)} is not CSV ({error}): is it a text file?") from error


def _pyarrow_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'langplug[batch]'") from error
    return pyarrow.parquet


class Sink(Protocol):
    """Where records go, in one format."""

    def write(self, records: Sequence[Mapping[str, Any]], /) -> None:
        """Write them after what has been written."""
        ...

    def close(self) -> None:
        """Write what belongs at the end."""
        ...


class Out:
    """The output: `FILE.part` while it grows, and `FILE` when every row is in it.

    Args:
        file: A path, or `-` for stdout.
        columns: The names of what records have, in the order of a table.
        format: `jsonl`, `csv`, `tsv` or `parquet`; by default, what the name says.

    Raises:
        ValueError: If the format is unknown, or stdout cannot have it.
        OSError: If it cannot be written.
        ImportError: If the format needs a package that is not installed.
    """

    def __init__(self, file: str | Path, columns: Sequence[str], format: str | None = None) -> None:  # noqa: A002
        self._file = None if str(file) == STANDARD else Path(file)
        found = format_of(file, format)
        if self._file is None:
            if found == "parquet":
                raise ValueError("Parquet cannot be written to stdout: name a file")
            self._stream: IO[bytes] = sys.stdout.buffer
        else:
            self._stream = self.part_of(self._file).open("wb")
        self._sink = _sink(found, self._stream, columns)

    @staticmethod
    def part_of(file: Path) -> Path:
        """Where the output for `file` grows."""
        return file.with_name(f"{file.name}.part")

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records after what has been written."""
        self._sink.write(records)
        self._stream.flush()

    def finish(self) -> None:
        """Every row has been written: the file takes its name."""
        self._sink.close()
        self._stream.flush()
        if self._file is not None:
            os.fsync(self._stream.fileno())
            self._stream.close()
            self.part_of(self._file).replace(self._file)

    def leave(self) -> None:
        """Not every row has been written: what has been stays in `FILE.part`."""
        with suppress(OSError, ValueError):  # as when the disk is full: the journal has what there is
            self._sink.close()
        if self._file is not None:
            with suppress(OSError):
                self._stream.close()


def _sink(format: str, stream: IO[bytes], columns: Sequence[str]) -> Sink:  # noqa: A002
    if format == "jsonl":
        return JsonLines(stream)
    return ParquetTable(stream, columns) if format == "parquet" else CsvTable(stream, columns, format)


class JsonLines:
    """A JSON object a line."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, records: Sequence[Mapping[str, Any]], /) -> None:
        """Write them as lines."""
        lines = [f"{_encode(record)}\n" for record in records]
        # half a character, which has no bytes, becomes a sign that is not its own, as in every other output
        self._stream.write("".join(lines).encode("utf-8", "replace"))

    def close(self) -> None:
        """Nothing belongs at the end."""


class CsvTable:
    """A table with a line of names; what is no text is JSON."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str], format: str) -> None:  # noqa: A002
        self._stream = stream
        self._columns = columns
        self._delimiter = "\t" if format == "tsv" else ","
        self._write_lines([dict(zip(columns, columns, strict=True))])

    def write(self, records: Sequence[Mapping[str, Any]], /) -> None:
        """Write them as lines."""
        self._write_lines(records)

    def _write_lines(self, records: Iterable[Mapping[str, Any]]) -> None:
        lines: list[str] = []
        table = csv.writer(_Lines(lines), delimiter=self._delimiter, lineterminator="\n")
        table.writerows([_cell(record.get(name)) for name in self._columns] for record in records)
        self._stream.write("".join(lines).encode("utf-8", "replace"))

    def close(self) -> None:
        """Nothing belongs at the end."""


class _Lines:
    """Takes what `csv` writes."""

    def __init__(self, lines: list[str]) -> None:
        self.write = lines.append


def _cell(value: Any) -> str | int | float | None:
    """A value as a table has it."""
    if value is None or isinstance(value, str | int | float):
        return value
    return _encode(value)


class ParquetTable:
    """A Parquet file, in groups of rows. Numbers of langplug's own have types; the rest is text."""

    def __init__(self, stream: IO[bytes], columns: Sequence[str]) -> None:
        parquet = _pyarrow_parquet()
        import pyarrow as pa

        self._columns = columns
        kinds = {**dict.fromkeys(_COUNTS, pa.int64()), "latency_s": pa.float64()}
        self._schema = pa.schema([pa.field(name, kinds.get(name, pa.string())) for name in columns])
        self._table = pa.Table
        self._writer = parquet.ParquetWriter(stream, self._schema)
        self._waiting: list[dict[str, Any]] = []

    def write(self, records: Sequence[Mapping[str, Any]], /) -> None:
        """Write them, a group at a time."""
        for record in records:
            cells = {name: _cell(record.get(name)) for name in self._columns}
            texts = {name: str(cell) for name, cell in cells.items() if cell is not None and name not in _NUMBERS}
            self._waiting.append({**cells, **texts})
        if len(self._waiting) >= _AT_ONCE:
            self._write_group()

    def close(self) -> None:
        """Write the last group, and where the groups are."""
        self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        if self._waiting:
            self._writer.write_table(self._table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []
