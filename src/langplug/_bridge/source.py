"""One stream of parts from any shape, sync (`parts`) or async (`aparts`).

Whoever reads the stream closes it in the end (`close`, `aclose`); the author's generator is then closed too,
whichever thread or loop it runs on, and `Request.cancelled` is true.
"""

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from queue import Empty
from typing import Any

from langchain_core.exceptions import ModelTimeoutError

from langplug._bridge.channel import Channel
from langplug._bridge.loop import long_lived_loop
from langplug._bridge.shapes import Shape
from langplug._bridge.threads import spawn
from langplug._request import Request

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
) -> AsyncGenerator[Any, None]:
    """The answer's parts, for an async caller. `timeout` in seconds, for the whole answer."""
    if not shape.is_async:
        return _aparts_from_thread(respond, shape, request, timeout)
    if timeout is not None:
        return _with_deadline(_own_aparts(respond, shape, request), timeout)
    return _own_aparts(respond, shape, request)


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
        finally:
            request.cancellation.set()
        return
    stream = respond(request)
    try:
        async for part in stream:
            yield part
    finally:
        request.cancellation.set()
        await stream.aclose()


async def _with_deadline(stream: AsyncGenerator[Any, None], timeout: float) -> AsyncGenerator[Any, None]:
    deadline = asyncio.get_running_loop().time() + timeout
    try:
        while True:
            limit = asyncio.timeout_at(deadline)
            try:
                async with limit:
                    part = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                if not limit.expired():  # the author's own
                    raise
                raise _too_late(timeout) from error
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
        channel.close()
        request.cancellation.set()


async def _aparts_from_thread(
    respond: Respond, shape: Shape, request: Request, timeout: float | None
) -> AsyncGenerator[Any, None]:
    channel = _start_thread(respond, shape, request)
    try:
        async for part in channel if timeout is None else _with_deadline(_all(channel), timeout):
            yield part
    finally:
        channel.close()
        request.cancellation.set()


async def _all(channel: Channel[Any]) -> AsyncGenerator[Any, None]:
    async for part in channel:
        yield part


# --- from the long-lived loop ---


def _parts_from_loop(
    respond: Respond, shape: Shape, request: Request, timeout: float | None
) -> Generator[Any, None, None]:
    channel: Channel[Any] = Channel()
    work = _aproduce(_own_aparts(respond, shape, request), channel)
    running = long_lived_loop().submit(work, contextvars.copy_context())
    try:
        yield from _read(channel, timeout)
    finally:
        request.cancellation.set()
        channel.close()
        running.stop()


async def _aproduce(stream: AsyncGenerator[Any, None], channel: Channel[Any]) -> None:
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


# --- reading a channel from a thread ---


def _read(channel: Channel[Any], timeout: float | None) -> Iterator[Any]:
    deadline = None if timeout is None else time.monotonic() + timeout
    while (batch := _take(channel, deadline, timeout)) is not None:
        yield from batch


def _take(channel: Channel[Any], deadline: float | None, timeout: float | None) -> list[Any] | None:
    if deadline is None or timeout is None:
        return channel.take()
    try:
        return channel.take(max(0.0, deadline - time.monotonic()))
    except Empty:
        raise _too_late(timeout) from None


def _too_late(timeout: float) -> ModelTimeoutError:
    return ModelTimeoutError(
        f"The answer took longer than timeout={timeout!r} seconds. Raise `timeout`, or set it to None to wait for ever."
    )

