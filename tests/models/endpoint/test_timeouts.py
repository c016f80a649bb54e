"""How long is waited: each limit by itself, and what does not count."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelTimeoutError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.endpoint.relays import Relay
from tests.paths import STREAMED, Path

from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault, Reply


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port that accepts no connection and refuses none: its queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address[1]
        for filler in fillers:
            filler.close()


def test_connecting_may_take_so_long(make: MakeEndpoint, call: Path, deaf_port: int) -> None:
    """A server that does not take the connection is a `ModelTimeoutError` that names `connect_timeout`."""
    began = time.monotonic()
    with pytest.raises(ModelTimeoutError, match="`connect_timeout`") as caught:
        call(make(base_url=f"http://127.0.0.1:{deaf_port}/v1", connect_timeout=0.1), "x")
    assert time.monotonic() - began < 5
    assert caught.value.is_retryable


SILENCES: list[tuple[dict[str, Any], Fault, str]] = [
    ({"first_token_timeout": 0.1}, Fault(kind="stall_before_headers"), "first_token_timeout=0.1"),
    ({"first_token_timeout": 0.1}, Fault(kind="stall_after_headers"), "first_token_timeout=0.1"),
    ({"first_token_timeout": 0.1}, Fault.stall(), "first_token_timeout=0.1"),
    ({"token_timeout": 0.1}, Fault.stall(after=1), "token_timeout=0.1"),
    ({"token_timeout": 0.1, "first_token_timeout": None}, Fault.stall(after=1), "token_timeout=0.1"),
    ({"timeout": 0.1}, Fault.stall(after=1), "timeout=0.1"),
    ({"timeout": 0.1}, Fault(kind="stall_before_headers"), "timeout=0.1"),
]


@pytest.mark.parametrize("silence", SILENCES, ids=[named for _, _, named in SILENCES])
@pytest.mark.parametrize("path", STREAMED)
def test_silence_has_its_limit(backend: Backend, make: MakeEndpoint, path: str, silence: Any) -> None:
    """Each kind of silence ends as a `ModelTimeoutError` that names its setting; the server sees its client go."""
    settings, fault, named = silence
    backend.reply = "one two"
    backend.fault = fault
    with pytest.raises(ModelTimeoutError, match=rf"(?<!_){named}") as caught:
        STREAMED[path](make(**settings), "x")
    said = caught.value.partial  # type: ignore[attr-defined]
    assert ("one" if fault.after else None) == (said and said.text)
    assert backend.all_ended()
    assert "client_gone" == backend.last.outcome


@pytest.mark.parametrize("kind", ["stall_before_headers", "stall_after_headers", "stall"])
@pytest.mark.parametrize("setting", ["first_token_timeout", "timeout"])
def test_a_whole_answer_has_its_limit(
    backend: Backend, make: MakeEndpoint, call: Path, kind: str, setting: str
) -> None:
    """An answer that is not streamed has to be there in time as a whole."""
    backend.fault = Fault(kind=kind)
    with pytest.raises(ModelTimeoutError, match=setting):
        call(make(**{setting: 0.1}), "x")


def test_a_limit_may_be_given_for_a_call(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """The limits of one call count for that call."""
    backend.fault = Fault.stall()
    model = make()
    with pytest.raises(ModelTimeoutError):
        call(model, "x", first_token_timeout=0.05)
    assert 600 == model.first_token_timeout


def test_a_slow_answer_is_no_silence(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """An answer may take many times as long as may pass between two of its parts."""
    backend.reply = Reply(pieces=("word ",) * 12, pace=0.06)
    assert "word " * 12 == call(make(token_timeout=0.4), "x").text


def test_pings_are_no_tokens(backend: Backend, make: MakeEndpoint) -> None:
    """Comments and events without content, as gateways send them while they wait, do not count as parts."""
    for kind in ("comments", "pings"):
        backend.forget()
        backend.reply = Reply(pieces=("one ", "two"), pace=0.15)
        backend.fault = Fault(kind=kind)
        with pytest.raises(ModelTimeoutError, match=r"token_timeout=0\.1 "):
            list(make(token_timeout=0.1).stream("x"))


async def test_a_slow_reader_is_no_silence(backend: Backend, make: MakeEndpoint) -> None:
    """Time in which the reader does something else is not the server's silence."""
    backend.reply = Reply(pieces=("word ",) * 6, pace=0.01)
    model = make(token_timeout=0.15)
    text = ""
    async for chunk in model.astream("x"):
        text += chunk.text
        if len(text) == 10:
            await asyncio.sleep(0.5)
    assert "word " * 6 == text
    await model.aclose()


def test_a_slow_sync_reader_is_no_silence(backend: Backend, make: MakeEndpoint) -> None:
    """The same for who reads in a thread."""
    backend.reply = Reply(pieces=("word ",) * 2000)
    text = ""
    for number, chunk in enumerate(make(token_timeout=0.15).stream("x")):
        text += chunk.text
        if number in (1, 100, 1000):
            time.sleep(0.3)
    assert "word " * 2000 == text


async def test_a_busy_loop_is_no_silence(backend: Backend, make: MakeEndpoint) -> None:
    """A loop that was blocked for longer than the limit first reads what has come meanwhile."""
    backend.reply = Reply(pieces=("word ",) * 24, pace=0.05)
    model = make(token_timeout=0.25)
    reading = asyncio.ensure_future(collected(model))
    await asyncio.to_thread(backend.wait_for, lambda: backend.requests and backend.last.pieces_sent >= 2)
    await asyncio.sleep(0)
    time.sleep(0.6)  # noqa: ASYNC251 - that is what it is about
    assert "word " * 24 == await reading
    await model.aclose()


async def collected(model: ChatEndpoint) -> str:
    return "".join([chunk.text async for chunk in model.astream("x")])


@pytest.mark.parametrize("name", ["connect_timeout", "first_token_timeout", "token_timeout", "timeout"])
def test_no_limit_is_below_zero(make: MakeEndpoint, name: str) -> None:
    """A limit is more than 0 seconds, or None for none."""
    make(**{name: None})
    with pytest.raises(ValueError, match=name):
        make(**{name: 0})


class Hanging(Relay):
    """Answers with a whole stream whose body never ends."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        said = {"choices": [{"index": 0, "delta": {"content": "one"}, "finish_reason": "stop"}]}
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (f"data: {json.dumps(said)}\n\n".encode(), b"data: [DONE]\n\n"):
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await reader.read()


def test_an_end_that_does_not_end_is_not_waited_for(make: MakeEndpoint, call: Path) -> None:
    """Behind the wire's own end, a body that does not end costs no more than a moment, and the answer is whole."""
    with Hanging() as server:
        began = time.monotonic()
        assert "one" == call(make(base_url=f"http://127.0.0.1:{server.port}/v1", server="openai"), "x").text
        assert time.monotonic() - began < 3
