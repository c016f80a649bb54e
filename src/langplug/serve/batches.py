"""An answer that is made in a task of its own, so that whoever waits for it can say something meanwhile."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Self, TypeVar

T = TypeVar("T")

_MOST_KEPT = 256


async def batches(
    source: AsyncGenerator[T], within: AbstractAsyncContextManager[None], *, idle_s: float | None
) -> AsyncGenerator[list[T]]:
    """What `source` gives, as it comes; several at once where they come faster than they are taken.

    One task runs `source` from its first item to its last, with one context. Closing this cancels that task, and waits
    until it has ended. Of what is not taken only so much is kept; then `source` waits.

    Args:
        source: What to read, and to close.
        within: Held while it is read.
        idle_s: Seconds in which nothing came, after which an empty list is given; None for never.

    Raises:
        Exception: What `source` or `within` raises, after all that came before it.
    """
    kept: list[T] = []
    arrived, taken = asyncio.Event(), asyncio.Event()

    async def read() -> None:
        async with within, aclosing(source):
            async for item in source:
                kept.append(item)
                arrived.set()
                if len(kept) >= _MOST_KEPT:
                    taken.clear()
                    await taken.wait()

    reading = asyncio.create_task(read())
    reading.add_done_callback(lambda _: arrived.set())
    with _Pulse(arrived, idle_s) as pulse:
        try:
            while kept or not reading.done():
                await arrived.wait()
                arrived.clear()
                batch, kept = kept, []
                taken.set()
                pulse.restart()
                if batch or not reading.done():
                    yield batch
            reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


class _Pulse:
    """Sets an event whenever nothing has restarted it for so long. Restarting it costs no timer."""

    def __init__(self, event: asyncio.Event, after_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = event
        self._after_s = after_s
        self._since = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._check()
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def restart(self) -> None:
        """Count anew."""
        self._since = self._loop.time()

    def _check(self) -> None:
        if self._after_s is not None:
            now = self._loop.time()
            if now >= self._since + self._after_s:
                self._event.set()
                self._since = now
            self._timer = self._loop.call_at(self._since + self._after_s, self._check)
