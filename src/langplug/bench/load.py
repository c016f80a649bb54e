"""When calls begin: one after the other, so many at once, more and more at once, or at a rate."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

_SEED: Final = 0
_WORTH: Final = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One kind of load.

    Attributes:
        concurrency: How many calls run at once, each begun when another has ended; None at a rate.
        rate: Calls that begin in a second, whether others have ended or not; None at a concurrency.
        poisson: Whether those of a rate come at random, as those of many users do, and not evenly.
    """

    concurrency: int | None = None
    rate: float | None = None
    poisson: bool = False

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.rate is None):
            raise ValueError("a load has either a concurrency or a rate")
        if not 0 < (self.concurrency or self.rate or 0) < math.inf:
            raise ValueError(f"a load must be above 0 and have an end, not {self}")

    def __str__(self) -> str:
        if self.concurrency is not None:
            return "one by one" if self.concurrency == 1 else f"{self.concurrency} at once"
        return f"{self.rate:g} a second{', at random' if self.poisson else ''}"

    def starts(self) -> "Starts":
        """The moments at which calls begin."""
        return AtConcurrency(self.concurrency) if self.concurrency is not None else AtRate(self.rate or 0, self.poisson)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One call at once, two, four, and so on, until tokens a second grow by less than a tenth.

    Attributes:
        most: How many calls run at once at most.
    """

    most: int = 256

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ValueError(f"a sweep goes up to 1 call at once or more, not {self.most}")

    def loads(self, speeds: Sequence[float]) -> Iterator[Load]:
        """The loads. After each, `speeds` is to have its tokens a second at the end."""
        at_once = 1
        while at_once <= self.most and (len(speeds) < 2 or speeds[-1] > speeds[-2] * _WORTH):
            yield Load(concurrency=at_once)
            at_once *= 2


class AtConcurrency:
    """Lets a call begin when fewer than so many run."""

    def __init__(self, most: int) -> None:
        self._free = asyncio.Semaphore(most)

    async def wait(self) -> None:
        """Wait until a call may begin. Returns None: it is due when it begins, after others that may at once."""
        await self._free.acquire()

    def end(self) -> None:
        """A call has ended."""
        self._free.release()


class AtRate:
    """Lets calls begin at moments that no call changes: one that begins late is late, and waits in the figures.

    Random gaps have a seed, so that two runs are asked alike.
    """

    def __init__(self, rate: float, poisson: bool) -> None:
        random_gap = random.Random(_SEED).expovariate  # noqa: S311 - the same in each run
        self._gap: Callable[[], float] = (lambda: random_gap(rate)) if poisson else (lambda: 1 / rate)
        self._next: float | None = None

    async def wait(self) -> float:
        """Wait for the moment at which the next call begins. Returns it, although it may be past."""
        now = time.perf_counter()
        due = now if self._next is None else self._next + self._gap()
        self._next = due
        await asyncio.sleep(max(0.0, due - now))  # calls that are late, too, let others go on
        return due

    def end(self) -> None:
        """A call has ended, which changes nothing."""


Starts = AtConcurrency | AtRate
