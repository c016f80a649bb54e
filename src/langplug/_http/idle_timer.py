"""A watch over a stream: it is ended when nothing has come for too long."""

import asyncio
import math
from collections.abc import Callable


class IdleTimer:
    """Calls `on_silence` once, when the stream has been silent for longer than it may.

    One timer for the life of a stream, which looks when it rings whether anything has come meanwhile. A timeout around
    each read would cost as much as the read. Time in which nobody waits for the stream is no silence of it.

    Args:
        on_silence: What to do, with the seconds of silence.
        first_s: Seconds until the first sign; None for ever.
        next_s: Seconds between two signs; None for ever.
        since: The loop's time when the silence began. Default: now.
    """

    __slots__ = ("_limit", "_loop", "_next_s", "_on_silence", "_signs", "_since", "_timer")

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
        self._wind_up(self._since)

    def wait(self) -> None:
        """Somebody begins to wait."""
        self._since = self._loop.time()

    def sign(self) -> None:
        """Something has come, and until `wait` nobody waits for more."""
        self._since = math.inf
        if self._limit is not self._next_s:
            self._limit = self._next_s
            self._wind_up(self._loop.time())

    def stop(self) -> None:
        """The stream has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wind_up(self, since: float) -> None:
        self.stop()
        if self._limit is not None:
            self._timer = self._loop.call_at(since + self._limit, self._ring)

    def _ring(self) -> None:
        """Look once more in the loop's next turn: if it was busy for long, what has come may be about to be read."""
        self._timer = self._loop.call_soon(self._look)

    def _look(self) -> None:
        assert self._limit is not None
        now = self._loop.time()
        if now >= self._since + self._limit:
            self._timer = None
            self._on_silence(self._limit)
        else:
            self._wind_up(min(self._since, now))
