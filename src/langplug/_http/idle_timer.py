"""A timer that ends a stream when nothing has come for too long."""

import asyncio
import math
from collections.abc import Callable


class IdleTimer:
    """Calls `on_silence` once, when the stream has been silent for longer than it may be.

    One timer for the life of a stream, which checks when it rings whether anything has come meanwhile: a timeout around
    each read would cost as much as the read. Time in which nobody waits for the stream does not count.

    Args:
        on_silence: Called with the seconds of silence.
        first_s: Seconds until the first sign; None: no limit.
        next_s: Seconds between two signs; None: no limit.
        since: The loop's time when the silence began. Default: now.
    """

    __slots__ = ("_limit", "_loop", "_next_s", "_on_silence", "_since", "_timer")

    def __init__(
        self,
        on_silence: Callable[[float], None],
        first_s: float | None,
        next_s: float | None,
        since: float | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_silence = on_silence
        self._next_s = next_s
        self._limit = first_s
        self._since = self._loop.time() if since is None else since
        self._timer: asyncio.Handle | None = None
        self._schedule(self._since)

    def wait(self) -> None:
        """Say that somebody begins to wait."""
        self._since = self._loop.time()

    def sign(self) -> None:
        """Say that something has come; until `wait`, nobody waits for more."""
        self._since = math.inf
        if self._limit is not self._next_s:  # the first sign
            self._limit = self._next_s
            self._schedule(self._loop.time())

    def stop(self) -> None:
        """Say that the stream has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, since: float) -> None:
        self.stop()
        if self._limit is not None:
            self._timer = self._loop.call_at(since + self._limit, self._ring)

    def _ring(self, *, in_next_turn: bool = True) -> None:
        if in_next_turn:
            # If the loop was busy for long, what has come in that time is about to be read in this very turn.
            self._timer = self._loop.call_soon(lambda: self._ring(in_next_turn=False))
            return
        assert self._limit is not None
        now = self._loop.time()
        if now >= self._since + self._limit:
            self._timer = None
            self._on_silence(self._limit)
        else:
            self._schedule(min(self._since, now))
