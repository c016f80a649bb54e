"""A fair queue in front of a fixed number of slots, for coroutines of any number of event loops and threads."""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from langplug._bridge.futures import settle_from_thread
from langplug._bridge.loop import wait_for
from langplug._request import Run


class Slots:
    """Permits given out first come, first served.

    A coroutine that waits can be cancelled at any moment and then leaves the queue; a permit that was on its way to it
    goes to the next. Give each permit back once, from any thread.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.RLock()  # a waiting coroutine may be garbage-collected, and so leave, at any point
        self._free = count
        self._tickets: OrderedDict[asyncio.Future[None], None] = OrderedDict()  # a queue that can be left in the middle

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._tickets)

    def acquire_at_once(self) -> bool:
        """Take a permit if one is free, which none is while others wait. Returns whether it did."""
        with self._lock:
            is_free = self._free > 0
            self._free -= is_free
            return is_free

    async def acquire(self) -> None:
        """Wait for a permit."""
        with self._lock:
            if self.acquire_at_once():
                return
            ticket = asyncio.get_running_loop().create_future()
            self._tickets[ticket] = None
        try:
            await ticket
        except BaseException:
            with self._lock:
                has_permit = ticket not in self._tickets  # it came in this very moment
                if not has_permit:
                    del self._tickets[ticket]
            if has_permit:
                self.release()
            raise

    def release(self) -> None:
        """Give a permit back; it goes to whoever has waited longest."""
        while True:
            with self._lock:
                if not self._tickets:
                    self._free += 1
                    return
                ticket, _ = self._tickets.popitem(last=False)
            if settle_from_thread(ticket):  # else its loop is closed, and the next in the queue gets the permit
                return


class Free:
    """The turn of a call that need not wait for one."""

    def begin(self) -> bool:
        """As of a `Turn`."""
        return True

    def end(self) -> None:
        """As of a `Turn`."""


FREE: Final = Free()


class _Stage(Enum):
    WAITING = "for a permit"
    GRANTED = "but the function does not run yet"
    RUNNING = "until the function has ended, whoever still waits for it"
    OVER = "the permit is given back"


class Turn:
    """One call's permit to run a function that can be called only so often at once.

    A thread cannot be stopped: of a caller who has left, the function may still run. So the permit is given back when
    the function has ended, or when its caller leaves before it began.

    Attributes:
        waited: Seconds until the permit came.
    """

    def __init__(self, slots: Slots) -> None:
        self.waited = 0.0
        self._slots = slots
        self._lock = threading.RLock()
        self._stage = _Stage.WAITING

    def wait(self, in_time: "Callable[[Awaitable[None]], Awaitable[None]] | None") -> None:
        """Wait for the permit in a thread; `in_time` sees to a time limit, if there is one."""
        if not self._take_at_once():
            wait_for(self._queue(in_time))

    async def await_(self, in_time: "Callable[[Awaitable[None]], Awaitable[None]] | None") -> None:
        """As `wait`, for an event loop."""
        if not self._take_at_once():
            await self._queue(in_time)

    def _take_at_once(self) -> bool:
        if granted := self._slots.acquire_at_once():
            self._stage = _Stage.GRANTED
        return granted

    async def _queue(self, in_time: "Callable[[Awaitable[None]], Awaitable[None]] | None") -> None:
        began = time.monotonic()
        waiting = self._slots.acquire()
        await (waiting if in_time is None else in_time(waiting))
        self.waited = time.monotonic() - began
        with self._lock:
            has_left = self._stage is _Stage.OVER  # a thread may leave, by a signal, while the permit is on its way
            if not has_left:
                self._stage = _Stage.GRANTED
        if has_left:
            self._slots.release()

    def begin(self) -> bool:
        """Say that the function is called now. False: its caller has left, and it must not be."""
        with self._lock:
            if self._stage is _Stage.OVER:
                return False
            self._stage = _Stage.RUNNING
            return True

    def end(self) -> None:
        """Say that the function has ended."""
        with self._lock:
            had_permit = self._stage in (_Stage.GRANTED, _Stage.RUNNING)
            self._stage = _Stage.OVER
        if had_permit:
            self._slots.release()

    def leave(self) -> None:
        """Say that the caller has gone: what has not begun will not."""
        with self._lock:
            if self._stage is not _Stage.RUNNING:
                self.end()


def turn_of(run: Run) -> Turn | Free:
    """The turn that a call has or needs not."""
    return run.turn or FREE
