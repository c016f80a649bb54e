"""One run of a program: a process group of its own, three pipes, and an orderly end whatever happens."""

import asyncio
import contextlib
import time
from typing import Any, Protocol, Self, cast

from langplug._bridge.threads import in_thread
from langplug.models.command.process_group import (
    EXIT_S,
    REAP_S,
    SIGKILL,
    SIGTERM,
    Launch,
    ProcessGroup,
    close_pipes,
    settle,
)

__all__ = ["Launch", "Process"]

_MOST_HELD = 256 * 1024
"""Bytes of output that are read ahead before the program has to wait for its reader."""

# --- its pipes ---


class _Stdout(asyncio.Protocol):
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

    def change(self) -> "asyncio.Future[None]":
        """Done as soon as more has come, or the end has."""
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


class _Stdin(asyncio.BaseProtocol):
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


class _Stderr(asyncio.Protocol):
    """The end of what the program writes to its stderr, read as fast as it comes."""

    def __init__(self, limit: int) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.was_cut = False
        self._limit = limit
        self._held = bytearray()

    def data_received(self, data: bytes) -> None:
        """More has come."""
        self._held += data
        if len(self._held) > self._limit:
            self.was_cut = True
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


class Process:
    """A running program. Whoever starts it stops it."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._group = ProcessGroup(launch)
        self._stdout = _Stdout()
        self._stderr = _Stderr(launch.stderr_limit)
        self._connected: list[_Closable] = []

    @classmethod
    async def start(cls, launch: Launch) -> Self:
        """Start a program and write to its stdin.

        Raises:
            OSError: If the system cannot start it.
            ValueError: If an argument cannot be one.
        """
        process = cls(launch)
        group, connected, loop = process._group, process._connected, asyncio.get_running_loop()
        try:
            await asyncio.wait({group.started})
            if group.error is not None:
                raise group.error  # noqa: TRY301 - whatever fails here, the process is stopped
            assert group.process is not None
            # One after the other, each noted at once: if this is cancelled in between, `stop` closes the others itself.
            stdout, _ = await loop.connect_read_pipe(lambda: process._stdout, group.process.stdout)
            connected.append(stdout)
            stderr, _ = await loop.connect_read_pipe(lambda: process._stderr, group.process.stderr)
            connected.append(stderr)
            if launch.stdin is not None:
                _, stdin = await loop.connect_write_pipe(_Stdin, group.process.stdin)
                connected.append(stdin)
                stdin.write(launch.stdin)
        except BaseException:
            await process.stop()
            raise
        return process

    async def read(self) -> bytes:
        """What it has written to its stdout since the last time, waiting for more; empty at the end.

        If the program has ended, but something that it started still holds its output and has been silent for `linger`
        seconds, then that is ended, too.
        """
        stdout, group = self._stdout, self._group
        while not stdout.ready:
            change = stdout.change()
            if not group.exited.done():
                either: set[asyncio.Future[Any]] = {change, group.exited}
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            elif not await _wait_for(change, self._launch.linger):
                group.signal(SIGTERM)
                if not await _wait_for(change, self._launch.kill_after):
                    group.signal(SIGKILL)
                    # Whoever has left the group (`setsid`) is out of reach: give its output up.
                    if not await _wait_for(change, EXIT_S):
                        stdout.end()
        return stdout.take()

    async def exit_status(self) -> int | None:
        """Its exit status, negative for a signal. None if it goes on for more than `linger` seconds."""
        self._stdout.drop()
        exited = self._group.exited
        if not await _wait_for(exited, self._launch.linger):
            return None
        await _wait_for(self._stderr.ended, EXIT_S)  # what it said last may still be on its way
        return exited.result()

    @property
    def stderr(self) -> bytes:
        """The end of what it has written to its stderr."""
        return self._stderr.data

    @property
    def stderr_was_cut(self) -> bool:
        """Whether there was more before `stderr`."""
        return self._stderr.was_cut

    async def stop(self) -> None:
        """End it and all that it started, unless it has ended by itself, and wait until they are gone.

        SIGTERM comes first, and SIGKILL after `kill_after` seconds, or at once if whoever waits is cancelled, or cannot
        wait because the event loop is closed.
        """
        group = self._group
        try:
            if not self._has_ended() and group.signal(SIGTERM) and _has_loop():
                until = time.monotonic() + self._launch.kill_after
                await _wait_for(group.exited, self._launch.kill_after)
                # Nothing tells when the children of the program end: look again and again, less and less often.
                pause = 0.002
                while group.signal(0) and await in_thread(group.is_inhabited) and time.monotonic() < until:
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, 0.05)
        finally:
            if not self._has_ended():
                group.kill()
            with contextlib.suppress(RuntimeError):  # the loop is closed, and so are they
                for pipe in self._connected:
                    pipe.close()
            if group.process is not None:
                close_pipes(group.process, len(self._connected))
        if _has_loop() and group.error is None:
            await _wait_for(group.exited, REAP_S)

    def _has_ended(self) -> bool:
        """Whether the program has ended, and nothing that it started holds its output."""
        return self._group.exited.done() and self._stdout.ended


async def _wait_for(future: "asyncio.Future[Any]", timeout: float) -> bool:
    """Whether it is done within `timeout` seconds. It is not cancelled when whoever waits here is."""
    return future in (await asyncio.wait({future}, timeout=timeout))[0]


def _has_loop() -> bool:
    """Whether one can wait: not if an abandoned answer is closed after its loop."""
    return asyncio._get_running_loop() is not None  # noqa: SLF001 - as documented: get_running_loop without an exception
