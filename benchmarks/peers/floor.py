"""The floor: no model at all, only asyncio's streams and orjson, as little as brings the tokens here."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import orjson

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_LARGEST_READ = 256 * 1024


class Floor:
    """A client that takes the bytes of our own server for granted, as no client may.

    It reckons that no event is cut by HTTP's chunks, that each has one `data` line and holds text or nothing, and that
    nothing goes wrong.

    Args:
        url: The base URL, up to `/v1`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._path = f"{parts.path}/chat/completions"
        self._idle: list[_Connection] = []

    async def astream(self, prompt: str, config: Any = None) -> AsyncIterator[str]:
        """The texts of the answer, as they come."""
        connection = await self._asked(prompt, stream=True)
        reader, held = connection[0], b""
        while not held.endswith(b"0\r\n\r\n"):
            *lines, held = (held + await reader.read(_LARGEST_READ)).split(b"\n\n")
            for line in lines:
                at = line.find(b"data: {")
                if at < 0:
                    continue
                choices = orjson.loads(line[at + 6 :])["choices"]
                if choices and (text := choices[0]["delta"].get("content")):
                    yield text
        self._idle.append(connection)

    async def ainvoke(self, prompt: str, config: Any = None) -> str:
        """The text of the whole answer."""
        connection = await self._asked(prompt, stream=False)
        head = await connection[0].readuntil(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        answer = orjson.loads(await connection[0].readexactly(length))
        self._idle.append(connection)
        return str(answer["choices"][0]["message"]["content"])

    async def _asked(self, prompt: str, *, stream: bool) -> _Connection:
        """A connection on which the request is sent."""
        body = {"model": "backend-1", "messages": [{"role": "user", "content": prompt}], "stream": stream}
        sent = orjson.dumps(body)
        head = f"POST {self._path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
        connection = self._idle.pop() if self._idle else await asyncio.open_connection(self._host, self._port)
        connection[1].write(f"{head}content-length: {len(sent)}\r\n\r\n".encode() + sent)
        return connection
