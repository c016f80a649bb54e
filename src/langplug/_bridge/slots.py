"""A fair queue in front of a fixed number of slots, for coroutines of any number of event loops and threads."""

import asyncio
import threading
from collections import OrderedDict

from langplug._bridge.futures import settle_from_thread


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

    async def acquire(self) -> None:
        """Wait for a permit."""
        with self._lock:
            if self._free:
                self._free -= 1
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
