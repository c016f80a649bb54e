"""A bounded channel between one producer and one consumer, each a thread or a coroutine.

Items are handed over in batches: a consumer that is awake takes all that is there, and only one that sleeps is
woken, so a fast producer pays for one wake-up a batch rather than one a token.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty
from typing import Generic, TypeVar

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
        self._wake_consumer: Callable[[], None] | None = None
        self._wake_producer: Callable[[], None] | None = None
        self._consumer_loop: asyncio.AbstractEventLoop | None = None

    # --- the producer's side ---

    def put(self, item: T) -> bool:
        """Hand over `item`, blocking while the channel is full; return False once the consumer has gone."""
        while (taken := self._offer(item)) is None:
            wake, awake = _latch()
            if self._await_room(wake):
                self._wait_for_room(awake)
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

    def _offer(self, item: T) -> bool | None:
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

    def _await_room(self, wake: Callable[[], None]) -> bool:
        with self._lock:
            if self.closed or len(self._items) < self._limit:
                return False
            self._wake_producer = wake
            return True

    def _wait_for_room(self, awake: threading.Lock) -> None:
        while not awake.acquire(timeout=_CHECK_S):
            if self._consumer_loop is not None and self._consumer_loop.is_closed():
                self.close()  # its loop was closed under it, so it will never say so itself

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
        await asyncio.sleep(0)
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
        dropped.clear()  # not before: what an item does when it goes is not known

    def _drain(self, wake_me: Callable[[], None]) -> list[T] | None:
        """All that is there; None at the end; with nothing there yet, [] and the promise to call `wake_me`."""
        with self._lock:
            if not self._items:
                if self.finished:
                    self._raise_error()
                    return None
                self._wake_consumer = wake_me
                return []
            batch = list(self._items)
            self._items.clear()
            wake, self._wake_producer = self._wake_producer, None
        if wake:
            wake()
        return batch

    def _raise_error(self) -> None:
        if self._error is not None:
            error, self._error = self._error, None
            raise error


def _latch() -> tuple[Callable[[], None], threading.Lock]:
    """A way to wake the running thread from any other, once, and what it has to acquire for that.

    Unlike an `Event` it runs no Python code in which a garbage collection could want the same lock.
    """
    awake = threading.Lock()
    awake.acquire()
    return awake.release, awake


def _alarm() -> tuple[Callable[[], None], asyncio.Future[None]]:
    """A way to wake the running coroutine from any thread, and what it has to await for that."""
    loop = asyncio.get_running_loop()
    awake: asyncio.Future[None] = loop.create_future()

    def ring() -> None:
        if not awake.done():
            awake.set_result(None)

    def wake() -> None:
        try:
            loop.call_soon_threadsafe(ring)
        except RuntimeError:  # the loop is closed: nobody is left to be woken
            return

    return wake, awake
