"""The floor: `python -m servers.floor PORT`, asyncio's own server and ready bytes, without a parser of HTTP."""

import asyncio
import sys

from servers.events import END, ROLE, TOKEN
from servers.said import words

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the words to whatever asks."""
    await reader.readuntil(b"\r\n\r\n")
    token = _chunk(TOKEN)
    writer.write(_HEAD + _chunk(ROLE))
    async for _ in words():
        writer.write(token)
    writer.write(_chunk(END) + b"0\r\n\r\n")
    await writer.drain()
    writer.close()


async def main() -> None:
    """Serve for ever."""
    server = await asyncio.start_server(answer, "127.0.0.1", int(sys.argv[1]), backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
