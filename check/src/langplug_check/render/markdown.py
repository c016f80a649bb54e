"""A report as a page of Markdown."""

import re
from collections.abc import Iterator

from langplug_check.findings import Findings, Found
from langplug_check.render.text import mark


def render_markdown(report: Findings) -> str:
    """The report: a table of all statements, group by group, then each failure."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    lines = [
        f"# `{report.reference}`",
        "",
        f"**{report.summary()}**",
        "",
        f"{report.model}, {versions}; {len(report.found)} checks {report.where}, {report.seconds:.1f} s.",
    ]
    for group, found in report.groups():
        lines += ["", f"## {group.letter}. {group.title}", "", "| | id | statement | |", "|---|---|---|---|"]
        lines += [_row(one) for one in found]
    if report.failures:
        lines += ["", "## What failed"]
        lines += [line for found in report.failures for line in _failure(found)]
    return "\n".join(lines) + "\n"


def _row(found: Found) -> str:
    told = found.result.observed if found.result.verdict != "pass" else ""
    return f"| {mark(found)} | {found.check.id} | {_cell(found.check.statement)} | {_cell(told)} |"


def _failure(found: Found) -> Iterator[str]:
    check, result = found.check, found.result
    whose = "" if result.blame == "model" else f" ({result.blame}'s)"
    yield from ("", f"### {check.id}{whose}: {check.statement}", "")
    yield f"* observed: {_inline(result.observed)}"
    if result.expected and result.expected != check.statement:
        yield f"* expected: {_inline(result.expected)}"
    yield from (f"* why: {_inline(check.why)}", "", "```python", check.hint, "```")
    if check.link:
        yield from ("", f"<{check.link}>")


def _cell(text: str) -> str:
    """Text in a table: the bar would end the cell."""
    return _inline(text).replace("|", "\\|")


def _inline(text: str) -> str:
    """Text in a line. What is told of a model may hold anything: markup in it is shown, not obeyed."""
    return re.sub(r"([<>\[\]])", r"\\\1", " ".join(text.split()))
