"""`ChatTransformers` with real weights: SmolLM2-135M-Instruct."""

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from langchain_core.tools import tool
from tests.engines.tiny_llama import smollm2

from langplug import load
from langplug.models import ChatTransformers

PAGE = Path(__file__).parents[2] / "docs" / "en" / "guides" / "transformers.md"
EXAMPLE = Path(__file__).parents[2] / "examples" / "transformers_batches.py"


@pytest.fixture(scope="module")
def model() -> Iterator[ChatTransformers]:
    model = ChatTransformers(model=smollm2(), temperature=0, max_tokens=16)
    model.engine.load()
    yield model
    model.close()


def test_it_answers(model: ChatTransformers) -> None:
    """A real model says something true, and ends by itself."""
    answer = model.invoke("What is the capital of Japan?")
    assert "Tokyo" in answer.text
    assert "stop" == answer.response_metadata["finish_reason"]
    assert "SmolLM2-135M-Instruct" == answer.response_metadata["model_name"]


def test_many_answers_are_right(model: ChatTransformers) -> None:
    """Of many questions at once, each gets the answer to itself."""
    capitals = {"Japan": "Tokyo", "France": "Paris", "Germany": "Berlin"}  # a small model knows no more
    answers = model.batch([f"What is the capital of {country}?" for country in capitals])
    assert [True] * 3 == [capital in answer.text for capital, answer in zip(capitals.values(), answers, strict=True)]


def test_a_forced_call_and_an_object(model: ChatTransformers) -> None:
    """A forced call has the tool's arguments, and structured output fits its schema."""

    @tool
    def weather(city: str, days: int) -> str:
        """The weather in a city, for some days."""
        return ""

    told = model.model_copy(update={"max_tokens": 60})
    bound = told.bind_tools([weather], tool_choice="any")
    (call,) = bound.invoke("What is the weather in Paris for 3 days?").tool_calls
    assert ("weather", {"city", "days"}) == (call["name"], set(call["args"]))
    person: dict[str, Any] = {"title": "Person", "type": "object", "properties": {"age": {"type": "integer"}}}
    assert isinstance(told.with_structured_output({**person, "required": ["age"]}).invoke("I am 7."), dict)


def test_a_folder_is_a_reference(model: ChatTransformers) -> None:
    """`langplug.load` and `langplug chat` take the folder."""
    loaded = load(str(smollm2()), temperature=0, max_tokens=16)
    assert isinstance(loaded, ChatTransformers)
    assert model.engine is loaded.engine
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    asked = [
        sys.executable,
        "-m",
        "langplug",
        "chat",
        str(smollm2()),
        "--with",
        "temperature=0",
        "-p",
        "Capital of Japan?",
    ]
    said = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=150, check=False)
    assert "Tokyo" in said.stdout, said.stderr


def test_the_page_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python of the documentation's page runs, where the folder is that it names."""
    monkeypatch.chdir(smollm2().parent)
    namespace: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        if "SmolVLM" not in block:  # weights that are not there; test_transformers_images.py has others that see
            exec(block, namespace)
    namespace["model"].close()


def test_the_example_answers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`examples/transformers_batches.py` answers four questions that come at once."""
    monkeypatch.setattr(sys, "argv", [EXAMPLE.name, str(smollm2())])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    answers = capsys.readouterr().out
    assert "Paris" in answers
    assert "Tokyo" in answers
