"""Several processes that answer at one port, and one that sees to it that they do.

The supervisor opens the port and starts the workers, which are processes of their own: each loads the models, and takes
connections when it has them. Until the first has, the supervisor answers that the models are being loaded. All of them
wait at the same sockets, so that whoever is idle takes the next connection, and none is lost with a worker that ends.
"""

import asyncio
import json
import signal
import socket
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

from langplug.serve.aiohttp_driver import first_signal, start
from langplug.serve.exchange import Exchange

_LONGEST_PAUSE_S: Final = 60
_STEADY_S: Final = 60
"""Seconds that a worker has to live with its models, so that the next one waits no longer than the first time."""


class WorkersFailed(Exception):
    """No worker has got as far as to have its models.

    Attributes:
        code: The exit code of the one that tried, as shells tell it; what went wrong has been said.
    """

    def __init__(self, code: int) -> None:
        super().__init__(f"a worker ended with exit code {code} before it had its models")
        self.code = code


class Supervisor:
    """Keeps workers running.

    Args:
        command: What starts a worker. It is given the number of a file descriptor: a socket, from which it reads one
            line of JSON, and to which it writes one when it has its models. When the socket's other end is closed, the
            supervisor has gone, and the worker must go, too.
        told: What the line says: this, the worker's `number`, and the file descriptors of the `listening` sockets.
        count: How many workers.
        listening: The sockets at which clients ask.
        front: Answers until a worker does. Its catalog is empty.
        on_ready: Called with what a worker writes, when the first has its models.
        say: Told in a sentence what happens to workers.
    """

    def __init__(
        self,
        command: Sequence[str],
        told: dict[str, Any],
        *,
        count: int,
        listening: Sequence[socket.socket],
        front: Exchange,
        on_ready: Callable[[Any], None],
        say: Callable[[str], None],
    ) -> None:
        self._command = command
        self._told = told
        self._count = count
        self._listening = listening
        self._front = front
        self._on_ready = on_ready
        self._say = say
        self._workers: dict[int, tuple[Process, socket.socket]] = {}
        self._ready: set[int] = set()
        self._first_is_ready = asyncio.Event()
        self._answering: web.BaseRunner | None = None
        self._turn = asyncio.Lock()

    async def run(self) -> signal.Signals:
        """Keep the workers running until SIGTERM or SIGINT comes, and then until all have given their answers.

        Returns:
            The signal that came.

        Raises:
            WorkersFailed: If the first worker ends before it has its models.
        """
        stopped = first_signal()
        await self._answer_meanwhile()
        keeping = [asyncio.create_task(self._keep(1))]
        try:
            first = asyncio.create_task(self._first_is_ready.wait())
            await _any_of(stopped, first, *keeping)
            first.cancel()
            if self._first_is_ready.is_set():  # one has shown that the models can be loaded
                keeping += [asyncio.create_task(self._keep(number)) for number in range(2, self._count + 1)]
            await _any_of(stopped, *keeping)
            if not stopped.done():
                await asyncio.gather(*keeping)  # raises what one has
            return await stopped
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)
            await self._end(stopped.result() if stopped.done() else signal.SIGTERM)

    async def _keep(self, number: int) -> None:
        """Start a worker, and another when it has ended, each time after a longer pause if they do not live long."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            ready_at = None
            process, control = await self._start(number)
            if said := await self._first_line(control):
                ready_at = loop.time()
                self._ready.add(number)
                await self._answer_meanwhile()
                if not self._first_is_ready.is_set():
                    self._first_is_ready.set()
                    self._on_ready(json.loads(said))
            code = await process.wait()
            control.close()
            self._ready.discard(number)
            ended = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            if not self._first_is_ready.is_set():
                if code < 0:  # as for want of memory, of which it cannot say anything itself
                    self._say(f"worker {number} (process {process.pid}) {ended} before it had its models")
                raise WorkersFailed(code if code >= 0 else 128 - code)
            await self._answer_meanwhile()
            was_steady = ready_at is not None and loop.time() - ready_at > _STEADY_S
            pause_s = 1.0 if was_steady else min(max(1.0, 2 * pause_s), _LONGEST_PAUSE_S)
            self._say(f"worker {number} (process {process.pid}) {ended}; another starts in {pause_s:g} s")
            await asyncio.sleep(pause_s)

    async def _start(self, number: int) -> tuple[Process, socket.socket]:
        ours, theirs = socket.socketpair()
        handed = [one.fileno() for one in self._listening]
        told = json.dumps({**self._told, "number": number, "listening": handed})
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(), *handed),
                start_new_session=True,  # so that Ctrl-C comes to the supervisor alone, which hands it on
            )
        self._workers[number] = process, ours
        with suppress(ConnectionError):  # it has ended already, as is seen next
            await asyncio.get_running_loop().sock_sendall(ours, told.encode() + b"\n")
        return process, ours

    @staticmethod
    async def _first_line(control: socket.socket) -> bytes:
        """What a worker says when it has its models; empty if it ends before."""
        said = b""
        with suppress(ConnectionError):
            while not said.endswith(b"\n"):
                piece = await asyncio.get_running_loop().sock_recv(control, 65536)
                if not piece:
                    return b""
                said += piece
        return said

    async def _answer_meanwhile(self) -> None:
        """Answer as long as no worker can."""
        async with self._turn:
            if not self._ready and self._answering is None:
                self._answering = await start(self._front, [*self._listening])
            elif self._ready and self._answering is not None:
                answering, self._answering = self._answering, None
                await answering.cleanup()

    async def _end(self, why: signal.Signals) -> None:
        """Hand the signal on, and wait for the workers; when it comes again, they end at once."""
        if self._answering is not None:
            await self._answering.cleanup()
        for one in self._listening:
            one.close()

        def hand_on(received: signal.Signals) -> None:
            for process, _ in self._workers.values():
                with suppress(ProcessLookupError):
                    process.send_signal(received)

        asyncio.get_running_loop().add_signal_handler(why, hand_on, signal.SIGKILL)
        hand_on(why)
        for process, control in self._workers.values():
            await process.wait()
            control.close()


async def _any_of(*awaited: asyncio.Future[Any]) -> None:
    await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
