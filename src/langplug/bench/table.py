"""A report as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from langplug.bench.figures import DEFINITIONS

_LEVELS: Final = "▁▂▃▄▅▆▇█"

ROWS: Final[Mapping[str, tuple[str, float]]] = {
    "ttft": ("TTFT, ms", 1000),
    "ttft_text": ("TTFT of text, ms", 1000),
    "tpot": ("TPOT, ms", 1000),
    "gap": ("gap between pieces, ms", 1000),
    "e2e": ("E2E, ms", 1000),
    "input_tokens": ("tokens asked", 1),
    "output_tokens": ("tokens answered", 1),
}
"""The rows of a table: what each is called, and what a value is multiplied by."""


def to_text(report: Mapping[str, Any]) -> str:
    """A `report` as text: the figures of each load, the client's, and what the figures mean."""
    lines = [f"{report['model']} · langplug {report['langplug']} · {report['machine']} · {report['measured_at']}"]
    for stage in report["stages"]:
        lines.append("")
        figures = stage["figures"]
        calls = figures["calls"]
        wrong = "".join(f", {calls[name]} {name}" for name in ("failed", "incomplete") if calls.get(name))
        lines.append(f"{stage['load']}: {calls['measured']} calls{wrong}")
        for error, count in figures.get("errors", {}).items():
            lines.append(f"  {count} × {error}")
        if calls.get("complete"):
            lines.append(f"  {'':24}{'mean':>9}{'p50':>9}{'p90':>9}{'p95':>9}{'p99':>9}  from least to most")
            for name, (title, factor) in ROWS.items():
                if (told := figures.get(name)) is not None:
                    cells = "".join(f"{told[one] * factor:>9.1f}" for one in ("mean", "p50", "p90", "p95", "p99"))
                    lines.append(f"  {title:24}{cells}  {sparkline(told['histogram'])}")
            sources = ", ".join(f"{source} by {count}" for source, count in figures["token_source"].items())
            speed = f"{figures['output_tokens_per_s']:.1f} tokens/s, {figures['requests_per_s']:.2f} requests/s"
            lines.append(f"  {speed} ({sources})")
            if "goodput_per_s" in figures:
                kept = figures["goodput_share"]
                lines.append(f"  goodput: {figures['goodput_per_s']:.2f} requests/s, {kept:.0%} within the limits")
        lines += [f"  ! {warning}" for warning in stage["client"]["warnings"]]
    lines += ["", "TTFT: " + DEFINITIONS["ttft"], "TPOT: " + DEFINITIONS["tpot"], "E2E: " + DEFINITIONS["e2e"]]
    return "\n".join(lines)


def sparkline(histogram: Sequence[int]) -> str:
    """A histogram in one line; an empty bin is a blank."""
    most = max(histogram)
    return "".join(_LEVELS[(count * (len(_LEVELS) - 1) + most - 1) // most] if count else " " for count in histogram)
