"""One run of a program: a process group of its own, three pipes, and an end in good order whatever happens."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Protocol, Self, cast

from langplug._bridge.threads import spawn
from langplug.models.command.process_group import EXIT_S, REAP_S, SIGKILL, SIGTERM, Child, Launch, close_pipes, settle

__all__ = ["Launch", "Program"]

_MOST_HELD = 256 * 1024
"""Bytes of output that are read ahead before the program has to wait for its reader."""

# --- its pipes ---


class _Output(asyncio.Protocol):
    """What the program writes to its stdout, held until it is taken; a program too fast for its reader has to wait."""

    def __init__(self) -> None:
        self.ended = False
        self._held: list[bytes] = []
        self._size = 0
        self._dropping = False
        self._transport: asyncio.ReadTransport | None = None
        self._changed: asyncio.Future[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether there is something to take, or nothing to wait for."""
        return self.ended or bool(self._held)

    def take(self) -> bytes:
        """All that is there; empty at the end."""
        data = b"".join(self._held)
        self._held.clear()
        if self._size >= _MOST_HELD and self._transport is not None:
            self._transport.resume_reading()
        self._size = 0
        return data

    def drop(self) -> None:
        """Throw away all that is there and all that comes."""
        self._dropping = True
        self.take()

    def changed(self) -> "asyncio.Future[None]":
        """What is done as soon as more is there, or the end is."""
        if self._changed is None or self._changed.done():
            self._changed = asyncio.get_running_loop().create_future()
        return self._changed

    def end(self) -> None:
        """Nothing more comes."""
        self.ended = True
        self._wake()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is connected to the loop."""
        self._transport = cast("asyncio.ReadTransport", transport)

    def data_received(self, data: bytes) -> None:
        """More has come."""
        if self._dropping:
            return
        self._held.append(data)
        self._size += len(data)
        if self._size >= _MOST_HELD and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """All who could write have closed the pipe, or we have."""
        self.end()

    def _wake(self) -> None:
        if self._changed is not None:
            settle(self._changed, None)


class _Input(asyncio.BaseProtocol):
    """What the program can read from its stdin. It need not read it."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is connected to the loop."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """All is written, or nobody reads any more."""
        self._transport = None

    def write(self, data: bytes) -> None:
        """Write all of it and close the pipe, as fast as it is read."""
        if self._transport is not None:
            self._transport.write(data)
            self._transport.close()

    def close(self) -> None:
        """Close the pipe, whatever is still to be written."""
        if self._transport is not None:
            self._transport.abort()


class _Tail(asyncio.Protocol):
    """The end of what the program writes to its stderr, read as fast as it comes."""

    def __init__(self, limit: int) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.cut = False
        self._limit = limit
        self._held = bytearray()

    def data_received(self, data: bytes) -> None:
        """More has come."""
        self._held += data
        if len(self._held) > self._limit:
            self.cut = True
            del self._held[: -self._limit]

    def connection_lost(self, exc: Exception | None) -> None:
        """All who could write have closed the pipe, or we have."""
        settle(self.ended, None)

    @property
    def data(self) -> bytes:
        """What is kept of it."""
        return bytes(self._held)


class _Closable(Protocol):
    """A pipe that is connected to a loop."""

    def close(self) -> None:
        """Close it, again or for the first time."""
        ...


# --- the run ---


class Program:
    """A running program. Whoever starts it stops it.

    Raises, when it starts:
        OSError: If the system cannot start it.
        ValueError: If an argument cannot be one.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._child = Child(launch)
        self._output = _Output()
        self._errors = _Tail(launch.stderr_limit)
        self._connected: list[_Closable] = []

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start it and hand it its stdin."""
        program = cls(launch)
        try:
            await program._open()
        except BaseException:
            await program.stop()
            raise
        return program

    async def read(self) -> bytes:
        """What it has written to its stdout since the last time, waiting for more; empty at the end.

        When the program has ended but something that it started still holds its output, and has been silent for
        `linger` seconds, that is ended, too.
        """
        output, exited = self._output, self._child.exited
        while not output.ready:
            if not exited.done():
                either: set[asyncio.Future[Any]] = {output.changed(), exited}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            elif not await _done(output.changed(), self._launch.linger):
                await self._end_rest()
        return output.take()

    async def exit_status(self) -> int | None:
        """Its exit status, negative for a signal. None if it goes on for more than `linger` seconds."""
        self._output.drop()
        exited = self._child.exited
        if not await _done(exited, self._launch.linger):
            return None
        await _done(self._errors.ended, EXIT_S)  # what it said last may still be on its way
        return exited.result()

    @property
    def stderr(self) -> bytes:
        """The end of what it has written to its stderr."""
        return self._errors.data

    @property
    def stderr_was_cut(self) -> bool:
        """Whether there was more of it."""
        return self._errors.cut

    async def stop(self) -> None:
        """End it and all that it started, unless it has ended by itself, and wait until they are gone.

        SIGTERM first, and SIGKILL after `kill_after` seconds, or at once if whoever waits is cancelled, or cannot wait
        because the event loop is closed.
        """
        child = self._child
        try:
            if not (child.exited.done() and self._output.ended) and child.signal(SIGTERM) and _has_loop():
                await self._gone(self._launch.kill_after)
        finally:
            if not (child.exited.done() and self._output.ended):
                child.kill()
            self._close_pipes()
        if _has_loop() and child.error is None:
            await _done(child.exited, REAP_S)

    async def _open(self) -> None:
        await asyncio.wait({self._child.started})
        if self._child.error is not None:
            raise self._child.error
        process, loop = self._child.process, asyncio.get_running_loop()
        assert process is not None
        reading, _ = await loop.connect_read_pipe(lambda: self._output, process.stdout)
        self._connected.append(reading)
        complaints, _ = await loop.connect_read_pipe(lambda: self._errors, process.stderr)
        self._connected.append(complaints)
        if self._launch.stdin is not None:
            _, stdin = await loop.connect_write_pipe(_Input, process.stdin)
            self._connected.append(stdin)
            stdin.write(self._launch.stdin)

    async def _end_rest(self) -> None:
        """End what the program left running with its output in hand; if even that does not help, give the output up."""
        ended = self._output.changed()
        self._child.signal(SIGTERM)
        if not await _done(ended, self._launch.kill_after):
            self._child.signal(SIGKILL)
            if not await _done(ended, EXIT_S):
                self._output.end()

    async def _gone(self, seconds: float) -> None:
        """Wait until nobody is left in the group, for at most `seconds`."""
        until = time.monotonic() + seconds
        await _done(self._child.exited, seconds)
        pause = 0.002
        while self._child.signal(0) and await _in_thread(self._child.is_inhabited) and time.monotonic() < until:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.05)

    def _close_pipes(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and so are they
            for pipe in self._connected:
                pipe.close()
        if self._child.process is not None:
            close_pipes(self._child.process, len(self._connected))


async def _done(future: "asyncio.Future[Any]", timeout: float) -> bool:
    """Whether it is done within `timeout` seconds. It is not cancelled when whoever waits here is."""
    return future in (await asyncio.wait({future}, timeout=timeout))[0]


async def _in_thread(function: Callable[[], bool]) -> bool:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bool] = loop.create_future()

    def work() -> None:
        found = function()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, answer, found)

    spawn(work)
    return await answer


def _has_loop() -> bool:
    """Whether one can wait: not where a forgotten answer is closed after its loop."""
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - as documented: get_running_loop without an exception
