"""One stream of parts from any shape, sync (`parts`) or async (`aparts`).

Whoever reads the stream closes it in the end (`close`, `aclose`); the author's generator is then closed too,
whichever thread or loop it runs on, and `Request.cancelled` is true.
"""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from queue import Empty
from typing import Any, TypeVar

from langchain_core.exceptions import ModelTimeoutError

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.channel import Channel
from langplug._bridge.loop import long_lived_loop
from langplug._bridge.shapes import Shape
from langplug._bridge.threads import spawn
from langplug._errors import IncompleteAnswerError
from langplug._request import Request

T = TypeVar("T")

Respond = Callable[[Request], Any]


def parts(respond: Respond, shape: Shape, request: Request, timeout: float | None = None) -> Generator[Any, None, None]:
    """The answer's parts, for a sync caller. `timeout` in seconds, for the whole answer."""
    if shape.is_async:
        return _parts_from_loop(respond, shape, request, timeout)
    if timeout is not None:  # a blocking function can be left only by whoever is in another thread
        return _parts_from_thread(respond, shape, request, timeout)
    return _own_parts(respond, shape, request)


def aparts(
    respond: Respond, shape: Shape, request: Request, timeout: float | None = None
) -> DetachedAsyncGenerator[Any]:
    """The answer's parts, for an async caller. `timeout` in seconds, for the whole answer."""
    if not shape.is_async:
        return DetachedAsyncGenerator(_aparts_from_thread(respond, shape, request, timeout))
    own = DetachedAsyncGenerator(_own_aparts(respond, shape, request))
    return own if timeout is None else DetachedAsyncGenerator(_in_time(own, timeout))


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
    if shape is Shape.COROUTINE:
        try:
            yield await respond(request)
        except asyncio.CancelledError as error:
            _check_cancelled(error)
            raise
        finally:
            request.cancellation.set()
        return
    stream: DetachedAsyncGenerator[Any] = DetachedAsyncGenerator(respond(request))
    try:
        async for part in stream:
            yield part
    except asyncio.CancelledError as error:
        _check_cancelled(error)
        raise
    finally:
        request.cancellation.set()
        await stream.aclose()


def _check_cancelled(error: asyncio.CancelledError) -> None:
    """See to it that this task was cancelled, and not only something that the author awaited.

    Let through, such an `error` would end the caller's task as if that had been cancelled, and nobody would hear of it.
    """
    task = asyncio.current_task()
    if task is None or not task.cancelling():
        raise IncompleteAnswerError("What the model waited for was cancelled, though its caller was not.") from error


async def _in_time(stream: DetachedAsyncGenerator[Any], timeout: float) -> AsyncGenerator[Any, None]:
    deadline = _Deadline(timeout)
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


# --- from a thread of the pool ---


def _start_thread(respond: Respond, shape: Shape, request: Request) -> Channel[Any]:
    """Answer in a thread, in the caller's context; the channel carries the parts."""
    channel: Channel[Any] = Channel()
    context = contextvars.copy_context()
    spawn(lambda: context.run(_produce, respond, shape, request, channel))
    return channel


def _produce(respond: Respond, shape: Shape, request: Request, channel: Channel[Any]) -> None:
    if channel.closed:  # it was cancelled while it waited for a thread
        return
    stream = _own_parts(respond, shape, request)
    try:
        for part in stream:
            if not channel.put(part):
                break
        stream.close()
    except BaseException as error:  # noqa: BLE001 - whatever it is, the reader must see it
        channel.finish(error)
    else:
        channel.finish()


def _parts_from_thread(
    respond: Respond, shape: Shape, request: Request, timeout: float | None
) -> Generator[Any, None, None]:
    channel = _start_thread(respond, shape, request)
    try:
        yield from _read(channel, timeout)
    finally:
        request.cancellation.set()
        channel.close()


async def _aparts_from_thread(
    respond: Respond, shape: Shape, request: Request, timeout: float | None
) -> AsyncGenerator[Any, None]:
    deadline = None if timeout is None else _Deadline(timeout)
    channel = _start_thread(respond, shape, request)
    try:
        while (batch := await _atake(channel, deadline)) is not None:
            for part in batch:
                yield part
    finally:
        request.cancellation.set()
        channel.close()


# --- from the long-lived loop ---


def _parts_from_loop(
    respond: Respond, shape: Shape, request: Request, timeout: float | None
) -> Generator[Any, None, None]:
    channel: Channel[Any] = Channel()
    work = _aproduce(DetachedAsyncGenerator(_own_aparts(respond, shape, request)), channel)
    running = long_lived_loop().submit(work, contextvars.copy_context())
    try:
        yield from _read(channel, timeout)
    finally:
        request.cancellation.set()
        channel.close()
        running.stop()


async def _aproduce(stream: DetachedAsyncGenerator[Any], channel: Channel[Any]) -> None:
    try:
        try:
            async for part in stream:
                if not await channel.aput(part):
                    break
        finally:
            await stream.aclose()
    except asyncio.CancelledError as error:
        channel.finish(error)
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is, the reader must see it
        channel.finish(error)
    else:
        channel.finish()


# --- reading, with a deadline ---


class _Deadline:
    """When an answer must have ended."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._at = time.monotonic() + timeout

    @property
    def left(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self._at - time.monotonic())

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
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
        return ModelTimeoutError(
            f"The answer took longer than timeout={self._timeout!r} seconds. "
            "Raise `timeout`, or set it to None to wait for ever."
        )


def _read(channel: Channel[Any], timeout: float | None) -> Iterator[Any]:
    deadline = None if timeout is None else _Deadline(timeout)
    while (batch := _take(channel, deadline)) is not None:
        yield from batch


def _take(channel: Channel[Any], deadline: _Deadline | None) -> list[Any] | None:
    if deadline is None or channel.finished:  # in time, however late it is read
        return channel.take()
    try:
        batch = channel.take(deadline.left)
    except Empty:
        raise deadline.missed() from None
    if not channel.finished:
        deadline.check()
    return batch


async def _atake(channel: Channel[Any], deadline: _Deadline | None) -> list[Any] | None:
    if deadline is None or channel.finished:
        return await channel.atake()
    batch = await deadline.wait_for(channel.atake())
    if not channel.finished:
        deadline.check()
    return batch
