"""Whoever stops waiting for an answer has the author's function stopped, at once and every time."""

import asyncio
import gc
import random
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from statistics import median
from typing import Any

import pytest
from langchain_core.exceptions import ModelTimeoutError
from tests.bridge.endless_models import SHAPES, STREAMING, EndlessAsyncGenerator, EndlessGenerator, EndlessModel, Stalls
from tests.paths import beta_allowed

from langplug import ChatModel, Request, chat_model
from langplug._request import Cancellation

TIMES = 200
LONGEST_S = 0.001
"""Cancels come at a random moment within this time."""

WITHIN_S = 0.05

Leave = Callable[[EndlessModel, float], Awaitable[float]]
"""Asks the model and stops waiting after some seconds; returns when that was."""


async def cancelled(answering: Awaitable[Any], after: float) -> float:
    task = asyncio.ensure_future(answering)
    await asyncio.sleep(after)
    left = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return left


async def read_all(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass


async def read_for(stream: AsyncIterator[Any], seconds: float) -> None:
    """Read at least one thing."""
    end = time.monotonic() + seconds
    async for _ in stream:
        if time.monotonic() >= end:
            break


# --- the ways to leave, for async callers ---


async def cancel_ainvoke(model: EndlessModel, after: float) -> float:
    return await cancelled(model.ainvoke("x"), after)


async def cancel_abatch(model: EndlessModel, after: float) -> float:
    return await cancelled(model.abatch(["x", "y"]), after)


async def cancel_astream(model: EndlessModel, after: float) -> float:
    return await cancelled(read_all(model.astream("x")), after)


async def time_out(model: EndlessModel, after: float) -> float:
    with suppress(TimeoutError):
        await asyncio.wait_for(model.ainvoke("x"), after)
    return time.monotonic()


async def close_v2(model: EndlessModel, after: float) -> float:
    events: Any = model.astream_events("x", version="v2")
    async with aclosing(events):
        await anext(events)
        await asyncio.sleep(after)
        return time.monotonic()


async def close_v3(model: EndlessModel, after: float) -> float:
    async with await model.astream_events("x", version="v3") as stream:
        reading = asyncio.ensure_future(read_all(stream.text))
        await asyncio.sleep(after)
        left = time.monotonic()
    with suppress(asyncio.CancelledError):
        await reading
    return left


EVERY_SHAPE: dict[str, Leave] = {
    "ainvoke cancelled": cancel_ainvoke,
    "abatch cancelled": cancel_abatch,
    "astream cancelled": cancel_astream,
    "ainvoke timed out": time_out,
    "v2 events closed": close_v2,
    "v3 events closed": close_v3,
}


async def break_and_aclose(model: EndlessModel, after: float) -> float:
    async with aclosing(model.astream("x")) as stream:  # type: ignore[type-var]
        await read_for(stream, after)
        return time.monotonic()


async def drop(model: EndlessModel, after: float) -> float:
    stream = model.astream("x")
    await read_for(stream, after)
    left = time.monotonic()
    del stream
    return left


async def raise_while_reading(model: EndlessModel, after: float) -> float:
    end = time.monotonic() + after
    try:
        async for _ in model.astream("x"):
            if time.monotonic() >= end:
                raise KeyError("of the consumer")  # noqa: TRY301
    except KeyError:
        pass
    return time.monotonic()


async def cancel_the_reader(model: EndlessModel, after: float) -> float:
    """It is cancelled in its own code, not while it waits for the model."""

    async def read() -> None:
        async for _ in model.astream("x"):
            await asyncio.sleep(60)

    return await cancelled(read(), after)


STREAMS: dict[str, Leave] = {
    "astream left and closed": break_and_aclose,
    "astream dropped": drop,
    "exception in the consumer": raise_while_reading,
    "consumer cancelled": cancel_the_reader,
}


async def lateness(model: EndlessModel, leave: Leave, moments: random.Random) -> float:
    """Seconds from when nobody waits any more to when the author's `finally` has run."""
    left = await leave(model, moments.uniform(0, LONGEST_S))
    while model.record.began != model.record.closed and time.monotonic() < left + 20:  # noqa: ASYNC110 - a thread may close it
        await asyncio.sleep(0.0005)
    assert model.record.began == model.record.closed
    return model.record.closed_at - left


async def usual_lateness(model: EndlessModel, leave: Leave) -> float:
    """The median: on a busy machine any single thread may have to wait for its turn, most need not."""
    moments = random.Random(17)
    with beta_allowed():
        return median([await lateness(model, leave, moments) for _ in range(TIMES)])


@pytest.mark.parametrize("way", EVERY_SHAPE)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_nobody_waits_for_is_stopped(shape: str, way: str) -> None:
    """Of 200 calls left at random moments, every one ends its author's function, usually within 50 ms."""
    model = SHAPES[shape]()
    with Stalls() as stalls:
        usual = asyncio.run(usual_lateness(model, EVERY_SHAPE[way]))
    assert usual < WITHIN_S + stalls.worst
    assert model.record.began > 0
    assert model.record.all_closed()


@pytest.mark.parametrize("way", STREAMS)
@pytest.mark.parametrize("shape", STREAMING)
def test_a_stream_that_is_left_is_closed(shape: str, way: str) -> None:
    """Of 200 async streams left at random moments, every one closes its author's generator, usually within 50 ms."""
    model = SHAPES[shape]()
    with Stalls() as stalls:
        usual = asyncio.run(usual_lateness(model, STREAMS[way]))
    assert usual < WITHIN_S + stalls.worst
    assert model.record.began > TIMES / 2
    assert model.record.all_closed()


# --- the ways to leave, for sync callers ---


def sync_read_for(stream: Iterator[Any], seconds: float) -> None:
    end = time.monotonic() + seconds
    for _ in stream:
        if time.monotonic() >= end:
            break


def sync_close(model: EndlessModel, after: float) -> float:
    stream = model.stream("x")
    sync_read_for(stream, after)
    left = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    return left


def sync_break(model: EndlessModel, after: float) -> float:
    sync_read_for(model.stream("x"), after)
    return time.monotonic()


def sync_collect(model: EndlessModel, after: float) -> float:
    cycle: list[Any] = [model.stream("x")]
    cycle.append(cycle)
    sync_read_for(cycle[0], after)
    del cycle
    left = time.monotonic()
    gc.collect()
    return left


def sync_raise(model: EndlessModel, after: float) -> float:
    end = time.monotonic() + after
    try:
        for _ in model.stream("x"):
            if time.monotonic() >= end:
                raise KeyError("of the consumer")  # noqa: TRY301
    except KeyError:
        pass
    return time.monotonic()


SYNC: dict[str, Callable[[EndlessModel, float], float]] = {
    "closed": sync_close,
    "left": sync_break,
    "garbage-collected": sync_collect,
    "exception in the consumer": sync_raise,
}


@pytest.fixture
def little_to_collect() -> Iterator[None]:
    """A garbage collection that takes no notice of what was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("little_to_collect")
@pytest.mark.parametrize("timeout", [None, 60], ids=["", "with a timeout"])
@pytest.mark.parametrize("way", SYNC)
@pytest.mark.parametrize("shape", STREAMING)
def test_a_sync_stream_that_is_left_is_closed(shape: str, way: str, timeout: float | None) -> None:
    """Of 200 sync streams left at random moments, every one closes its author's generator, usually within 50 ms."""
    model = SHAPES[shape](timeout=timeout)
    moments = random.Random(17)
    late: list[float] = []
    with Stalls() as stalls:
        for _ in range(TIMES):
            left = SYNC[way](model, moments.uniform(0, LONGEST_S))
            assert model.record.all_closed()
            late.append(model.record.closed_at - left)
    assert median(late) < WITHIN_S + stalls.worst
    assert TIMES == model.record.began


# --- the stop string ---


def stopped_invoke(model: EndlessModel) -> str:
    return model.invoke("x", stop=["word word"]).text


def stopped_ainvoke(model: EndlessModel) -> str:
    return asyncio.run(model.ainvoke("x", stop=["word word"])).text


def stopped_stream(model: EndlessModel) -> str:
    return "".join(chunk.text for chunk in model.stream("x", stop=["word word"]))


def stopped_astream(model: EndlessModel) -> str:
    async def read() -> str:
        return "".join([chunk.text async for chunk in model.astream("x", stop=["word word"])])

    return asyncio.run(read())


@pytest.mark.parametrize("path", [stopped_invoke, stopped_ainvoke, stopped_stream, stopped_astream])
@pytest.mark.parametrize("shape", STREAMING)
def test_a_stop_string_closes_the_source(shape: str, path: Callable[[EndlessModel], str]) -> None:
    """When a stop string is met, on any path, the author's generator is closed: 200 endless answers all end."""
    model = SHAPES[shape]()
    for _ in range(TIMES if path in (stopped_invoke, stopped_stream) else TIMES // 4):
        assert "word word" == path(model)
    assert model.record.all_closed()


# --- what the author sees ---


class ChatBlocking(ChatModel):
    """Blocks, whoever waits for it, until the test lets it go on."""

    def respond(self, request: Request, /) -> Iterator[str]:
        yield "one"
        SEEN.append(request)
        GO_ON.wait(20)
        yield "two"


SEEN: list[Request] = []
GO_ON = threading.Event()


async def test_a_blocking_source_can_see_at_once_that_nobody_waits() -> None:
    """`request.cancelled` is true as soon as the caller has gone, who does not wait for a source that blocks."""
    SEEN.clear()
    GO_ON.clear()
    task = asyncio.ensure_future(ChatBlocking().ainvoke("x"))
    while not SEEN:  # noqa: ASYNC110 - a thread sees it
        await asyncio.sleep(0.001)
    assert not SEEN[0].cancelled
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)
    assert SEEN[0].cancelled
    GO_ON.set()


class Watched:
    """A request that a helper thread of the author watches."""

    def __init__(self) -> None:
        self.saw_the_end = threading.Event()
        self.answering = threading.Event()

    def watch(self, request: Request) -> None:
        """Start the helper; it ends as soon as nobody waits for the answer any more."""

        def help_out() -> None:
            if request.cancellation.wait(20):
                self.saw_the_end.set()

        threading.Thread(target=help_out, daemon=True).start()
        self.answering.set()


def function_shape(watched: Watched) -> Callable[[Request], Any]:
    def respond(request: Request) -> str:
        watched.watch(request)
        request.cancellation.wait(20)
        return "too late"

    return respond


def generator_shape(watched: Watched) -> Callable[[Request], Any]:
    def respond(request: Request) -> Iterator[str]:
        watched.watch(request)
        request.cancellation.wait(20)
        yield "too late"

    return respond


def coroutine_shape(watched: Watched) -> Callable[[Request], Any]:
    async def respond(request: Request) -> str:
        watched.watch(request)
        await asyncio.sleep(60)
        return "too late"

    return respond


def async_generator_shape(watched: Watched) -> Callable[[Request], Any]:
    async def respond(request: Request) -> AsyncIterator[str]:
        watched.watch(request)
        await asyncio.sleep(60)
        yield "too late"

    return respond


@pytest.mark.parametrize("ask", ["ainvoke", "astream"])
@pytest.mark.parametrize("shape", [function_shape, generator_shape, coroutine_shape, async_generator_shape])
async def test_what_an_author_started_elsewhere_hears_of_a_cancellation(shape: Any, ask: str) -> None:
    """`request.cancelled` becomes true in each of the four shapes, so that work in other threads can stop, too."""
    watched = Watched()
    model = chat_model(shape(watched))()
    task = asyncio.ensure_future(model.ainvoke("x") if ask == "ainvoke" else read_all(model.astream("x")))
    assert await asyncio.to_thread(watched.answering.wait, 20)
    assert not watched.saw_the_end.is_set()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(watched.saw_the_end.wait, 20)


@pytest.mark.parametrize("shape", [function_shape, generator_shape, coroutine_shape, async_generator_shape])
def test_what_an_author_started_elsewhere_hears_of_a_timeout(shape: Any) -> None:
    """It becomes true for a sync caller, too, whose `timeout` has passed."""
    watched = Watched()
    with pytest.raises(ModelTimeoutError):
        chat_model(shape(watched))(timeout=0.05).invoke("x")
    assert watched.saw_the_end.wait(20)


def test_all_who_wait_for_a_cancellation_are_woken() -> None:
    """`cancellation.wait` blocks until it is set, in as many threads as the author has; then it returns at once."""
    for _ in range(20):
        cancellation, everybody, woken = Cancellation(), threading.Barrier(9), list[bool]()

        def wait(
            cancellation: Cancellation = cancellation, everybody: Any = everybody, woken: list[bool] = woken
        ) -> None:
            everybody.wait(20)
            woken.append(cancellation.wait(20))

        threads = [threading.Thread(target=wait) for _ in range(8)]
        for thread in threads:
            thread.start()
        everybody.wait(20)
        assert not cancellation.wait(0)
        cancellation.set()
        for thread in threads:
            thread.join(20)
        assert [True] * 8 == woken
        assert cancellation.wait()


async def test_a_fast_source_does_not_keep_the_reader_from_being_cancelled() -> None:
    """A sync source that always has the next piece ready leaves the loop its turns, and the task can be cancelled."""

    class ChatFast(EndlessModel):
        def respond(self, request: Request, /) -> Iterator[str]:
            with self.record.one():
                while True:
                    yield "word "

    model = ChatFast()
    await cancelled(read_all(model.astream("x")), 0.05)
    assert await asyncio.to_thread(model.record.all_closed)


async def test_a_cancelled_stream_ends_its_context_where_it_began() -> None:
    """The author's `async with` is left in the task that entered it, as task groups and timeouts demand."""
    tasks: list[asyncio.Task[Any] | None] = []

    class ChatScoped(ChatModel):
        async def respond(self, request: Request, /) -> AsyncIterator[str]:
            async with asyncio.timeout(60):
                tasks.append(asyncio.current_task())
                try:
                    yield "one"
                    await asyncio.sleep(60)
                finally:
                    tasks.append(asyncio.current_task())

    await cancelled(read_all(ChatScoped().astream("x")), 0.01)
    assert tasks[0] is tasks[1]


@pytest.mark.parametrize("make", [EndlessGenerator, EndlessAsyncGenerator])
def test_a_model_works_after_cancellations(make: Callable[..., EndlessModel]) -> None:
    """After a cancelled call, the same instance answers the next one."""
    model = make()

    async def main() -> str:
        await cancelled(read_all(model.astream("x")), 0.005)
        return (await model.ainvoke("x", stop=["word"])).text

    assert "word" == asyncio.run(main())
    assert "word" == model.invoke("x", stop=["word"]).text


async def test_something_else_that_is_cancelled_is_an_error_not_a_cancellation() -> None:
    """A `CancelledError` from what the author awaited does not pass for the cancellation of the caller."""

    class ChatStray(ChatModel):
        async def respond(self, request: Request, /) -> AsyncIterator[str]:
            yield "so far"
            raise asyncio.CancelledError("of some other task")

    model = ChatStray()
    errors: list[BaseException] = []
    for answer in (lambda: model.ainvoke("x"), lambda: read_all(model.astream("x"))):
        try:
            await answer()
        except Exception as error:  # noqa: BLE001 - the point is that it is one
            errors.append(error)
    for call in (lambda: model.invoke("x"), lambda: list(model.stream("x"))):
        try:
            call()
        except Exception as error:  # noqa: BLE001
            errors.append(error)
    assert ["IncompleteAnswerError"] * 4 == [type(error).__name__ for error in errors]
    assert ["so far"] * 4 == [error.partial.text for error in errors]  # type: ignore[attr-defined]
