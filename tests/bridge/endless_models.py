"""A model in each of the four shapes that goes on until it is stopped, and keeps a record of how it ended."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Self

from pydantic import PrivateAttr

from langplug import ChatModel, Request

STEP_S = 0.0005
"""How long an endless model blocks, or sleeps, between two pieces."""


class Record:
    """What became of the answers of one model."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.began = 0
        self.closed = 0
        self.closed_at = 0.0

    @contextmanager
    def one(self) -> Iterator[None]:
        """The life of one answer."""
        with self._changed:
            self.began += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self.closed += 1
                self.closed_at = time.monotonic()
                self._changed.notify_all()

    def all_closed(self, timeout: float = 20) -> bool:
        """Wait until no answer is open."""
        with self._changed:
            return self._changed.wait_for(lambda: self.began == self.closed, timeout)


class EndlessModel(ChatModel):
    """What the four have in common."""

    _record: Record = PrivateAttr(default_factory=Record)

    @property
    def record(self) -> Record:
        return self._record


class EndlessFunction(EndlessModel):
    def respond(self, request: Request, /) -> str:
        with self.record.one():
            while not request.cancelled:
                time.sleep(STEP_S)
            return "cancelled"


class EndlessGenerator(EndlessModel):
    def respond(self, request: Request, /) -> Iterator[str]:
        with self.record.one():
            while True:
                yield "word "
                time.sleep(STEP_S)


class EndlessCoroutine(EndlessModel):
    async def respond(self, request: Request, /) -> str:
        with self.record.one():
            await asyncio.sleep(60)
            return "too late"


class EndlessAsyncGenerator(EndlessModel):
    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        with self.record.one():
            while True:
                yield "word "
                await asyncio.sleep(STEP_S)


SHAPES: dict[str, Callable[..., EndlessModel]] = {
    "function": EndlessFunction,
    "generator": EndlessGenerator,
    "coroutine": EndlessCoroutine,
    "async generator": EndlessAsyncGenerator,
}

STREAMING = ("generator", "async generator")


class Stalls:
    """The longest that this machine kept a thread waiting that had nothing to do: no measurement is finer."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._over = threading.Event()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(0.002):
            now = time.monotonic()
            self.worst = max(self.worst, now - last - 0.002)
            last = now

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
