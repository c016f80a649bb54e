"""The exchange as a server of aiohttp's: what the command runs."""

import asyncio
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Self

from aiohttp import ClientConnectionResetError, HttpVersion11, web

from langplug._bridge.futures import settle_from_thread
from langplug.serve.exchange import Exchange, Request

_BACKLOG: Final = 2048
"""Connections that may wait to be accepted: one that finds no place is tried again after a second."""

_MOST_UNSENT: Final = 64 * 1024
"""Bytes that wait for a client before its model does; where asyncio's transports draw the line, too."""


class ListenError(Exception):
    """The port cannot be listened on."""


def runner_of(exchange: Exchange) -> web.AppRunner:
    """What serves the exchange, once it is set up and has a site. A client that leaves stops the model.

    Cleaning it up first waits for the answers that are being given: it takes no new ones.
    """
    application = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.path, headers, request.content.iter_any())
        outlet = _Outlet(request)
        reply = await exchange.handle(asked, outlet.open)
        if reply is not None:
            return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
        assert outlet.response is not None
        return outlet.response

    application.router.add_route("*", "/{path:.*}", handle)
    return web.AppRunner(application, handler_cancellation=True, access_log=None)


async def serve_until_stopped(
    exchange: Exchange,
    host: str,
    port: int,
    *,
    load: Callable[[], Any],
    tell: Callable[[str], None],
) -> signal.Signals:
    """Serve until SIGTERM or SIGINT comes, and then until the answers are given that are being given.

    What is asked while the models are loaded is answered, too: 503.

    Args:
        exchange: What answers.
        host: The address to listen on.
        port: The port, or 0 for any that is free.
        load: Gives the models for the exchange's catalog; called in a thread, which ends with the process.
        tell: Told the URL when connections are accepted, and again when the models are there.

    Returns:
        The signal that came.

    Raises:
        ListenError: If the port cannot be listened on.
        Exception: What `load` raises.
    """
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(received: signal.Signals) -> None:
        loop.remove_signal_handler(received)  # the same again does not wait
        if not stopped.done():
            stopped.set_result(received)

    runner = runner_of(exchange)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
        except OSError as error:
            raise ListenError(str(error)) from error
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # on Windows, Ctrl-C is an exception that comes by itself
                loop.add_signal_handler(number, stop, number)
        shown = f"[{host}]" if ":" in host else host
        url = f"http://{shown}:{runner.addresses[0][1]}/v1"
        tell(url)
        loading = _in_daemon(load)
        await asyncio.wait({loading, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            exchange.catalog.fill(loading.result())
            tell(url)
        return await stopped
    finally:
        await runner.cleanup()


def _in_daemon(function: Callable[[], Any]) -> asyncio.Future[Any]:
    """The result of `function`, in a thread for which nobody waits who leaves before."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def work() -> None:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001 - whoever waits for the models is told of it
            settle_from_thread(future, error=error)
        else:
            settle_from_thread(future, result)

    threading.Thread(target=work, name="langplug-load", daemon=True).start()
    return future


class _Outlet:
    """A stream's way to its client: past aiohttp, whose own takes a coroutine for each piece.

    Its head is aiohttp's, and so are its first bytes and its end.
    """

    def __init__(self, request: web.Request) -> None:
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

    def write(self, data: bytes) -> None:
        """Send one chunk."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    async def drain(self) -> None:
        """Wait until there is room."""
        with suppress(ClientConnectionResetError):
            await self._request.writer.drain()
