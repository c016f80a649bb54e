"""Group H of the contract: the rate limiter."""

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.rate_limiters import BaseRateLimiter
from tests.echo_models import MakeModel
from tests.paths import PATHS, beta_allowed

from langplug.models import ChatScripted


class CountingLimiter(BaseRateLimiter):
    """Lets everybody through, and counts."""

    def __init__(self) -> None:
        self.sync = 0
        self.asynchronous = 0

    @property
    def acquired(self) -> int:
        return self.sync + self.asynchronous

    def acquire(self, *, blocking: bool = True) -> bool:
        self.sync += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asynchronous += 1
        return True


@pytest.mark.parametrize("path", PATHS)
def test_h01_each_colour_waits_in_its_own_way(make_model: MakeModel, path: str) -> None:
    """Async paths acquire asynchronously, sync ones synchronously: no limiter blocks an event loop."""
    limiter = CountingLimiter()
    PATHS[path](make_model(rate_limiter=limiter), "one two")
    is_async = path in ("ainvoke", "astream", "av3")
    assert (0, 1) == ((limiter.sync, limiter.asynchronous) if is_async else (limiter.asynchronous, limiter.sync))


@pytest.mark.parametrize("path", PATHS)
def test_h01_without_streaming_it_is_once_too(make_model: MakeModel, path: str) -> None:
    """With streaming disabled, where `stream` goes through `invoke`, it is still once."""
    limiter = CountingLimiter()
    model = make_model(rate_limiter=limiter, disable_streaming=True)
    if path not in ("v3", "av3"):
        PATHS[path](model, "one two")
        assert 1 == limiter.acquired


def test_h01_events_are_counted_once(make_model: MakeModel) -> None:
    """Reading a call's events, version 2, acquires once."""
    limiter = CountingLimiter()

    async def read() -> None:
        async for _ in make_model(rate_limiter=limiter).astream_events("one", version="v2"):
            pass

    asyncio.run(read())
    assert 1 == limiter.acquired


def test_h01_each_prompt_of_a_batch_is_counted(make_model: MakeModel) -> None:
    """`batch`, `abatch` and `generate` acquire once for each prompt."""
    limiter = CountingLimiter()
    model = make_model(rate_limiter=limiter)
    model.batch(["a", "b", "c"])
    asyncio.run(model.abatch(["a", "b"]))
    assert 5 == limiter.acquired


async def test_copies_ask_the_same_limiter(make_model: MakeModel) -> None:
    """A copy, and a call with parameters of its own, count with the original."""
    limiter = CountingLimiter()
    model = make_model(rate_limiter=limiter)
    await model.ainvoke("x", temperature=0.1)
    await model.model_copy(update={"suffix": "!"}).ainvoke("x")
    async with aclosing(model.astream("x")) as stream:
        await anext(stream)
    assert 3 == limiter.acquired


async def test_a_call_cancelled_at_the_limiter_reaches_no_model() -> None:
    """Whoever is cancelled while waiting for permission has not asked the model."""

    class Closed(CountingLimiter):
        async def aacquire(self, *, blocking: bool = True) -> bool:
            await asyncio.sleep(60)
            return True

    model = ChatScripted(replies=["x"], rate_limiter=Closed())

    async def read() -> Any:
        return [chunk async for chunk in model.astream("x")]

    for asking in (model.ainvoke("x"), read()):
        task = asyncio.ensure_future(asking)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    with beta_allowed():
        async with await model.astream_events("x", version="v3"):
            await asyncio.sleep(0.01)
    assert [] == model.requests
