"""How many calls run at once, and how fast they begin: as many as help, and no more than are taken."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_FIRST: Final = 8
"""How many calls run at once before anything is known."""

_EPOCH_S: Final = 0.5
"""Seconds in which a rate is measured at one number of calls at once, at least."""

_FAST: Final = 2.0
_FINE: Final = 1.25
"""By which factor the number of calls at once is changed to see what that does: as long as more help, and then."""

_HELPS: Final = 1 / 3
"""How much faster more calls at once must be, to be kept, as a part of how many more they are."""

_HOLD_UP: Final = 2
_HOLD_DOWN: Final = 8
"""Epochs before more, or fewer, are tried again. Fewer cost time if they are too few, and more hardly ever do."""

_CUT: Final = 0.3
"""Which part of the calls at once, and of the rate, a refusal takes away."""

_RECOVERY_S: Final = 2.0
_LONGEST_RECOVERY_S: Final = 8.0
"""Seconds from a first refusal, and from one of many, until as many calls are tried again as were refused."""

_SAME_MOMENT_S: Final = 0.5
"""Seconds in which refusals are those of calls that were on their way together, and count as one."""

_MEASURED_CALLS: Final = 10
_MEASURED_S: Final = 1.0
"""Calls, and seconds, of which a rate is taken at its word when a refusal asks for it."""

_WEIGHT: Final = 0.1
"""How much one call counts in the mean of the tokens that calls take."""

_CATCH_UP_S: Final = 0.01
"""Seconds by which calls may be late, and are made up for: a timer is no more exact than that."""

_MINUTE_S: Final = 60.0


class Pace:
    """Lets calls begin. It learns how many at once are faster, and how many a server takes.

    Args:
        max_concurrency: The most calls at once.
        rpm: The most calls that begin in a minute; None for any.
        tpm: The most tokens in a minute, as their usage says after the call; None for any.
        clock: Tells the time, in seconds.

    Attributes:
        running: How many calls run.
        most: The most calls at once.

    Raises:
        ValueError: If a limit is not above 0.
    """

    def __init__(
        self,
        max_concurrency: int = 64,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, limit in (("max_concurrency", max_concurrency), ("rpm", rpm), ("tpm", tpm)):
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} is {limit:g}; expected more than 0")
        self.running = 0
        self.most = max_concurrency
        self._clock = clock
        self._asked_rate = rpm / _MINUTE_S if rpm is not None else float("inf")
        self._tokens = _Tokens(tpm) if tpm is not None else None
        self._level = _Level(max_concurrency, clock())
        self._server = _Server(clock())
        self._next_start = 0.0
        self._changed = asyncio.Event()

    @property
    def limit(self) -> int:
        """How many calls may run at once."""
        return self._limit(self._clock())

    @property
    def paused_s(self) -> float:
        """Seconds for which the server has asked that no call begins; 0 if it has not."""
        return max(0.0, self._server.refused_at - self._clock())

    async def turn(self) -> None:
        """Wait until a call may begin. Each is ended by `end`, `refuse` or `leave`."""
        while (wait_s := self._wait_s(self._clock())) > 0:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s if wait_s != float("inf") else None):
                    await self._changed.wait()
        self.running += 1

    def end(self, *, tokens: int = 0) -> None:
        """A call has ended that was not refused, and took so many tokens."""
        now = self._clock()
        if self._tokens is not None:
            self._tokens.add(now, tokens)
        self._level.end(now, self.running)
        self.leave()

    def refuse(self, retry_after: float | None = None) -> None:
        """A call has ended because there were too many; seconds for which none is to begin, if these are known."""
        now = self._clock()
        if self._server.refuse(now, retry_after or 0.0, self._limit(now)):
            self._level.interrupt(now, self.running)
        self.leave()

    def leave(self) -> None:
        """A call has ended, and nothing is learned of it."""
        self.running -= 1
        self._changed.set()

    def _limit(self, now: float) -> int:
        return max(1, int(min(self._level.at, self._server.most(now))))

    def _wait_s(self, now: float) -> float:
        """Seconds until a call may begin; 0 takes the turn, and infinity waits for another to end."""
        if self.running >= (limit := self._limit(now)):
            if limit == self._level.at:
                self._level.is_full = True
            else:
                self._level.is_held = True
            return float("inf")
        wait_s = max(self._server.refused_at, self._next_start) - now
        if self._tokens is not None:
            wait_s = max(wait_s, self._tokens.wait_s(now, self.running))
        if wait_s > 0:
            self._level.is_held = True
            return wait_s
        rate = min(self._asked_rate, self._server.rate(now))
        self._next_start = max(self._next_start, now - max(1 / rate, _CATCH_UP_S)) + 1 / rate
        self._server.ask(now)
        return 0


class _Level:
    """How many calls at once are fastest. It compares the rate at one number with that at another, again and again.

    Rates are measured in rounds of as many ends as there are calls at once: those that began together may end together.

    Attributes:
        at: The number.
        is_full: Whether a call had to wait for this number, since the rate is measured.
        is_held: Whether a call had to wait for something else: the rate then says nothing of the number.
    """

    def __init__(self, most: int, now: float) -> None:
        self.at = min(_FIRST, most)
        self._most = most
        self._before: tuple[int, float] | None = None  # the number that this one is compared with, and its rate
        self._factor = _FAST
        self._hold = 0
        self._since: float | None = now  # None until calls have ended that began at another number
        self._rounds, self._left = 0, self.at
        self.is_full = self.is_held = False

    def end(self, now: float, running: int) -> None:
        """A call has ended, of so many."""
        self._left -= 1
        if self._left > 0:
            return
        if self._since is None:
            self._measure(now)
            return
        self._rounds += 1
        self._left = self.at
        if now - self._since < _EPOCH_S or (self._rounds < 2 and self._factor != _FAST):
            return
        at = self.at
        if self.is_held or not self.is_full:
            self._return()
        else:
            self._compare(self._rounds * at / (now - self._since))
        if self.at != at:
            self._settle(running)
        else:
            self._measure(now)

    def interrupt(self, now: float, running: int) -> None:
        """What is measured is of no use, and what was tried is too much."""
        self._return()
        self._settle(running)

    def _return(self) -> None:
        if self._before is not None:
            self.at = self._before[0]
            self._before = None

    def _compare(self, rate: float) -> None:
        """Choose between this number and the one before, and what to try next."""
        if self._before is None:
            self._hold -= 1
            if self._hold <= 0:
                self._try(rate)
            return
        (low, low_rate), (high, high_rate) = sorted([self._before, (self.at, rate)])
        more_help = high_rate > low_rate * (1 + _HELPS * (high / low - 1))
        if more_help == (self.at == high):
            self._factor = _FAST if more_help else self._factor
            self._try(rate)
        else:
            self._return()
            self._turn_round()

    def _try(self, rate: float) -> None:
        """Go on to the next number, if there is one."""
        self._before = (self.at, rate)
        step = int(self.at * self._factor)
        if self._factor > 1:
            step = max(self.at + 1, step)  # 1 and 2 would never become more
        self.at = min(self._most, max(1, step))
        if self.at == self._before[0]:
            self._before = None
            self._turn_round()

    def _turn_round(self) -> None:
        self._factor = 1 / _FINE if self._factor > 1 else _FINE
        self._hold = _HOLD_UP if self._factor > 1 and self.at < self._most else _HOLD_DOWN

    def _settle(self, running: int) -> None:
        self._left = max(running, self.at)
        self._since = None

    def _measure(self, now: float) -> None:
        self._since = now
        self._rounds, self._left = 0, self.at
        self.is_full = self.is_held = False


class _Server:
    """What a server takes, as far as its refusals say. After one, less is asked of it, and then ever more.

    That grows as CUBIC has it (RFC 9438): soon near to what was refused, there hardly, and fast beyond it.

    Attributes:
        refused_at: When it last refused a call, or until when it asked for none.
    """

    def __init__(self, now: float) -> None:
        self.refused_at = now - _MINUTE_S
        self._noticed_at = self.refused_at
        self._recovery_s = _RECOVERY_S
        self._most = self._rate = self._measured = float("inf")
        self._begun = 0
        self._since = now

    def most(self, now: float) -> float:
        """How many calls at once may be tried; infinity for any."""
        return self._most * self._part(now)

    def rate(self, now: float) -> float:
        """How many calls a second may be tried; infinity for any."""
        return self._rate * self._part(now)

    def ask(self, now: float) -> None:
        """A call begins: that is when it is counted, as its end comes too late to say at which rate others began."""
        self._begun += 1
        if self._begun >= _MEASURED_CALLS and now - self._since >= 2 * _MEASURED_S:
            self._measured = self._begun / (now - self._since)
            self._begun, self._since = 0, now

    def refuse(self, now: float, retry_after: float, limit: int) -> bool:
        """It refused a call, and asks for none for some seconds. Whether that says something new."""
        self._begun -= 1
        is_new = now - self._noticed_at >= _SAME_MOMENT_S and now >= self.refused_at
        if is_new:
            part = self._part(now)
            if part > 2 or self._most == float("inf"):
                self._recovery_s = _RECOVERY_S
            elif part > 1 - _CUT / 8:  # where it had refused before: that is its limit, and no accident
                self._recovery_s = min(2 * self._recovery_s, _LONGEST_RECOVERY_S)
            if self._begun >= _MEASURED_CALLS and now - self._since >= _MEASURED_S:
                self._measured = self._begun / (now - self._since)
            tried = self.rate(now)
            if (rate := min(self._measured, tried)) != float("inf"):
                # measured over seconds in which it grew, that is too low, and what was tried last is too high
                rate = (rate * min(tried, 2 * rate)) ** 0.5 if tried != float("inf") else rate
                self._measured, self._begun, self._since = float("inf"), 0, now
            self._most, self._rate = limit, rate
            self._noticed_at = self.refused_at = now
        if retry_after:
            self.refused_at = max(self.refused_at, now + retry_after)
            self._measured, self._begun, self._since = float("inf"), 0, self.refused_at
        return is_new

    def _part(self, now: float) -> float:
        """Which part of what it refused may be tried: at once 1 - _CUT, and 1 after the time of recovery."""
        return 1 + _CUT * (max(0.0, now - self.refused_at) / self._recovery_s - 1) ** 3


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
