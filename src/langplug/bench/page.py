"""A report as one HTML page that needs nothing else: no script, no font, no other file."""

import json
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from langplug.bench.figures import DEFINITIONS, LATENCIES
from langplug.bench.table import ROWS, client_of, digits, limits_of, over_loads, sources_of

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --quiet: #5d6b7e; --line: #d7dde6; --fill: #3867d6; --page: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7ebf1; --quiet: #9aa7b8; --line: #364152; --fill: #7ea2ff; --page: #141a23; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 68rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
.quiet, figcaption, dt { color: var(--quiet); } .warning { border-left: 4px solid #d9822b; padding-left: .75rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: 1rem; margin-top: 1rem; }
.wide { grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); }
figure { margin: 0; }
svg { width: 100%; max-width: 18rem; height: auto; display: block; } .wide svg { max-width: 30rem; }
svg text { fill: var(--quiet); font-size: 11px; stroke: var(--page); stroke-width: 3px; paint-order: stroke; }
.bar { fill: var(--fill); } .axis { stroke: var(--line); } .curve { stroke: var(--fill); fill: none; stroke-width: 2; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; } dd { margin: 0; }
"""

# No wider than the narrowest column that has a plot, 12rem and 18rem above: else its labels shrink below 11 px.
_NARROW: Final = 190
_WIDTH: Final = 280
_HEIGHT: Final = 110
_LABEL: Final = 44
"""How wide a label is, with the space around it."""


def to_html(report: Mapping[str, Any]) -> str:
    """The page: each load's table and histograms, curves over the loads if there are several, and the report itself."""
    stages = report["stages"]
    curves = ""
    if len(done := [stage for stage in stages if stage["figures"]["calls"].get("complete")]) > 1:
        plots = _curve("tokens/s", done, [stage["figures"]["output_tokens_per_s"] for stage in done])
        plots += _curve("TTFT p50, ms", done, [stage["figures"]["ttft"]["p50"] * 1000 for stage in done])
        if len(told := [stage for stage in done if stage["figures"]["tpot"]]) > 1:  # none of answers of one token
            plots += _curve("TPOT p50, ms", told, [stage["figures"]["tpot"]["p50"] * 1000 for stage in told])
        head, *rows = ("".join(f"<td>{escape(cell)}</td>" for cell in cells) for cells in over_loads(stages))
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        curves = f'<h2>Over the loads</h2>{table}<div class="plots wide">{plots}</div>'
    loads = "".join(_stage(stage, report["slo"]) for stage in stages)
    ended = '<p class="warning">Ended before its time.</p>' if report["was_ended"] else ""
    meanings = "".join(f"<dt>{name}</dt><dd>{escape(told)}</dd>" for name, told in DEFINITIONS.items())
    about = (
        f"langplug {report['langplug']}, langchain-core {report['langchain_core']}, Python {report['python']}, "
        f"{report['machine']}, {report['measured_at']}"
    )
    raw = escape(json.dumps(report, indent=1))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(report['model'])}: langplug bench</title><style>{_STYLE}</style></head><body>"
        f'<h1>{escape(report["model"])}</h1><p class="quiet">{escape(about)}</p>{ended}{curves}{loads}'
        f"<h2>What the figures mean</h2><dl>{meanings}</dl>"
        f"<details><summary>The report as JSON</summary><pre class=scroll>{raw}</pre></details></body></html>\n"
    )


def _stage(stage: Mapping[str, Any], slo: Mapping[str, float | None] | None) -> str:
    figures = stage["figures"]
    calls = figures["calls"]
    count = f"{calls['measured']} calls measured"
    if calls["measured"]:
        count += f": {calls['complete']} answered, {calls['failed']} failed, {calls['incomplete']} incomplete"
        count += f"; {calls['beside_them']} more warmed up or kept up the load"
    parts = [f"<h2>{escape(stage['load'])}</h2>", f"<p>{count}</p>"]
    parts += [f'<p class="warning">{escape(warning)}</p>' for warning in stage["warnings"]]
    parts += [f'<p class="warning">{n} × {escape(error)}</p>' for error, n in figures.get("errors", {}).items()]
    if calls.get("complete"):
        columns = ("mean", "p50", "p90", "p95", "p99", "min", "max")
        head = "".join(f"<th>{name}</th>" for name in columns)
        rows = ""
        for name, (title, factor) in ROWS.items():
            if (told := figures.get(name)) is not None:
                cells = "".join(f"<td>{digits(told[column] * factor)}</td>" for column in columns)
                rows += f"<tr><td>{title}</td>{cells}</tr>"
        speed = f"{figures['output_tokens_per_s']:,.1f} tokens/s, {figures['requests_per_s']:,.2f} requests/s"
        if slo is not None:
            speed += f", goodput {figures['goodput_per_s']:,.2f} requests/s ({figures['goodput_share']:.0%} of calls)"
        about = f"tokens {sources_of(figures)}" + (f"; good: {limits_of(slo)}" if slo is not None else "")
        parts.append(
            f'<p><strong>{speed}</strong> <span class="quiet">{escape(about)}</span></p>'
            f'<div class="scroll"><table><thead><tr><th></th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )
        parts.append(f'<p class="quiet">{escape(client_of(stage["client"]))}</p>')
        plots = "".join(_histogram(name, figures[name]) for name in LATENCIES if figures.get(name))
        parts.append(f'<div class="plots">{plots}</div>')
    return "".join(parts)


def _histogram(name: str, told: Mapping[str, Any]) -> str:
    bins: Sequence[int] = told["histogram"]
    width, most = _NARROW / len(bins), max(bins)
    bars = ""
    for place, count in enumerate(bins):
        height = count / most * (_HEIGHT - 22)
        y = _HEIGHT - 16 - height
        bars += f'<rect class="bar" x="{place * width:.1f}" y="{y:.1f}" width="{width - 1:.1f}" height="{height:.1f}"/>'
    low, high = digits(told["min"] * 1000), digits(told["max"] * 1000)
    title = ROWS[name][0]
    return (
        f'<figure><svg viewBox="0 0 {_NARROW} {_HEIGHT}" role="img" aria-label="{title}: {low} to {high}">{bars}'
        f'<line class="axis" x1="0" x2="{_NARROW}" y1="{_HEIGHT - 16}" y2="{_HEIGHT - 16}"/>'
        f'<text x="0" y="{_HEIGHT - 3}">{low}</text>'
        f'<text x="{_NARROW}" y="{_HEIGHT - 3}" text-anchor="end">{high}</text></svg>'
        f"<figcaption>{title}</figcaption></figure>"
    )


def _curve(title: str, stages: Sequence[Mapping[str, Any]], values: Sequence[float]) -> str:
    step = (_WIDTH - 40) / (len(values) - 1)
    most = max(values) or 1.0
    points = [(20 + place * step, _HEIGHT - 24 - value / most * (_HEIGHT - 44)) for place, value in enumerate(values)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    every = math.ceil(_LABEL / step)  # the others would overlap; the table, and what points at a dot, have them all
    dots = labels = ""
    for place, ((x, y), value, stage) in enumerate(zip(points, values, stages, strict=True)):
        shown = f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"
        load = f"{stage['concurrency'] or stage['rate']:g}"
        dots += f'<circle class="bar" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{load}: {shown}</title></circle>'
        if (len(values) - 1 - place) % every == 0:
            labels += (
                f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{shown}</text>'
                f'<text x="{x:.1f}" y="{_HEIGHT - 4}" text-anchor="middle">{load}</text>'
            )
    kinds = {"calls at once" if stage["concurrency"] else "calls a second" for stage in stages}
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">'
        f'<polyline class="curve" points="{line}"/>{dots}{labels}</svg>'
        f"<figcaption>{title}, by {' and '.join(sorted(kinds))}</figcaption></figure>"
    )
