"""How far a long command is."""

import os
import shutil
from typing import Final, TextIO

_CLEAR: Final = "\r\x1b[K"
_WIDTH: Final = 24


def draw_bar(done: int, total: int) -> str:
    """A bar that is filled as far as `done` is of `total`; empty where there is nothing to do."""
    filled = done * _WIDTH // max(1, total)
    return f"[{'#' * filled}{'.' * (_WIDTH - filled)}]"


class ProgressLine:
    """A line that is redrawn in its place on a terminal; elsewhere, only lines that stay are written.

    Args:
        stream: Where to write: stderr, because stdout holds the result alone.

    Attributes:
        redraws: Whether `stream` is a terminal on which a line can be redrawn, and so `redraw` shows anything.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.redraws = stream.isatty() and os.environ.get("TERM") != "dumb"

    def redraw(self, text: str) -> None:
        """Show `text` in the line's place, cut off at the terminal's edge."""
        if self.redraws:
            # One column stays free: terminals differ in whether a full line begins the next one.
            self._write(_CLEAR + text[: shutil.get_terminal_size((80, 24)).columns - 1])

    def clear(self) -> None:
        """Leave the line as if nothing had been there."""
        self.redraw("")

    def keep(self, text: str) -> None:
        """Write a line that stays, in place of the one that is redrawn."""
        self.clear()
        self._write(f"{text}\n")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:  # nobody looks any more: the work goes on without
            self.redraws = False
