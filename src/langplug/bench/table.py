"""A report as text for a terminal."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from langplug.bench.figures import DEFINITIONS

ROWS: Final[Mapping[str, tuple[str, float]]] = {
    "ttft": ("TTFT, ms", 1000),
    "ttft_text": ("TTFT of text, ms", 1000),
    "tpot": ("TPOT, ms", 1000),
    "itl": ("ITL, ms", 1000),
    "e2e": ("E2E, ms", 1000),
    "input_tokens": ("tokens asked", 1),
    "output_tokens": ("tokens answered", 1),
}
"""The rows of a table: what each is called, and what a value is multiplied by."""

_LEVELS: Final = "▁▂▃▄▅▆▇█"
_COLUMNS: Final = ("mean", "p50", "p90", "p95", "p99")
_WIDTH: Final = 79
_EXPLAINED: Final = (
    "ttft",
    "tpot",
    "itl",
    "e2e",
    "beginning",
    "output_tokens_per_s",
    "requests_per_s",
    "goodput_per_s",
)


def to_text(report: Mapping[str, Any]) -> str:
    """The figures of each load, all loads beside each other, the client's, and what the figures mean; 79 columns.

    Args:
        report: What `run` gave.
    """
    about = f"{report['model']} · langplug {report['langplug']} · {report['machine']} · {report['measured_at']}"
    lines = [*_wrapped(about), *(line for stage in report["stages"] for line in _stage(stage, report.get("slo")))]
    if len(report["stages"]) > 1:
        widths = (21, 10, 12, 10, 9, 10, 7)
        padded = [
            "".join(
                cell.rjust(width) if place else cell.ljust(width)
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in over_loads(report["stages"])
        ]
        lines += ["", *padded]
    lines += ["", *_wrapped("Ended before its time.")] if report["was_ended"] else [""]
    has_goodput = report.get("slo") is not None
    for name in _EXPLAINED:
        if has_goodput or name != "goodput_per_s":
            lines += _wrapped(f"{title_of(name)}: {DEFINITIONS[name]}", hang=2)
    return "\n".join(lines)


def digits(value: float) -> str:
    """A figure with four digits that say something, however small it is."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def client_of(client: Mapping[str, Any]) -> str:
    """What the process that measured took of the machine, and how late its event loop was, in words."""
    told = f"this process: {client['cpu_share']:.0%} of a core, "
    if (lag := client["loop_lag"]) is None:
        return told + "too short a time to watch its event loop"
    return told + f"event loop {lag['p50'] * 1000:.3g} ms late (p50), {lag['p99'] * 1000:.3g} ms (p99)"


def title_of(name: str) -> str:
    """What a figure is called in sentences."""
    return ROWS[name][0].removesuffix(", ms") if name in ROWS else name.replace("output_", "").replace("_per_s", "/s")


def limits_of(slo: Mapping[str, float | None]) -> str:
    """The limits of an SLO in words."""
    return ", ".join(f"{title_of(name)} ≤ {limit * 1000:g} ms" for name, limit in slo.items() if limit is not None)


def sources_of(figures: Mapping[str, Any]) -> str:
    """Where the numbers of tokens come from, in words."""
    told = {"reported": "reported as usage", "counted": "counted, or estimated, by the model's own method"}
    return "; ".join(f"{told[source]} in {count} calls" for source, count in figures["token_source"].items())


def over_loads(stages: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[str]]:
    """All loads beside each other: the cells of a table's head and of its rows."""
    yield ("", "tokens/s", "requests/s", "TTFT p50", "p99", "TPOT p50", "failed")
    for stage in stages:
        figures = stage["figures"]
        latencies = (("ttft", "p50"), ("ttft", "p99"), ("tpot", "p50"))
        yield (
            stage["load"],
            f"{figures.get('output_tokens_per_s', 0):,.1f}",
            f"{figures.get('requests_per_s', 0):,.2f}",
            *(digits(told[percent] * 1000) if (told := figures.get(name)) else "-" for name, percent in latencies),
            f"{figures['calls'].get('failed', 0) + figures['calls'].get('incomplete', 0)}",
        )


def sparkline(histogram: Sequence[int]) -> str:
    """A histogram in one line, two bins a sign; empty ones are a blank."""
    pairs = [sum(histogram[place : place + 2]) for place in range(0, len(histogram), 2)]
    most = max(pairs)
    return "".join(_LEVELS[(count * (len(_LEVELS) - 1) + most - 1) // most] if count else " " for count in pairs)


def _stage(stage: Mapping[str, Any], slo: Mapping[str, float | None] | None) -> Iterator[str]:
    figures = stage["figures"]
    calls = figures["calls"]
    wrong = "".join(f", {calls[name]} {name}" for name in ("failed", "incomplete") if calls.get(name))
    yield from ("", f"{stage['load']}: {calls['measured']} calls{wrong}")
    for error, count in figures.get("errors", {}).items():
        yield from _wrapped(f"{count} × {error}", indent=2, hang=4)
    if calls.get("complete"):
        yield f"  {'':17}{''.join(f'{column:>9}' for column in _COLUMNS)}  least to most"
        for name, (title, factor) in ROWS.items():
            if (told := figures.get(name)) is not None:
                cells = "".join(f" {digits(told[column] * factor):>8}" for column in _COLUMNS)
                yield f"  {title:17}{cells}  {sparkline(told['histogram'])}".rstrip()
        speed = f"{figures['output_tokens_per_s']:,.1f} tokens/s, {figures['requests_per_s']:,.2f} requests/s"
        yield from _wrapped(f"{speed}; tokens {sources_of(figures)}", indent=2)
        if slo is not None:
            kept = f"{figures['goodput_per_s']:,.2f} requests/s, {figures['goodput_share']:.0%} of calls"
            yield from _wrapped(f"goodput ({limits_of(slo)}): {kept}", indent=2)
    if calls["measured"]:
        yield from _wrapped(client_of(stage["client"]), indent=2)
    for warning in stage["warnings"]:
        yield from _wrapped(f"! {warning}", indent=2, hang=4)


def _wrapped(text: str, indent: int = 0, hang: int | None = None) -> list[str]:
    later = " " * (indent if hang is None else hang)
    return textwrap.wrap(text, _WIDTH, initial_indent=" " * indent, subsequent_indent=later)
