"""`concurrency`: a model that can be called only so often at once, and the queue before it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.exceptions import ModelTimeoutError
from tests.waiting import until

from langplug import ChatModel, Request, chat_model


class Counted:
    """Counts how many calls run at once, and lets each end when it may."""

    def __init__(self) -> None:
        self.most = self.now = 0
        self.order: list[str] = []
        self.lock = threading.Lock()
        self.entered = threading.Semaphore(0)
        self.opened = threading.Semaphore(0)

    def enter(self, request: Request) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.order.append(request.text)
        self.entered.release()

    def leave(self) -> None:
        with self.lock:
            self.now -= 1

    def wait(self) -> None:
        assert self.opened.acquire(timeout=30)


def shapes(counted: Counted) -> dict[str, Any]:
    def returns(request: Request) -> str:
        counted.enter(request)
        try:
            counted.wait()
            return request.text
        finally:
            counted.leave()

    def yields(request: Request) -> Iterator[str]:
        counted.enter(request)
        try:
            counted.wait()
            yield request.text
        finally:
            counted.leave()

    async def areturns(request: Request) -> str:
        counted.enter(request)
        try:
            await asyncio.to_thread(counted.wait)
            return request.text
        finally:
            counted.leave()

    async def ayields(request: Request) -> AsyncIterator[str]:
        counted.enter(request)
        try:
            await asyncio.to_thread(counted.wait)
            yield request.text
        finally:
            counted.leave()

    def hands_over(request: Request) -> Any:
        return areturns(request)

    async def hands_back(request: Request) -> Any:
        return yields(request)

    return {one.__name__: one for one in (returns, yields, areturns, ayields, hands_over, hands_back)}


SHAPES = list(shapes(Counted()))


def waiting(model: ChatModel) -> int:
    slots = model.__langplug_queue__()
    assert slots is not None
    return slots.waiting


@pytest.mark.parametrize("shape", SHAPES)
def test_no_more_calls_run_at_once_than_may(shape: str) -> None:
    """However the function is written, threads and event loops together never call it more often at once."""
    counted = Counted()
    model = chat_model(concurrency=2)(shapes(counted)[shape])()
    counted.opened.release(12)

    async def several() -> list[Any]:
        return [one.content for one in await model.abatch(["a", "b", "c", "d"])]

    with ThreadPoolExecutor(12) as pool:
        loops = [pool.submit(asyncio.run, several()) for _ in range(2)]
        threads = [pool.submit(model.invoke, "x") for _ in range(2)]
        streams = [pool.submit(lambda: "".join(chunk.text for chunk in model.stream("y"))) for _ in range(2)]
        assert [loop.result() for loop in loops] == [["a", "b", "c", "d"]] * 2
        assert [thread.result().content for thread in threads] == ["x", "x"]
        assert [stream.result() for stream in streams] == ["y", "y"]
    assert counted.most <= 2
    assert len(counted.order) == 12


def test_the_queue_is_fair() -> None:
    """Who has waited longest is next, whether it is a thread or a coroutine."""
    counted = Counted()
    model = chat_model(concurrency=1)(shapes(counted)["returns"])()
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(model.invoke, "0")]
        assert counted.entered.acquire(timeout=30)
        for number in range(1, 6):
            ask = model.invoke if number % 2 else lambda text: asyncio.run(model.ainvoke(text))
            calls.append(pool.submit(ask, f"{number}"))
            until(lambda: waiting(model) == len(calls) - 1)
        counted.opened.release(6)
        for call in calls:
            call.result()
    assert counted.order == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("shape", SHAPES)
def test_who_is_cancelled_while_waiting_is_never_called(shape: str) -> None:
    """A call that is cancelled in the queue leaves it, and the next one has its turn."""
    counted = Counted()
    model = chat_model(concurrency=1)(shapes(counted)[shape])()

    async def calls() -> None:
        first = asyncio.create_task(model.ainvoke("first"))
        await asyncio.to_thread(counted.entered.acquire)
        left, stays = asyncio.create_task(model.ainvoke("left")), asyncio.create_task(model.ainvoke("stays"))
        await asyncio.to_thread(until, lambda: waiting(model) == 2)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        counted.opened.release(2)
        assert (await first).content == "first"
        assert (await stays).content == "stays"

    asyncio.run(calls())
    assert counted.order == ["first", "stays"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_function_that_still_runs_keeps_its_turn(shape: str) -> None:
    """A thread cannot be stopped: when its caller leaves, the next call waits until the function has ended."""
    counted = Counted()
    model = chat_model(concurrency=1)(shapes(counted)[shape])()

    async def calls() -> None:
        left = asyncio.create_task(model.ainvoke("left"))
        await asyncio.to_thread(counted.entered.acquire)
        left.cancel()
        await asyncio.wait([left])
        after = asyncio.create_task(model.ainvoke("after"))
        counted.opened.release(2)
        assert (await after).content == "after"

    asyncio.run(calls())
    assert counted.most == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_waiting_counts_as_time(shape: str) -> None:
    """`timeout` is of the whole answer: who waits for longer than that fails, and leaves the queue."""
    counted = Counted()
    model = chat_model(concurrency=1)(shapes(counted)[shape])()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(model.invoke, "first")
        assert counted.entered.acquire(timeout=30)
        with pytest.raises(ModelTimeoutError):
            model.invoke("late", timeout=0.01)
        with pytest.raises(ModelTimeoutError):
            asyncio.run(model.ainvoke("late", timeout=0.01))
        assert waiting(model) == 0
        counted.opened.release(2)
        first.result()
        assert model.invoke("next").content == "next"
    assert counted.order == ["first", "next"]


def test_an_error_gives_the_turn_back() -> None:
    """A call that fails makes room for the next one."""

    @chat_model(concurrency=1)
    def failing(request: Request) -> str:
        raise ValueError(request.text)

    model = failing()
    for _ in range(3):
        with pytest.raises(ValueError, match="x"):
            model.invoke("x")
        with pytest.raises(ValueError, match="x"):
            asyncio.run(model.ainvoke("x"))


def test_a_stream_that_is_left_gives_the_turn_back() -> None:
    """Leaving a stream half-way makes room for the next call."""

    @chat_model(concurrency=1)
    def counting(request: Request) -> Iterator[str]:
        for number in range(1000):
            yield f"{number} "

    model = counting()
    for _ in range(3):
        stream = model.stream("x")
        next(stream)
        stream.close()

    async def leave() -> None:
        for _ in range(3):
            stream = model.astream("x")
            await anext(stream)
            await stream.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert str(model.invoke("x").content).startswith("0 1")


def test_it_is_set_in_the_class_the_decorator_or_for_one_model() -> None:
    """`concurrency` is a setting like others, and changes neither the answer nor the cache key."""

    class Serial(ChatModel):
        concurrency = 1

        def respond(self, request: Request) -> str:
            return "ok"

    assert Serial().concurrency == 1
    assert Serial(concurrency=4).concurrency == 4
    assert chat_model(concurrency=3)(lambda request: "ok")().concurrency == 3
    assert Serial().cache_key() == Serial(concurrency=4).cache_key()
    with pytest.raises(ValueError, match="concurrency"):
        Serial(concurrency=0)


def test_the_time_in_the_queue_is_told() -> None:
    """`queue_time` is in the metadata of models that have a queue, and of no other."""
    counted = Counted()
    function = shapes(counted)["returns"]
    model, free = chat_model(concurrency=1)(function)(), chat_model(function)()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(model.invoke, "first")
        assert counted.entered.acquire(timeout=30)
        second = pool.submit(model.invoke, "second")
        until(lambda: waiting(model) == 1)
        counted.opened.release(3)
        assert first.result().response_metadata["queue_time"] == 0
        assert second.result().response_metadata["queue_time"] > 0
    assert "queue_time" not in free.invoke("x").response_metadata
