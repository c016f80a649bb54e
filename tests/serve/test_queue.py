"""How many calls run at once and how many wait, how long each may take, and what is said meanwhile."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import pytest
from langchain_core.exceptions import ModelInvalidRequestError
from tests.serve.client import JSON, ask, chunks_of, send
from tests.serve.served_models import Endless, held, serving_exchange, until

from langplug import ChatModel, Request
from langplug.serve import app


@pytest.mark.parametrize("stream", [True, False])
def test_calls_wait_and_too_many_are_refused(*, stream: bool) -> None:
    """One runs, one waits, and the third is told when to try again; then each that was taken is answered."""
    model = held()
    exchange = app({"m": model}, max_concurrency=1, max_queue=1).exchange
    with serving_exchange(exchange) as base, ThreadPoolExecutor() as threads:
        first = threads.submit(send, base, ask(stream=stream))
        assert model.begun.acquire(timeout=30)
        second = threads.submit(send, base, ask(stream=stream))
        until(lambda: exchange.queue.waiting == 1)
        status, headers, text = send(base, ask(stream=stream))
        assert (status, json.loads(text)["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(headers["Retry-After"]) >= 1
        model.let_go.release(2)
        assert [first.result(30)[0], second.result(30)[0]] == [200, 200]
        assert (exchange.queue.running, exchange.queue.waiting) == (0, 0)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_leaves_the_queue(*, stream: bool) -> None:
    """The place of a client that waited and left is free at once, and its call never reaches the model."""
    model = held()
    exchange = app({"m": model}, max_concurrency=1, max_queue=1).exchange

    async def wait_and_leave(base: str) -> None:
        async with aiohttp.ClientSession() as session:
            asking = asyncio.ensure_future(
                session.post(f"{base}/v1/chat/completions", data=json.dumps(ask(stream=stream)), headers=JSON)
            )
            await asyncio.to_thread(until, lambda: exchange.queue.waiting == 1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    with serving_exchange(exchange) as base, ThreadPoolExecutor() as threads:
        first = threads.submit(send, base, ask(stream=stream))
        assert model.begun.acquire(timeout=30)
        asyncio.run(wait_and_leave(base))
        until(lambda: exchange.queue.waiting == 0)
        model.let_go.release()
        assert first.result(30)[0] == 200
        assert not model.begun.acquire(blocking=False)


@pytest.mark.parametrize("stream", [True, False])
def test_time_is_limited(*, stream: bool) -> None:
    """An answer that has not begun when its time is over is 504."""
    model = held()
    with serving_exchange(app({"m": model}, timeout=0.1).exchange) as base:
        status, _, text = send(base, ask(stream=stream))
        assert (status, json.loads(text)["error"]["code"]) == (504, "timeout")
        model.let_go.release()


def test_a_streams_time_is_limited() -> None:
    """An answer that goes on when its time is over ends with an error event."""
    with serving_exchange(app({"m": Endless()}, timeout=0.2).exchange) as base:
        status, _, text = send(base, ask(stream=True))
    *before, last = chunks_of(text)
    assert status == 200
    assert len(before) > 1
    assert last["error"]["code"] == "timeout"


class SilentThenBroken(ChatModel):
    """Thinks for long, and fails."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """Nothing for 50 ms, and then an error."""
        await asyncio.sleep(0.05)
        raise ModelInvalidRequestError("no idea")
        yield ""


def test_a_silent_stream_lives_and_a_late_error_is_an_event() -> None:
    """Pings come where nothing else does, after the head of the stream; what fails then can only be an event."""
    with serving_exchange(app({"m": SilentThenBroken()}, ping_interval=0.01).exchange) as base:
        status, _, text = send(base, ask(stream=True))
    opening, ping, *_ = text.split("\n\n")
    assert status == 200
    assert '"role":"assistant"' in opening
    assert ping == ": ping"
    assert "no idea" in text
    assert text.endswith("data: [DONE]\n\n")


def test_an_error_before_the_first_ping_has_its_status() -> None:
    """What fails before a ping is due is answered with its status."""
    with serving_exchange(app({"m": SilentThenBroken()}, ping_interval=30).exchange) as base:
        assert send(base, ask(stream=True))[0] == 400


@pytest.fixture
def unread() -> Iterator[socket.socket]:
    """A client that never reads, and has room for little."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        yield client


def ask_without_reading(client: socket.socket, base: str) -> None:
    """Send a call whose answer is streamed."""
    host, _, port = base.removeprefix("http://").partition(":")
    client.connect((host, int(port)))
    body = json.dumps(ask(stream=True)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Flood(ChatModel):
    """Says more than any buffer holds, and says when it is stopped."""

    stopped: Any = None

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """Long pieces, without an end."""
        try:
            while True:
                yield "x" * 100_000
                await asyncio.sleep(0)
        finally:
            self.stopped.set()


def test_a_client_that_takes_nothing_is_given_up(unread: socket.socket, caplog: pytest.LogCaptureFixture) -> None:
    """It is there, and reads nothing: its model is stopped, another has its turn, and the log says so."""
    model = Flood(stopped=threading.Event())
    application = app({"m": model, "other": held()}, max_concurrency=1, max_queue=0, write_timeout=0.2)
    with serving_exchange(application.exchange) as base:
        ask_without_reading(unread, base)
        assert model.stopped.wait(30)
        until(lambda: application.exchange.queue.running == 0)
        until(lambda: 'status="499"' in send(base, None, "/metrics", "GET")[2])
        came = b"".join(iter(lambda: unread.recv(1 << 20), b""))  # what was under way, and then the end
        assert not came.endswith(b"0\r\n\r\n")
    assert "has taken nothing for 0.2 s" in caplog.text


def test_any_server_gives_up_a_client_that_takes_nothing() -> None:
    """A message that an ASGI server cannot get rid of stops the model as well, and the call is over."""
    model = Flood(stopped=threading.Event())
    application = app({"m": model}, hosts=None, write_timeout=0.2)
    asked = iter([{"type": "http.request", "body": json.dumps(ask(stream=True)).encode()}])

    async def receive() -> Any:
        return next(asked, None) or await asyncio.Event().wait()

    async def take_the_head(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    headers = [(b"host", b"any"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    asyncio.run(asyncio.wait_for(application(scope, receive, take_the_head), 30))
    assert model.stopped.is_set()
    assert application.exchange.queue.running == 0


def test_a_client_that_reads_slowly_is_not_given_up(unread: socket.socket) -> None:
    """However long all of it takes, it is sent as long as some of it is taken."""
    model = Flood(stopped=threading.Event())
    with serving_exchange(app({"m": model}, write_timeout=0.5).exchange) as base:
        ask_without_reading(unread, base)
        until_s = time.monotonic() + 1.5
        while time.monotonic() < until_s:
            assert unread.recv(1 << 14)
            time.sleep(0.01)
        assert not model.stopped.is_set()
        unread.close()
        assert model.stopped.wait(30)


@pytest.mark.parametrize(
    "wrong", [{"max_concurrency": 0}, {"max_queue": -1}, {"timeout": 0}, {"ping_interval": 0}, {"write_timeout": 0}]
)
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    """A limit that lets nothing through is refused when the application is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        app({"m": held()}, **wrong)
