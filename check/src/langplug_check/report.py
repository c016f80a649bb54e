"""`Report`: what all checks found, in every form in which somebody may want it."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from langplug_check.findings import Findings, Found
from langplug_check.render.html import render_html
from langplug_check.render.junit import render_junit
from langplug_check.render.markdown import render_markdown
from langplug_check.render.text import render_text

SCHEMA_VERSION = 1
"""Of `to_json`. It grows where a field is taken away or changes its meaning, and not where one is added."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Findings):
    """What all checks of one model found; see `Findings` for its attributes."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON data; `schema` is its version."""
        return {
            "schema": SCHEMA_VERSION,
            "model": self.model,
            "reference": self.reference,
            "versions": dict(self.versions),
            "driver": self.driver,
            "where": self.where,
            "error": self.error,
            "ready": self.ready,
            "seconds": round(self.seconds, 3),
            "counts": self.counts(),
            "results": [_entry(found) for found in self.found],
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

    def to_text(self, *, width: int = 100, colour: bool = False, verbose: bool = False) -> str:
        """As text for a terminal: a table of the groups, then each failure and how to mend it.

        Args:
            width: Columns.
            colour: Whether to colour it with ANSI codes.
            verbose: Whether to show too what passed, with what was seen, and what the model printed.
        """
        return render_text(self, width=width, colour=colour, verbose=verbose)


def _entry(found: Found) -> dict[str, Any]:
    check = found.check
    told = {"statement": check.statement, "group": check.id[0]}
    mend = {"why": check.why, "hint": check.hint, "link": check.link}
    result = {**asdict(found.result), "seconds": round(found.result.seconds, 3)}
    return {**result, **told, **(mend if found.result.verdict in ("fail", "advisory") else {})}
