"""Two reports beside each other: what became slower."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from langplug.bench.running import VERSION
from langplug.bench.table import digits, title_of

_LOWER_IS_BETTER: Final = ("ttft", "ttft_text", "tpot", "e2e")
_HIGHER_IS_BETTER: Final = ("output_tokens_per_s", "requests_per_s", "goodput_per_s")
_ENOUGH: Final = {"p50": 1, "p90": 20, "p99": 200}
"""Of how many calls a percentile is compared: of fewer, it is hardly more than the slowest call's."""
_TO_BE_EQUAL: Final = ("model", "parameters", "slo", "machine", "python", "langchain_core")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in two reports.

    Attributes:
        load: Under which load.
        name: Which figure, such as `ttft p50`, with its unit.
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

    Of latencies, the median is compared, the 90th percentile of 20 calls or more, and the 99th of 200 or more.

    Args:
        before: A report.
        after: A later one.
        allowed: By which part a figure may become worse: machines are never as quiet as the time before.

    Raises:
        ValueError: If one is no whole report of this version, or they have no load in common.
    """
    for which, report in (("first", before), ("second", after)):
        if not isinstance(report, Mapping) or not isinstance(report.get("stages"), list):
            raise ValueError(f"the {which} is no report of `langplug bench --json`")
        if report.get("version") != VERSION:
            raise ValueError(
                f"the {which} report is of version {report.get('version')}, and this langplug reads {VERSION}"
            )
    try:
        known = {stage["load"]: stage["figures"] for stage in before["stages"]}
        common = [(stage["load"], stage["figures"]) for stage in after["stages"] if stage["load"] in known]
        changes = [change for load, figures in common for change in _changes(load, known[load], figures, allowed)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"a report of `langplug bench --json` is not whole: {type(error).__name__}: {error}"
        ) from error
    if not common:
        loads = [", ".join(stage["load"] for stage in report["stages"]) or "none" for report in (before, after)]
        raise ValueError(f"the reports have no load in common: {loads[0]} in the first; {loads[1]} in the second")
    return changes


def missing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The loads of which the first report has measured calls, and the second has none.

    Args:
        before: A report.
        after: A later one.
    """
    measured, still = (
        [stage["load"] for stage in report["stages"] if stage.get("figures", {}).get("calls", {}).get("measured")]
        for report in (before, after)
    )
    return [load for load in measured if load not in still]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What else two reports differ in, and what may be why a figure changed, in words.

    Args:
        before: A report.
        after: A later one.
    """
    for name in _TO_BE_EQUAL:
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name)} in the first; {after.get(name)} in the second"
    for which, report in (("first", before), ("second", after)):
        if report.get("was_ended"):
            yield f"the {which} was ended before its time"
    loads = [[stage["load"] for stage in report["stages"]] for report in (before, after)]
    for place, own, other in (("first", *loads), ("second", *reversed(loads))):
        if alone := [load for load in own if load not in other]:
            yield f"only in the {place}: {', '.join(alone)}"


def to_table(changes: Sequence[Change]) -> str:
    """Changes as text for a terminal.

    Args:
        changes: What `compare` has found.
    """
    lines: list[str] = []
    for place, change in enumerate(changes):
        if place == 0 or change.load != changes[place - 1].load:
            lines += [f"{change.load:28}{'before':>12}{'after':>12}{'ratio':>9}"]
        mark = "  worse" if change.is_worse else ""
        lines.append(
            f"  {change.name:26}{digits(change.before):>12}{digits(change.after):>12}{change.ratio:>9.2f}{mark}"
        )
    return "\n".join(lines)


def _changes(load: str, before: Mapping[str, Any], after: Mapping[str, Any], allowed: float) -> Iterator[Change]:
    for name in _LOWER_IS_BETTER:
        title = title_of(name)
        told = (before.get(name), after.get(name))
        for percent, enough in _ENOUGH.items():
            if all(one and one["count"] >= enough for one in told):
                old, new = (one[percent] * 1000 for one in told if one)
                yield Change(load, f"{title} {percent}, ms", old, new, new > old * (1 + allowed))
    for name in _HIGHER_IS_BETTER:
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None:
            yield Change(load, title_of(name), old, new, new < old * (1 - allowed))
    old, new = (
        100 * (calls.get("failed", 0) + calls.get("incomplete", 0)) / max(1, calls["measured"])
        for calls in (before["calls"], after["calls"])
    )
    if old or new:
        yield Change(load, "calls that failed, %", old, new, new > old)
