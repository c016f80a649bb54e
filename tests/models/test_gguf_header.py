"""Reading the header of a GGUF file, whole or damaged."""

import struct
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug.models import ChatGGUF
from langplug.models.gguf.header import BadWeightsError, Header, WeightsNotFoundError, check_file, read_header

NUMBER = {"B": 0, "b": 1, "H": 2, "h": 3, "I": 4, "i": 5, "f": 6, "?": 7, "Q": 10, "q": 11, "d": 12}


@dataclass(frozen=True)
class Typed:
    """A number with its format."""

    code: str
    value: Any


def text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def encoded(value: Any) -> bytes:
    """A value, its type before it."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + text(value)
    if isinstance(value, Typed):
        return struct.pack("<I" + value.code, NUMBER[value.code], value.value)
    kind = struct.unpack_from("<I", encoded(value[0]))[0] if value else 4
    items: bytes = b"".join(encoded(item)[4:] for item in value)
    return struct.pack("<IIQ", 9, kind, len(value)) + items


def gguf(metadata: dict[str, Any], tensors: dict[str, int] | None = None, *, version: int = 3, data: int = 64) -> bytes:
    """A GGUF file with tensors at these offsets, and so many bytes of data."""
    tensors = tensors or {}
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    head += b"".join(text(key) + encoded(value) for key, value in metadata.items())
    head += b"".join(text(name) + struct.pack("<IQIQ", 1, 8, 0, offset) for name, offset in tensors.items())
    alignment: int = metadata.get("general.alignment", Typed("I", 32)).value
    return head + b"\0" * (-len(head) % alignment) + b"\1" * data


MODEL = {
    "general.architecture": "llama",
    "general.name": "Löwe",
    "general.license": "apache-2.0",
    "llama.context_length": Typed("I", 8192),
    "tokenizer.ggml.tokens": ["a", "bc", ""],
    "tokenizer.ggml.scores": [Typed("f", 0.5)] * 3,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def test_read_header(file: Path) -> None:
    """Name, licence, architecture and trained context are read."""
    file.write_bytes(gguf(MODEL, {"w": 0}))
    assert Header("llama", "Löwe", "apache-2.0", 8192) == read_header(file)
    check_file(file)


def test_order_does_not_matter(file: Path) -> None:
    """The keys may come in any order, and arrays between them."""
    file.write_bytes(gguf(dict(reversed(MODEL.items()))))
    assert Header("llama", "Löwe", "apache-2.0", 8192) == read_header(file)


def test_a_changed_file_is_read_again(file: Path) -> None:
    """What was read before is not told of another file in the same place."""
    file.write_bytes(gguf(MODEL))
    read_header(file)
    file.write_bytes(gguf({"general.name": "other"}))
    assert Header(name="other") == read_header(file)


def test_a_template_is_found_as_soon_as_the_file_is_there(file: Path) -> None:
    """A model made before its file was there reads the chat template once the file is, and anew when it changes."""
    model = ChatGGUF(path=str(file))
    assert "" == model.tool_format_hints[0]
    for template in ("{{ tools }}", "{{ tools }} and more"):
        file.write_bytes(gguf({**MODEL, "tokenizer.chat_template": template}))
        assert template == model.tool_format_hints[0]


def test_missing(file: Path) -> None:
    """A file that is not there is a `FileNotFoundError` that names it."""
    with pytest.raises(WeightsNotFoundError, match=r"There is no file '.*model\.gguf'") as caught:
        check_file(file)
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\3\4 a zip file", b'{"not": "a model"}'])
def test_no_gguf(file: Path, content: bytes) -> None:
    """A file of another kind is named, with what it begins with."""
    file.write_bytes(content)
    with pytest.raises(BadWeightsError, match="is not a GGUF file: it begins with b'"):
        check_file(file)


def test_a_folder(tmp_path: Path) -> None:
    """A folder is not a file."""
    with pytest.raises(BadWeightsError, match="is not a file"):
        check_file(tmp_path)


@pytest.mark.parametrize("version", [0, 1, 4, 3 << 24])
def test_other_versions(file: Path, version: int) -> None:
    """Versions that cannot be read, and big-endian files, are said to be such."""
    file.write_bytes(gguf(MODEL, version=version))
    with pytest.raises(BadWeightsError, match=f"format version is {version}"):
        check_file(file)


def test_tensors_that_are_missing(file: Path) -> None:
    """A file that ends before its last tensor begins is cut off."""
    file.write_bytes(gguf(MODEL, {"a": 0, "b": 64}, data=65))
    check_file(file)
    file.write_bytes(gguf(MODEL, {"a": 0, "b": 64}, data=64))
    with pytest.raises(BadWeightsError, match="is cut off"):
        check_file(file)


def test_alignment(file: Path) -> None:
    """Tensors begin where the file's own alignment says."""
    metadata = {"general.alignment": Typed("I", 256)}
    whole = gguf(metadata, {"a": 0}, data=1)
    file.write_bytes(whole)
    check_file(file)
    file.write_bytes(whole[:-1])
    with pytest.raises(BadWeightsError, match="is cut off"):
        check_file(file)


@pytest.mark.parametrize("alignment", [Typed("I", 0), Typed("f", 1.5), "x"])
def test_a_wrong_alignment(file: Path, alignment: Any) -> None:
    """An alignment that is none is damage."""
    file.write_bytes(gguf(MODEL).replace(b"general.license", b"general.xicense"))
    head = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("general.alignment") + encoded(alignment)
    file.write_bytes(head)
    with pytest.raises(BadWeightsError, match="alignment"):
        check_file(file)


@given(cut=st.integers(min_value=4, max_value=len(gguf(MODEL, {"w": 0})) - 65))
def test_cut_anywhere(cut: int) -> None:
    """Wherever a header is cut, it is reported as damaged or cut off; no other error comes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.gguf")
        file.write_bytes(gguf(MODEL, {"w": 0})[:cut])
        with pytest.raises(BadWeightsError, match=r"is damaged: it ends within its header|is cut off"):
            check_file(file)


@given(st.data())
def test_damaged_anywhere(data: st.DataObject) -> None:
    """Whatever bytes of a header are altered, it is read or refused, and nothing else happens."""
    content = bytearray(gguf(MODEL, {"w": 0}))
    for place in data.draw(st.lists(st.integers(4, len(content) - 1), min_size=1, max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.gguf")
        file.write_bytes(content)
        for read in (check_file, read_header):
            with suppress(BadWeightsError):
                read(file)
