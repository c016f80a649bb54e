"""How far the checks are: a line that is redrawn on a terminal, plain lines elsewhere."""

from typing import TYPE_CHECKING, Final, TextIO

from langplug.cli import ProgressLine, draw_bar

if TYPE_CHECKING:
    from langplug_check import Step

_EVERY: Final = 25
"""Checks from one plain line to the next."""


class Progress:
    """Shows how far the checks are, and what failed so far.

    Args:
        stream: Where to write; stderr, because stdout holds only the report.
    """

    def __init__(self, stream: TextIO) -> None:
        self._line = ProgressLine(stream)
        self._failed: list[str] = []
        self._done = 0

    def begin(self, doing: str = "making the model") -> None:
        """Say what has to be done first."""
        self._line.redraw(f"{doing} ...")

    def show(self, step: "Step") -> None:
        """Show a step."""
        self._done = step.done
        if step.note:
            self._line.keep(f"note: {step.note}")
        if step.last is not None and step.last.verdict == "fail":
            self._failed.append(step.last.id)
        if self._line.redraws:
            failed = f"  {len(self._failed)} failed" if self._failed else ""
            now = f"  {step.check.id} {step.check.statement}" if step.check else ""
            self._line.redraw(f"{draw_bar(step.done, step.total)} {step.done}/{step.total}{failed}{now}")
        elif step.done == step.total or (step.done and not step.done % _EVERY):
            self._line.keep(f"{step.done} of {step.total} checks, {len(self._failed)} failed")

    def end(self) -> None:
        """Clear the line."""
        self._line.clear()

    def stop(self) -> None:
        """Say what was found so far, when the checks are interrupted."""
        failed = f"; failed: {', '.join(self._failed)}" if self._failed else ""
        self._line.keep(f"stopped after {self._done} checks{failed}")
