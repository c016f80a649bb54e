"""One stream of parts from whatever a function gives, sync (`parts`) or async (`aparts`).

How the function is written only says where it is called: an `async def` on an event loop, any other where it may
block. What it gives is then followed: an iterator is read, an awaitable awaited, an async iterator read on a loop.

Whoever reads the stream closes it in the end (`close`, `aclose`); what the author gave is then closed too,
whichever thread or loop it runs on, and `Request.cancelled` is true.
"""

import asyncio
import contextlib
import contextvars
import inspect
import re
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Generator, Iterable
from concurrent.futures import Future
from queue import Empty
from typing import Any, TypeVar, cast

from langchain_core.exceptions import ModelTimeoutError

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.channel import Channel
from langplug._bridge.contexts import asteps_in, steps_in
from langplug._bridge.loop import long_lived_loop
from langplug._bridge.shapes import ASYNC_SHAPES, Shape, needs_loop, needs_thread
from langplug._bridge.slots import FREE, Slots, Turn, turn_of
from langplug._bridge.threads import in_thread, spawn
from langplug._errors import IncompleteAnswerError
from langplug._request import Request

T = TypeVar("T")

Respond = Callable[[Request], Any]

_NO_LOOP = re.compile("no running event loop$|There is no current event loop")
"""What asyncio says to whoever makes a task or a future in a thread without a loop."""

_UNSET = object()


def parts(
    respond: Respond,
    shape: Shape,
    request: Request,
    deadline: "Deadline | None" = None,
    queue: Slots | None = None,
) -> Generator[Any, None, None]:
    """The answer's parts, for a sync caller, until the `deadline`, once it is its turn in the `queue`."""

    def from_loop(answer: Any) -> Generator[Any, None, None]:
        return _parts_from_elsewhere(lambda _: answer, request, None, on_loop=True)

    if shape in ASYNC_SHAPES or deadline is not None:  # only from another thread can one leave a function that blocks
        stream = _parts_from_elsewhere(respond, request, deadline, on_loop=shape in ASYNC_SHAPES)
    else:
        stream = _own_parts(respond, request, from_loop)
    if queue is not None:
        stream = _parts_in_turn(queue, stream, request, deadline)
    context = request.run.context
    return stream if context is None else steps_in(context, stream)


def aparts(
    respond: Respond,
    shape: Shape,
    request: Request,
    deadline: "Deadline | None" = None,
    queue: Slots | None = None,
) -> DetachedAsyncGenerator[Any]:
    """As `parts`, for an async caller."""
    if shape in ASYNC_SHAPES:
        stream = _aparts_in_time(_own_aparts(respond, request), deadline)
    else:
        stream = DetachedAsyncGenerator(_aparts_from_thread(respond, request, deadline))
    if queue is not None:
        stream = DetachedAsyncGenerator(_aparts_in_turn(queue, stream, request, deadline))
    context = request.run.context
    return stream if context is None else DetachedAsyncGenerator(asteps_in(context, stream))


# --- one after the other ---


def _parts_in_turn(
    queue: Slots, stream: Generator[Any, None, None], request: Request, deadline: "Deadline | None"
) -> Generator[Any, None, None]:
    run = request.run
    run.turn = turn = Turn(queue)
    try:
        turn.wait(None if deadline is None else deadline.wait_for)
        run.queue_time = turn.waited
        yield from stream
    finally:
        stream.close()
        turn.leave()


async def _aparts_in_turn(
    queue: Slots, stream: DetachedAsyncGenerator[Any], request: Request, deadline: "Deadline | None"
) -> AsyncGenerator[Any, None]:
    run = request.run
    run.turn = turn = Turn(queue)
    try:
        await turn.await_(None if deadline is None else deadline.wait_for)
        run.queue_time = turn.waited
        async for part in stream:
            yield part
    finally:
        await stream.aclose()
        turn.leave()


# --- in the caller's own thread or task ---


def _own_parts(
    respond: Respond, request: Request, hand_over: Callable[[Any], Iterable[Any]]
) -> Generator[Any, None, None]:
    """The parts that a thread can read; an answer that only an event loop can read is for `hand_over`."""
    answer: Any
    handed_over = False
    if not (turn := turn_of(request.run)).begin():
        return
    try:
        try:
            answer = respond(request)
        except RuntimeError as error:
            if not _NO_LOOP.match(str(error)):
                raise
            # What makes a task of a coroutine has to be called on a loop; it got no further than that here.
            answer = cast("Any", _own_aparts(respond, request))
        while needs_thread(answer):
            if isinstance(answer, Future):
                answer = answer.result()
                continue
            stream = answer
            try:
                answer = yield from stream
            finally:
                # Also at its end: the stream of an SDK may hold its connection until then.
                close = getattr(stream, "close", None)
                if callable(close) and inspect.iscoroutine(closing := close()):
                    closing.close()  # of a stream that can be read in both colours; to await it would take a loop
            if answer is None:
                return
            # A generator that returns something: its last part, or all of them where it yielded none.
        if needs_loop(answer):
            handed_over = True
            yield from hand_over(answer)
        else:
            yield answer
    finally:
        if not handed_over:
            request.cancellation.set()
            turn.end()


async def _own_aparts(respond: Respond, request: Request) -> AsyncGenerator[Any, None]:
    stream: DetachedAsyncGenerator[Any] | None = None
    if not (turn := turn_of(request.run)).begin():
        return
    try:
        answer = respond(request)
        # Some streams can be read in both colours (litellm's, and those that OpenTelemetry wraps), and some can also be
        # awaited (the pages of OpenAI's SDK): async iteration comes first, as the function is async.
        while isinstance(answer, Awaitable) and not isinstance(answer, AsyncIterable):
            answer = await answer
        if isinstance(answer, AsyncGenerator):
            stream = DetachedAsyncGenerator(answer)
        elif isinstance(answer, AsyncIterable):
            stream = DetachedAsyncGenerator(_items(answer))
        elif needs_thread(answer):  # it may block, though the function did not
            turn = FREE  # for the thread to give back: it may go on when nobody reads what it gives
            stream = DetachedAsyncGenerator(_aparts_from_thread(lambda _: answer, request, None))
        else:
            yield answer
            return
        async for part in stream:
            yield part
    except asyncio.CancelledError as error:
        # Was this task cancelled, or only something that the author awaited? Let through, the latter would end the
        # caller's task as if that had been cancelled, without an error.
        task = asyncio.current_task()
        if task is None or not task.cancelling():
            problem = "What the model waited for was cancelled, though its caller was not."
            raise IncompleteAnswerError(problem) from error
        raise
    finally:
        request.cancellation.set()  # first: what the author's `finally` waits for may be watching it
        try:
            if stream is not None:
                await stream.aclose()
        finally:
            turn.end()


async def _items(stream: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    """What a stream other than an async generator holds. It is closed by whichever method it has for that."""
    try:
        async for item in stream:
            yield item
    finally:
        close = getattr(stream, "aclose", None) or getattr(stream, "close", None)  # OpenAI's SDK has an async `close`
        if callable(close) and inspect.isawaitable(closing := close()):
            await closing


# --- from elsewhere, through a channel ---


def _parts_from_elsewhere(
    respond: Respond, request: Request, deadline: "Deadline | None", *, on_loop: bool
) -> Generator[Any, None, None]:
    """From the long-lived loop, or a thread of the pool."""
    channel: Channel[Any] = Channel()
    running = thread = None
    try:  # a signal's handler may raise at any point, also in what follows: then nobody must go on to fill the channel
        if on_loop:
            stream = DetachedAsyncGenerator(_own_aparts(respond, request))
            running = long_lived_loop().submit(channel.afill(stream), contextvars.copy_context())
        else:
            thread = _Thread(respond, request, channel)
        while True:
            batch = channel.take() if deadline is None else deadline.take(channel)
            if batch is None:
                break
            yield from batch
        if thread is not None:
            for answer in thread.for_loop():
                yield from _parts_from_elsewhere(lambda _: answer, request, deadline, on_loop=True)  # noqa: B023
    finally:
        request.cancellation.set()
        channel.close()
        if running is not None:  # a thread cannot be stopped; it hears of it by `request.cancelled` or the channel
            running.stop()
            if running.is_done:
                turn_of(request.run).end()  # it may have been stopped before its first step
        elif thread is not None:
            thread.discard()


async def _aparts_from_thread(
    respond: Respond, request: Request, deadline: "Deadline | None"
) -> AsyncGenerator[Any, None]:
    channel: Channel[Any] = Channel()
    thread = _Thread(respond, request, channel)
    stream: DetachedAsyncGenerator[Any] | None = None
    try:
        while True:
            if deadline is None or channel.finished:  # in time, however late it is read
                batch = await channel.atake()
            else:
                batch = await deadline.wait_for(channel.atake())
                if not channel.finished:
                    deadline.check()
            if batch is None:
                break
            for part in batch:
                yield part
        for answer in thread.for_loop():
            stream = _aparts_in_time(_own_aparts(lambda _: answer, request), deadline)  # noqa: B023
            async for part in stream:
                yield part
    finally:
        request.cancellation.set()
        channel.close()
        thread.discard()
        if stream is not None:
            await stream.aclose()
            turn_of(request.run).end()  # it may have been closed before its first step


def _aparts_in_time(generator: AsyncGenerator[Any, None], deadline: "Deadline | None") -> DetachedAsyncGenerator[Any]:
    stream = DetachedAsyncGenerator(generator)
    if deadline is None:
        return stream

    async def aparts_in_time() -> AsyncGenerator[Any, None]:
        try:
            while True:
                try:
                    part = await deadline.wait_for(anext(stream))
                except StopAsyncIteration:
                    return
                deadline.check()
                yield part
        finally:
            await stream.aclose()

    return DetachedAsyncGenerator(aparts_in_time())


async def aparts_from_own_loop(respond: Respond, request: Request) -> AsyncGenerator[Any, None]:
    """The parts of an async function that runs on langplug's own event loop, whichever loop reads them.

    A client that belongs to the first loop that used it then serves every other one, too.
    """
    channel: Channel[Any] = Channel()
    stream = DetachedAsyncGenerator(_own_aparts(respond, request))
    running = long_lived_loop().submit(channel.afill(stream), contextvars.copy_context())
    try:
        while (batch := await channel.atake()) is not None:
            for part in batch:
                yield part
    finally:
        request.cancellation.set()
        channel.close()
        if not running.is_done:
            running.cancel()
            await in_thread(running.stop)  # which waits for the clean-up


class _Thread:
    """A function that answers into `channel` in a thread of the pool, in its caller's context.

    An answer that only an event loop can read (a coroutine, an async iterator) is kept for the caller, who has one.
    """

    def __init__(self, respond: Respond, request: Request, channel: Channel[Any]) -> None:
        self._for_loop: list[Any] = []
        self._turn = turn_of(request.run)
        self._context = contextvars.copy_context()

        def keep(answer: Any) -> Iterable[Any]:
            self._for_loop.append(answer)
            if channel.closed:  # the caller left, and may have looked for it already
                self.discard()
            return ()

        def produce() -> None:
            if not channel.closed:
                channel.fill(_own_parts(respond, request, keep))
            else:  # the caller left while this waited for a thread
                self._turn.end()

        spawn(lambda: self._context.run(produce))

    def for_loop(self) -> Generator[Any, None, None]:
        """The answer that was kept, if there is one, to be read where the context is as the function left it."""
        while self._for_loop:
            for variable, value in self._context.items():
                if variable.get(_UNSET) is not value:
                    variable.set(value)
            yield self._for_loop.pop()

    def discard(self) -> None:
        """Drop the answer that was kept, if nobody has read it."""
        with contextlib.suppress(IndexError):
            answer = self._for_loop.pop()
            if inspect.iscoroutine(answer):
                answer.close()  # else Python warns that it was never awaited
            self._turn.end()


class Deadline:
    """When an answer must have ended, however often it is begun. `timeout` in seconds from now."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._at = time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._at - time.monotonic())

    def take(self, channel: Channel[T]) -> list[T] | None:
        """The next batch of `channel`, if it comes in time; None after the last."""
        if channel.finished:  # in time, however late it is read
            return channel.take()
        try:
            batch = channel.take(self.left)
        except Empty:
            raise self.missed() from None
        if not channel.finished:
            self.check()
        return batch

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """What `awaitable` gives, if that is in time."""
        limit = asyncio.timeout(self.left)
        try:
            async with limit:
                return await awaitable
        except TimeoutError as error:
            if not limit.expired():  # the author's own
                raise
            raise self.missed() from error

    def check(self) -> None:
        """Raise if it has passed, which no waiting shows where a part is always there already."""
        if time.monotonic() > self._at:
            raise self.missed()

    def missed(self) -> ModelTimeoutError:
        """The error for an answer that has not."""
        return ModelTimeoutError(
            f"The answer took longer than timeout={self._timeout!r} seconds. "
            "Raise `timeout`, or set it to None for no limit."
        )
