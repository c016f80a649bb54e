"""A model that is recorded, and a cassette that is played, keep the contract, and every verb takes them."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request as HTTPRequest
from urllib.request import urlopen

import pytest
from tests.echo_models import ChatEchoGenerator
from tests.serve.served_models import serving

from langplug import load
from langplug.cli import main
from langplug.models import ChatReplay
from langplug_check import ContractTests

FOLDER = "LANGPLUG_TEST_CASSETTES"
"""The variable that names a folder, for the processes in which models are checked."""

TALK = """\
langplug-cassette: 1
---
messages:
- human: Hi
answer: ["Hello ", "there."]
"""


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where cassettes are, and the key of the echo models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ECHO_API_KEY", "sk-of-echo")
        patch.setenv(FOLDER, str(tmp_path_factory.mktemp("cassettes")))
        yield Path(os.environ[FOLDER])


@pytest.fixture
def talk(folder: Path) -> Path:
    """A cassette that a person has written."""
    file = folder / "talk.yaml"
    file.write_text(TALK, encoding="utf-8")
    return file


def recorded() -> ChatReplay:
    """A model whose answers are recorded."""
    return ChatReplay(cassette=Path(os.environ[FOLDER], "kit.yaml"), model=ChatEchoGenerator(), mode="new")


@pytest.mark.thorough("the statements are about langplug, and TestGenerator has them all")
class TestRecorded(ContractTests):
    factory = staticmethod(recorded)


# --- the verbs ---


def test_talking_to_a_cassette(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`langplug chat replay:FILE` says what was recorded, and of anything else how it differs."""
    assert main(["chat", f"replay:{talk}", "-p", "Hi"]) == 0
    assert capsys.readouterr().out == "Hello there.\n"
    assert main(["chat", f"replay:{talk}", "-p", "Ho"]) == 1
    assert "  - - human: Hi\n  + - human: Ho\n" in capsys.readouterr().err


def test_serving_a_cassette(talk: Path) -> None:
    """`langplug serve replay:FILE` plays it to clients, under the name of the file if nobody was recorded."""
    with serving(load(f"replay:{talk}")) as url:
        body = json.dumps({"model": "talk", "messages": [{"role": "user", "content": "Hi"}]})
        headers = {"content-type": "application/json"}
        with urlopen(HTTPRequest(f"{url}/v1/chat/completions", body.encode(), headers)) as answer:
            assert json.load(answer)["choices"][0]["message"]["content"] == "Hello there."


def test_checking_a_cassette(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `langplug check` asks a model is recorded once; from then on it needs neither the model nor its key."""
    reference = f"replay:{folder / 'asked.yaml'}"
    only = ["--only", "O01,O02,O03,O09", "--here", "--json"]
    echo = f"model={ChatEchoGenerator.__module__}:{ChatEchoGenerator.__name__}"
    assert main(["check", reference, "--with", echo, "--with", "mode=new", *only]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["counts"]["pass"] == 4
    assert main(["check", reference, *only]) == 0
    assert json.loads(capsys.readouterr().out)["counts"] == report["counts"]
