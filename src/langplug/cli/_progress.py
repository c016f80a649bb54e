"""How far a check is: a line that is redrawn on a terminal, plain lines elsewhere."""

import shutil
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from langplug.testing.contract import Step

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
        self._failed = 0

    def begin(self) -> None:
        """Say that the model is being made."""
        if self._moves:
            self._write(f"{_CLEAR}making the model ...")

    def show(self, step: "Step") -> None:
        """Show a step."""
        self._failed += step.last is not None and step.last.verdict == "fail"
        if self._moves:
            self._write(_CLEAR + self._line(step))
        elif step.done == step.total or (step.done and not step.done % _EVERY):
            self._write(f"{step.done} of {step.total} checks, {self._failed} failed\n")

    def end(self) -> None:
        """Leave the line as if nothing had been there."""
        if self._moves:
            self._write(_CLEAR)

    def _line(self, step: "Step") -> str:
        filled = step.done * _BAR // max(1, step.total)
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}] {step.done}/{step.total}"
        failed = f"  {self._failed} failed" if self._failed else ""
        now = f"  {step.check.id} {step.check.statement}" if step.check else ""
        return f"{bar}{failed}{now}"[: shutil.get_terminal_size((80, 24)).columns - 1]

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody looks: it goes on without
            self._moves = False
