"""The logger `langplug`, and `LANGPLUG_LOG`."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from langplug import Request, chat_model
from langplug._log import log, set_up_log, strike_out
from langplug._log import wire as wire_log
from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend, Fault, Reply

KEY = "sk-MARKER-0123456789"


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, all of it but the wire's."""
    with caplog.at_level(logging.DEBUG, logger="langplug"):
        yield caplog


def lines(log: pytest.LogCaptureFixture, name: str = "langplug") -> list[tuple[int, str]]:
    return [(record.levelno, record.getMessage()) for record in log.records if record.name == name]


# --- the events ---


def test_a_key_renewed_is_told(backend: Backend, told: pytest.LogCaptureFixture) -> None:
    """A key that the server refused, and the new one, are one line, without either."""
    keys = iter([f"{KEY}-old", KEY])
    backend.key = KEY
    model = ChatEndpoint(model="m", base_url=backend.openai_url, auth=lambda: next(keys))
    model.invoke("x")
    ((level, line),) = lines(told)
    assert logging.INFO == level
    assert "refused the key: sent again with a new one" in line
    assert KEY not in line
    model.close()


def test_a_retry_is_told(backend: Backend, told: pytest.LogCaptureFixture) -> None:
    """A retry is a warning: which of how many, and why."""
    backend.fault = Fault.status(429, retry_after=0, times=1)
    model = ChatEndpoint(model="m", base_url=backend.openai_url)
    model.invoke("x")
    ((level, line),) = lines(told)
    assert logging.WARNING == level
    assert line.startswith("ChatEndpoint: retry 1 of 2 in 0.")
    assert "after ModelRateLimitError: HTTP 429" in line
    model.close()


def test_an_option_dropped_is_told(backend: Backend, told: pytest.LogCaptureFixture) -> None:
    """A server that does not know `stream_options` is named once."""
    backend.fault = Fault.refuse_field("stream_options")
    model = ChatEndpoint(model="m", base_url=backend.openai_url)
    for _ in range(2):
        list(model.stream("x"))
    ((level, line),) = lines(told)
    assert logging.INFO == level
    assert "stream_options" in line
    model.close()


def test_a_re_ask_is_told(told: pytest.LogCaptureFixture) -> None:
    """An answer that is asked for again is a line that says what was wrong with it."""

    @chat_model
    def slow_to_learn(request: Request) -> str:
        return "no" if len(request.messages) < 4 else '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'

    def add(a: int) -> int:
        """Add."""
        return a

    slow_to_learn().bind_tools([add], tool_choice="any").invoke("x")
    ((level, line),) = lines(told)
    assert logging.INFO == level
    assert line.startswith("slow_to_learn: asked again (2 of 3): You called no tool.")


@pytest.mark.filterwarnings("ignore::langplug.IgnoredParameterWarning")
def test_an_ignored_parameter_is_told_once(told: pytest.LogCaptureFixture) -> None:
    """A standard parameter without use is a warning for each class and name, once in a process."""

    @chat_model
    def deaf(request: Request) -> str:
        return "x"

    for _ in range(3):
        deaf(seed=1).invoke("x", top_k=2)
    assert [(logging.WARNING, "seed"), (logging.WARNING, "top_k")] == sorted(
        (level, name) for level, line in lines(told) for name in ("seed", "top_k") if f"{name!r}" in line
    )


def test_a_library_prints_nothing(backend: Backend) -> None:
    """Without `LANGPLUG_LOG` nothing is printed, not even warnings; the application's own logging decides."""
    assert "" == run(backend, "")


# --- LANGPLUG_LOG ---

CALLS = """
import logging, warnings
{setup}
from langplug.models import ChatEndpoint
keys = iter(["sk-MARKER-old", "sk-MARKER-new"])
model = ChatEndpoint(
    model="m", base_url="{url}", auth=lambda: next(keys), headers={{"X-Api-Key": "sk-MARKER-header"}},
    extra_body={{"metadata": {{"password": "sk-MARKER-body"}}}},
)
model.invoke("one two")
list(model.stream("one two"))
model.close()
"""


def run(backend: Backend, setting: str, setup: str = "", *, may_print: bool = False) -> str:
    """What is printed on stderr of a call that is retried and whose key is renewed."""
    backend.forget()
    backend.key = "sk-MARKER-new"
    backend.fault = Fault.status(503, retry_after=0, times=1, message="Not now, sk-MARKER-old.")
    code = CALLS.format(setup=setup, url=backend.openai_url)
    environment = {**os.environ, "LANGPLUG_LOG": setting}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert 0 == done.returncode, done.stderr
    assert may_print or "" == done.stdout
    return done.stderr + done.stdout


def test_the_wire_is_printed(backend: Backend) -> None:
    """`wire` prints each request and response, with all events, between the other lines, and no secret."""
    shown = run(backend, "wire")
    assert "MARKER" not in shown
    for part in (
        f"> POST {backend.openai_url}/chat/completions",
        "> Authorization: ***",
        "> X-Api-Key: ***",
        '"content":"one two"',
        '"password":"***"',
        "< HTTP 503",
        "Not now, ***.",
        "< HTTP 401",
        "< HTTP 200",
        '"content":"one"',
        "< [DONE]",
        "retry 1 of 2",
        "refused the key",
    ):
        assert part in shown, part


@pytest.fixture
def loggers() -> Iterator[None]:
    """What `set_up_log` changes is as before after the test."""
    before = (log.level, list(log.handlers), wire_log.level)
    yield
    log.setLevel(before[0])
    log.handlers[:] = before[1]
    wire_log.setLevel(before[2])


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("warning", ["W"]),
        (" Info", ["W", "I"]),
        ("debug", ["W", "I", "D"]),
        ("wire", ["W", "I", "D", "wire"]),
        ("off", []),
        ("0", []),
        ("wires", ["LANGPLUG_LOG=wires is unknown; it may be wire, debug, info, warning.", "W", "I"]),
    ],
)
def test_levels_are_printed(capsys: pytest.CaptureFixture[str], setting: str, expected: list[str]) -> None:
    """`warning`, `info` and `debug` print what their names say, `wire` all; another word says what there is."""
    set_up_log(setting)
    log.warning("W")
    log.info("I")
    log.debug("D")
    wire_log.debug("wire")
    printed = [line.partition(": ")[2] for line in capsys.readouterr().err.splitlines()]
    assert expected == [line.removesuffix(" Taken as info.") for line in printed]


def test_the_root_logger_does_not_open_the_wire(backend: Backend) -> None:
    """What people write to a model is not logged because an application logs at DEBUG."""
    shown = run(backend, "", "logging.basicConfig(level=logging.DEBUG)")
    assert "WARNING:langplug:ChatEndpoint: retry 1 of 2" in shown
    assert "refused the key" in shown
    assert "one two" not in shown


PRINTERS = {
    "basicConfig": "logging.basicConfig(level=logging.INFO)",
    "basicConfig, afterwards": "import langplug._log; logging.basicConfig(level=logging.INFO)",
    "stdout": "import sys; logging.basicConfig(stream=sys.stdout)",
    "a file": "logging.basicConfig(filename=logging.os.devnull)",
    "another level": "logging.basicConfig(); logging.getLogger().handlers[0].setLevel(logging.ERROR)",
    "nothing": "",
}


@pytest.mark.parametrize("printer", PRINTERS)
def test_each_line_is_printed_once(backend: Backend, printer: str) -> None:
    """`LANGPLUG_LOG` prints what the application does not print on its terminal itself, and nothing twice."""
    shown = run(backend, "info", PRINTERS[printer], may_print=printer == "stdout")
    assert 1 == shown.count("retry 1 of 2")
    assert 1 == shown.count("refused the key")


@pytest.fixture
def wire(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, logger="langplug.wire"):
        yield caplog


@pytest.mark.parametrize("model", ["endpoint", "ollama", "anthropic"])
def test_every_model_behind_http_shows_its_wire(backend: Backend, wire: pytest.LogCaptureFixture, model: str) -> None:
    """Whatever the framing, each event or line is one line of the log, whole or streamed, and the answer the same."""
    base: dict[str, Any] = {"model": "m", "api_key": KEY}
    chat = (
        ChatEndpoint(base_url=backend.openai_url, **base)
        if model == "endpoint"
        else ChatHTTP.from_file(model, base_url=backend.url, **base)
    )
    backend.reply = Reply(text="one two")
    assert "one two" == chat.invoke("x").text
    assert "one two" == "".join(chunk.text for chunk in chat.stream("x"))
    shown = [line for _, line in lines(wire, "langplug.wire")]
    assert 2 == sum("> POST" in line for line in shown)
    assert 3 <= sum("one" in line or "two" in line for line in shown)
    assert KEY not in "".join(shown)
    assert {"#"} == {line[0] for line in shown}
    chat.close()


def test_an_echoed_key_is_struck_out(backend: Backend, wire: pytest.LogCaptureFixture) -> None:
    """Also where a server repeats it, in an error or in the middle of an event, however the bytes are cut."""
    chat = ChatEndpoint(
        base_url=backend.openai_url, model="m", api_key=KEY, headers={"X-Plain": SecretStr(f"{KEY}-2")}, max_retries=0
    )
    backend.reply = Reply(text=f"your key is {KEY} and {KEY}-2")
    list(chat.stream("x"))
    backend.fault = Fault(kind="auth_echo")
    with pytest.raises(Exception, match="HTTP 401"):
        chat.invoke("x")
    shown = "".join(line for _, line in lines(wire, "langplug.wire"))
    assert "***" in shown
    assert KEY not in shown
    chat.close()


def test_no_connection_is_shown(wire: pytest.LogCaptureFixture) -> None:
    """A request without a response says why."""
    chat = ChatEndpoint(base_url="http://127.0.0.1:9/v1", model="m", max_retries=0)
    with pytest.raises(Exception, match="No answer"):
        chat.invoke("x")
    assert any("! ModelConnectionError: No answer from" in line for _, line in lines(wire, "langplug.wire"))
    chat.close()


def test_nothing_is_formatted_unless_it_is_wanted(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the wire's log off, nothing is cut, decoded or struck out for it."""

    def fail(*_: Any) -> str:
        raise AssertionError

    monkeypatch.setattr("langplug._http.wire_log.strike_out", fail)
    chat = ChatEndpoint(base_url=backend.openai_url, model="m")
    assert "x" == chat.invoke("x").text
    chat.close()


# --- what is struck out ---


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ('{"api_key": "abc", "text": "abc"}', '{"api_key": "***", "text": "abc"}'),
        ('{"a": {"password":"a\\"b"}}', '{"a": {"password":"***"}}'),
        ('{"max_tokens": 5, "token": "abc"}', '{"max_tokens": 5, "token": "***"}'),
        (
            "grant_type=client_credentials&client_secret=abc&scope=x",
            "grant_type=client_credentials&client_secret=***&scope=x",
        ),
        ("GET https://h/v1?key=abc&alt=sse", "GET https://h/v1?key=***&alt=sse"),
        ("a=b is no secret", "a=b is no secret"),
        ("the word KNOWN-SECRET", "the word ***"),
    ],
)
def test_what_is_struck_out(text: str, shown: str) -> None:
    """Known secrets wherever they stand, and the values of names that sound like one."""
    assert shown == strike_out(text, ("KNOWN-SECRET", ""))


def test_striking_out_is_linear() -> None:
    """A hostile body costs no time squared."""
    import time

    for unit in ('"', '"a":', '"api_key":"', "\\", "a=", '{"token":"' + "\\\\"):
        began = time.monotonic()
        strike_out(unit * (200_000 // len(unit)))
        assert time.monotonic() - began < 2, unit


def test_json_stays_json() -> None:
    """What is struck out of JSON leaves JSON."""
    value = {"api_key": 'a"\\b', "messages": [{"content": 'say "token": "x"'}]}
    assert "***" == json.loads(strike_out(json.dumps(value)))["api_key"]
