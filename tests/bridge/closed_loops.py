"""Closes many event loops without `shutdown_asyncgens`, and prints how many descriptors and threads that has left."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from langplug import ChatModel, Request, resource
from langplug.models import ChatEndpoint

TORN_DOWN: list[str] = []


class ChatPipes(ChatModel):
    """Has two async resources that hold descriptors, and whose ends have to wait."""

    @resource
    async def channel(self) -> AsyncIterator[int]:
        """A pipe."""
        ends = os.pipe()
        try:
            yield ends[0]
        finally:
            await asyncio.sleep(0.001)
            for end in ends:
                os.close(end)
            TORN_DOWN.append("pipe")

    @resource
    async def reader(self) -> AsyncIterator[int]:
        """What uses it."""
        yield await self.channel
        await asyncio.sleep(0)
        TORN_DOWN.append("reader")

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        await self.reader
        try:
            for _ in range(100):
                yield "a"
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            try:
                await asyncio.sleep(0.001)  # cannot be waited for once the loop is closed
            finally:
                TORN_DOWN.append("answer")


class ChatBlocks(ChatModel):
    """A plain generator, read from a thread."""

    def respond(self, request: Request, /) -> Any:
        try:
            while not request.cancelled:
                yield "a"
        finally:
            TORN_DOWN.append("thread")


def descriptors() -> int:
    """How many the process has open."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def begin(model: ChatModel) -> Any:
    """A stream of which one chunk has been read."""
    stream = model.astream("x")
    await anext(stream)
    return stream


KEPT: list[Any] = []


def use(model: ChatModel, way: str) -> None:
    """Ask once in an event loop that is then just closed, or not even that."""
    loop = asyncio.new_event_loop()
    if way in ("half", "kept"):
        stream = loop.run_until_complete(begin(model))
        KEPT.extend([stream] if way == "kept" else [])
    else:
        loop.run_until_complete(model.ainvoke("x"))
    KEPT.append(loop) if way == "open" else loop.close()


def main(kind: str, way: str, count: int) -> None:
    """Do it `count` times."""
    models: dict[str, Any] = {
        "pipes": ChatPipes,
        "blocks": ChatBlocks,
        "endpoint": lambda: ChatEndpoint(model="m", base_url=os.environ["BASE_URL"]),
    }
    one = models[kind]()
    before = descriptors()
    for _ in range(count):
        use(models[kind]() if way == "new" else one, way)
    gc.collect()
    left = descriptors() - before
    del one
    gc.collect()
    torn_down = ",".join(sorted(set(TORN_DOWN)))
    sys.stdout.write(f"{left} {descriptors() - before} {threading.active_count()} {torn_down} {len(TORN_DOWN)}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
