"""Text that comes in pieces, read by generators.

A reader is a generator that yields where it needs text that has not come yet. It sees one run of characters, never the
pieces, so what it finds cannot depend on how the text was cut. Each character is read once.
"""

import re
from collections.abc import Generator, Iterable
from typing import Literal, TypeAlias, TypeVar

T = TypeVar("T")
Read: TypeAlias = Generator[None, None, T]
"""The reading of a `T`: it yields to wait for text, and returns what it read."""

BLANKS = re.compile(r"[ \t\r\n]*")


class Scanner:
    """The text that has come, how far it is read, and what was passed since the last mark.

    Attributes:
        rewound: Whether it was wound back at the end. What is left is then read for the second time.
        fence: What stands in the Markdown fence that is open; empty if none is. It is kept here since readers serve
            all answers, and a fence that opens looks like one that closes.
    """

    __slots__ = ("_at", "_ended", "_passed", "_start", "_text", "fence", "rewound")

    def __init__(self) -> None:
        self.fence: Literal["", "text", "calls"] = ""
        self.restart()

    def restart(self) -> None:
        """Begin anew, after the end: all of the text must have been read."""
        self._text = ""
        self._at = 0
        self._start = 0  # where in the first piece of `_passed` the mark is
        self._passed: list[str] = []
        self._ended = False
        self.rewound = False

    def feed(self, text: str) -> None:
        """Put on the next piece; all before it must have been read."""
        self._passed.append(self._text)
        self._text, self._at = text, 0

    def end(self) -> None:
        """Say that nothing more will come."""
        self._ended = True

    @property
    def at_end(self) -> bool:
        """Whether all has been read that will ever come."""
        return self._ended and self._at == len(self._text)

    def mark(self) -> None:
        """Begin to remember what is passed."""
        self._passed.clear()
        self._start = self._at

    def marked(self) -> str:
        """What was passed since the mark."""
        if not self._passed:
            return self._text[self._start : self._at]
        return "".join([*self._passed, self._text[: self._at]])[self._start :]

    def rewind(self, length: int) -> None:
        """Go back to `length` characters after the mark, once all has come."""
        self._text = self.marked() + self._text[self._at :]
        self._passed.clear()
        self._start, self._at = 0, length
        self.rewound = True

    def narrow(self, end: str) -> str:
        """Hide all from the next `end` on, once all has come; return what is hidden."""
        found = self._text.find(end, self._at)
        hidden = self._text[found:] if found >= 0 else ""
        self._text = self._text[: len(self._text) - len(hidden)]
        return hidden

    def widen(self, hidden: str) -> None:
        """Show again what was hidden."""
        self._text += hidden

    def more(self) -> Read[bool]:
        """Wait for a character; return whether there is one."""
        while self._at == len(self._text):
            if self._ended:
                return False
            yield
        return True

    def peek(self) -> Read[str]:
        """The next character, not passed; `""` at the end."""
        return self._text[self._at] if (yield from self.more()) else ""

    def take(self) -> Read[str]:
        """The next character, passed; `""` at the end."""
        char = yield from self.peek()
        self._at += len(char)
        return char

    def now(self, pattern: re.Pattern[str]) -> str:
        """Pass what `pattern` matches of what has come, without waiting."""
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    def run(self, pattern: re.Pattern[str]) -> Read[str]:
        """Pass all that `pattern`, a repeated class of characters, matches."""
        pieces: list[str] = []
        while (yield from self.more()):
            pieces.append(self.now(pattern))
            if self._at < len(self._text):
                break
        return "".join(pieces)

    def blanks(self) -> Read[str]:
        """Pass spaces, tabs and newlines."""
        return (yield from self.run(BLANKS))

    def one_of(self, words: Iterable[str]) -> Read[str | None]:
        """The longest of `words` that stands here. None: none does, and what began like one is passed."""
        every = frozenset(words)  # costs nothing where it is one already
        going, word = every, ""
        while (char := (yield from self.peek())) and (
            going := frozenset(each for each in going if each.startswith(char, len(word)))
        ):
            word += char
            self._at += 1
        return word if word in every else None

    def skip(self, word: str) -> Read[bool]:
        """Pass blanks and then `word`, as far as they stand here; return whether all of it does."""
        yield from self.blanks()
        return (yield from self.one_of((word,))) is not None

    def until(self, end: str) -> Read[tuple[str, bool]]:
        """Pass all up to and with `end`; return what is before it, and whether it came.

        The first character of `end` must not come again in it.
        """
        body = re.compile(f"[^{re.escape(end[0])}]*")
        pieces: list[str] = []
        while True:
            pieces.append((yield from self.run(body)))
            begun = ""
            while begun != end and (yield from self.peek()) == end[len(begun)]:
                begun += yield from self.take()
            if begun == end or not begun:
                return "".join(pieces), begun == end
            # what looked like the end was not: as its first character stands in it once, nothing was missed
            pieces.append(begun)
