"""A report as a page of Markdown."""

import re

from langplug_check.findings import Findings
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
        for one in found:
            observed = one.result.observed if one.result.verdict != "pass" else ""
            # A bar would end the cell.
            statement, observed = (_inline(text).replace("|", "\\|") for text in (one.check.statement, observed))
            lines.append(f"| {mark(one)} | {one.check.id} | {statement} | {observed} |")
    if report.failures:
        lines += ["", "## What failed"]
    for failure in report.failures:
        check, result = failure.check, failure.result
        whose = "" if result.blame == "model" else f" ({result.blame}'s)"
        lines += ["", f"### {check.id}{whose}: {check.statement}", "", f"* observed: {_inline(result.observed)}"]
        if result.expected and result.expected != check.statement:
            lines.append(f"* expected: {_inline(result.expected)}")
        lines += [f"* why: {_inline(check.why)}", "", "```python", check.hint, "```"]
        lines += ["", f"<{check.link}>"] if check.link else []
    return "\n".join(lines) + "\n"


def _inline(text: str) -> str:
    """Text in a line. What a model said may hold anything: markup in it is shown, not obeyed."""
    return re.sub(r"([<>\[\]])", r"\\\1", " ".join(text.split()))
