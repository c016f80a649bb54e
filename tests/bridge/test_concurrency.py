"""Many answers at once: none waits for another, the loop is never blocked, and the threads go away."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableConfig
from tests.bridge.endless_models import EndlessAsyncGenerator, EndlessGenerator
from tests.paths import beta_allowed

from langplug import ChatModel, Request
from langplug._bridge.channel import Channel


class ChatSpell(ChatModel):
    """Spells what it is given, from a sync generator."""

    def respond(self, request: Request, /) -> Iterator[str]:
        yield from request.text


class ChatBlocking(ChatModel):
    """Spells slowly, blocking its thread."""

    def respond(self, request: Request, /) -> Iterator[str]:
        for letter in request.text:
            time.sleep(0.02)
            yield letter


class ChatAwaiting(ChatModel):
    """Spells slowly, awaiting."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        for letter in request.text:
            await asyncio.sleep(0.02)
            yield letter


class ChatReturning(ChatModel):
    """Returns what it is given, after a while."""

    def respond(self, request: Request, /) -> str:
        time.sleep(0.05)
        return request.text


class ChatReturningAsync(ChatModel):
    """Returns what it is given, after a while."""

    async def respond(self, request: Request, /) -> str:
        await asyncio.sleep(0.05)
        return request.text


FOUR = [ChatBlocking, ChatAwaiting, ChatReturning, ChatReturningAsync]

# --- 1,000 at once ---


async def spelled(model: ChatModel, text: str) -> str:
    return "".join([chunk.text async for chunk in model.astream(text)])


async def test_a_thousand_streams_finish() -> None:
    """1,000 concurrent `astream`s over sync generators all finish, each with its own text."""
    texts = [f"number {number}" for number in range(1000)]
    assert texts == await asyncio.gather(*[spelled(ChatSpell(), text) for text in texts])


WAITING_FOR_ALL = """
import asyncio, threading, time
from langplug import ChatModel
from langplug._bridge import threads

threads.IDLE_S = 0.2
authors = threading.Barrier(1000)

class ChatSpell(ChatModel):
    def respond(self, request):
        yield "number "
        authors.wait(50)
        yield from request.text

async def main():
    model, readers = ChatSpell(), asyncio.Barrier(1000)
    async def spelled(text):
        stream = model.astream(text)
        read = (await anext(stream)).text
        await readers.wait()
        return read + "".join([chunk.text async for chunk in stream])
    texts = [str(number) for number in range(1000)]
    assert ["number " + text for text in texts] == await asyncio.gather(*map(spelled, texts))

asyncio.run(main())
end = time.monotonic() + 20
while threading.active_count() > 1 and time.monotonic() < end:
    time.sleep(0.01)
print(threading.active_count())
"""


def test_a_thousand_streams_that_wait_for_each_other_finish() -> None:
    """No deadlock though every reader and every author waits for all others; afterwards no thread is left."""
    done = subprocess.run([sys.executable, "-c", WAITING_FOR_ALL], capture_output=True, text=True, check=False)
    assert (0, "1\n", "") == (done.returncode, done.stdout, done.stderr)


# --- no path blocks the loop ---


@pytest.mark.usefixtures("no_blocking")
@pytest.mark.parametrize("make", [ChatSpell, *FOUR])
@pytest.mark.parametrize("timeout", [None, 30])
async def test_no_path_blocks_the_loop(make: Callable[..., ChatModel], timeout: float | None) -> None:
    """On every async path, whatever the shape, langplug makes no blocking call in the event loop."""
    model = make(timeout=timeout)
    assert "abc" == (await model.ainvoke("abc")).text
    assert "abc" == await spelled(model, "abc")
    assert ["abc", "abc"] == [answer.text for answer in await model.abatch(["abc", "abc"])]
    assert [] != [event async for event in model.astream_events("abc", version="v2")]
    with beta_allowed():
        async with await model.astream_events("abc", version="v3") as stream:
            assert "abc" == await stream.text
    async with aclosing(model.astream("abc")) as left:  # type: ignore[type-var]
        await anext(left)


class ChatUntilTheLoopBeats(ChatModel):
    """Blocks its thread until the loop of its caller has gone on."""

    beat: Any

    def respond(self, request: Request, /) -> Iterator[str]:
        for letter in request.text:
            self.beat.clear()
            assert self.beat.wait(20), "the loop stood still"
            yield letter


class ChatUntilTheLoopBeatsWhole(ChatUntilTheLoopBeats):
    """The same, returning."""

    def respond(self, request: Request, /) -> str:  # type: ignore[override]
        return "".join(super().respond(request))


@pytest.mark.parametrize("make", [ChatUntilTheLoopBeats, ChatUntilTheLoopBeatsWhole])
async def test_m05_the_loop_goes_on(make: Callable[..., ChatModel]) -> None:
    """While a model blocks its own thread, the loop of its caller goes on."""
    beat = threading.Event()

    async def heart() -> None:
        while True:
            beat.set()
            await asyncio.sleep(0.001)

    beating = asyncio.ensure_future(heart())
    assert "hello" == (await make(beat=beat).ainvoke("hello")).text
    assert "hello" == await spelled(make(beat=beat), "hello")
    beating.cancel()


# --- who waits for whom ---


class ChatTogether(ChatModel):
    """Answers when all 30 calls are in it, which never is if one waits for another."""

    all_there: Any

    def respond(self, request: Request, /) -> str:
        self.all_there.wait(20)
        return request.text


class ChatTogetherStreamed(ChatTogether):
    """The same, yielding."""

    def respond(self, request: Request, /) -> Iterator[str]:  # type: ignore[override]
        yield super().respond(request)


class ChatTogetherAsync(ChatTogether):
    """The same, asynchronously."""

    async def respond(self, request: Request, /) -> str:  # type: ignore[override]
        async with asyncio.timeout(20):
            await self.all_there.wait()
        return request.text


class ChatTogetherAsyncStreamed(ChatTogetherAsync):
    """The same, yielding."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:  # type: ignore[override]
        yield await super().respond(request)


@pytest.mark.parametrize(
    ("make", "barrier"),
    [
        (ChatTogether, threading.Barrier),
        (ChatTogetherStreamed, threading.Barrier),
        (ChatTogetherAsync, asyncio.Barrier),
        (ChatTogetherAsyncStreamed, asyncio.Barrier),
    ],
)
async def test_answers_come_at_the_same_time(make: Callable[..., ChatModel], barrier: Callable[[int], Any]) -> None:
    """30 calls of one model are all under way at once."""
    model = make(all_there=barrier(30))
    answers = await asyncio.gather(*[model.ainvoke("abc") for _ in range(30)])
    assert ["abc"] * 30 == [answer.text for answer in answers]


class ChatHeard(ChatModel):
    """Goes on when its first word has been read."""

    heard: Any

    def respond(self, request: Request, /) -> Iterator[str]:
        yield "one"
        assert self.heard.wait(20), "the first word was not handed over"
        yield " two"


class ChatHeardAsync(ChatHeard):
    """The same, asynchronously."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:  # type: ignore[override]
        yield "one"
        assert await asyncio.to_thread(self.heard.wait, 20), "the first word was not handed over"
        yield " two"


@pytest.mark.parametrize("make", [ChatHeard, ChatHeardAsync])
def test_e13_the_first_chunk_comes_before_the_last_is_made(make: Callable[..., ChatModel]) -> None:
    """A stream begins while its source still works, sync and async."""
    heard = threading.Event()
    stream = make(heard=heard).stream("x")
    assert "one" == next(stream).text
    heard.set()
    assert " two" == "".join(chunk.text for chunk in stream)

    async def read() -> str:
        stream = make(heard=(heard := threading.Event())).astream("x")
        first = (await anext(stream)).text
        heard.set()
        return first + "".join([chunk.text async for chunk in stream])

    assert "one two" == asyncio.run(read())


# --- back-pressure ---


class ChatCounting(ChatModel):
    """Counts how many pieces it has yielded."""

    yielded: list[int]

    def respond(self, request: Request, /) -> Iterator[str]:
        for number in range(2000):
            self.yielded[0] = number + 1
            yield "x"


class ChatCountingAsync(ChatModel):
    """Counts how many pieces it has yielded."""

    yielded: list[int]

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        for number in range(2000):
            self.yielded[0] = number + 1
            yield "x"


AHEAD = Channel[str]()._limit
"""How many pieces fit between a source and its reader; a batch that the reader holds, and one piece, come on top."""


async def test_a_fast_sync_source_does_not_run_ahead() -> None:
    """A sync generator read by a slow task is never more than two batches ahead."""
    model = ChatCounting(yielded=[0])
    read = 0
    async for _ in model.astream("x"):
        read += 1
        await asyncio.sleep(0.0001)
        assert model.yielded[0] <= read + 2 * AHEAD + 1
        if read > 400:
            break


def test_a_fast_async_source_does_not_run_ahead() -> None:
    """An async generator read by a slow thread is never more than two batches ahead."""
    model = ChatCountingAsync(yielded=[0])
    for read, _ in enumerate(model.stream("x"), start=1):
        time.sleep(0.0001)
        assert model.yielded[0] <= read + 2 * AHEAD + 1
        if read > 400:
            break


# --- context variables ---

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class ChatContext(ChatModel):
    """Says who asks, and what it set itself between two pieces."""

    def respond(self, request: Request, /) -> Iterator[str]:
        yield f"{WHO.get()} "
        WHO.set("itself")
        yield f"{WHO.get()} "
        yield WHO.get()


class ChatContextAsync(ChatModel):
    """Says who asks, and what it set itself between two pieces."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield f"{WHO.get()} "
        WHO.set("itself")
        await asyncio.sleep(0)
        yield f"{WHO.get()} "
        yield WHO.get()


@pytest.mark.parametrize("timeout", [None, 30])
@pytest.mark.parametrize("make", [ChatContext, ChatContextAsync])
async def test_f16_context_variables_reach_the_author(make: Callable[..., ChatModel], timeout: float | None) -> None:
    """What the caller set is seen by the author's function, per task; what that sets it sees after a `yield`."""

    async def asked_by(who: str) -> list[str]:
        WHO.set(who)
        return [(await make(timeout=timeout).ainvoke("x")).text, await spelled(make(timeout=timeout), "x")]

    async def asked_synchronously_by(who: str) -> str:
        WHO.set(who)
        return make(timeout=timeout).invoke("x").text

    first, second = await asyncio.gather(asyncio.create_task(asked_by("Ann")), asyncio.create_task(asked_by("Bob")))
    assert "Ann itself itself" == first[0]
    assert "Bob itself itself" == second[0]
    assert "Eve itself itself" == await asyncio.create_task(asked_synchronously_by("Eve"))
    assert "nobody" == WHO.get()


# --- loops ---


@pytest.mark.parametrize("make", [ChatSpell, *FOUR])
def test_m04_several_loops_in_threads_at_once(make: Callable[..., ChatModel]) -> None:
    """One instance serves several threads at once, each with an event loop of its own, after sync use."""
    model = make()
    model.invoke("x")
    answers: dict[int, list[str]] = {}

    async def work(number: int) -> list[str]:
        texts = [f"{number}.{turn}" for turn in range(5)]
        return list(await asyncio.gather(*[spelled(model, text) for text in texts]))

    def run(number: int) -> None:
        answers[number] = asyncio.run(work(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {number: [f"{number}.{turn}" for turn in range(5)] for number in range(6)} == answers


class Slow(AsyncCallbackHandler):
    """A handler that awaits something, as tracers do."""

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        await asyncio.sleep(0.01)


class ChatTidy(ChatModel):
    """Takes a while to clean up."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        try:
            while True:
                yield "x"
                await asyncio.sleep(0.001)
        finally:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kept", [False, True], ids=["dropped", "kept"])
@pytest.mark.parametrize("make", [ChatTidy, EndlessGenerator, EndlessAsyncGenerator])
def test_m10_an_abandoned_stream_makes_no_noise(make: Callable[..., ChatModel], kept: bool) -> None:
    """A stream dropped, or still open when its loop ends, is closed without a word to the loop's exception handler."""
    noise: list[dict[str, Any]] = []
    keep: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        configs: list[RunnableConfig] = [{"callbacks": [Slow()]}, {}]
        for config in configs:
            stream = make().astream("x", config)
            await anext(stream)
            if kept:
                keep.append(stream)
            events = make().astream_events("x", config, version="v2")
            await anext(events)
            if kept:
                keep.append(events)

    asyncio.run(main())
    assert [] == noise


@pytest.mark.parametrize("make", [*FOUR, ChatTidy])
def test_m03_one_instance_through_successive_loops(make: Callable[..., ChatModel]) -> None:
    """One instance serves one `asyncio.run` after the other, abandoned streams and cancelled calls in between."""
    model = make()

    async def use(number: int) -> str:
        stream = model.astream(f"left {number}")
        await anext(stream)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.ainvoke("x" * 200), 0.01)
        return (await model.ainvoke(f"run {number}", stop=["xx"])).text

    expected = [f"run {number}" if make is not ChatTidy else "xx" for number in range(6)]
    assert expected == [asyncio.run(use(number)) for number in range(6)]


async def test_many_tasks_left_at_once() -> None:
    """200 streams cancelled at the same moment are all closed."""
    for make in (EndlessGenerator, EndlessAsyncGenerator):
        model = make()
        tasks = [asyncio.ensure_future(spelled(model, "x")) for _ in range(200)]
        await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert {asyncio.CancelledError} == {type(one) for one in ended}
        assert await asyncio.to_thread(model.record.all_closed)
