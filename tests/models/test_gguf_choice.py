"""Which engine a model gets: by what is installed, what the file is, and what the model asks for."""

import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from langplug.models import ChatGGUF
from langplug.models.gguf import choice
from langplug.models.gguf.header import BadWeightsError, read_contents
from langplug.models.gguf.openvino_files import unreadable_by_openvino

SMALL: dict[str, Any] = {
    "general.architecture": "llama",
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
}


def written(path: Path, changes: dict[str, Any], kind: int = 3, data: int = 20) -> Path:
    """A GGUF file with one tensor of 32 numbers."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    values = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(values))
    for key, value in values.items():
        head += text(key) + (
            struct.pack("<I", 8) + text(value) if isinstance(value, str) else struct.pack("<II", 4, value)
        )
    head += text("a.weight") + struct.pack("<IQIQ", 1, 32, kind, 0)
    path.write_bytes(head + b"\0" * (-len(head) % 32) + b"\1" * data)
    return path


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO seems to be installed, which is all that the choice looks at."""
    monkeypatch.setattr(choice, "find_spec", lambda name: find_spec("json"))


def test_a_file_that_openvino_reads(tmp_path: Path, installed: None) -> None:
    """OpenVINO is taken for a file of a kind that it reads, and llama.cpp stands behind it."""
    chosen = ChatGGUF(path=str(written(tmp_path / "a.gguf", {}))).runs_on
    assert ("openvino", True) == (chosen.engine, chosen.has_fallback)
    assert "reads this file" in chosen.why


@pytest.mark.parametrize(
    ("changes", "tensor", "why"),
    [
        ({"general.architecture": "gemma3"}, (3, 20), "architecture is 'gemma3'"),
        ({"general.architecture": None}, (3, 20), "architecture is None"),
        ({}, (6, 22), "tensors in Q5_0"),
        ({}, (99, 22), "tensors in type 99"),
        ({}, (3, 19), "cut off"),
        ({"tokenizer.ggml.pre": "tekken"}, (3, 20), "tokenizer is 'tekken'"),
        ({"tokenizer.ggml.model": "llama", "tokenizer.ggml.pre": None}, (3, 20), "tokenizer is 'sentencepiece'"),
        ({"llama.expert_count": 8}, (3, 20), "mixture of experts"),
        ({"split.count": 2}, (3, 20), "several files"),
    ],
)
def test_a_file_that_openvino_does_not_read(
    tmp_path: Path, installed: None, changes: dict[str, Any], tensor: tuple[int, int], why: str
) -> None:
    """llama.cpp is taken for any other, and the reason is told."""
    path = written(tmp_path / "b.gguf", changes, *tensor)
    chosen = ChatGGUF(path=str(path)).runs_on
    assert "llama.cpp" == chosen.engine
    assert why in chosen.why
    assert why in (unreadable_by_openvino(read_contents(path)) or "")


def test_what_llama_cpp_alone_can_do(tmp_path: Path, installed: None) -> None:
    """A model that asks for what OpenVINO cannot do gets llama.cpp; an engine that is named is the one."""
    path = str(written(tmp_path / "c.gguf", {}))
    assert "llama.cpp" == ChatGGUF(path=path, top_logprobs=2).runs_on.engine
    assert "llama.cpp" == ChatGGUF(path=path, gpu_layers=20).runs_on.engine
    assert "llama.cpp" == ChatGGUF(path=path, engine="llama.cpp").runs_on.engine
    assert "openvino" == ChatGGUF(path=path, engine="openvino", top_logprobs=2).runs_on.engine
    with pytest.raises(ValueError, match="engine"):
        ChatGGUF(path=path, engine="vllm")


def test_without_openvino(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OpenVINO is missing, llama.cpp is taken without a word; who asks for OpenVINO is told what to install."""
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    path = str(written(tmp_path / "d.gguf", {}))
    chosen = ChatGGUF(path=path).runs_on
    assert "llama.cpp" == chosen.engine
    assert "not installed" in chosen.why
    if find_spec("openvino_genai") is None:
        with pytest.raises(ImportError, match=r"pip install 'langplug\[openvino\]'.*leave out engine"):
            ChatGGUF(path=path, engine="openvino").invoke("hi")
    else:
        with pytest.raises(BadWeightsError, match=r"engine='llama\.cpp'"):
            ChatGGUF(path=path, engine="openvino").invoke("hi")
