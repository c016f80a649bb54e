"""A bounded channel between one producer and one consumer, each a thread or a coroutine.

Items are handed over in batches: a consumer that is awake takes all that is there, and only one that sleeps is
woken, so a fast producer pays for one wake-up a batch rather than one a token.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from queue import Empty
from typing import Generic, TypeVar

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.futures import settle_from_thread

T = TypeVar("T")

_CHECK_S = 1.0
"""Seconds after which a blocked producer looks whether its consumer's event loop still lives."""


class Channel(Generic[T]):
    """A bounded first-in-first-out channel; whoever consumes it may leave at any time.

    Attributes:
        closed: True once the consumer has gone; what is put from then on is dropped.
        finished: True once the producer has said that nothing more comes.
    """

    def __init__(self, limit: int = 64) -> None:
        self.closed = False
        self.finished = False
        self._limit = limit
        self._items: deque[T] = deque()
        self._lock = threading.RLock()  # a reader that is garbage-collected closes it in whatever thread that happens
        self._error: BaseException | None = None
        self._wake_consumer: Callable[[], object] | None = None
        self._wake_producer: Callable[[], object] | None = None
        self._consumer_loop: asyncio.AbstractEventLoop | None = None

    # --- the producer's side ---

    def put(self, item: T) -> bool:
        """Hand over `item`, blocking while the channel is full; return False once the consumer has gone."""
        while (taken := self._offer(item)) is None:
            wake, awake = _latch()
            if self._await_room(wake):
                while not awake.acquire(timeout=_CHECK_S):
                    if self._consumer_loop is not None and self._consumer_loop.is_closed():
                        self.close()  # its loop was closed under it, so it will never say so itself
        return taken

    async def aput(self, item: T) -> bool:
        """As `put`, from a coroutine."""
        while (taken := self._offer(item)) is None:
            wake, awake = _alarm()
            if self._await_room(wake):
                await awake
        return taken

    def finish(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes; the consumer ends, or gets `error`, after what is already there."""
        with self._lock:
            self.finished = True
            self._error = error
            wake, self._wake_consumer = self._wake_consumer, None
        if wake:
            wake()

    def fill(self, stream: Generator[T, None, None]) -> None:
        """Put all that `stream` yields, and finish, with the error that it raises if it does. It is closed."""
        try:
            for item in stream:
                if not self.put(item):
                    break
            stream.close()
        except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer must see it
            self.finish(error)
        else:
            self.finish()

    async def afill(self, stream: DetachedAsyncGenerator[T]) -> None:
        """As `fill`, from a coroutine."""
        try:
            try:
                async for item in stream:
                    taken = self._offer(item)  # not by `aput`: a coroutine for each item costs as much again
                    if taken is None:
                        taken = await self.aput(item)
                    if not taken:
                        break
            finally:
                await stream.aclose()
        except asyncio.CancelledError as error:
            self.finish(error)
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer must see it
            self.finish(error)
        else:
            self.finish()

    def _offer(self, item: T) -> bool | None:
        """Hand `item` over if there is room. False: the consumer has gone. None: the channel is full."""
        with self._lock:
            if self.closed:
                return False
            if len(self._items) >= self._limit:
                return None
            self._items.append(item)
            wake, self._wake_consumer = self._wake_consumer, None
        if wake:
            wake()
        return True

    def _await_room(self, wake: Callable[[], object]) -> bool:
        """Have `wake` called once there is room; False if there is room already, and `wake` will not be called."""
        with self._lock:
            if self.closed or len(self._items) < self._limit:
                return False
            self._wake_producer = wake
            return True

    # --- the consumer's side ---

    def take(self, timeout: float | None = None) -> list[T] | None:
        """All that is there, blocking until there is something; None at the end.

        Raises:
            queue.Empty: If nothing came within `timeout` seconds.
            BaseException: The error that the producer finished with.
        """
        while True:
            wake, awake = _latch()
            if (batch := self._drain(wake)) != []:
                return batch
            if not awake.acquire(timeout=-1 if timeout is None else timeout):
                raise Empty

    async def atake(self) -> list[T] | None:
        """As `take`, from a coroutine; other tasks get their turn even when a batch is always there."""
        self._consumer_loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # a batch that is there is returned without waiting, so nothing else would give way
        while True:
            wake, awake = _alarm()
            if (batch := self._drain(wake)) != []:
                return batch
            await awake

    def close(self) -> None:
        """Leave: what is there is dropped, and a producer that waits for room goes on and learns of it."""
        with self._lock:
            self.closed = True
            dropped, self._items = self._items, deque()
            wake, self._wake_producer = self._wake_producer, None
        if wake:
            wake()
        dropped.clear()  # not under the lock: what an item does when it goes is unknown

    def _drain(self, wake_me: Callable[[], object]) -> list[T] | None:
        """All that is there; None at the end; with nothing there yet, [] and the promise to call `wake_me`."""
        with self._lock:
            if not self._items:
                if self.finished:
                    error, self._error = self._error, None  # raised once; what is read later just ends
                    if error is not None:
                        raise error
                    return None
                self._wake_consumer = wake_me
                return []
            batch = list(self._items)
            self._items.clear()
            wake, self._wake_producer = self._wake_producer, None
        if wake:
            wake()
        return batch


def _latch() -> tuple[Callable[[], object], threading.Lock]:
    """A way to wake the running thread from any other, once, and what it has to acquire for that.

    Unlike an `Event` it runs no Python code in which a garbage collection could want the same lock.
    """
    awake = threading.Lock()
    awake.acquire()
    return awake.release, awake


def _alarm() -> tuple[Callable[[], object], "asyncio.Future[None]"]:
    """A way to wake the running coroutine from any thread, and what it has to await for that."""
    awake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return partial(settle_from_thread, awake), awake
