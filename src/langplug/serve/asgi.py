"""The exchange as an ASGI application: for uvicorn, granian, or mounted in anybody's FastAPI.

Source: https://asgi.readthedocs.io/en/latest/specs/www.html.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Self

from langplug.serve.exchange import Exchange, Request, headers_of

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MOST_UNSENT: Final = 64 * 1024
"""Bytes that wait for a client before its model does."""


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
        headers = headers_of((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        async with asyncio.TaskGroup() as group:
            outlet = _Outlet(send, group)
            asked = Request(scope["method"], path, headers, body)
            reply = await self.exchange.handle(asked, outlet.open)
            if reply is None:
                outlet.end()
                return
        await send(_start(reply.status, reply.headers))
        await send({"type": "http.response.body", "body": reply.body})


class _Outlet:
    """A stream's way to its client. What comes while a message is being sent makes the next message.

    Messages are sent in a task: `send` may wait, and may ask which task it is called in.
    """

    def __init__(self, send: Send, group: asyncio.TaskGroup) -> None:
        self._send = send
        self._group = group
        self._unsent: list[bytes] = []
        self._size = 0
        self._is_over = False
        self._has_left = False
        self._sending: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def open(self, headers: dict[str, str], first: bytes) -> Self:
        """Send the head and the first bytes."""
        self.write(first)
        self._sending = self._group.create_task(self._send_all(_start(200, headers)))
        return self

    @property
    def has_room(self) -> bool:
        """Whether little of what was written is still to be sent."""
        return self.unsent <= _MOST_UNSENT

    @property
    def unsent(self) -> int:
        """Bytes that the next message will have: the server does not tell what it has sent of the last."""
        return self._size

    def write(self, data: bytes) -> None:
        """Send `data` with the next message."""
        if not self._has_left:
            self._unsent.append(data)
            self._size += len(data)
            self._arrived.set()

    async def drain(self) -> None:
        """Wait until the next message is sent."""
        self._taken.clear()
        await self._taken.wait()

    def end(self) -> None:
        """Send what there is, and the end."""
        self._is_over = True
        self._arrived.set()

    def abort(self) -> None:
        """Send nothing more: the server then sees an answer without an end, and closes the connection."""
        assert self._sending is not None
        self._has_left = True
        self._sending.cancel()

    async def _send_all(self, start: Message) -> None:
        try:
            await self._send(start)
            while not self._is_over or self._unsent:
                await self._arrived.wait()
                self._arrived.clear()
                data = b"".join(self._unsent)
                self._unsent.clear()
                self._size = 0
                self._taken.set()
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            await self._send({"type": "http.response.body", "body": b""})
        except OSError:  # the client has left, and the cancellation is on its way
            self._has_left = True
            self._size = 0
            self._taken.set()


def _start(status: int, headers: Mapping[str, str]) -> Message:
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": sent}


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
