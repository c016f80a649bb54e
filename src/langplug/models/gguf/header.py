"""The header of a GGUF file: what the model says about itself, and whether the file is complete.

Read without llama.cpp, which gives no reason when it cannot load a file. The format is described at
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. All numbers are little-endian.
"""

import math
import mmap
import os
import struct
from collections.abc import Callable, Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, Final, TypeVar

from langchain_core.exceptions import ModelInvalidRequestError, ModelNotFoundError

from langplug._log import log

T = TypeVar("T")

_MAGIC: Final = b"GGUF"
_NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""The format's types of numbers, as `struct` writes them."""
_INT32: Final = 5
_STRING: Final = 8
_ARRAY: Final = 9
_CONTROL: Final = 3
"""The kind of token that is no text."""

_TURN_MARKS: Final = frozenset(
    b"<|im_start|> <|im_end|> <|eot_id|> <|eom_id|> <|start_header_id|> <|end_header_id|> <start_of_turn> "
    b"<end_of_turn> <|start|> <|end|> <|endoftext|> <|end_of_text|> </s> "
    b"<|user|> <|assistant|> <|system|> [INST] [/INST]".split()
)
"""Tokens that some files call text, and llama.cpp makes control tokens all the same, or templates write turns with."""

_DEFAULT_ALIGNMENT: Final = 32
_VERSIONS: Final = (2, 3)


class WeightsNotFoundError(ModelNotFoundError, FileNotFoundError):
    """There is no weights file in the given place. The message says how to get one."""


class BadWeightsError(ModelInvalidRequestError, ValueError):
    """The weights cannot be used: not a GGUF file, a damaged one, or one that llama.cpp refuses."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a model says about itself. Each is None if the file does not say.

    Attributes:
        architecture: llama.cpp's name of the architecture, such as `"llama"`.
        name: The model's name.
        license: The licence of the weights.
        context_length: Tokens of context that the model was trained for.
    """

    architecture: str | None = None
    name: str | None = None
    license: str | None = None
    context_length: int | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What readers that know only some files must look at.

    Attributes:
        values: All values of the header but for arrays, by key.
        tensors: Of each its type, as ggml numbers them, its first byte in the file, and how many numbers it holds.
        size: The size of the file in bytes.
        control_tokens: The texts of the tokens that begin and end turns, and of others that are no text.
    """

    values: Mapping[str, Any]
    tensors: tuple[tuple[int, int, int], ...]
    size: int
    control_tokens: frozenset[str] = frozenset()


def _cache_until_changed(read: Callable[[Path], T]) -> Callable[[Path], T]:
    """Remember what `read` found in a file for as long as the file stays the same. A missing file is not remembered."""

    @lru_cache(maxsize=32)
    def read_version(path: Path, _modified_ns: int, _size: int) -> T:
        return read(path)

    @wraps(read)
    def look_up(path: Path) -> T:
        stat = _stat(path)
        return read_version(path, stat.st_mtime_ns, stat.st_size)

    return look_up


@_cache_until_changed
def read_header(path: Path) -> Header:
    """What the model in `path` says about itself. Cheap: only the pages that hold it are read, and only once.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is not a GGUF file, or a damaged one.
    """
    found: dict[str, Any] = {}

    def context_key() -> str:
        return f"{found.get('general.architecture')}.context_length"

    with _open_header(path) as header:
        for key, value in header.metadata():
            # The vocabulary is by far the longest part. What is wanted usually comes before it, but need not.
            if key.startswith("tokenizer.") and context_key() in found:
                break
            found[key] = value
    return Header(
        architecture=_of_type(str, found.get("general.architecture")),
        name=_of_type(str, found.get("general.name")),
        license=_of_type(str, found.get("general.license")),
        context_length=_of_type(int, found.get(context_key())),
    )


def read_chat_template(path: Path) -> str | None:
    """The Jinja template of the model in `path`, if it has one. It comes after the vocabulary: this takes some 0.1 s.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is not a GGUF file, or a damaged one.
    """
    return _of_type(str, read_contents(path).values.get("tokenizer.chat_template"))


@_cache_until_changed
def read_contents(path: Path) -> Contents:
    """All that the header of `path` says, but for arrays; this takes some 0.1 s.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is not a GGUF file, or a damaged one.
    """
    with _open_header(path) as header:
        values = {key: value for key, value in header.metadata() if value is not None}
        tensors = list(header.tensors())
        start = header.first_byte_of_tensors()
        placed = ((kind, start + offset, numbers) for kind, offset, numbers in tensors)
        ends = {values.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos", "eot", "eom")}
        return Contents(values, tuple(placed), _stat(path).st_size, header.control_tokens(ends))


def check_file(path: Path) -> None:
    """Make sure that `path` is a GGUF file with all the tensors that it announces.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is not a GGUF file, or a damaged one.
    """
    size = _stat(path).st_size
    with _open_header(path) as header:
        last_tensor = header.first_byte_of_last_tensor()
    if size <= last_tensor:
        raise BadWeightsError(
            f"{str(path)!r} is cut off: it has {size:,} bytes, and its last tensor begins at byte {last_tensor:,}. "
            "Download it again."
        )


class FileWatch:
    """Notices that a file is no longer the one that was loaded.

    Loaded weights are the file's own pages: what is written into it is in the model at once, and what is cut off it
    kills the process when it is read. A file that another was moved onto, or that was deleted, lives on unseen.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loaded = os.stat(path)  # noqa: PTH116 - also in each call, and pathlib takes three times as long
        self._replaced = False

    def check(self) -> None:
        """Look at the file; this takes some microseconds.

        Raises:
            BadWeightsError: If it was written into.
        """
        try:
            now = os.stat(self._path)  # noqa: PTH116
        except OSError:
            return
        loaded = self._loaded
        if (now.st_mtime_ns, now.st_size) == (loaded.st_mtime_ns, loaded.st_size):
            return
        if (now.st_dev, now.st_ino) == (loaded.st_dev, loaded.st_ino):
            raise BadWeightsError(
                f"{str(self._path)!r} was changed after it was loaded: what is in memory may be neither the old nor "
                "the new weights. Load it anew: call the model's close(), and use the model again. To replace a file "
                "that is in use, write the new one beside it and move it into its place."
            )
        if not self._replaced:
            self._replaced = True
            log.warning(
                "%r was replaced after it was loaded. This model goes on with the weights that it has; close() has "
                "the new ones loaded at its next use.",
                str(self._path),
            )


def _of_type(kind: type[T], value: object) -> T | None:
    return value if isinstance(value, kind) else None


class _HeaderReader:
    """Reads a header from its first byte on."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)
        version = self._number("I")
        if version not in _VERSIONS:
            raise _DamageError(
                f"its format version is {version}, and only 2 and 3 can be read (big-endian files cannot)"
            )
        self._tensors = self._number("Q")
        self._entries = self._number("Q")
        self._alignment = _DEFAULT_ALIGNMENT
        self._arrays: dict[tuple[str, int], tuple[int, int]] = {}

    def metadata(self) -> Iterator[tuple[str, Any]]:
        """Each key with its value; None stands for an array, which is skipped."""
        for _ in range(self._entries):
            key, kind = self._string(), self._number("I")
            value: Any = None
            if kind == _STRING:
                value = self._string()
            elif kind in _NUMBERS:
                value = self._number(_NUMBERS[kind])
            elif kind != _ARRAY:
                raise _DamageError(f"a value has the unknown type {kind}")
            else:
                item_kind, length = self._number("I"), self._number("Q")
                self._arrays[key, item_kind] = (self._at, length)
                if item_kind in _NUMBERS:
                    self._skip(length * struct.calcsize(_NUMBERS[item_kind]))
                elif item_kind == _STRING:
                    for _ in range(length):
                        self._skip(self._number("Q"))
                else:  # arrays of arrays are in the format, but llama.cpp does not read them either
                    raise _DamageError(f"an array has items of the type {item_kind}")
            if key == "general.alignment":
                if not isinstance(value, int) or value < 1:
                    raise _DamageError(f"its alignment is {value!r}")
                self._alignment = value
            yield key, value

    def tensors(self) -> Iterator[tuple[int, int, int]]:
        """Of each tensor its type, its offset and how many numbers it holds. They come after the metadata."""
        for _ in range(self._tensors):
            self._string()  # the name
            numbers = math.prod(self._number("Q") for _ in range(self._number("I")))
            yield self._number("I"), self._number("Q"), numbers

    def first_byte_of_tensors(self) -> int:
        """Where the tensors begin in the file. Asked when all of the header was read."""
        # The end of the header, rounded up to the alignment.
        return -(-self._at // self._alignment) * self._alignment

    def control_tokens(self, others: Collection[Any]) -> frozenset[str]:
        """The texts of the control tokens, and of the tokens with these numbers. The metadata must have been read."""
        kinds_at, count = self._arrays.get(("tokenizer.ggml.token_type", _INT32), (0, 0))
        kinds = struct.unpack_from(f"<{count}i", self._data, kinds_at)
        self._at, length = self._arrays.get(("tokenizer.ggml.tokens", _STRING), (0, 0))
        wanted = {*(number for number, kind in enumerate(kinds) if kind == _CONTROL), *others}
        found: set[str] = set()
        for number in range(length):
            start = self._at
            self._skip(self._number("Q"))
            text = self._data[start + 8 : self._at]
            if number in wanted or text in _TURN_MARKS:
                found.add(text.decode("utf-8", "replace"))
        return frozenset(found)

    def first_byte_of_last_tensor(self) -> int:
        """Where the last tensor begins in the file; where tensors would begin minus one, if there are none."""
        for _ in self.metadata():  # tensors come after it, and the alignment is in it
            pass
        last = max((offset for _, offset, _ in self.tensors()), default=-1)
        return self.first_byte_of_tensors() + last

    def _string(self) -> str:
        length = self._number("Q")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8", "replace")

    def _number(self, code: str) -> Any:
        start = self._at
        self._skip(struct.calcsize(code))
        return struct.unpack_from("<" + code, self._data, start)[0]

    def _skip(self, length: int) -> None:
        # Checked at each step: in a damaged file a length may be any number up to 2**64.
        self._at += length
        if self._at > len(self._data):
            raise _DamageError("it ends within its header")


class _DamageError(Exception):
    """The header cannot be read. The message says why, but not of which file."""


@contextmanager
def _open_header(path: Path) -> Generator[_HeaderReader]:
    """A reader of the file's header. What it finds damaged is raised with the file's name."""
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
        if start != _MAGIC:
            raise BadWeightsError(
                f"{str(path)!r} is not a GGUF file: it begins with {start!r}, not with {_MAGIC!r}. "
                "llama.cpp reads GGUF only; many models are published in that format too."
            )
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        with data:
            yield _HeaderReader(data)
    except _DamageError as error:
        raise BadWeightsError(
            f"{str(path)!r} is damaged: {error}. Download it again, as a GGUF file of version 3."
        ) from None


def _stat(path: Path) -> os.stat_result:
    if not path.exists():
        raise WeightsNotFoundError(f"There is no file {str(path)!r}. Give the `path` of a GGUF file.")
    if not path.is_file():
        raise BadWeightsError(f"{str(path)!r} is not a file. Give the `path` of the GGUF file itself.")
    return path.stat()
