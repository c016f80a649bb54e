"""How many calls run at once and how many wait, how long each may take, and what is said meanwhile."""

import asyncio
import json
from collections.abc import AsyncIterator
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


@pytest.mark.parametrize("wrong", [{"max_concurrency": 0}, {"max_queue": -1}, {"timeout": 0}, {"ping_interval": 0}])
def test_limits_are_checked(wrong: dict[str, Any]) -> None:
    """A limit that lets nothing through is refused when the application is made."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        app({"m": held()}, **wrong)
