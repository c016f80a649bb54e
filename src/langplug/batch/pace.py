"""How many calls run at once, and how fast they begin: as many as help, and no more than are taken."""

import asyncio
import time
from collections import deque
from contextlib import suppress
from typing import Final

_FIRST: Final = 8
"""How many calls run at once before anything is known."""

_EPOCH_S: Final = 0.5
"""Seconds in which a rate is measured, at least."""

_GAIN: Final = 1.05
"""How much faster more calls at once must be, to be kept."""

_CUT: Final = 0.7
_BELOW: Final = 0.9
"""What is left of the calls at once after a refusal, and which part of the rate at which it came."""

_PROBE: Final = 0.02
"""By which part the rate grows in a second, after a refusal, until the next."""

_WEIGHT: Final = 0.1
"""How much one call counts in the mean of the tokens that calls take."""

_MINUTE_S: Final = 60.0


class Pace:
    """Lets calls begin. It learns how many at once are faster, and at which rate a server refuses them.

    Args:
        max_concurrency: The most calls at once.
        rpm: The most calls that begin in a minute; None for any.
        tpm: The most tokens in a minute, as their usage says after the call; None for any.

    Attributes:
        running: How many calls run.
        most: The most calls at once.

    Raises:
        ValueError: If a limit is not above 0.
    """

    def __init__(self, max_concurrency: int = 64, *, rpm: float | None = None, tpm: float | None = None) -> None:
        for name, limit in (("max_concurrency", max_concurrency), ("rpm", rpm), ("tpm", tpm)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} is {limit:g}; expected more than 0")
        self.running = 0
        self.most = max_concurrency
        self._limit = min(_FIRST, max_concurrency)
        self._asked_rate = rpm / _MINUTE_S if rpm is not None else None
        self._learned_rate: float | None = None
        self._tokens = _Tokens(tpm) if tpm is not None else None
        self._next_start = 0.0
        self._changed = asyncio.Event()
        self._epoch = _Epoch()
        self._best = 0.0
        self._cut_at = -_MINUTE_S

    @property
    def limit(self) -> int:
        """How many calls may run at once."""
        return self._limit

    async def turn(self) -> None:
        """Wait until a call may begin. Each is ended by `end`."""
        while (wait_s := self._wait_s(time.monotonic())) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s if wait_s != float("inf") else None):
                    await self._changed.wait()
        self.running += 1

    def end(self, *, tokens: int = 0) -> None:
        """A call has ended that was not refused, and took so many tokens."""
        self.leave()
        now = time.monotonic()
        if self._tokens is not None:
            self._tokens.add(now, tokens)
        self._epoch.done += 1
        if not self._epoch.is_over(now, self._limit):
            return
        rate = self._epoch.rate(now) or 0.0
        if self._learned_rate is not None:
            self._learned_rate *= 1 + _PROBE * self._epoch.seconds(now)
            self._limit = min(self.most, self._limit + 1)
        elif rate > self._best * _GAIN:
            self._best = rate
            self._limit = min(self.most, self._limit * 2)
        elif self._limit > _FIRST:
            # no faster: the queue only grew. Fewer at once, and a little forgetting, so that it is tried again
            self._limit = max(_FIRST, int(self._limit * _CUT))
            self._best *= _BELOW
        self._epoch = _Epoch()
        self._changed.set()

    def refuse(self, retry_after: float | None = None) -> None:
        """A call has ended because there were too many; seconds for which none is to begin, if these are known."""
        self.leave()
        now = time.monotonic()
        if retry_after is not None:
            self._next_start = max(self._next_start, now + retry_after)
        # the others of the same moment's were on their way: they say nothing new
        if now - self._cut_at < _EPOCH_S:
            return
        self._cut_at = now
        rate = self._epoch.rate(now) or (self._learned_rate or 1.0) * _CUT
        self._learned_rate = rate * _BELOW
        self._limit = max(1, int(self._limit * _CUT))
        self._epoch = _Epoch()

    def leave(self) -> None:
        """A call has ended, and nothing is learned of it."""
        self.running -= 1
        self._changed.set()

    def _wait_s(self, now: float) -> float:
        """Seconds until a call may begin; 0 takes the turn, and infinity waits for another to end."""
        if self.running >= self._limit:
            return float("inf")
        if self._tokens is not None and (wait_s := self._tokens.wait_s(now, self.running)) > 0:
            return wait_s
        if now < self._next_start:
            return self._next_start - now
        rates = [rate for rate in (self._asked_rate, self._learned_rate) if rate is not None]
        if rates:
            self._next_start = max(self._next_start, now - 1 / min(rates)) + 1 / min(rates)
        return 0


class _Epoch:
    """A span in which calls are counted."""

    def __init__(self) -> None:
        self.done = 0
        self._since = time.monotonic()

    def seconds(self, now: float) -> float:
        return now - self._since

    def rate(self, now: float) -> float | None:
        """Calls a second; None if none has ended."""
        return self.done / max(self.seconds(now), 1e-3) if self.done else None

    def is_over(self, now: float, limit: int) -> bool:
        return self.done >= 2 * limit and self.seconds(now) >= _EPOCH_S


class _Tokens:
    """The tokens of the last minute, with what the calls that run are likely to take."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._sum = 0
        self._mean = 0.0
        self._used: deque[tuple[float, int]] = deque()

    def add(self, now: float, tokens: int) -> None:
        self._sum += tokens
        self._mean += _WEIGHT * (tokens - self._mean) if self._mean else tokens
        if self._used and now - self._used[-1][0] < 1:  # a minute is 60 entries, however many calls it has
            at, before = self._used.pop()
            self._used.append((at, before + tokens))
        else:
            self._used.append((now, tokens))

    def wait_s(self, now: float, running: int) -> float:
        """Seconds until there is room for one more; infinity if that depends on those that run."""
        while self._used and now - self._used[0][0] >= _MINUTE_S:
            self._sum -= self._used.popleft()[1]
        if self._sum + self._mean * running < self._most:
            return 0.0
        return self._used[0][0] + _MINUTE_S - now if self._used else float("inf")
