"""The file of a cassette: what is written into it and when, what a person makes of it, and what never stands in it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.exceptions import ModelAuthenticationError
from langchain_core.messages import AIMessage
from pydantic import SecretStr

from langplug import ChatModel, Finish, Reasoning, Request, ToolCall, load
from langplug.models import ChatReplay, ChatScripted
from langplug.models.replay import CassetteError, MissingRecordingError


def scripted(*replies: Any) -> ChatScripted:
    return ChatScripted(replies=[*replies], when_exhausted="repeat")


# --- modes ---


@pytest.mark.parametrize(
    ("mode", "known", "unknown"),
    [
        ("none", "old", MissingRecordingError),
        ("once", "old", MissingRecordingError),
        ("new", "old", "fresh"),
        ("rewrite", "fresh", "fresh"),
    ],
)
def test_modes(mode: Any, known: str, unknown: Any, tmp_path: Path) -> None:
    """Each mode plays what it may, and records what it may."""
    file = tmp_path / "talk.yaml"
    ChatReplay(cassette=file, model=scripted("old")).invoke("known")
    model = ChatReplay(cassette=file, model=scripted("fresh"), mode=mode)
    assert model.invoke("known").content == known
    if isinstance(unknown, str):
        assert model.invoke("unknown").content == unknown
        assert ChatReplay(cassette=file).invoke("unknown").content == unknown
    else:
        with pytest.raises(unknown):
            model.invoke("unknown")
    assert ChatReplay(cassette=file).invoke("known").content == known


def test_nothing_to_play_and_nothing_to_record(tmp_path: Path) -> None:
    """Without a cassette and without a model there is an error that says what to do; so is recording of no model."""
    with pytest.raises(FileNotFoundError, match="Record one with"):
        ChatReplay(cassette=tmp_path / "talk.yaml")
    with pytest.raises(FileNotFoundError):
        ChatReplay(cassette=tmp_path / "talk.yaml", model=scripted("x"), mode="none")
    with pytest.raises(ValueError, match="give `model`"):
        ChatReplay(cassette=tmp_path / "talk.yaml", mode="new")


# --- by hand ---


def test_edits_by_hand(tmp_path: Path) -> None:
    """What a person changes is played, and stays with its comments when more is recorded."""
    file = tmp_path / "talk.yaml"
    ChatReplay(cassette=file, model=scripted("Hello.")).invoke("Hi")
    written = file.read_text(encoding="utf-8").replace("Hello.", "no  # what a person says")
    file.write_text(written.replace("seconds:", "# by hand\nseconds:"), encoding="utf-8")
    assert ChatReplay(cassette=file).invoke("Hi").content == "no"
    ChatReplay(cassette=file, model=scripted("More."), mode="new").invoke("Ho")
    assert "# by hand" in file.read_text(encoding="utf-8")
    assert ChatReplay(cassette=file).invoke("Hi").content == "no"
    assert ChatReplay(cassette=file).invoke("Ho").content == "More."


HEAD = "langplug-cassette: 1\n---\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HEAD + "messages: [\n- x\n", r"line \d+: this is not YAML"),
        ("", "line 1: this is no cassette"),
        ("a: 1\n", "line 1: this is no cassette"),
        ("langplug-cassette: 9\n", "of version 9, and this langplug reads version 1"),
        (HEAD + "messages: Hi\n", "begins on line 3: `messages` must be a list"),
        (HEAD + "messages:\n- human: 5\nanswer: x\n", "line 3: .* a text .in quotes if it is a number"),
        (HEAD + "messages:\n- human: x\nanswr: x\n", "'answr' is unknown. Did you mean 'answer'"),
        (HEAD + "messages:\n- human: x\n", "neither an `answer` nor an `error`"),
        (HEAD + "messages:\n- human: x\nanswer:\n- 5\n", "5 in `answer` must be a text"),
        (HEAD + "messages:\n- human: x\nanswer: {txt: x}\n", "'txt' in `answer` is unknown"),
        (HEAD + "messages:\n- human: x\nerror: late\n", "`error` must have a `type`"),
        (HEAD + "messages: !!python/object/apply:os.getcwd []\n", "not YAML"),
    ],
)
def test_what_is_wrong_with_it(text: str, told: str, tmp_path: Path) -> None:
    """A file that is no cassette, or a slip in one, is an error that names the line and what was expected."""
    file = tmp_path / "talk.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CassetteError, match=told) as caught:
        ChatReplay(cassette=file)
    assert str(file) in str(caught.value)


def test_a_reference(tmp_path: Path) -> None:
    """`replay:FILE` leads to a cassette, with a model to record among the settings; a wrong name is said."""
    file = tmp_path / "talk.yaml"
    load(f"replay:{file}", model=scripted("x")).invoke("Hi")
    assert load(f"replay:{file}").invoke("Hi").content == "x"
    with pytest.raises(FileNotFoundError, match=r"talk\.yaml"):
        load(f"replay:{tmp_path / 'tlak.yaml'}")
    with pytest.raises(ValueError, match="replay:FILE"):
        load("replay:")


# --- several at once ---

RECORD = """
import sys
from langplug.models import ChatReplay, ChatScripted
for number in range(10):
    question = f"{sys.argv[2]} {number}"
    ChatReplay(cassette=sys.argv[1], model=ChatScripted(replies=[question]), mode="new").invoke(question)
"""


def test_processes_and_threads(tmp_path: Path) -> None:
    """Several processes and threads record into one cassette, and nothing is lost."""
    file = tmp_path / "talk.yaml"
    command = [sys.executable, "-c", RECORD, str(file)]
    processes = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    model = ChatReplay(cassette=file, model=scripted("x"), mode="new")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: model.invoke(f"c {number}"), range(10)))
    assert [process.wait() for process in processes] == [0, 0]
    played = ChatReplay(cassette=file)
    for name in "ab":
        assert [played.invoke(f"{name} {one}").content for one in range(10)] == [f"{name} {one}" for one in range(10)]
    assert [played.invoke(f"c {one}").content for one in range(10)] == ["x"] * 10
    assert [one.name for one in tmp_path.iterdir()] == ["talk.yaml"]


# --- secrets ---

SECRETS = [
    f"{name}7Qx{number}Zr4Tt9Lm2"
    for number, name in enumerate(
        [
            "field",
            "header",
            "bearer",
            "url",
            "query",
            "args",
            "fragment",
            "text",
            "reasoning",
            "metadata",
            "param",
            "human",
            "tool",
            "json",
            "env",
            "cookie",
            "basic",
            "schema",
            "spoken",
        ]
    )
] + ["sk-proj-4f9Qx81Zr4Tt9Lm2", "ghp_A1b2C3d4E5f6G7h8I9j0", "AKIAIOSFODNN7EXAMPLE"]


class Leaky(ChatModel):
    """Says whatever it was told and knows."""

    tool_calling = "native"
    api_key: SecretStr
    headers: dict[str, Any]
    extra: dict[str, Any] | None = None

    def respond(self, request: Request, /) -> Any:
        """Leak."""
        s = SECRETS
        key = self.api_key.get_secret_value()
        if request.text == "fail":
            raise ModelAuthenticationError(
                f"401 for https://me:{s[3]}@host/v1?api_key={s[4]} with Authorization: Bearer {s[2]} and key {key}, "
                f"{{'x-api-key': '{self.headers['X-Api-Key']}'}}, Cookie: id={s[15]}\nAuthorization: Basic {s[16]}"
            )
        yield Reasoning(f'I know {{"password": "{s[8]}"}} and ')
        yield from (
            "My key is ",
            key[:5],
            key[5:],
            f". password={s[7]} ",
            *s[19:],
            " ",
            s[14],
            f". My password is {s[18]}",
        )
        yield f'{{"client_secret": "{s[13]}"}}'
        yield ToolCall(name="login", args={"user": "bo", "password": s[5]}, id="a")
        yield ToolCall(name="login", args='{"password": "' + s[6][:4], id="b", index=1)
        yield ToolCall(args=s[6][4:] + '"}', index=1)
        yield Finish(
            reason="tool_calls",
            metadata={"headers": {"x-api-key": s[1], "set-cookie": f"id={s[15]}; Path=/"}, "token": s[9]},
        )


def test_no_secret_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 22 secrets in fields, headers, schemas, errors, addresses, arguments and texts, none stands in a cassette."""
    s, file = SECRETS, tmp_path / "talk.yaml"
    assert len(s) == 22
    monkeypatch.setenv("ACME_API_KEY", s[14])
    question = [
        ("human", f"My password: {s[11]}"),
        AIMessage("", tool_calls=[{"name": "login", "args": {"api_key": s[5]}, "id": "x"}]),
        {"role": "tool", "tool_call_id": "x", "content": f'{{"access_token": "{s[12]}"}}'},
    ]
    held = {"api_key": {"type": "string", "default": s[17]}}
    login = {"type": "function", "function": {"name": "login", "parameters": {"type": "object", "properties": held}}}
    asked: dict[str, Any] = {"extra": {"auth_token": s[10]}, "tools": [login]}
    model = ChatReplay(cassette=file, model=Leaky(api_key=s[0], headers={"X-Api-Key": s[1]}))
    for way in (model.invoke, lambda question, **given: list(model.stream(question, **given))):
        way(question, **asked)
        with pytest.raises(ModelAuthenticationError):
            way("fail")
    written = file.read_text(encoding="utf-8")
    assert [secret for secret in s if secret in written] == []
    assert [secret for secret in s if secret[6:] in written] == []
    assert "user: bo" in written
    assert "My key is " in written
    played = ChatReplay(cassette=file)
    assert played.invoke(question, **asked).tool_calls[0]["args"]["user"] == "bo"
    with pytest.raises(ModelAuthenticationError, match="401 for"):
        played.invoke("fail")


def test_what_is_no_secret_stays(tmp_path: Path) -> None:
    """Words that only sound like secrets are recorded as they are: a musical key, tokens with log probabilities."""
    told = [{"token": "Hello", "logprob": -0.1}]
    call = ToolCall(name="play", args={"key": "C major", "max_tokens": 5}, id="c")
    script = ['{"key": "C major"} and the token economy', call, Finish(reason="stop", metadata={"logprobs": told})]
    for model in (scripted(script), None):
        answer = ChatReplay(cassette=tmp_path / "talk.yaml", model=model).invoke("Hi")
        assert answer.content == '{"key": "C major"} and the token economy'
        assert answer.tool_calls[0]["args"] == {"key": "C major", "max_tokens": 5}
        assert answer.response_metadata["logprobs"] == told


# --- the fixture ---

TEST = """
from langplug.models import ChatScripted

def make():
    (HERE / "asked").touch()
    return ChatScripted(replies=["Hello."])

from pathlib import Path
HERE = Path(__file__).parent

def test_one(cassette):
    assert cassette(make).invoke("Hi").content == "Hello."

class TestMore:
    def test_two(self, cassette):
        assert cassette(ChatScripted(replies=["x"])).invoke("Hi").content == "x"
        assert cassette(ChatScripted(replies=["y"])).invoke("Ho").content == "y"
"""


def test_the_fixture(tmp_path: Path) -> None:
    """Each test has a cassette beside its module; `--cassette-mode` says whether a model is made and asked."""
    (tmp_path / "test_it.py").write_text(TEST, encoding="utf-8")

    def run(*options: str) -> int:
        (tmp_path / "asked").unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", *options]
        return subprocess.run([*command, "test_it.py"], cwd=tmp_path, check=False, stdout=subprocess.DEVNULL).returncode

    assert run("--cassette-mode=none") == 1
    assert run() == 0
    assert (tmp_path / "asked").exists()
    found = sorted(one.relative_to(tmp_path).as_posix() for one in tmp_path.rglob("*.yaml"))
    assert found == ["cassettes/test_it/TestMore.test_two.yaml", "cassettes/test_it/test_one.yaml"]
    assert run("--cassette-mode=none") == 0
    assert not (tmp_path / "asked").exists()
    assert run("--cassette-mode=rewrite") == 0
    assert (tmp_path / "asked").exists()
