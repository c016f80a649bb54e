"""Weights that mean no good, or change while they are used: a sentence, and the process lives."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelTimeoutError
from langchain_core.messages import HumanMessage
from tests.messages.test_hostile_templates import TOO_DEEP

from langplug.models import ChatGGUF
from langplug.models.gguf.header import BadWeightsError
from langplug.models.gguf.trial import try_template
from langplug.models.gguf.trial_child import tiny_model

CHATML = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
ENGINE: dict[str, Any] = {"n_ctx": 256, "threads": 1, "parallel": 1, "max_tokens": 4}

HARMFUL = {
    "a macro that calls itself": ("{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", r"crashes it \(SIG"),
    "in long conversations only": (
        "{% if messages | length > 9 %}{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}{% endif %}",
        r"crashes it \(SIG",
    ),
    "loops in loops": (
        "{% for i in range(1000000) %}{% for j in range(1000000) %}{% endfor %}{% endfor %}",
        "more than 3 seconds of the processor",
    ),
    "gigabytes": ("{% for m in messages %}{{ m.content * 10000 }}{% endfor %}", "writes more than 16 MB|of memory"),
    "doubling": (
        "{% set ns = namespace(x='aaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "more than 1 GiB of memory",
    ),
    "a refusal": ("{{ raise_exception('Not for you') }}", "cannot use the chat template: Jinja Exception: Not for you"),
    "a broken one": ("{% if %}", "cannot use the chat template"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The smallest model."""
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model(CHATML))
    return path


@pytest.fixture
def model(file: Path) -> Iterator[ChatGGUF]:
    with_file = ChatGGUF(path=str(file), **ENGINE)
    yield with_file
    with_file.close()


@pytest.mark.parametrize(("template", "says"), HARMFUL.values(), ids=HARMFUL)
def test_a_harmful_template(template: str, says: str, tmp_path: Path) -> None:
    """A file whose chat template would crash llama.cpp, hang it or fill the memory is refused before it is loaded."""
    path = tmp_path / "bad.gguf"
    path.write_bytes(tiny_model(template))
    with pytest.raises(BadWeightsError, match=says):
        ChatGGUF(path=str(path), **ENGINE).invoke("Hi")


@pytest.mark.parametrize("name", [name for name in TOO_DEEP if not name.startswith("loops")])
def test_a_template_that_is_too_deep(name: str, file: Path) -> None:
    """One that is nested too deeply is refused by its text, in the file or in its place."""
    with pytest.raises(BadWeightsError, match="chat template is too deep"):
        ChatGGUF(path=str(file), chat_template=TOO_DEEP[name], **ENGINE).invoke("Hi")


async def test_timeout_holds(file: Path) -> None:
    """While a template that does not end is tried, `timeout` ends the wait, and the event loop runs."""
    template = "{% for i in range(1000000) %}{% for j in range(1000001) %}{% endfor %}{% endfor %}"
    model = ChatGGUF(path=str(file), chat_template=template, timeout=0.5, **ENGINE)
    began = time.monotonic()
    with pytest.raises(ModelTimeoutError):
        await model.ainvoke("Hi")
    assert time.monotonic() - began < 2


def test_templates_of_models_pass() -> None:
    """Templates such as models have are harmless, and are tried once."""
    from tests.models.test_gguf_templates import GLM, SWITCHED

    for template in (GLM, SWITCHED, CHATML):
        try_template(template)
        began = time.process_time()
        try_template(template)
        assert time.process_time() - began < 0.01


def test_a_file_that_is_written_into(file: Path, model: ChatGGUF) -> None:
    """A file that is changed in place while it is loaded is noticed at the next call; close() has it loaded anew."""
    model.invoke("Hi")
    stat = file.stat()
    with file.open("r+b") as open_file:
        open_file.seek(-1, os.SEEK_END)
        open_file.write(b"\1")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    with pytest.raises(BadWeightsError, match="was changed after it was loaded"):
        model.invoke("Hi")
    model.close()
    model.invoke("Hi")


def test_a_file_that_is_replaced(file: Path, model: ChatGGUF, caplog: pytest.LogCaptureFixture) -> None:
    """A file that another is moved onto is noted once, and the loaded model answers on, also once it is deleted."""
    model.invoke("Hi")
    new = file.with_suffix(".new")
    new.write_bytes(tiny_model(CHATML + "!"))
    new.replace(file)
    for _ in range(2):
        model.invoke([HumanMessage("Hi")])
    assert 1 == sum("was replaced after it was loaded" in record.getMessage() for record in caplog.records)
    file.unlink()
    model.invoke("Hi")


@pytest.mark.parametrize("cut", [1, 40_000, 90_000])
def test_a_truncated_file(file: Path, cut: int) -> None:
    """A file that was cut off is refused with a sentence, wherever the cut is."""
    file.write_bytes(file.read_bytes()[:-cut])
    with pytest.raises(BadWeightsError, match=r"cut off|damaged|cannot load"):
        ChatGGUF(path=str(file), **ENGINE).invoke("Hi")
