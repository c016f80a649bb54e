"""What the function gives decides, not how it is written: iterators, awaitables and async iterators are followed."""

import asyncio
import contextlib
import contextvars
import functools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest
import tenacity
from blockbuster import BlockBuster
from tests.paths import PATHS, Path

from langplug import ChatModel, Request, chat_model
from langplug._bridge.shapes import Shape


def generator(request: Request) -> Iterator[str]:
    yield "a"
    yield "b"


async def coroutine(request: Request) -> str:
    await asyncio.sleep(0)
    return "ab"


async def async_generator(request: Request) -> AsyncIterator[str]:
    yield "a"
    await asyncio.sleep(0)
    yield "b"


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The decorator that everybody writes."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, async: what it wraps may be an iterator all the same."""

    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


class Closing:
    """Notes that it was closed, and in which thread it was read."""

    def __init__(self, parts: str = "ab") -> None:
        self.parts = iter(parts)
        self.closed = threading.Event()
        self.thread = ""


class Stream(Closing):
    """As SDKs have it: no generator, and with a `close`."""

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> str:
        self.thread = threading.current_thread().name
        return next(self.parts)

    def close(self) -> None:
        self.closed.set()


class EventStream(Closing):
    """As botocore has it: it can be iterated, and is not an iterator."""

    def __iter__(self) -> Iterator[str]:
        yield from self.parts

    def close(self) -> None:
        self.closed.set()


class AsyncStream(Closing):
    """As OpenAI's SDK has it: its `close` is async."""

    def __aiter__(self) -> "AsyncStream":
        return self

    async def __anext__(self) -> str:
        await asyncio.sleep(0)
        try:
            return next(self.parts)
        except StopIteration:
            raise StopAsyncIteration from None

    async def close(self) -> None:
        self.closed.set()


class BothStream(Stream):
    """As litellm has it: it can be read in both colours."""

    def __aiter__(self) -> "BothStream":
        return self

    async def __anext__(self) -> str:
        raise AssertionError("a plain function's stream is read as a plain one")


class BothAsyncStream(AsyncStream):
    def __iter__(self) -> Iterator[str]:
        raise AssertionError("an async function's stream is read as an async one")


def slowly(text: str) -> Iterator[str]:
    for letter in text:
        time.sleep(0.01)
        yield letter


async def give(value: Any) -> Any:
    return value


def returns_more(request: Request) -> Any:
    yield "a"
    return "b"


def returns_all(request: Request) -> Any:
    if not request.text:
        yield "never"
    return generator(request)


@contextlib.contextmanager
def context() -> Iterator[None]:
    yield


POOL = ThreadPoolExecutor(2)

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "wrapped generator": timed(generator),
    "wrapped coroutine": timed(coroutine),
    "wrapped async generator": timed(async_generator),
    "wrapped twice": timed(timed(async_generator)),
    "async wrapper of a generator": awaited(generator),
    "async wrapper of a coroutine": awaited(coroutine),
    "async wrapper of an async generator": awaited(async_generator),
    "retried generator": tenacity.retry(generator),
    "retried coroutine": tenacity.retry(coroutine),
    "retried async generator": tenacity.retry(async_generator),
    "in a context": context()(timed(generator)),
    "partial of a wrapper": functools.partial(timed(async_generator)),
    "stream": lambda request: Stream(),
    "not an iterator": lambda request: EventStream(),
    "map": lambda request: map(str, "ab"),
    "async stream": lambda request: AsyncStream(),
    "both": lambda request: BothStream(),
    "awaitable": lambda request: give("ab"),
    "awaitable of a stream": lambda request: give(Stream()),
    "awaitable of an awaitable": lambda request: give(coroutine(request)),
    "async def, stream": lambda request: give(Stream()),
    "async def, both": lambda request: give(BothAsyncStream()),
    "future of a thread": lambda request: POOL.submit(lambda: "ab"),
    "future of a stream": lambda request: POOL.submit(Stream),
    "returns more": returns_more,
    "returns all": returns_all,
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.parametrize("path", PATHS)
def test_whatever_the_function_gives_is_followed(name: str, timeout: float | None, path: str) -> None:
    """An iterator, an awaitable or an async iterator is followed, wherever it comes from, on every path."""
    call: Path = PATHS[path]
    assert "ab" == call(chat_model(FUNCTIONS[name])(timeout=timeout), "hi").text


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "generator" in name or "stream" in name])
def test_what_is_followed_streams(name: str) -> None:
    """What comes in pieces is streamed in pieces."""
    parts = [chunk.text for chunk in chat_model(FUNCTIONS[name])().stream("hi")]
    assert (["a", "b", ""] if "future" not in name else parts) == parts


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
@pytest.mark.parametrize("make", [asyncio.create_task, asyncio.ensure_future])
@pytest.mark.parametrize("path", PATHS)
def test_a_task_is_made_where_there_is_a_loop(make: Callable[..., Any], path: str) -> None:
    """A plain function that makes a task needs a running loop, and is called on one."""
    assert "ab" == PATHS[path](chat_model(lambda request: make(coroutine(request)))(), "hi").text


# --- where a respond is found ---


class Speaks:
    """A mixin, which knows nothing of langplug."""

    def respond(self, request: Request) -> Iterator[str]:
        yield "a"
        yield "b"


class SpeaksAsync:
    async def respond(self, request: Request) -> AsyncIterator[str]:
        yield "a"
        yield "b"


class Before(Speaks, ChatModel):
    pass


class After(ChatModel, Speaks):  # type: ignore[misc] # mypy would have the mixin's as exact as ours
    pass


class AfterAsync(ChatModel, SpeaksAsync):  # type: ignore[misc] # likewise
    pass


class Below(AfterAsync):
    pass


class Super(ChatModel, Speaks):
    def respond(self, request: Request, /) -> Any:
        return super().respond(request)


class SuperBefore(SpeaksAsync, ChatModel):
    def respond(self, request: Request) -> Any:
        return super().respond(request)


class Partial(ChatModel):
    def _speak(self, request: Request, second: str) -> Iterator[str]:
        yield "a"
        yield second

    respond = functools.partialmethod(_speak, second="b")  # type: ignore[assignment] # a method all the same


@pytest.mark.parametrize("cls", [Before, After, AfterAsync, Below, Super, SuperBefore, Partial])
@pytest.mark.parametrize("path", PATHS)
def test_a_respond_may_be_inherited(cls: type[ChatModel], path: str) -> None:
    """`respond` comes from wherever the class has it: a mixin before or after `ChatModel`, or by `super()`."""
    assert "ab" == PATHS[path](cls(), "hi").text


def test_the_shape_is_that_of_the_respond_that_runs() -> None:
    """A class has the shape of the `respond` that it inherits, and needs one before it can be used."""
    assert [Shape.GENERATOR, Shape.ASYNC_GENERATOR, Shape.ASYNC_GENERATOR] == [
        cls.__langplug_shape__ for cls in (After, AfterAsync, Below)
    ]

    class Nothing(ChatModel):
        pass

    with pytest.raises(TypeError, match="has no `respond`"):
        Nothing()

    class Wrong:
        def respond(self) -> str:
            return "x"

    with pytest.raises(TypeError, match="takes too few parameters"):
        type("Worse", (ChatModel, Wrong), {})


def test_a_wrapper_has_the_parameters_of_what_it_wraps() -> None:
    """A wrapper's own `*args, **kwargs` say nothing: settings are those of the function that it wraps."""

    @chat_model
    @timed
    def loud(request: Request, *, volume: int = 1) -> Iterator[str]:
        yield request.text + "!" * volume

    assert "hi!!!" == loud(volume=3).invoke("hi").text  # type: ignore[call-arg] # lost by the wrapper's own types
    with pytest.raises(TypeError, match="every parameter must be named"):
        chat_model(lambda *args, **kwargs: "x")


def test_what_a_wrapper_passes_itself_is_not_a_parameter() -> None:
    """The wrapper's own parameters count where it names them."""

    def function(request: Request, client: str) -> str:
        return client

    @functools.wraps(function)
    def wrapper(request: Request) -> str:
        return function(request, "ab")

    assert "ab" == chat_model(wrapper)().invoke("hi").text


# --- leaving ---


@pytest.mark.parametrize("make", [Stream, EventStream, AsyncStream, BothStream])
@pytest.mark.parametrize("wrap", [lambda made: made, give])
@pytest.mark.parametrize("timeout", [None, 20])
@pytest.mark.parametrize("leave", [True, False])
def test_what_was_returned_is_closed(make: type[Any], wrap: Any, timeout: float | None, leave: bool) -> None:
    """A stream that a function returned is closed when its reader leaves, and at its end, sync and async."""
    if make is BothStream and wrap is give:
        make = BothAsyncStream
    made = [make("ab" * 300), make("ab" * 300)]
    left = iter(made)
    requests: list[Request] = []

    @chat_model
    def model(request: Request) -> Any:
        requests.append(request)
        return wrap(next(left))

    stream = model(timeout=timeout).stream("hi")
    for _ in stream:
        if leave:
            break
    stream.close()  # type: ignore[attr-defined] # it is a generator

    async def read() -> None:
        async with aclosing(model(timeout=timeout).astream("hi")) as chunks:  # type: ignore[type-var]
            async for _ in chunks:
                if leave:
                    break

    asyncio.run(read())
    assert [True, True] == [one.closed.wait(10) for one in made]
    assert [True, True] == [request.cancelled for request in requests]


def test_a_cancelled_task_ends_what_was_returned() -> None:
    """Cancelling the caller cancels an awaitable that a plain function returned."""
    ended = threading.Event()

    async def endless() -> str:
        try:
            await asyncio.sleep(600)
        finally:
            ended.set()
        return "never"

    async def run() -> None:
        task = asyncio.create_task(chat_model(lambda request: endless())().ainvoke("hi"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert ended.is_set()


@pytest.mark.parametrize("path", PATHS)
def test_the_timeout_covers_what_is_followed(path: str) -> None:
    """`timeout` holds for the whole answer: for an awaitable and an iterator that were returned as well."""
    for given in (
        lambda request: asyncio.sleep(30, "late"),
        lambda request: slowly("x" * 600),
    ):
        began = time.monotonic()
        with pytest.raises(Exception, match=r"took longer than timeout=0\.2"):
            PATHS[path](chat_model(given)(timeout=0.2), "hi")
        assert time.monotonic() - began < 10


# --- where it runs ---


def test_an_async_function_that_returns_an_iterator_blocks_no_loop(no_blocking: BlockBuster) -> None:
    """Async stays async: an iterator may block, and is read in a thread, whoever returned it."""

    @chat_model
    async def blocks(request: Request) -> Any:
        return slowly("ab")

    async def run() -> str:
        return "".join([chunk.text async for chunk in blocks().astream("hi")])

    assert "ab" == asyncio.run(run())


def test_a_plain_function_that_answers_at_once_stays_in_its_thread() -> None:
    """A sync caller's plain function runs in the caller's thread, and so does the iterator that it returns."""
    stream = Stream()
    here = threading.current_thread().name
    assert "ab" == chat_model(lambda request: stream)().invoke("hi").text
    assert here == stream.thread
    assert here == chat_model(lambda request: threading.current_thread().name)().invoke("hi").text


USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("timeout", [None, 20])
def test_context_variables_are_seen_by_what_is_followed(path: str, timeout: float | None) -> None:
    """What was returned sees the caller's context variables, and those that the function has set."""
    inner: contextvars.ContextVar[str] = contextvars.ContextVar("inner", default="nothing")

    async def say() -> str:
        return USER.get() + inner.get()

    def given(request: Request) -> Any:
        inner.set("!")
        return say()

    def run() -> str:
        USER.set("bo")
        return PATHS[path](chat_model(given)(timeout=timeout), "hi").text

    assert "bo!" == contextvars.copy_context().run(run)


# --- what is not followed ---


@pytest.mark.parametrize("given", [["a", "b"], ("a", "b"), {"a"}, [coroutine]])
def test_a_list_is_not_an_iterator(given: Any) -> None:
    """A list of parts is an error that says what to write."""
    with pytest.raises(TypeError, match=r"gave .* \(a (list|tuple|set)\).*yield from"):
        chat_model(lambda request: given)().invoke("hi")


@pytest.mark.parametrize("path", PATHS)
def test_what_is_yielded_is_not_followed(path: str) -> None:
    """An iterator or an awaitable that is yielded, rather than returned, is an error that says what to write."""

    @chat_model
    def yields(request: Request) -> Any:
        yield coroutine(request) if request.text == "await" else generator(request)

    with pytest.raises(TypeError, match="`await` it"):
        PATHS[path](yields(), "await")
    with pytest.raises(TypeError, match="yield from"):
        PATHS[path](yields(), "iterate")


def test_what_a_generator_returns_is_its_last_part() -> None:
    """What a generator returns after its last `yield` is one more part; None is nothing."""

    @chat_model
    def whole_or_not(request: Request) -> Any:
        if request.text == "in pieces":
            yield "a"
            return None
        return "all at once"

    assert ["a", ""] == [chunk.text for chunk in whole_or_not().stream("in pieces")]
    assert ["all at once", ""] == [chunk.text for chunk in whole_or_not().stream("whole")]
    assert ["a", "b", ""] == [chunk.text for chunk in chat_model(returns_more)().stream("hi")]
