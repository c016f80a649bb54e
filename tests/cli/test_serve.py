"""`langplug serve` as a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

import langplug.cli

MODEL = """
import time
from langplug import chat_model

@chat_model
def slow(request):
    for n in range(20):
        yield f"{n} "
        time.sleep(0.02)
"""


@contextmanager
def served(*arguments: str, is_loaded: bool = True, **environment: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The process, once it has its models, or accepts connections, and its port."""
    command = [sys.executable, "-m", "langplug", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert line.startswith("loading at "), line
            if is_loaded:
                line = process.stderr.readline()
            assert " at http://127.0.0.1:" in line, line
            port = int(line.rpartition(":")[2].removesuffix("/v1\n"))
            if is_loaded:
                assert process.stderr.readline() == f"playground at http://127.0.0.1:{port}/\n"
            yield process, port
        finally:
            process.kill()


def test_a_file_is_served_and_sigterm_drains(tmp_path: Path) -> None:
    """A function in a file answers under its alias with the key of a file; SIGTERM lets a stream end, and exits 0."""
    (tmp_path / "mine.py").write_text(MODEL)
    (tmp_path / "key").write_text("abc\n")
    with served("--alias", f"m={tmp_path}/mine.py:slow", "--api-key-file", f"{tmp_path}/key") as (process, port):
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        response = client.getresponse()
        assert response.status == 401
        response.read()
        headers = {"Content-Type": "application/json", "Authorization": "Bearer abc"}
        client.request("POST", "/v1/chat/completions", body, headers)
        response = client.getresponse()
        assert b'"role":"assistant"' in response.readline()
        process.send_signal(signal.SIGTERM)
        text = response.read().decode()
        client.close()
        assert '"content":"19 "' in text
        assert text.endswith("data: [DONE]\n\n")
        assert process.wait(60) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """Whoever does not want to wait for the answers sends the signal again; nothing is said about it."""
    (tmp_path / "mine.py").write_text(MODEL.replace("range(20)", "range(10_000)"))
    with served("--alias", f"m={tmp_path}/mine.py:slow") as (process, port):
        body = json.dumps({"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        assert b'"role":"assistant"' in client.getresponse().readline()
        process.send_signal(number)
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except (ConnectionRefusedError, ConnectionResetError):  # the first has come
                break
        process.send_signal(number)
        assert process.wait(60) == -number
        client.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


FROZEN = """
import gc
from langplug import chat_model

@chat_model
def frozen(request):
    return str(gc.get_freeze_count() > len(gc.get_objects()))
"""


def test_the_garbage_collector_passes_over_what_was_loaded(tmp_path: Path) -> None:
    """The collector looks through what requests make, and no longer through what was there before the first."""
    (tmp_path / "mine.py").write_text(FROZEN)
    with served("--alias", f"m={tmp_path}/mine.py:frozen") as (_, port):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
        answer = json.loads(client.getresponse().read())
        client.close()
    assert answer["choices"][0]["message"]["content"] == "True"


LARGE = """
import sys
from langchain.agents import create_agent
from langplug import ToolCall, chat_model

@chat_model
def large(request):
    return "x" * 30_000_000

@chat_model(tool_calling="native")
def caller(request):
    return ToolCall(name="leave", args={})

def leave():
    "Leave."
    sys.exit(3)

async def leave_at_once():
    "Leave."
    sys.exit(3)

leave_at_once.__name__ = "leave"
agent, agent_of_coroutine = (create_agent(caller(), tools=[tool]) for tool in (leave, leave_at_once))
"""


def test_a_tool_that_ends_the_program_ends_one_call(tmp_path: Path) -> None:
    """`sys.exit()` in a task that nobody here has begun fails the call, and the server goes on."""
    (tmp_path / "mine.py").write_text(LARGE)
    models = [f"--alias={name}={tmp_path}/mine.py:{name}" for name in ("agent", "agent_of_coroutine")]
    with served(*models) as (process, port):
        for name in ("agent", "agent_of_coroutine") * 2:
            body = json.dumps({"model": name, "messages": [{"role": "user", "content": "hi"}]})
            assert asked(port, "/v1/chat/completions", body).status == 500
        assert asked(port, "/health/ready").status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives up a connection after some time")
def test_nobody_is_waited_for_who_takes_nothing(tmp_path: Path) -> None:
    """An answer in one piece that its client does not take holds no server that is to end."""
    (tmp_path / "mine.py").write_text(LARGE)
    body = json.dumps({"model": "large", "messages": [{"role": "user", "content": "hi"}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
    with (
        served("--write-timeout", "1", "--alias", f"large={tmp_path}/mine.py:large") as (process, port),
        socket.create_connection(("127.0.0.1", port), timeout=60) as client,
    ):
        client.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + body)
        assert client.recv(5) == b"HTTP/"
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize("seconds", ["inf", "1e9"])
def test_a_limit_may_be_endless(tmp_path: Path, seconds: str) -> None:
    """Whoever wants no limit says so by a number that none is above."""
    (tmp_path / "mine.py").write_text(MODEL)
    limits = [f"--{name}={seconds}" for name in ("write-timeout", "ping-interval", "timeout")]
    with served(*limits, "--alias", f"m={tmp_path}/mine.py:slow") as (_, port):
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
        assert asked(port, "/v1/chat/completions", body).status == 200


def asked(port: int, path: str, body: str | None = None) -> HTTPResponse:
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("GET" if body is None else "POST", path, body, {"Content-Type": "application/json"})
    response = client.getresponse()
    response.read()
    client.close()
    return response


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a model that waits needs a named pipe")
def test_the_port_answers_while_models_load(tmp_path: Path) -> None:
    """While a model is loaded, it lives and is not ready, and what is asked is told to come again; then it answers."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'pipe')!r}).read()\n{MODEL}")
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    with served("--alias", f"m={tmp_path}/mine.py:slow", is_loaded=False) as (process, port):
        assert asked(port, "/health/live").status == 200
        for refused in (asked(port, "/health/ready"), asked(port, "/v1/chat/completions", body)):
            assert (refused.status, int(refused.headers["Retry-After"]) > 0) == (503, True)
        (tmp_path / "pipe").write_text("")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("m at ")
        assert asked(port, "/health/ready").status == 200
        assert asked(port, "/v1/chat/completions", body).status == 200


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a model that waits needs a named pipe")
def test_a_server_that_loads_can_be_stopped(tmp_path: Path) -> None:
    """SIGTERM ends the command while a model is loaded, too."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'pipe')!r}).read()\n{MODEL}")
    with served("--alias", f"m={tmp_path}/mine.py:slow", is_loaded=False) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0", "langplug.models:ChatScripted"], "--without-key"),
        (["--alias", "m", "langplug.models:ChatScripted"], "NAME=REF"),
        (["langplug.models:ChatScripted", "langplug.models:ChatScripted"], "two models are called"),
        (["--alias", "m=nobody:has", "--alias", "m=heard:of"], "two models are called 'm'"),
        (["nobody:has", "nobody:has"], "two models are called 'nobody:has'"),
        (["no_such_module:model"], "no_such_module"),
        (["--host", "192.0.2.1", "--without-key", "langplug.models:ChatScripted"], "address or a name of this machine"),
        (["--port", "http", "langplug.models:ChatScripted"], "expected a whole number, not 'http'"),
        (["--timeout", "soon", "langplug.models:ChatScripted"], "expected a number, not 'soon'"),
        (["--max-concurrency", "0", "langplug.models:ChatScripted"], "expected 1 or more"),
        (["--api-key-file", "/nowhere", "langplug.models:ChatScripted"], "cannot be read"),
        (["--allow-origin", "localhost:3000", "langplug.models:ChatScripted"], "such as http://localhost:3000"),
        (["--allow-host", "models.example:80", "langplug.models:ChatScripted"], "such as models.example"),
        (["--workers", "0", "langplug.models:ChatScripted"], "1 or more"),
        (["--with", "other:x=1", "langplug.models:ChatScripted"], "--with other:"),
        (["--with", "replies", "langplug.models:ChatScripted"], "NAME=VALUE"),
        (["--with", "api_key=abc", "langplug.models:ChatScripted"], "env:VARIABLE"),
        (["--with", "no_such=1", "langplug.models:ChatScripted"], "no_such"),
    ],
)
def test_wrong_use_is_said(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    """Without a model, without a key for other machines, or with half an alias: exit code 2, and what to do."""
    assert langplug.cli.main(["serve", "--port", "0", *arguments]) == 2
    assert said in capsys.readouterr().err


AGENT = """
from langchain.agents import create_agent
from langplug.models import ChatScripted

def helper():
    return create_agent(ChatScripted(replies=["It is 3."], when_exhausted="repeat"), tools=[])

talker = ChatScripted(replies=["Hello."], when_exhausted="repeat")
chain = talker | (lambda said: said)
"""


def test_what_nobody_named_is_called_as_it_is_referred_to(tmp_path: Path) -> None:
    """An agent, a chain, or a model without a name of its own is served under its attribute's name, and answers."""
    (tmp_path / "mine.py").write_text(AGENT)
    with served(*(f"{tmp_path}/mine.py:{name}" for name in ("helper", "talker", "chain"))) as (_, port):
        for model, said in (("helper", "It is 3."), ("talker", "Hello."), ("chain", "Hello.")):
            body = json.dumps({"model": model, "messages": [{"role": "user", "content": "1 + 2?"}]})
            client = HTTPConnection("127.0.0.1", port, timeout=60)
            client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
            answer = json.loads(client.getresponse().read())
            client.close()
            assert answer["choices"][0]["message"]["content"] == said


TUNABLE = """
from langplug import chat_model

@chat_model
def tuned(request, *, volume: int = 1, word: str = ""):
    return f"{volume} {word}"

def of_alias(volume=0):
    return tuned(volume=volume)
"""


def text_of(port: int, model: str) -> str:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]})
    client = HTTPConnection("127.0.0.1", port, timeout=60)
    client.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    answer = json.loads(client.getresponse().read())
    client.close()
    return str(answer["choices"][0]["message"]["content"]).strip()


def test_constructor_arguments_are_for_all_or_for_one(tmp_path: Path) -> None:
    """`--with` gives each model an argument, or one of them by its alias; its value may come from the environment."""
    (tmp_path / "mine.py").write_text(TUNABLE)
    models = [f"--alias={name}={tmp_path}/mine.py:tuned" for name in ("a", "b")]
    settings = ["--with", "volume=2", "--with", "b:volume=3", "--with", "b:word=env:MINE"]
    with served(*models, *settings, MINE="said") as (_, port):
        assert [text_of(port, "a"), text_of(port, "b")] == ["2", "3 said"]


def test_the_environment_says_what_options_do_not(tmp_path: Path) -> None:
    """Each option has a variable: several values as a shell takes them, 1 or 0 for those without a value."""
    (tmp_path / "mine.py").write_text(TUNABLE)
    said = {"ALIAS": f"'a={tmp_path}/mine.py:tuned' b={tmp_path}/mine.py:tuned", "WITH": "a:volume=4", "STRICT": "1"}
    with served(**{f"LANGPLUG_SERVE_{name}": value for name, value in said.items()}) as (_, port):
        assert [text_of(port, "a"), text_of(port, "b")] == ["4", "1"]
        body = json.dumps({"model": "a", "messages": [{"role": "user", "content": "hi"}], "seed": 1})
        assert asked(port, "/v1/chat/completions", body).status == 400
    with served("--alias", f"c={tmp_path}/mine.py:tuned", LANGPLUG_SERVE_ALIAS="a=nowhere:x") as (_, port):
        assert text_of(port, "c") == "1"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("STRICT", "maybe", "expected 1 or 0"), ("ALIAS", "'half", "no list of words"), ("WORKERS", "0", "1 or more")],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    """What the environment says is read as carefully as what is given."""
    monkeypatch.setenv(f"LANGPLUG_SERVE_{name}", value)
    assert langplug.cli.main(["serve", "--port", "0", "langplug.models:ChatScripted"]) == 2
    assert said in capsys.readouterr().err


def test_names_and_origins_are_allowed(tmp_path: Path) -> None:
    """`--allow-host '*'` answers under any name, and `--allow-origin` lets the pages of an origin ask."""
    (tmp_path / "mine.py").write_text(MODEL)
    allowed = ("--allow-host", "*", "--allow-origin", "http://localhost:3000")
    with served("--alias", f"m={tmp_path}/mine.py:slow", *allowed) as (_, port):
        client = HTTPConnection("127.0.0.1", port, timeout=60)
        client.request("GET", "/v1/models", headers={"Host": "10.1.2.3:8000", "Origin": "http://localhost:3000"})
        response = client.getresponse()
        response.read()
        client.close()
        assert (response.status, response.headers["Access-Control-Allow-Origin"]) == (200, "http://localhost:3000")


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that another program has is said to be taken, and how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert langplug.cli.main(["serve", "--port", port, "langplug.models:ChatScripted"]) == 2
    said = capsys.readouterr().err
    assert said.count(port) == 1
    assert "choose another port with --port" in said


def test_a_number_of_the_environment_that_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a Kubernetes Service that is called langplug-serve: the variable is named, and an option overrides it."""
    monkeypatch.setenv("LANGPLUG_SERVE_PORT", "tcp://10.0.0.1:8000")
    assert langplug.cli.main(["serve", "langplug.models:ChatScripted"]) == 2
    assert "'tcp://10.0.0.1:8000' in LANGPLUG_SERVE_PORT" in capsys.readouterr().err
    assert langplug.cli.main(["serve", "--port", "0", "no_such_module:model"]) == 2
    assert "no_such_module" in capsys.readouterr().err


def test_without_a_reference_the_embedded_model_is_served() -> None:
    """`langplug serve` alone serves SmolLM2, as `langplug chat` alone talks to it."""
    with served() as (_, port):
        body = {"model": "smollm2", "max_tokens": 3, "messages": [{"role": "user", "content": "Hi"}]}
        assert asked(port, "/v1/models/smollm2").status == 200
        assert asked(port, "/v1/chat/completions", json.dumps(body)).status == 200


def test_a_misspelt_variable_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A variable that nearly is an option's is said; those that Kubernetes sets for a service of that name are not."""
    monkeypatch.setenv("LANGPLUG_SERVE_WORKRES", "2")
    for name in ("SERVICE_HOST", "SERVICE_PORT", "PORT_8000_TCP", "PORT_8000_TCP_ADDR", "PORT_8000_TCP_PROTO"):
        monkeypatch.setenv(f"LANGPLUG_SERVE_{name}", "x")
    assert langplug.cli.main(["serve", "no-such-model", "--port", "-1"]) == 2
    first, *others = capsys.readouterr().err.splitlines()
    assert "LANGPLUG_SERVE_WORKRES" in first
    assert "Did you mean LANGPLUG_SERVE_WORKERS?" in first
    assert len(others) == 1
