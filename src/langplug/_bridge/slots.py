"""A fair queue in front of a fixed number of slots, for coroutines of any number of event loops and threads."""

import asyncio
import threading
from collections import OrderedDict


class Slots:
    """Permits given out first come, first served.

    Who waits can be cancelled at any moment and then leaves the queue; a permit that was on its way to it goes to
    the next. Give each permit back once, from any thread.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.RLock()  # a waiting coroutine may be garbage-collected, and so leave, at any point
        self._free = count
        self._waiting: OrderedDict[asyncio.Future[None], asyncio.AbstractEventLoop] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def acquire(self) -> None:
        """Wait for a permit."""
        turn = self._take_or_join()
        if turn is None:
            return
        try:
            await turn
        except BaseException:
            self._leave(turn)
            raise

    def release(self) -> None:
        """Give a permit back; it goes to whoever has waited longest."""
        while (first := self._take_out_first()) is not None:
            turn, loop = first
            try:
                loop.call_soon_threadsafe(_ring, turn)
            except RuntimeError:  # its loop is closed, so nobody waits there any more
                continue
            return

    def _take_or_join(self) -> "asyncio.Future[None] | None":
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._free:
                self._free -= 1
                return None
            turn = loop.create_future()
            self._waiting[turn] = loop
            return turn

    def _take_out_first(self) -> "tuple[asyncio.Future[None], asyncio.AbstractEventLoop] | None":
        with self._lock:
            try:
                return self._waiting.popitem(last=False)
            except KeyError:
                self._free += 1
                return None

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        with self._lock:
            waited = self._waiting.pop(turn, None) is not None
        if not waited:  # its turn had come in this very moment
            self.release()


def _ring(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
