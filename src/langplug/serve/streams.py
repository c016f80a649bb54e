"""A streamed answer on its way out: in the task that reads the model, from the first byte to the last."""

import asyncio
import logging
import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Final, Protocol, Self

from langplug.serve.deltas import Delta, Ending
from langplug.serve.errors import api_error_of
from langplug.serve.metrics import LEFT, Watch
from langplug.serve.wires.wire import Writer

log = logging.getLogger("langplug.serve")

_MOST_KEPT: Final = 256
"""Pieces that are kept for a client that reads too slowly; then the model waits."""

_LONG: Final = 4096
"""Bytes above which a piece is not kept with others, but waits for room at once."""


class Outlet(Protocol):
    """Where a driver sends the bytes of one stream."""

    @property
    def has_room(self) -> bool:
        """Whether what is written now is sent soon."""
        ...

    @property
    def unsent(self) -> int:
        """Bytes that the client has still to take, as far as the driver sees them go."""
        ...

    def write(self, data: bytes, /) -> None:
        """Send `data`, without waiting. What is written for a client that has left is dropped."""
        ...

    async def drain(self) -> None:
        """Wait until there is room."""
        ...

    def abort(self) -> None:
        """Drop what is unsent, and the connection if the driver can: the client takes nothing."""
        ...


class ClientStalledError(Exception):
    """The client is there, and has taken nothing for too long."""


OpenStream = Callable[[bytes], Awaitable[Outlet]]
"""Sends the head of a stream and its first bytes."""


class Stream:
    """One streamed answer.

    The model is read in the task that sends what it says. Bytes go out whenever that task is about to wait: what comes
    at once is sent at once, and nothing is held for a timer. Only pings, where nothing comes, are a timer's work.

    Args:
        writer: Writes the answer in the words of a wire.
        watch: Told of the first piece and of how it ended.
        open_stream: Called when there is something to send.
        ping_interval: Seconds after which a stream in which nothing comes says that it lives; None for never.
        write_timeout: Seconds after which a client that takes nothing of what waits for it is given up; None for never.
    """

    def __init__(
        self,
        writer: Writer,
        watch: Watch,
        open_stream: OpenStream,
        *,
        ping_interval: float | None = None,
        write_timeout: float | None = None,
    ) -> None:
        self._writer = writer
        self._watch = watch
        self._open_stream = open_stream
        self._ping_interval = ping_interval
        self._write_timeout = write_timeout
        self._pieces = [writer.begin()]  # before the first delta: a writer numbers its events, say
        self._outlet: Outlet | None = None
        self._opening = asyncio.Lock()

    async def send(
        self, deltas: AsyncGenerator[Delta | Ending], within: AbstractAsyncContextManager[None], request_id: str
    ) -> None:
        """Send the answer. It ends with an ending or an error, never without either, if its client takes it.

        Args:
            deltas: What is sent, and closed. Whoever cancels this stops it.
            within: Held while they are read.
            request_id: For the log.

        Raises:
            Exception: What the model raises before anything has been sent.
        """
        try:
            await self._send_answer(deltas, within, request_id)
            await self._make_room()
        except ClientStalledError as error:
            assert self._outlet is not None
            log.warning("%s: %s", request_id, error)
            self._watch.end(LEFT)
            self._outlet.abort()

    async def _send_answer(
        self, deltas: AsyncGenerator[Delta | Ending], within: AbstractAsyncContextManager[None], request_id: str
    ) -> None:
        try:
            async with _Pulse(self._ping, self._ping_interval) as pulse:
                await flushing(self._write(deltas, within, pulse), self._flush)
            self._watch.end(200)
        except ClientStalledError:
            raise
        except Exception as error:
            if self._outlet is None:
                raise
            told = api_error_of(error)
            where = None if told is error else error  # what the server itself ends, as after a time, has failed nowhere
            log.warning("%s: failed in the middle of an answer: %s", request_id, told, exc_info=where)
            self._watch.end(told.status)
            self._pieces.append(self._writer.fail(told))

    async def _write(
        self, deltas: AsyncGenerator[Delta | Ending], within: AbstractAsyncContextManager[None], pulse: "_Pulse"
    ) -> None:
        feed, pieces, watch, now = self._writer.feed, self._pieces, self._watch, asyncio.get_running_loop().time
        async with within, aclosing(deltas):
            async for delta in deltas:
                if isinstance(delta, Ending):
                    watch.used(delta.usage)
                    piece = self._writer.end(delta)
                else:
                    piece = feed(delta)
                pieces.append(piece)
                pulse.since = now()
                if not watch.has_first:
                    watch.first()
                if self._outlet is None:
                    await self._open()
                elif len(pieces) >= _MOST_KEPT or len(piece) > _LONG:
                    await self._make_room()

    async def _open(self) -> None:
        """Send the head and what there is, unless a ping has done so."""
        async with self._opening:
            if self._outlet is None:
                begun = b"".join(self._pieces)
                self._pieces.clear()
                self._outlet = await self._open_stream(begun)

    def _flush(self) -> None:
        outlet, pieces = self._outlet, self._pieces
        if pieces and outlet is not None and outlet.has_room:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            if data:
                outlet.write(data)

    async def _make_room(self) -> None:
        """Let others have their turn, and wait for a client that reads too slowly."""
        assert self._outlet is not None
        await asyncio.sleep(0)
        self._flush()
        while self._pieces:
            await self._wait_for_client(self._outlet)
            self._flush()

    async def _wait_for_client(self, outlet: Outlet) -> None:
        """Wait until there is room; a client that takes a little each time may take as long as it likes."""
        waiting = asyncio.ensure_future(outlet.drain())  # once: aiohttp's cannot be waited for again after a timeout
        try:
            unsent = outlet.unsent
            while not (await asyncio.wait({waiting}, timeout=self._write_timeout))[0]:
                if outlet.unsent >= unsent:
                    waited = f"the client has taken nothing for {self._write_timeout:g} s"
                    raise ClientStalledError(f"{waited}, and is given up; its model is stopped")
                unsent = outlet.unsent
            waiting.result()
        finally:
            waiting.cancel()

    async def _ping(self) -> None:
        """Say that the stream lives. The first ping sends its head: what fails later has no status of its own."""
        await self._open()
        if not self._pieces:
            self._pieces.append(self._writer.ping())
            self._flush()


@types.coroutine
def flushing(work: Coroutine[Any, Any, None], flush: Callable[[], None]) -> Generator[Any, Any, None]:
    """Await `work`, and call `flush` whenever it is about to wait, and at its end."""
    thrown: BaseException | None = None
    try:
        while True:
            waits_for = work.send(None) if thrown is None else work.throw(thrown)
            thrown = None
            flush()
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001 - a cancellation, say, which is for whatever `work` waits for
                thrown = error
    except StopIteration:
        flush()


class _Pulse:
    """Has `beat` run, in a task, whenever nothing has come for so long. What comes costs no timer.

    Attributes:
        since: When something came last, as the loop counts time.
    """

    def __init__(self, beat: Callable[[], Coroutine[Any, Any, None]], after_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._beat = beat
        self._after_s = after_s
        self.since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._beating: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._check()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    def _check(self) -> None:
        if self._after_s is not None:
            now = self._loop.time()
            if now >= self.since + self._after_s:
                if self._beating is None or self._beating.done():  # a client that takes nothing needs no second ping
                    self._beating = self._loop.create_task(self._beat())
                self.since = now
            self._timer = self._loop.call_at(self.since + self._after_s, self._check)
