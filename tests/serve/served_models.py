"""Models behind a real socket, and models that say when they stop."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from langplug import ChatModel, Request
from langplug.serve import app
from langplug.serve.aiohttp_driver import runner_of


@contextmanager
def serving(models: Any, **options: Any) -> Iterator[str]:
    """Serve `models` on loopback until the block ends; gives the URL, without `/v1`."""
    loop = asyncio.new_event_loop()
    up, leave, urls = threading.Event(), asyncio.Event(), []

    async def serve() -> None:
        runner = runner_of(app(models, **options).exchange)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
        up.set()
        await leave.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert up.wait(30)
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join(30)
        loop.close()


class Endless(ChatModel):
    """Speaks until it is stopped, and says when it begins and when it is."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """A piece each 2 ms."""
        try:
            while True:
                BEGUN.set()
                yield "x "
                await asyncio.sleep(0.002)
        finally:
            STOPPED.append(time.monotonic())
            HAS_STOPPED.set()


class EndlessInThread(ChatModel):
    """The same as a plain generator, which runs in a thread."""

    def respond(self, request: Request, /) -> Iterator[str]:
        """A piece each 2 ms."""
        try:
            while True:
                BEGUN.set()
                yield "x "
                time.sleep(0.002)
        finally:
            STOPPED.append(time.monotonic())
            HAS_STOPPED.set()


BEGUN = threading.Event()
HAS_STOPPED = threading.Event()
STOPPED: list[float] = []
