"""What is shown while nothing comes: that something is waited for, and how long it has taken."""

import threading
from time import monotonic
from types import TracebackType
from typing import Final, Self, TextIO

from langplug.cli._progress import ProgressLine

_FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_EVERY_S: Final = 0.1
_PATIENCE_S: Final = 0.4
"""Seconds before anything is shown: what is quick must not flicker."""


class Waiting:
    """A spinner with the elapsed time, on a terminal; elsewhere, nothing. It is removed before anything else is shown.

    Args:
        stream: Where to show it: stderr.
        text: What is waited for.
    """

    def __init__(self, stream: TextIO, text: str) -> None:
        self._line = ProgressLine(stream)
        self._text = text
        self._ended = threading.Event()
        # A daemon: a wait that nobody ends must not keep the process.
        self._thread = threading.Thread(target=self._spin, name="langplug-waiting", daemon=True)

    def __enter__(self) -> Self:
        if self._line.redraws:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Remove the spinner, if there is one. It may be called again."""
        if not self._ended.is_set():
            self._ended.set()
            if self._thread.ident is not None:
                self._thread.join()

    def _spin(self) -> None:
        began = monotonic()
        turn = 0
        while not self._ended.wait(_EVERY_S):
            if (elapsed := monotonic() - began) >= _PATIENCE_S:
                self._line.redraw(f"{_FRAMES[turn % len(_FRAMES)]} {self._text} {elapsed:.1f} s")
                turn += 1
        if turn:
            self._line.clear()
