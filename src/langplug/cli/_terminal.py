"""What the command line reads and writes: stdout holds the answer and nothing else, everything else goes to stderr."""

import atexit
import errno
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO

from langplug.cli._exit import OutputError, ReaderGone, UsageError
from langplug.cli._waiting import Waiting
from langplug.cli._wrap import WordWrap

_DIM: Final = "\x1b[2m"
_RED: Final = "\x1b[31m"
_PLAIN: Final = "\x1b[0m"

# What a model says must not be able to command the terminal it is shown on (move the cursor, set the
# title, fill the clipboard): control characters are shown as their pictures, U+2400 and on.
_VISIBLE: Final[dict[int, int | None]] = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t\r"},
    ord("\r"): None,
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


def wants_colour(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether to colour what goes to `stream`: `NO_COLOR`, then `FORCE_COLOR`, then whether it is a terminal.

    Sources: https://no-color.org, https://force-color.org; the order is CPython's own.
    """
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb"


def use_utf8() -> None:
    """Read and write UTF-8, whatever the locale says."""
    # A container's locale is often "C", in which Python would write "?" for every letter that is not ASCII.
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            piped_in = stream is sys.stdin and not stream.isatty()
            stream.reconfigure(encoding="utf-8", errors="strict" if piped_in else "replace")


def abandon_stdout() -> None:
    """Discard what stdout still holds, so that the interpreter does not fail when it flushes it at exit.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe.
    """
    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # no stdout, or one without a file descriptor
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


class Terminal:
    """stdin, stdout and stderr, and what may be done with each.

    Attributes:
        interactive: Whether somebody sits at stdin.
        colour: Whether stderr is coloured.
    """

    def __init__(self) -> None:
        self._in = sys.stdin
        self._out = sys.stdout
        self._err = sys.stderr
        self.interactive = _is_terminal(self._in)
        self._out_is_terminal = _is_terminal(self._out)
        self._err_is_terminal = _is_terminal(self._err)
        self.colour = wants_colour(self._err, os.environ)
        is_smart = os.environ.get("TERM") != "dumb"
        self._wrapped_out = WordWrap() if self._out_is_terminal and is_smart else None
        self._wrapped_err = WordWrap() if self._err_is_terminal and is_smart else None

    def answer(self, text: str, *, wrap: bool = False) -> None:
        """Write a piece of the answer to stdout, at once.

        Args:
            text: What to write.
            wrap: Whether long lines are broken between words, on a terminal.

        Raises:
            ReaderGone: If stdout is a pipe whose reader has gone.
            OutputError: If it cannot be written for another reason.
        """
        shown = text.translate(_VISIBLE) if self._out_is_terminal else text
        if wrap and self._wrapped_out:
            shown = self._wrapped_out.feed(shown)
        try:
            self._out.write(shown)
            self._out.flush()
        except OSError as error:
            abandon_stdout()
            # Windows reports a pipe without a reader as EINVAL: https://bugs.python.org/issue35754
            if error.errno == errno.EPIPE or (os.name == "nt" and error.errno == errno.EINVAL):
                raise ReaderGone from error
            raise OutputError(f"the answer cannot be written to stdout: {error.strerror or error}") from error

    def note(self, text: str, *, end: str = "\n", dim: bool = False) -> None:
        """Write to stderr, at once. On a terminal, long lines are broken between words."""
        self._write_note(self._styled(self._shown(text), _DIM if dim else "") + self._shown(end))

    def error(self, text: str) -> None:
        """Write an error to stderr, on a line of its own."""
        label, rest = self._shown("langplug:"), self._shown(f" {text}\n")
        self._write_note(self._styled(label, _RED) + rest)

    def waiting(self, text: str) -> Waiting:
        """Show on stderr that `text` is waited for, and for how long, if somebody looks."""
        return Waiting(self._err, text)

    def read_all(self) -> str:
        """All of stdin, without the newlines at its end.

        Raises:
            UsageError: If it is not UTF-8 text.
        """
        if self._in is None:  # pyright: ignore[reportUnnecessaryComparison] (it is, after `<&-`)
            return ""
        try:
            # Windows editors put a byte order mark in front of UTF-8, which a model would take for a character.
            return self._in.read().removeprefix("\ufeff").rstrip("\n")
        except UnicodeDecodeError as error:
            raise UsageError(
                f"stdin is not UTF-8 text ({error.reason} at byte {error.start}): convert it first"
            ) from None

    def read_line(self, prompt: str) -> str:
        """One line from the person at stdin.

        Raises:
            EOFError: At Ctrl-D.
            KeyboardInterrupt: At Ctrl-C.
        """
        if self.interactive and self._out_is_terminal:
            return input(prompt)
        if self._wrapped_err:
            self._wrapped_err = WordWrap()  # whoever types ends the line
        self.note(prompt, end="")  # `input` would write the prompt to stdout, which holds only the answer
        line = self._in.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")

    def _shown(self, note: str) -> str:
        shown = note.translate(_VISIBLE) if self._err_is_terminal else note
        return self._wrapped_err.feed(shown) if self._wrapped_err else shown

    def _styled(self, note: str, style: str) -> str:
        return f"{style}{note}{_PLAIN}" if style and self.colour else note

    def _write_note(self, note: str) -> None:
        try:
            self._err.write(note)
            self._err.flush()
        except OSError:  # nobody reads the notes: the answer goes on without them
            return


def remember_lines(file: str | None) -> None:
    """Let the arrow keys bring back earlier lines; with a `file` to keep them in, those of earlier sessions too."""
    try:
        import readline
    except ImportError:  # on Windows, and in Pythons built without it: lines are read all the same
        return
    readline.parse_and_bind("set enable-bracketed-paste on")  # a pasted text of several lines is one message
    if not file:
        return
    path = Path(file).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        readline.read_history_file(path)
    atexit.register(readline.write_history_file, path)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
