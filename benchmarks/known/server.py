"""A server with OpenAI's API whose models are the schedules: `python -m known.server`, which prints its port.

`/kept` tells when it really said what since it was last asked. It reads and writes bytes itself: what a framework needs
for a request would be taken for the client's time.
"""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

from known.schedules import SCHEDULES, TOKENS, Kept

KEPT: list[Kept] = []
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def event(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    """A server-sent event with a chunk."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return f"data: {json.dumps({**chunk, **more})}\n\n".encode()


def framed(data: bytes) -> bytes:
    """A chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def answer(writer: asyncio.StreamWriter, model: str, kept: Kept) -> None:
    """Say what the schedule says that the model is named after; the end of it goes with the last piece."""
    KEPT.append(kept)
    writer.write(STREAM)
    async for piece in kept.follow(SCHEDULES[model]):
        if writer.is_closing():
            return
        writer.write(framed(event({"reasoning_content" if piece.is_thought else "content": piece.text})))
    usage = {"prompt_tokens": 8, "completion_tokens": TOKENS, "total_tokens": TOKENS + 8}
    end = event({}, finish="stop") + event(usage=usage) + b"data: [DONE]\n\n"
    writer.write(framed(end) + b"0\r\n\r\n")


def tell(writer: asyncio.StreamWriter, path: str) -> None:
    """What was said when, once; on any other path, the schedules."""
    told: Any = {"object": "list", "data": [{"id": name, "object": "model"} for name in SCHEDULES]}
    if path == "/kept":
        told = [asdict(one) for one in KEPT]
        KEPT.clear()
    body = json.dumps(told).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The requests of one connection."""
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            kept = Kept()
            _, _, length = head.partition("content-length: ")
            body = await reader.readexactly(int(length.split("\r\n")[0])) if length else b""
            if head.startswith("post"):
                await answer(writer, json.loads(body)["model"], kept)
            else:
                tell(writer, head.split()[1])
    except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
        writer.close()


async def main() -> None:
    """Serve until the process that started this one has gone."""
    listening = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
