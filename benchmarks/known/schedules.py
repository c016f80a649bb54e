"""When a model says what, and when it really did."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

TOKENS: Final = 50


@dataclass(frozen=True, slots=True)
class Piece:
    """So many tokens, so many seconds after the question came."""

    at_s: float
    tokens: int = 1
    is_thought: bool = False

    @property
    def text(self) -> str:
        """The tokens, a word each."""
        return "word " * self.tokens


SCHEDULES: Final[Mapping[str, Sequence[Piece]]] = {
    "1 token a chunk": [Piece(0.2 + 0.02 * n) for n in range(TOKENS)],
    "5 tokens a chunk": [Piece(0.2 + 0.1 * n, tokens=5) for n in range(TOKENS // 5)],
    "reasoning first": [Piece(0.2 + 0.02 * n, is_thought=n < TOKENS // 2) for n in range(TOKENS)],
    "bursts of 5 chunks": [Piece(0.2 + 0.1 * (n // 5)) for n in range(TOKENS)],
}
"""Answers of 50 tokens: the first after 200 ms, and 50 a second."""


@dataclass(slots=True)
class Kept:
    """When a model really said what: a busy machine keeps no schedule."""

    began: float = field(default_factory=time.perf_counter)
    moments: list[float] = field(default_factory=list)
    first_text: float | None = None
    ended: float = 0.0

    async def follow(self, schedule: Sequence[Piece]) -> AsyncIterator[Piece]:
        """Each piece when it is due."""
        for piece in schedule:
            left = self.began + piece.at_s - time.perf_counter()
            if left > 0:
                await asyncio.sleep(left)
            self.moments.append(time.perf_counter())
            if self.first_text is None and not piece.is_thought:
                self.first_text = self.moments[-1]
            yield piece
        self.ended = time.perf_counter()


def known(answers: Sequence[Kept], at_once: int) -> dict[str, float]:
    """The figures of answers as they were given, by the definitions of `langplug bench`: ms, and tokens a second.

    With so many at once, each begins when another has ended: how long that takes, from one to the next in its place, is
    by how much the tokens of all are to be divided.
    """
    whole = [one for one in answers if one.ended]
    gaps = [later - earlier for one in whole for earlier, later in pairwise(one.moments)]
    told = {
        "ttft": [one.moments[0] - one.began for one in whole],
        "ttft_text": [(one.first_text or 0.0) - one.began for one in whole],
        "tpot": [(one.ended - one.moments[0]) / (TOKENS - 1) for one in whole],
        "itl": gaps,
        "e2e": [one.ended - one.began for one in whole],
    }
    figures = {name: statistics.median(values) * 1000 for name, values in told.items()}
    figures["itl p99"] = statistics.quantiles(gaps, n=100, method="inclusive")[98] * 1000
    turns = [later.began - earlier.began for earlier, later in zip(answers, answers[at_once:], strict=False)]
    figures["tokens/s"] = at_once * TOKENS / statistics.fmean(turns)
    return figures
