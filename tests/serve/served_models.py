"""Models behind a real socket, and models that say when they stop."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from tests.aiohttp_server import running

from langplug import ChatModel, Request
from langplug.serve import app
from langplug.serve.aiohttp_driver import runner_of
from langplug.serve.exchange import Exchange


def serving(models: Any, **options: Any) -> AbstractContextManager[str]:
    """Serve `models` on loopback until the block ends; gives the URL, without `/v1`."""
    return serving_exchange(app(models, **options).exchange)


@contextmanager
def serving_exchange(exchange: Exchange) -> Iterator[str]:
    """The same, of an exchange."""
    with running(lambda: runner_of(exchange)) as address:
        yield f"http://{address}"


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


class Held(ChatModel):
    """Answers each call when it is let go, and says when it begins."""

    begun: Any = None
    let_go: Any = None

    async def respond(self, request: Request, /) -> str:
        """`done`, once let go."""
        self.begun.release()
        # a thread that waits would outlive a call that is cancelled
        while not self.let_go.acquire(blocking=False):  # noqa: ASYNC110 - let go from another thread
            await asyncio.sleep(0.001)
        return "done"


def held() -> Held:
    """One with semaphores of its own."""
    return Held(begun=threading.Semaphore(0), let_go=threading.Semaphore(0))


def until(condition: Callable[[], bool]) -> None:
    """Wait for the server's thread to have got somewhere."""
    limit = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


BEGUN = threading.Event()
HAS_STOPPED = threading.Event()
STOPPED: list[float] = []
