"""The exchange as a server of aiohttp's: what the command runs."""

import asyncio
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from typing import Any, Final, Self, TypeVar

from aiohttp import ClientConnectionResetError, HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from langplug._bridge.threads import in_thread
from langplug.serve.exchange import Exchange, Request, headers_of

_BACKLOG: Final = 2048
"""Connections that may wait to be accepted: one that finds no place is tried again after a second."""

_MOST_UNSENT: Final = 64 * 1024
"""Bytes that wait for a client before its model does; where asyncio's transports draw the line, too."""

_AS_LONG_AS_IT_TAKES_S: Final = 7 * 86400.0
"""Seconds for which answers may go on when the server is stopped. Whoever cannot wait sends the signal again."""

_AT_ONCE: Final = 8
"""Connections that are taken before the loop does something else."""

_LONGEST_MS: Final = 2**31 - 1
"""The longest time that Linux takes for a connection: 25 days."""

T = TypeVar("T")


class ListenError(Exception):
    """The port cannot be listened on.

    Attributes:
        number: The system's number of the error, such as `errno.EADDRINUSE`.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__((error.strerror or str(error)).partition(" (while")[0])  # asyncio repeats the address
        self.number = error.errno


def _is_own_failure(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError)  # anybody may send what is no HTTP


_log = logging.getLogger("langplug.serve.http")
_log.addFilter(_is_own_failure)


def runner_of(exchange: Exchange) -> web.BaseRunner:
    """What serves the exchange, once it is set up and has a site. A client that leaves stops the model.

    Cleaning it up first waits for the answers that are being given: it takes no new ones.
    """

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked = Request(request.method, request.path, headers_of(request.headers.items()), _body_of(request))
        outlet = _Outlet(request)
        reply = await exchange.handle(asked, outlet.open)
        if reply is not None:
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        assert outlet.response is not None
        return outlet.response

    # An application of aiohttp's would answer some requests by itself, and ask for bodies before the gate is passed;
    # what it cannot decompress it would refuse in its own words.
    server = web.Server(handle, handler_cancellation=True, auto_decompress=False, access_log=None, logger=_log)
    return web.ServerRunner(server, shutdown_timeout=_AS_LONG_AS_IT_TAKES_S)


async def _body_of(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """The body, for which a client may wait to be asked."""
    waits = request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue"
    if waits and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    async for piece in request.content.iter_any():
        yield piece


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at every address of `host`.

    Args:
        host: An address, or a name of this machine.
        port: The port, or 0 for one that is free.

    Raises:
        ListenError: If it cannot be listened on.
    """
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, (address, *_) in dict.fromkeys((family, place) for family, _, _, _, place in found):
            number = opened[0].getsockname()[1] if opened else port
            opened.append(socket.create_server((str(address), number), family=family, backlog=_BACKLOG))
    except OSError as error:
        for one in opened:
            one.close()
        raise ListenError(error) from error
    return opened


def url_of(listening: list[socket.socket]) -> str:
    """The address to give to clients."""
    host, port, *_ = listening[0].getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


async def start(exchange: Exchange, listening: list[socket.socket]) -> web.BaseRunner:
    """Take connections; cleaning up what is returned ends that, and leaves the sockets open."""
    runner = runner_of(exchange)
    await runner.setup()
    for one in listening:
        if exchange.write_timeout is not None and sys.platform == "linux":  # for answers that are sent in one piece
            patience_ms = max(1, round(min(exchange.write_timeout * 1000, _LONGEST_MS)))
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)
        await web.SockSite(runner, one.dup(), backlog=_AT_ONCE).start()
        one.listen(_BACKLOG)  # asyncio's backlog is also how many it takes at once: workers are to share a burst
    return runner


async def serve_until_stopped(
    exchange: Exchange,
    listening: list[socket.socket],
    *,
    load: Callable[[], Any],
    tell: Callable[[], None],
    is_worker: bool = False,
) -> signal.Signals:
    """Serve until SIGTERM or SIGINT comes, and then until the answers are given that are being given.

    Args:
        exchange: What answers.
        listening: Where.
        load: Gives the models for the exchange's catalog; called in a thread, which ends with the process.
        tell: Called when connections are accepted, and when the models are there.
        is_worker: Whether others answer at the same sockets. Then it takes no connection before it has its models.
            Else it says that it is loading: 503.

    Returns:
        The signal that came.

    Raises:
        Exception: What `load` raises.
    """
    runner = None
    stopped = first_signal()
    try:
        if not is_worker:
            runner = await start(exchange, listening)
            tell()
        loading = asyncio.ensure_future(in_thread(load))
        await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            exchange.catalog.fill(loading.result())
            _set_apart()
            runner = runner or await start(exchange, listening)
            tell()
        return await stopped
    finally:
        for one in listening:
            one.close()
        if runner is not None:
            await runner.cleanup()


def _set_apart() -> None:
    """Have the garbage collector pass over what is there by now: it would look through all of LangChain in a burst.

    That takes a tenth of a second, in which nobody gets a token.
    """
    gc.collect()
    gc.freeze()


def run_on(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` as `asyncio.run` does, but to its end, whatever ends in between.

    Agents run their tools in tasks of their own, and a task from which `SystemExit` comes ends the loop of all.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)
        while True:
            try:
                return loop.run_until_complete(task)
            except SystemExit:
                if task.done():
                    raise


def first_signal() -> asyncio.Future[signal.Signals]:
    """The first SIGINT or SIGTERM that comes to the process. The same again ends it at once."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(received: signal.Signals) -> None:
        loop.remove_signal_handler(received)
        signal.signal(received, signal.SIG_DFL)  # Python's own for Ctrl-C unwinds what runs, and shows where it was
        if not stopped.done():
            stopped.set_result(received)

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # on Windows, Ctrl-C is an exception that comes by itself
            loop.add_signal_handler(number, stop, number)
    return stopped


class _Outlet:
    """A stream's way to its client: past aiohttp, whose own takes a coroutine for each piece.

    Its head is aiohttp's, and so are its first bytes and its end.
    """

    def __init__(self, request: web.BaseRequest) -> None:
        self.response: web.StreamResponse | None = None
        self._request = request
        self._is_chunked = request.version >= HttpVersion11
        self._transport = request.transport

    async def open(self, headers: dict[str, str], first: bytes) -> Self:
        """Send the head and the first bytes."""
        self.response = web.StreamResponse(headers=headers)
        with suppress(ClientConnectionResetError):  # the client has left, and the cancellation is on its way
            await self.response.prepare(self._request)
            await self.response.write(first)
        return self

    @property
    def has_room(self) -> bool:
        """Whether little of what was written is still to be sent."""
        transport = self._transport
        return transport is None or transport.is_closing() or transport.get_write_buffer_size() <= _MOST_UNSENT

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken: here and, where it can be asked, in the operating system's buffer."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return 0
        queued = 0
        # That may hold megabytes, and takes none from here before a third of them is gone.
        with suppress(ImportError, OSError):
            import fcntl
            import termios

            connection: socket.socket = transport.get_extra_info("socket")
            told = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
            queued = int.from_bytes(told, sys.byteorder)
        return transport.get_write_buffer_size() + queued

    def write(self, data: bytes) -> None:
        """Send one chunk."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    async def drain(self) -> None:
        """Wait until there is room."""
        with suppress(ClientConnectionResetError):
            await self._request.writer.drain()

    def abort(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()
