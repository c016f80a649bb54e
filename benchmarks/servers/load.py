"""The clients: `python -m servers.load PORT`, how many streams at once on stdin, figures on stdout.

One protocol object a stream, and no parser: what the clients cost is taken from the same machine as the servers.
"""

import asyncio
import json
import sys
import time

from servers.said import COUNT, KEY, WORD

_BODY = json.dumps(
    {
        "model": "m",
        "messages": [{"role": "user", "content": "Say the words."}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
).encode()
_REQUEST = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n"
    f"Content-Type: application/json\r\nContent-Length: {len(_BODY)}\r\n\r\n"
).encode() + _BODY
_WORD = WORD.encode()
_MOST_S = 300


class Stream(asyncio.Protocol):
    """One stream.

    Attributes:
        first_s: Seconds from before the connection was made until the first word was here; None if none came.
        is_over: Done when it has ended, or broken off.
    """

    def __init__(self) -> None:
        self.first_s: float | None = None
        self.is_over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        self._pieces: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    @property
    def is_whole(self) -> bool:
        """Whether every word came, and the end."""
        data = b"".join(self._pieces)
        return data.count(_WORD) == COUNT and b"[DONE]" in data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(_REQUEST)

    def data_received(self, data: bytes) -> None:
        """Keep what comes."""
        self._pieces.append(data)
        if self.first_s is None and _WORD in data:
            self.first_s = time.perf_counter() - self._began
        if b"[DONE]" in b"".join(self._pieces[-2:]) and self._transport is not None:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """It is over."""
        if not self.is_over.done():
            self.is_over.set_result(None)


async def figures(port: int, count: int) -> dict[str, float]:
    """Have `count` streams at once: how many failed, and when the first words came, in milliseconds."""
    loop = asyncio.get_running_loop()

    async def one() -> Stream:
        stream = Stream()
        try:
            await loop.create_connection(lambda: stream, "127.0.0.1", port)
            await asyncio.wait_for(stream.is_over, _MOST_S)
        except (OSError, TimeoutError) as error:
            print(f"a stream failed: {error!r}", file=sys.stderr)
        return stream

    began = time.perf_counter()
    streams = await asyncio.gather(*(one() for _ in range(count)))
    took_s = time.perf_counter() - began
    waits = sorted(stream.first_s for stream in streams if stream.first_s is not None) or [float("nan")]
    return {
        "failed": sum(not stream.is_whole for stream in streams),
        "p50": waits[len(waits) // 2] * 1e3,
        "p99": waits[max(0, int(len(waits) * 0.99) - 1)] * 1e3,
        "s": took_s,
    }


def main() -> None:
    """Answer each number on stdin until it ends."""
    port = int(sys.argv[1])
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(figures(port, int(line)))), flush=True)


if __name__ == "__main__":
    main()
