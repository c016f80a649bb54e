"""The exchange as a server of aiohttp's: what the command runs."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import aclosing, suppress

from aiohttp import ClientConnectionResetError, web

from langplug.serve.exchange import Exchange, Reply, Request


def runner_of(exchange: Exchange) -> web.AppRunner:
    """What serves the exchange, once it is set up and has a site. A client that leaves stops the model.

    Cleaning it up first waits for the answers that are being given: it takes no new ones.
    """
    application = web.Application()

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(request.method, request.path, headers, request.content.iter_any())
        return await _send(await exchange.handle(asked), request)

    application.router.add_route("*", "/{path:.*}", handle)
    return web.AppRunner(application, handler_cancellation=True, access_log=None)


async def serve_until_stopped(
    exchange: Exchange, host: str, port: int, *, on_ready: Callable[[str], None]
) -> signal.Signals:
    """Serve until SIGTERM or SIGINT comes, and then until the answers are given that are being given.

    Args:
        exchange: What answers.
        host: The address to listen on.
        port: The port, or 0 for any that is free.
        on_ready: Told the URL when connections are accepted.

    Returns:
        The signal that came.

    Raises:
        OSError: If the port cannot be listened on.
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
        await web.TCPSite(runner, host, port).start()
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError):  # on Windows, Ctrl-C is an exception that comes by itself
                loop.add_signal_handler(number, stop, number)
        shown = f"[{host}]" if ":" in host else host
        on_ready(f"http://{shown}:{runner.addresses[0][1]}/v1")
        return await stopped
    finally:
        await runner.cleanup()


async def _send(reply: Reply, request: web.Request) -> web.StreamResponse:
    if isinstance(reply.body, bytes):
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    async with aclosing(reply.body) as pieces:
        try:
            await response.prepare(request)
            await response.write(reply.opening)
            async for piece in pieces:
                if piece:
                    await response.write(piece)
        except ClientConnectionResetError:  # the client left, and the cancellation is on its way
            pass
    return response
