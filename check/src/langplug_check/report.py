"""`Report`: what all checks found, as text, JSON, JUnit XML, Markdown and HTML."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from langplug_check.findings import Findings
from langplug_check.render.html import render_html
from langplug_check.render.junit import render_junit
from langplug_check.render.markdown import render_markdown
from langplug_check.render.text import render_text

SCHEMA_VERSION = 1
"""Of `to_json`. It grows when a field is removed or changes its meaning, and not when one is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Findings):
    """What all checks of one model found; see `Findings` for its attributes."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON data; `schema` is its version."""
        results: list[dict[str, Any]] = []
        for found in self.found:
            check, result = found.check, found.result
            entry = {**asdict(result), "seconds": round(result.seconds, 3)}
            entry |= {"statement": check.statement, "group": check.group.letter, "rank": check.rank}
            if result.verdict in ("fail", "advisory"):  # a report of all that passed stays small
                entry |= {"why": check.why, "hint": check.hint, "link": check.link}
            results.append(entry)
        return {
            "schema": SCHEMA_VERSION,
            "model": self.model,
            "reference": self.reference,
            "versions": dict(self.versions),
            "driver": self.driver,
            "where": self.where,
            "error": self.error,
            "called": self.called,
            "advice": self.advice,
            "ready": self.ready,
            "seconds": round(self.seconds, 3),
            "counts": self.counts(),
            "results": results,
        }

    def to_json(self) -> str:
        """As a JSON document."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2) + "\n"

    def to_junit(self) -> str:
        """As JUnit XML, which CI servers read: failures that are not the model's own are skipped tests there."""
        return render_junit(self)

    def to_markdown(self) -> str:
        """As a page of Markdown."""
        return render_markdown(self)

    def to_html(self) -> str:
        """As one page of HTML that needs nothing else."""
        return render_html(self)

    def to_text(self, *, width: int = 100, colour: bool = False, verbose: bool = False, whole: bool = False) -> str:
        """As text for a terminal: a table of the groups, then the failures, worst first, and how to fix them.

        What does not fit on two screens is cut down to a line for each failure, or to ids.

        Args:
            width: Columns.
            colour: Whether to colour it with ANSI codes.
            verbose: Whether to show what passed too, with what was seen, and what the model printed.
            whole: Whether to show all failures whole, however long that is. `verbose` does, too.
        """
        return render_text(self, width=width, colour=colour, verbose=verbose, whole=whole)
