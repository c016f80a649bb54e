"""The exchange as an ASGI application: for uvicorn, granian, or mounted in anybody's FastAPI.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from langplug.serve.exchange import Exchange, Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Application:
    """What an ASGI server calls. A client that leaves cancels its request, and so stops the model."""

    exchange: Exchange

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's scope."""
        if scope["type"] == "lifespan":
            kind = ""
            while kind != "lifespan.shutdown":
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
        elif scope["type"] == "http":
            body = _Body(receive)
            work = asyncio.ensure_future(self._serve(scope, body, send))
            watch = asyncio.ensure_future(body.wait_for_leaving())
            try:
                await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                is_done = work.done()
                work.cancel()
                watch.cancel()
                await asyncio.gather(work, watch, return_exceptions=True)
            if is_done:
                work.result()

    async def _serve(self, scope: Message, body: "_Body", send: Send) -> None:
        # a mounted application is asked under its root, which is no part of the paths that it knows
        path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        reply = await self.exchange.handle(Request(scope["method"], path, headers, body))
        sent = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
        start = {"type": "http.response.start", "status": reply.status, "headers": sent}
        if isinstance(reply.body, bytes):
            await send(start)
            await send({"type": "http.response.body", "body": reply.body})
            return
        async with aclosing(reply.body) as pieces:
            await send(start)
            await send({"type": "http.response.body", "body": reply.opening, "more_body": True})
            async for piece in pieces:
                if piece:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _Body:
    """The body of a request as it comes, and what comes after it: that the client leaves."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_read = asyncio.Event()
        self._has_left = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        goes_on = True
        while goes_on:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._has_left = True
                self._is_read.set()
                await asyncio.Event().wait()  # until the request is cancelled: there is nobody to answer
            yield message.get("body", b"")
            goes_on = message.get("more_body", False)
        self._is_read.set()

    async def wait_for_leaving(self) -> None:
        """Return when the client has left. Before the body is read, what it sends is the body's to receive."""
        await self._is_read.wait()
        while not self._has_left:
            self._has_left = (await self._receive())["type"] == "http.disconnect"
