"""What stands between a client and a server: a proxy, and a port that speaks TLS; each a thread with its own loop."""

import asyncio
import contextlib
import ssl
import threading
from base64 import b64decode
from collections.abc import Coroutine
from typing import Any, Self


class Relay:
    """Hands on, byte by byte, what comes on a port of its own."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over: asyncio.Event | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._over is not None
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._over.wait()
        server.close()
        while self._open:
            for writer in self._open:
                writer.transport.abort()
            await asyncio.sleep(0.001)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self.answer(reader, writer)
            await closed(writer)
        finally:
            self._open.discard(writer)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        raise NotImplementedError


class To(Relay):
    """All to one port."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        super().__init__(context)
        self._target = port

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await joined(reader, writer, self._target)


class Proxy(Relay):
    """An HTTP proxy, for `CONNECT` as for whole addresses, that lets in whom it knows."""

    def __init__(self, user: str | None = None) -> None:
        super().__init__()
        self._user = user
        self.asked: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, _, headers = head.partition(b"\r\n")
        method, target, _ = first.decode().split()
        self.asked.append(f"{method} {target}")
        if self._user is not None and self._user != known_user(headers):
            if method != "CONNECT":
                await reader.read(65536)  # a request that is answered before it was read may not see the answer
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        elif method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await joined(reader, writer, int(target.rpartition(":")[2]))
        else:
            host, _, path = target.removeprefix("http://").partition("/")
            begun = f"{method} /{path} HTTP/1.1\r\n".encode() + headers
            await joined(reader, writer, int(host.rpartition(":")[2]), begun)


def known_user(headers: bytes) -> str | None:
    for line in headers.decode().splitlines():
        name, _, value = line.partition(":")
        if name.lower() == "proxy-authorization":
            return b64decode(value.split()[1]).decode()
    return None


async def joined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int, begun: bytes = b"") -> None:
    """Both ways at once, until one of them ends."""
    other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
    other_writer.write(begun)
    ways: list[Coroutine[Any, Any, None]] = [copied(reader, other_writer), copied(other_reader, writer)]
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await closed(other_writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """What was written still goes out, if somebody reads it."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.2):
            await writer.wait_closed()
    writer.transport.abort()
    await asyncio.sleep(0)


async def copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
