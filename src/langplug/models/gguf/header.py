"""The header of a GGUF file: what the model says of itself, and whether the file is whole.

Read without llama.cpp, which gives no reason when it cannot load a file. The format is described at
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. All numbers are little-endian.
"""

import mmap
import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from langchain_core.exceptions import ModelInvalidRequestError, ModelNotFoundError

T = TypeVar("T")

_MAGIC: Final = b"GGUF"
_NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING: Final = 8
_ARRAY: Final = 9
_DEFAULT_ALIGNMENT: Final = 32
_VERSIONS: Final = (2, 3)


class WeightsNotFoundError(ModelNotFoundError, FileNotFoundError):
    """There are no weights where they were looked for. The message says how to get some."""


class BadWeightsError(ModelInvalidRequestError, ValueError):
    """The weights cannot be used: no GGUF file, a damaged one, or one that llama.cpp refuses."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a model says of itself. Each is None where the file does not say.

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


def read_header(path: Path) -> Header:
    """What the model in `path` says of itself. Cheap: only the pages that hold it are read, and only once.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is no GGUF file, or a damaged one.
    """
    stat = _regular_file(path)
    return _read_header(path, stat.st_mtime_ns, stat.st_size)


def read_chat_template(path: Path) -> str | None:
    """The Jinja template of the model in `path`, if it has one. It lies behind the vocabulary: some 0.1 s.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is no GGUF file, or a damaged one.
    """
    _regular_file(path)
    with _opened(path) as data, _damage_named(path):
        return _of_type(str, dict(_HeaderReader(data).metadata()).get("tokenizer.chat_template"))


def check_file(path: Path) -> None:
    """Make sure that `path` is a GGUF file with all the tensors that it announces.

    Raises:
        WeightsNotFoundError: If there is no such file.
        BadWeightsError: If it is no GGUF file, or a damaged one.
    """
    size = _regular_file(path).st_size
    with _opened(path) as data, _damage_named(path):
        needed = _HeaderReader(data).first_byte_of_last_tensor() + 1
    if size < needed:
        raise BadWeightsError(
            f"{str(path)!r} is cut off: it has {size:,} bytes, and its tensors begin as late as byte {needed:,}. "
            "Download it again."
        )


@lru_cache(maxsize=32)
def _read_header(path: Path, _modified_ns: int, _size: int) -> Header:
    with _opened(path) as data, _damage_named(path):
        return _wanted(_HeaderReader(data).metadata())


def _wanted(entries: Iterator[tuple[str, Any]]) -> Header:
    found: dict[str, Any] = {}
    for key, value in entries:
        if key.startswith("tokenizer.") and _context_key(found) in found:  # what is wanted is behind us
            break
        found[key] = value
    return Header(
        architecture=_of_type(str, found.get("general.architecture")),
        name=_of_type(str, found.get("general.name")),
        license=_of_type(str, found.get("general.license")),
        context_length=_of_type(int, found.get(_context_key(found))),
    )


def _context_key(found: dict[str, Any]) -> str:
    return f"{found.get('general.architecture')}.context_length"


def _of_type(kind: type[T], value: object) -> T | None:
    return value if isinstance(value, kind) else None


class _HeaderReader:
    """Walks through a header from its first byte on."""

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

    def metadata(self) -> Iterator[tuple[str, Any]]:
        """Each key with its value; None stands for an array, which is skipped."""
        for _ in range(self._entries):
            key, value = self._string(), self._value(self._number("I"))
            if key == "general.alignment":
                self._alignment = self._checked_alignment(value)
            yield key, value

    def first_byte_of_last_tensor(self) -> int:
        for _ in self.metadata():
            pass
        last = max((self._tensor_offset() for _ in range(self._tensors)), default=-1)
        return -(-self._at // self._alignment) * self._alignment + last

    def _checked_alignment(self, value: Any) -> int:
        if not isinstance(value, int) or value < 1:
            raise _DamageError(f"its alignment is {value!r}")
        return value

    def _tensor_offset(self) -> int:
        self._string()
        for _ in range(self._number("I")):
            self._number("Q")  # a dimension
        self._number("I")  # the type
        offset: int = self._number("Q")
        return offset

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._skip_array()
        if kind not in _NUMBERS:
            raise _DamageError(f"a value has the unknown type {kind}")
        return self._number(_NUMBERS[kind])

    def _skip_array(self) -> None:
        kind, length = self._number("I"), self._number("Q")
        if kind in _NUMBERS:
            self._skip(length * struct.calcsize(_NUMBERS[kind]))
            return
        if kind != _STRING:  # arrays of arrays are no good to llama.cpp either
            raise _DamageError(f"an array has items of the type {kind}")
        for _ in range(length):
            self._skip(self._number("Q"))

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
        self._at += length
        if self._at > len(self._data):
            raise _DamageError("it ends within its header")


class _DamageError(Exception):
    """The header cannot be read. The message says why, but not of which file."""


@contextmanager
def _damage_named(path: Path) -> Generator[None]:
    """Say of which file the header cannot be read."""
    try:
        yield
    except _DamageError as error:
        raise BadWeightsError(
            f"{str(path)!r} is damaged: {error}. Download it again, as a GGUF file of version 3."
        ) from None


def _regular_file(path: Path) -> Any:
    if not path.exists():
        raise WeightsNotFoundError(f"There is no file {str(path)!r}. Give the `path` of a GGUF file.")
    if not path.is_file():
        raise BadWeightsError(f"{str(path)!r} is no file. Give the `path` of the GGUF file itself.")
    return path.stat()


def _opened(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
        if start != _MAGIC:
            raise BadWeightsError(
                f"{str(path)!r} is no GGUF file: it begins with {start!r}, not with {_MAGIC!r}. "
                "llama.cpp reads GGUF only; many models are published in that format too."
            )
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
