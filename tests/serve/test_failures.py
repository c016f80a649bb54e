"""What a client, and who serves the models, is told of what goes wrong."""

import asyncio
import gzip
import json
import logging
import re
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from langchain_core.exceptions import ModelConnectionError
from tests.serve.client import ask, send
from tests.serve.served_models import serving

from langplug import ChatModel, Request, chat_model
from langplug._model.backoff import Backoff
from langplug.models import ChatCommand, ChatEndpoint, ChatScripted
from langplug.serve import app
from langplug.serve.exchange import Request as Exchanged
from langplug.serve.gate import Gate


@chat_model
def failing(request: Request) -> str:
    """Raises what the prompt says."""
    if request.text == "a number":
        return str(int("password=hunter2"))
    if request.text == "JSON":
        return str(json.loads("<html>"))
    raise KeyError("password=hunter2")


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serving({"m": failing()}) as address:
        yield address


@pytest.mark.parametrize("asked", ["a number", "JSON", "anything"])
def test_words_of_an_author_are_no_clients_business(asked: str, base: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever an author's code raises is a 500 of which the class alone is told; the log has its words and the id."""
    with caplog.at_level(logging.WARNING, "langplug.serve"):
        status, headers, text = send(base, ask(messages=[{"role": "user", "content": asked}]))
    assert status == 500
    assert "hunter2" not in text
    assert "Expecting value" not in text
    assert headers["X-Request-Id"] in caplog.text
    assert "hunter2" in caplog.text or "Expecting value" in caplog.text


def test_words_of_langplug_are_told(base: str) -> None:
    """What langplug refuses, as a picture for a model that takes text, is a 400 in its own words."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    status, _, text = send(base, ask(messages=[{"role": "user", "content": [picture]}]))
    assert status == 400
    assert "image" in json.loads(text)["error"]["message"]


BODY = json.dumps(ask()).encode()


LARGE = json.dumps(ask(user="x" * 3_000_000)).encode()
COMPRESSED = {
    "by gzip": ("gzip", gzip.compress(BODY), 200),
    "by gzip, by its old name": ("x-gzip", gzip.compress(BODY), 200),
    "by deflate": ("deflate", zlib.compress(BODY), 200),
    "not": ("identity", BODY, 200),
    "much": ("gzip", gzip.compress(LARGE), 200),
    "too much": ("gzip", gzip.compress(b" " * 33 * 2**20), 413),
    "not, as it says": ("gzip", BODY, 400),
    "in part": ("gzip", gzip.compress(BODY)[:-9], 400),
    "by brotli": ("br", BODY, 415),
    "by zstd": ("zstd", BODY, 415),
    "twice": ("gzip, gzip", BODY, 415),
}


@pytest.mark.parametrize("how", COMPRESSED)
def test_a_body_may_be_compressed(how: str) -> None:
    """By gzip or deflate, within the limit; anything else is refused in the wire's own form, whatever the server."""
    encoding, body, expected = COMPRESSED[how]
    headers = {"content-type": "application/json", "content-encoding": encoding, "host": "localhost"}
    model = ChatScripted(replies=["ok"], when_exhausted="repeat")
    application = app({"m": model})

    async def pieces() -> AsyncIterator[bytes]:
        yield body

    reply = asyncio.run(application.exchange.handle(Exchanged("POST", "/v1/chat/completions", headers, pieces())))
    assert reply is not None
    with serving({"m": model}) as base:
        status, served, text = send(base, body, Content_Encoding=encoding, Content_Type="application/json")
    assert served["X-Request-Id"]
    assert (status, reply.status) == (expected, expected)
    if expected != 200:
        assert json.loads(text)["error"].keys() == {"message", "type", "param", "code"}
        assert json.loads(text) == json.loads(reply.body)


class EverythingEnds(BaseException):
    """Of an author's own, and no `Exception`."""


ENDS = {"exit": SystemExit(3), "cancelled": asyncio.CancelledError(), "own": EverythingEnds()}


@chat_model
async def ending(request: Request) -> AsyncIterator[str]:
    """Raises what the prompt says, after a word if it says so."""
    if request.text.startswith("late "):
        yield "word"
    if request.text:
        raise ENDS[request.text.removeprefix("late ")]


@chat_model
def ending_in_thread(request: Request) -> Iterator[str]:
    """The same in a thread."""
    if request.text.startswith("late "):
        yield "word"
    raise ENDS[request.text.removeprefix("late ")]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("asked", [*ENDS, *(f"late {name}" for name in ENDS)])
@pytest.mark.parametrize("model", [ending, ending_in_thread])
def test_what_ends_a_program_ends_one_call(
    model: Any, asked: str, caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    """A model that calls `sys.exit()`, or raises what no handler catches, has failed; the server goes on."""
    with serving({"m": model()}) as base, caplog.at_level(logging.WARNING, "langplug.serve"):
        status, headers, text = send(base, ask(messages=[{"role": "user", "content": asked}], stream=stream, n=1))
        assert send(base, path="/v1/models", method="GET")[0] == 200
    is_late = stream and asked.startswith("late ")
    assert status in ([200] if is_late else [500, 502])
    assert '"code":"model_error"' in text
    assert text.endswith("data: [DONE]\n\n") == is_late
    assert headers["X-Request-Id"] in caplog.text


def test_one_of_n_answers_may_end_a_program_as_well() -> None:
    """Of several answers to one request, too, a model that calls `sys.exit()` ends but the call."""
    with serving({"m": ending()}) as base:
        assert send(base, ask(messages=[{"role": "user", "content": "exit"}], n=2))[0] == 500
        assert send(base, path="/v1/models", method="GET")[0] == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/", "/v1/models"])
def test_head(path: str, base: str) -> None:
    """What is asked by GET may be asked by HEAD, as balancers and probes do."""
    status, headers, text = send(base, None, path, "HEAD")
    assert (status, text) == (200, "")
    assert int(headers["Content-Length"]) > 0


@pytest.mark.parametrize("origin", ["http://[::1", "null", "http://other:80", ""])
def test_odd_origins(origin: str) -> None:
    """An origin that is no address is a foreign one."""
    with pytest.raises(Exception, match="may not ask"):
        Gate().check({"host": "localhost", "origin": origin}, is_open=False)


def test_each_of_n_answers_has_its_turn() -> None:
    """`n` answers run no more at once than calls may."""
    running = most = 0

    @chat_model
    async def counted(request: Request) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(5):
            await asyncio.sleep(0)
        running -= 1
        return "x"

    with serving({"m": counted()}, max_concurrency=1) as address:
        status, _, text = send(address, ask(n=5))
    assert status == 200
    assert [choice["message"]["content"] for choice in json.loads(text)["choices"]] == ["x"] * 5
    assert most == 1


def test_a_stream_that_a_ping_opened_has_a_first_token() -> None:
    """The time to the first token is counted of slow streams, too."""
    go_on = threading.Event()

    @chat_model
    def slow(request: Request) -> Iterator[str]:
        go_on.wait(0.2)
        yield "late"

    with serving({"m": slow()}, ping_interval=0.02) as address:
        status, _, text = send(address, ask(stream=True))
        assert status == 200
        assert "\n\n:" in text  # a ping
        _, _, told = send(address, None, "/metrics", "GET")
    assert 'time_to_first_token_seconds_count{wire="chat",model="m"} 1' in told


# --- what is for who has made the model ---

PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}
PROGRAM = [sys.executable, "-c", "import sys; sys.exit('hunter2')"]


@chat_model
def plain(request: Request) -> str:
    """Says nothing but this."""
    return "x"


@chat_model
def cut(request: Request) -> dict[str, object]:
    """An answer that breaks off."""
    return {"choices": [{"index": 0, "delta": {"content": "hunter2"}}], "object": "chat.completion.chunk"}


@chat_model
def parsing(request: Request) -> str:
    """Reads another model's answer as an object."""
    return str(plain().with_structured_output({"title": "a", "type": "object", "properties": {}}).invoke("hunter2"))


class Hesitant(ChatModel):
    """Cannot be reached every other time, and calls nothing."""

    _tries: int = 0

    def __langplug_backoff__(self) -> Backoff:
        return replace(super().__langplug_backoff__(), first_s=0.001)

    def respond(self, request: Request, /) -> str:
        """Says nothing but this."""
        self._tries += 1
        if self._tries % 2:
            raise ModelConnectionError("busy")
        return "x"


@dataclass(frozen=True)
class Failure:
    """A call that fails, the status, words for the client and for the log alone, and whether an answer had begun."""

    model: ChatModel
    asked: dict[str, Any]
    status: int
    told: str
    logged: str
    begins: bool = False


TOOL_CHOICE = {"tools": TOOLS, "tool_choice": "required"}
TO_FORGET = "What it said is this error's `partial`."
FAILURES = {
    "a picture": Failure(plain(), {"messages": PICTURE}, 400, r"plain takes text, not .* \(.*\)\.", "set `accepts"),
    "no tools": Failure(
        plain(tool_calling="off"), {"tools": TOOLS}, 400, r"plain does not call tools\.", "Write `tool"
    ),
    "no adaptations": Failure(
        plain(adaptations="refuse"),
        {"response_format": SCHEMA},
        400,
        r"plain cannot do 'structured_output' by itself\. Leave it out\.",
        "set adaptations='note'",
    ),
    "a call": Failure(plain(), TOOL_CHOICE, 502, r".*You called no tool\. .*", TO_FORGET),
    "a call, tried twice": Failure(
        Hesitant(max_retries=1), TOOL_CHOICE, 502, r".*You called no tool\. .*tried 2 times.*", TO_FORGET
    ),
    "nobody there": Failure(
        ChatEndpoint(base_url="http://127.0.0.1:9/v1", model="m", max_retries=0),
        {},
        502,
        r"The model cannot be reached\.",
        "127.0.0.1:9/v1",
    ),
    "no time": Failure(plain(timeout=1e-9), {}, 504, r"The model took too long to answer\.", "Raise `timeout`"),
    "half an answer": Failure(
        cut(), {}, 502, r"The model's answer broke off .* may help\.", "this error's `partial`", begins=True
    ),
    "a program": Failure(
        ChatCommand(command=PROGRAM), {}, 500, r"The model failed with CommandFailedError\.", "hunter2"
    ),
    "no program": Failure(
        ChatCommand(command=["/no/such/program"]),
        {},
        500,
        r"The model failed with CommandNotFoundError\.",
        "/no/such/program",
    ),
    "no object": Failure(parsing(), {}, 502, r"The model did not answer in the form .* may help\.", "is not JSON"),
}


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("kind", FAILURES)
def test_advice_for_authors_is_logged_and_not_told(
    kind: str, caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    """A client is told what is wrong, and what a client can do; settings, addresses and stderr are in the log."""
    one = FAILURES[kind]
    with caplog.at_level(logging.WARNING, "langplug.serve"), serving({"m": one.model}) as address:
        status, headers, text = send(address, ask(stream=stream, **one.asked))
    told = [json.loads(data)["error"]["message"] for data in re.findall(r'\{"error":.*', text)]
    assert [re.fullmatch(one.told, message) is not None for message in told] == [True], text
    assert status == (200 if stream and one.begins else one.status)
    assert one.logged not in text
    assert headers["X-Request-Id"] in caplog.text
    assert one.logged in caplog.text
