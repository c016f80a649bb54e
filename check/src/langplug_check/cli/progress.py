"""How far a check is: a line that is redrawn on a terminal, plain lines elsewhere."""

import shutil
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from langplug_check import Step

_BAR: Final = 24
_EVERY: Final = 25
"""Checks from one plain line to the next."""

_CLEAR: Final = "\r\x1b[K"


class Progress:
    """Shows how far it is, and what failed so far.

    Args:
        stream: Where to; stderr, for stdout holds the report alone.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = stream.isatty()
        self._failed: list[str] = []
        self._done = 0

    def begin(self) -> None:
        """Say that the model is being made."""
        if self._moves:
            self._write(f"{_CLEAR}making the model ...")

    def show(self, step: "Step") -> None:
        """Show a step."""
        self._done = step.done
        if step.last is not None and step.last.verdict == "fail":
            self._failed.append(step.last.id)
        if self._moves:
            self._write(_CLEAR + self._line(step))
        elif step.done == step.total or (step.done and not step.done % _EVERY):
            self._write(f"{step.done} of {step.total} checks, {len(self._failed)} failed\n")

    def end(self) -> None:
        """Leave the line as if nothing had been there."""
        if self._moves:
            self._write(_CLEAR)

    def stopped(self) -> None:
        """Say what was found up to here, where it goes no further."""
        self.end()
        failed = f"; failed: {', '.join(self._failed)}" if self._failed else ""
        self._write(f"stopped after {self._done} checks{failed}\n")

    def _line(self, step: "Step") -> str:
        filled = step.done * _BAR // max(1, step.total)
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] {step.done}/{step.total}"
        failed = f"  {len(self._failed)} failed" if self._failed else ""
        now = f"  {step.check.id} {step.check.statement}" if step.check else ""
        return f"{bar}{failed}{now}"[: shutil.get_terminal_size((80, 24)).columns - 1]

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody looks: it goes on without
            self._moves = False
