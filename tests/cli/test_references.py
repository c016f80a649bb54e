"""Each kind of reference, for each verb that takes one."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from langplug.cli import main
from langplug_backend import Backend

MODELS = Path(__file__).parent / "models.py"

VERBS = {"chat": ["-p", "hi"], "explain": [], "check": ["--only", "A08", "--here"]}


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])


@pytest.fixture(params=VERBS)
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def run(verb: str, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main([verb, *args, *VERBS[verb]])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


@pytest.fixture
def served() -> Iterator[Backend]:
    with Backend(models=["qwen3", "llama3"]) as backend:
        yield backend


def test_a_module_and_a_file(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A module's and a file's models, with settings for their constructor."""
    assert run(verb, capsys, f"{MODELS}:Needy", "--with", "word=hello")[0] == 0
    given = ("--with", "n=3", "--with", "model=parrot")
    assert run(verb, capsys, "langplug.models:CustomChatModelAdvanced", *given)[0] == 0


def test_a_server(verb: str, served: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """A server's model is named by what follows the `#`, or by a setting."""
    assert run(verb, capsys, f"{served.openai_url}#qwen3")[0] == 0
    assert run(verb, capsys, served.openai_url, "--with", "model=qwen3")[0] == 0


def test_one_question_to_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    """`langplug chat http://localhost:8000/v1` just talks."""
    with Backend() as backend:
        assert (0, "hi\n", "") == run("chat", capsys, backend.openai_url)


def test_an_installed_model(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model that a package has named is found by that name."""
    info = tmp_path / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[langplug.models]\nacme = tests.cli.models:echo\n")
    assert run(verb, capsys, "acme")[0] == 0


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("no_such_module:model", "no module 'no_such_module'"),
        ("./missing.py:model", "no file"),
        ("./missing.gguf", "no file"),
        ("./missing", "no file or folder"),
        ("./folder", "has no config.json"),
        ("ftp://host/v1", "expected http:// or https://"),
        ("localhost:8000/v1", "write http://localhost:8000/v1"),
        ("upstage:solar", "pip install langchain-upstage"),
        ("opanai:gpt-4o", "did you mean 'openai'?"),
        ("hello", "provider:model"),
    ],
)
def test_wrong_references(
    verb: str, reference: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What leads to no model is wrong use, in one sentence that says what to do, whatever the verb."""
    (tmp_path / "folder").mkdir()
    code, out, err = run(verb, capsys, reference)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("langplug: ")
    assert told in err


def test_a_server_that_is_down(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that does not answer is a failure that may pass, and not wrong use."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        code, out, err = run(verb, capsys, f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
    assert (1, "") == (code, out)
    assert "Is the server up" in err


def test_several_models(verb: str, served: Backend, capsys: pytest.CaptureFixture[str]) -> None:
    """Which model of several, the person has to say; the error shows how."""
    code, _, err = run(verb, capsys, served.openai_url)
    assert 1 == code
    assert f"choose one, such as {served.openai_url}#qwen3" in err


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("wrod=x", "did you mean 'word'?"),
        ("word", "'word' is not NAME=VALUE, such as temperature=0"),
        ("word=[1]", "word: Input should be a valid string"),
        ("word=7", "a text that looks like a number is put in quotes"),
        ("word=env:NO_SUCH_VARIABLE", "the environment variable 'NO_SUCH_VARIABLE', for 'word', is not set"),
    ],
)
def test_wrong_settings(verb: str, setting: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that is misspelt, of no form or of the wrong type is wrong use."""
    code, out, err = run(verb, capsys, "tests.cli.models:Needy", "--with", setting)
    assert (2, "") == (code, out)
    assert told.lower() in err.lower()


@pytest.mark.parametrize(
    "setting",
    ["api_key=sk-live", "apikey=sk-live", 'headers={"Authorization": "Bearer sk-live"}', 'x=[{"token": "sk-live"}]'],
)
@pytest.mark.parametrize("option", ["--with", "--set"])
def test_no_secret_on_the_command_line(option: str, setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A secret is refused, wherever it stands in a setting, and the error neither shows it nor leaves one helpless."""
    code, _, err = run("chat", capsys, "tests.cli.models:Needy", option, setting)
    assert 2 == code
    assert "env:" in err
    assert "sk-live" not in err


def test_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`env:NAME` takes a value from the environment, in lists and objects as well."""
    monkeypatch.setenv("ACME_KEY", "sk-env")
    monkeypatch.setenv("ACME_TENANT", "t1")
    with Backend(key="sk-env") as backend:
        given = ("--with", "api_key=env:ACME_KEY", "--with", 'headers={"X-Tenant": "env:ACME_TENANT"}')
        assert (0, "hi\n", "") == run("chat", capsys, backend.openai_url, *given)
        assert "t1" == backend.requests[-1].headers["x-tenant"]


def test_json_of_each_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--json` prints one JSON document on stdout, and nothing else there."""
    code, out, _ = run(verb, capsys, "tests.cli.models:echo", "--json")
    assert 0 == code
    assert "schema" in json.loads(out)


def test_json_of_pull(capsys: pytest.CaptureFixture[str]) -> None:
    """`pull --json` lists the weights, and whether they are there."""
    assert 0 == main(["pull", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert ("langplug.pull/1", "smollm2") == (listed["schema"], listed["weights"][0]["name"])
    assert {"path", "size", "license", "good_for"} <= listed["weights"][0].keys()
