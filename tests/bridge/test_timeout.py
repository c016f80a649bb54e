"""`timeout`: the seconds that a whole answer may take."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from langchain_core.exceptions import ModelTimeoutError
from tests.bridge.endless_models import SHAPES, STREAMING, EndlessGenerator, EndlessModel
from tests.paths import PATHS, Path

from langplug import ChatModel, Request


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_m07_an_answer_that_takes_too_long_is_an_error(shape: str, path: str) -> None:
    """After `timeout` seconds, on every path, whatever the shape: `ModelTimeoutError`, and the source is stopped."""
    model = SHAPES[shape](timeout=0.1)
    started = time.monotonic()
    with pytest.raises(ModelTimeoutError, match=r"timeout=0\.1"):
        PATHS[path](model, "x")
    assert 0.1 <= time.monotonic() - started < 20  # no answer of an endless model comes within a minute
    assert model.record.all_closed()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", STREAMING)
def test_the_error_holds_what_was_said_in_time(shape: str, path: str) -> None:
    """The timeout's error has what had been said as its `partial`."""
    with pytest.raises(ModelTimeoutError) as caught:
        PATHS[path](SHAPES[shape](timeout=0.1), "x")
    assert caught.value.partial.text.startswith("word ")  # type: ignore[attr-defined]


class ChatBusy(EndlessModel):
    """Always has its next piece ready."""

    def respond(self, request: Request, /) -> Iterator[str]:
        with self.record.one():
            while True:
                yield "word "


@pytest.mark.parametrize("path", PATHS)
def test_a_source_that_never_pauses_times_out_too(path: str) -> None:
    """An answer that goes on without any waiting is ended in time."""
    model = ChatBusy(timeout=0.1)
    with pytest.raises(ModelTimeoutError):
        PATHS[path](model, "x")
    assert model.record.all_closed()


def read_slowly(model: ChatModel) -> None:
    for _ in model.stream("x"):
        time.sleep(0.001)


def aread_slowly(model: ChatModel) -> None:
    async def read() -> None:
        async for _ in model.astream("x"):
            await asyncio.sleep(0.001)

    asyncio.run(read())


@pytest.mark.parametrize("read", [read_slowly, aread_slowly])
def test_an_endless_answer_times_out_for_a_slow_reader_too(read: Callable[[ChatModel], None]) -> None:
    """An answer that is not finished in time is ended, though its reader always finds a piece ready."""
    with pytest.raises(ModelTimeoutError):
        read(ChatBusy(timeout=0.1))


class ChatShort(ChatModel):
    """Three words."""

    def respond(self, request: Request, /) -> Iterator[str]:
        yield from ("one ", "two ", "three")


class ChatShortAsync(ChatModel):
    """Three words."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        for word in ("one ", "two ", "three"):
            yield word


def slow_stream(model: ChatModel) -> str:
    text = ""
    for chunk in model.stream("x"):
        text += chunk.text
        time.sleep(0.05)
    return text


def slow_astream(model: ChatModel) -> str:
    async def read() -> str:
        text = ""
        async for chunk in model.astream("x"):
            text += chunk.text
            await asyncio.sleep(0.05)
        return text

    return asyncio.run(read())


@pytest.mark.parametrize("read", [slow_stream, slow_astream])
def test_a_slow_reader_of_a_finished_answer_is_not_too_late(read: Callable[[ChatModel], str]) -> None:
    """What the model has finished in time is read in full, however long the reader takes."""
    assert "one two three" == read(ChatShort(timeout=0.08))


@pytest.mark.parametrize("make", [ChatShort, ChatShortAsync])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_an_answer_in_time_is_whole(make: Callable[..., ChatModel], path: Path) -> None:
    """A timeout that is not reached changes nothing."""
    assert "one two three" == path(make(timeout=60), "x").text


class ChatOwnTimeout(ChatModel):
    """Has a limit of its own that it does not keep."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield "one "
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_limit_of_the_authors_own_is_not_the_answers(path: Path, timeout: float | None) -> None:
    """A limit of asyncio's in the author's code is a timeout, but nobody is told to raise the model's `timeout`."""
    with pytest.raises(ModelTimeoutError) as caught:
        path(ChatOwnTimeout(timeout=timeout), "x")
    assert TimeoutError is type(caught.value.__cause__)
    assert "timeout=" not in str(caught.value)


def test_a_call_may_have_a_timeout_of_its_own() -> None:
    """`timeout` given for one call holds for that call alone."""
    model = EndlessGenerator()
    with pytest.raises(ModelTimeoutError, match=r"timeout=0\.05"):
        model.invoke("x", timeout=0.05)
    assert "word" == model.invoke("x", stop=["word"]).text


async def test_the_loop_goes_on_while_an_answer_is_timed() -> None:
    """Waiting for a source with a timeout leaves other tasks their turns."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    task = asyncio.ensure_future(other())
    with pytest.raises(ModelTimeoutError):
        await ChatBusy(timeout=0.2).ainvoke("x")
    task.cancel()
    assert turns > 10
