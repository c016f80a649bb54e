"""Two reports beside each other: what became slower."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from langplug.bench.running import VERSION

_LOWER_IS_BETTER: Final = ("ttft", "tpot", "e2e")
_HIGHER_IS_BETTER: Final = ("output_tokens_per_s", "requests_per_s", "goodput_per_s")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in two reports.

    Attributes:
        load: Under which load.
        name: Which figure, such as `ttft p50`.
        before: In the first report.
        after: In the second.
        is_worse: Whether it became worse by more than is allowed.
    """

    load: str
    name: str
    before: float
    after: float
    is_worse: bool

    @property
    def ratio(self) -> float:
        """What it is of what it was."""
        return self.after / self.before if self.before else float("inf")


def compare(before: Mapping[str, Any], after: Mapping[str, Any], *, allowed: float = 0.1) -> list[Change]:
    """The figures that both reports have, load by load.

    Args:
        before: A report.
        after: A later one.
        allowed: By which part a figure may become worse: machines are never as quiet as the time before.

    Raises:
        ValueError: If one is no report of this version, or they have no load in common.
    """
    for report in (before, after):
        if report.get("version") != VERSION or not isinstance(report.get("stages"), list):
            raise ValueError(f"it is no report of this version ({VERSION}) of `langplug bench --json`")
    known = {stage["load"]: stage["figures"] for stage in before["stages"]}
    common = [(stage["load"], stage["figures"]) for stage in after["stages"] if stage["load"] in known]
    if not common:
        loads = [", ".join(stage["load"] for stage in report["stages"]) for report in (before, after)]
        raise ValueError(f"the reports have no load in common: {loads[0]}; {loads[1]}")
    return [change for load, figures in common for change in _changes(load, known[load], figures, allowed)]


def _changes(load: str, before: Mapping[str, Any], after: Mapping[str, Any], allowed: float) -> Iterator[Change]:
    for name in _LOWER_IS_BETTER:
        for percent in ("p50", "p99"):
            old, new = (one[percent] if (one := figures.get(name)) else None for figures in (before, after))
            if old is not None and new is not None:
                yield Change(load, f"{name} {percent}", old, new, new > old * (1 + allowed))
    for name in _HIGHER_IS_BETTER:
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None:
            yield Change(load, name, old, new, new < old * (1 - allowed))
    old, new = (
        figures["calls"].get("failed", 0) + figures["calls"].get("incomplete", 0) for figures in (before, after)
    )
    if old or new:
        yield Change(load, "calls that failed", old, new, new > old)
