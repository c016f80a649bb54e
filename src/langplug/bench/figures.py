"""What is told of many calls. Every figure has its definition beside it."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any, Final

from langplug.bench.call import REPORTED, CallTimes

DEFINITIONS: Final[Mapping[str, str]] = {
    "ttft": "seconds from a call's beginning to its first piece of any kind: text, reasoning or a tool call",
    "ttft_text": "seconds from a call's beginning to its first text",
    "tpot": "seconds a token after the first: (E2E - TTFT) / (n - 1), of calls with 2 tokens or more",
    "itl": "seconds between pieces that follow one another; a piece may have several tokens",
    "e2e": "seconds from a call's beginning to the end of its answer",
    "output_tokens_per_s": "tokens of answered calls, each by the part of its time that is within the window, a second",
    "requests_per_s": "answered calls, each by the part of its time that is within the window, a second",
    "goodput_per_s": "requests a second, by the share of measured calls that kept to every limit of the SLO",
    "beginning": "of a call at a rate, when it is due, however late it is made; of others, when it is made",
    "window": (
        "from the first measured call's beginning to the last one's end, or at a rate to when the next call is due, if "
        "that is later; the load is kept up until then"
    ),
}
"""What is measured, by name. Latencies are of measured calls that were answered to their end."""

PERCENTILES: Final = (50, 90, 95, 99)
LATENCIES: Final = ("ttft", "ttft_text", "tpot", "itl", "e2e")

_BINS: Final = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Limits that a good answer keeps to, in seconds; None for any.

    Attributes:
        ttft: Until the first piece.
        tpot: For each token after the first, on average.
        e2e: Until the end.
    """

    ttft: float | None = None
    tpot: float | None = None
    e2e: float | None = None

    def __post_init__(self) -> None:
        for name, limit in (("ttft", self.ttft), ("tpot", self.tpot), ("e2e", self.e2e)):
            if limit is not None and not limit > 0:
                raise ValueError(f"the limit of {name} is {limit:g}; expected more than 0")

    def is_kept(self, call: CallTimes) -> bool:
        """Whether a complete call kept to every limit."""
        measured = ((self.ttft, call.ttft), (self.tpot, call.tpot), (self.e2e, call.e2e))
        return all(limit is None or value is None or value <= limit for limit, value in measured)


@dataclass(frozen=True, slots=True)
class Window:
    """The span that is measured."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return max(self.end - self.start, 1e-9)

    def seconds_of(self, begin: float, end: float) -> float:
        """How much of a span is in it."""
        return max(0.0, min(end, self.end) - max(begin, self.start))


def figures_of(calls: Sequence[CallTimes], slo: Slo | None = None, *, ended: float = 0.0) -> dict[str, Any]:
    """The figures of calls, as JSON data: seconds, tokens, and how many calls there were of each kind.

    Args:
        calls: All of a load, those that are not measured, too.
        slo: What a good answer keeps to.
        ended: When the load did, if that was after the last measured answer: at a rate, when the next call was due.
    """
    measured = [call for call in calls if call.is_measured and call.has_ended]
    if not measured:
        return {"calls": {"measured": 0}}
    window = Window(min(call.began for call in measured), max(ended, *(call.ended for call in measured)))
    complete = [call for call in measured if call.is_complete]
    answered, tokens = _within(calls, window)
    found: dict[str, Any] = {
        "calls": {
            "measured": len(measured),
            "complete": len(complete),
            "failed": len([call for call in measured if call.error and not call.pieces]),
            "incomplete": len([call for call in measured if call.error and call.pieces]),
            "beside_them": len(calls) - len(measured),
        },
        "errors": dict(Counter(shorten(call.error, 300) for call in measured if call.error).most_common(5)),
        "window_s": window.seconds,
        "requests_per_s": answered / window.seconds,
        "output_tokens_per_s": tokens / window.seconds,
        "token_source": dict(Counter(call.source for call in complete)),
        "finish_reasons": dict(Counter(str(call.finish_reason) for call in complete)),
    }
    values = {
        name: [getattr(call, name) for call in complete]
        for name in ("ttft", "ttft_text", "tpot", "e2e", "output_tokens")
    }
    values["input_tokens"] = [call.input_tokens for call in complete if call.source == REPORTED]  # else not known
    values["itl"] = [gap for call in complete for gap in call.gaps]
    values["pieces"] = [len(call.pieces) for call in complete]
    found |= {name: distribution([one for one in some if one is not None]) for name, some in values.items()}
    if slo is not None:
        share = sum(map(slo.is_kept, complete)) / len(measured)
        found |= {"goodput_per_s": share * found["requests_per_s"], "goodput_share": share}
    return found


def distribution(values: Sequence[float]) -> dict[str, Any] | None:
    """Mean, least, most, percentiles and a histogram; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    width = (high - low) / _BINS or 1.0
    bins = [0] * _BINS
    for value in ordered:
        bins[min(_BINS - 1, int((value - low) / width))] += 1
    return {
        "count": len(ordered),
        "mean": math.fsum(ordered) / len(ordered),
        "min": low,
        "max": high,
        **{f"p{percent}": percentile(ordered, percent) for percent in PERCENTILES},
        "histogram": bins,
    }


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value at a percentile of sorted values, between two of them where it falls between."""
    place = (len(ordered) - 1) * percent / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _within(calls: Iterable[CallTimes], window: Window) -> tuple[float, float]:
    """How many calls were answered within the window, and how many tokens that was.

    Of a call that was left, neither its time nor its tokens are known: both are as those of the others.
    """
    complete = [call for call in calls if call.is_complete]
    count = len(complete) or 1
    usual_s = sum(call.e2e for call in complete) / count or 1.0
    usual_tokens = sum(call.output_tokens for call in complete) / count
    answered = tokens = 0.0
    for call in calls:
        if call.is_complete:
            share, whole = window.seconds_of(call.began, call.ended) / (call.e2e or 1.0), float(call.output_tokens)
        elif call.was_left:
            share, whole = min(1.0, window.seconds_of(call.began, call.ended) / usual_s), usual_tokens
        else:
            continue
        answered += share
        tokens += share * whole
    return answered, tokens
