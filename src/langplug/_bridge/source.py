"""One stream of parts from any shape, sync (`parts`) or async (`aparts`).

Whoever reads the stream closes it in the end (`close`, `aclose`); the author's generator is then closed too,
whichever thread or loop it runs on, and `Request.cancelled` is true.
"""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from queue import Empty
from typing import Any, TypeVar

from langchain_core.exceptions import ModelTimeoutError

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.channel import Channel
from langplug._bridge.loop import long_lived_loop
from langplug._bridge.shapes import ASYNC_SHAPES, Shape
from langplug._bridge.threads import spawn
from langplug._errors import IncompleteAnswerError
from langplug._request import Request

T = TypeVar("T")

Respond = Callable[[Request], Any]


def parts(
    respond: Respond, shape: Shape, request: Request, deadline: "Deadline | None" = None
) -> Generator[Any, None, None]:
    """The answer's parts, for a sync caller, until the `deadline`."""
    if shape in ASYNC_SHAPES or deadline is not None:  # only from another thread can one leave a function that blocks
        return _parts_from_elsewhere(respond, shape, request, deadline)
    return _own_parts(respond, shape, request)


def aparts(
    respond: Respond, shape: Shape, request: Request, deadline: "Deadline | None" = None
) -> DetachedAsyncGenerator[Any]:
    """The answer's parts, for an async caller, until the `deadline`."""
    if shape not in ASYNC_SHAPES:
        return DetachedAsyncGenerator(_aparts_from_thread(respond, shape, request, deadline))
    stream = DetachedAsyncGenerator(_own_aparts(respond, shape, request))
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


# --- in the caller's own thread or task ---


def _own_parts(respond: Respond, shape: Shape, request: Request) -> Generator[Any, None, None]:
    try:
        if shape is Shape.GENERATOR:
            yield from respond(request)
        else:
            yield respond(request)
    finally:
        request.cancellation.set()


async def _own_aparts(respond: Respond, shape: Shape, request: Request) -> AsyncGenerator[Any, None]:
    stream: DetachedAsyncGenerator[Any] | None = None
    try:
        if shape is Shape.COROUTINE:
            yield await respond(request)
        else:
            stream = DetachedAsyncGenerator(respond(request))
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
        if stream is not None:
            await stream.aclose()


# --- from elsewhere, through a channel ---


def _parts_from_elsewhere(
    respond: Respond, shape: Shape, request: Request, deadline: "Deadline | None"
) -> Generator[Any, None, None]:
    """From the long-lived loop, or a thread of the pool."""
    channel: Channel[Any] = Channel()
    running = None
    if shape in ASYNC_SHAPES:
        stream = DetachedAsyncGenerator(_own_aparts(respond, shape, request))
        running = long_lived_loop().submit(channel.afill(stream), contextvars.copy_context())
    else:
        _start_thread(respond, shape, request, channel)
    try:
        while True:
            if deadline is None or channel.finished:  # in time, however late it is read
                batch = channel.take()
            else:
                try:
                    batch = channel.take(deadline.left)
                except Empty:
                    raise deadline.missed() from None
                if not channel.finished:
                    deadline.check()
            if batch is None:
                return
            yield from batch
    finally:
        request.cancellation.set()
        channel.close()
        if running is not None:  # a thread cannot be stopped; it hears of it by `request.cancelled` or the channel
            running.stop()


async def _aparts_from_thread(
    respond: Respond, shape: Shape, request: Request, deadline: "Deadline | None"
) -> AsyncGenerator[Any, None]:
    channel: Channel[Any] = Channel()
    _start_thread(respond, shape, request, channel)
    try:
        while True:
            if deadline is None or channel.finished:  # in time, however late it is read
                batch = await channel.atake()
            else:
                batch = await deadline.wait_for(channel.atake())
                if not channel.finished:
                    deadline.check()
            if batch is None:
                return
            for part in batch:
                yield part
    finally:
        request.cancellation.set()
        channel.close()


def _start_thread(respond: Respond, shape: Shape, request: Request, channel: Channel[Any]) -> None:
    """Answer into `channel` in a thread, in the caller's context."""

    def produce() -> None:
        if not channel.closed:  # else the caller left while this waited for a thread
            channel.fill(_own_parts(respond, shape, request))

    context = contextvars.copy_context()
    spawn(lambda: context.run(produce))


class Deadline:
    """When an answer must have ended, however often it is begun. `timeout` in seconds from now."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._at = time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._at - time.monotonic())

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
