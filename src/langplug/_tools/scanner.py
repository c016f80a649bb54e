"""Text that comes in pieces, read by generators.

A reader is a generator that yields where it needs text that has not come yet. It sees one run of characters, never the
pieces, so what it finds cannot depend on how the text was cut. Each character is read a fixed number of times.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from functools import lru_cache
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

    __slots__ = ("_at", "_ended", "_next_end", "_passed", "_start", "_stop", "_text", "fence", "rewound")

    def __init__(self) -> None:
        self.fence: Literal["", "text", "calls"] = ""
        self.restart()

    def restart(self) -> None:
        """Begin anew, after the end: all of the text must have been read."""
        self._text = ""
        self._at = 0
        self._stop = 0  # where the text ends, as far as it is to be seen
        self._start = 0  # where in the first piece of `_passed` the mark is
        self._passed: list[str] = []
        self._ended = False
        self._next_end: dict[re.Pattern[str], tuple[int, int]] = {}
        self.rewound = False

    def feed(self, text: str) -> None:
        """Put on the next piece."""
        self._passed.append(self._text[: self._at])
        # what is left is short: a reader waits at the end of the text, or within a word that it may be looking at
        self._text = self._text[self._at :] + text if self._at < self._stop else text
        self._at, self._stop = 0, len(self._text)

    def end(self) -> None:
        """Say that nothing more will come."""
        self._ended = True

    @property
    def at_end(self) -> bool:
        """Whether all has been read that will ever come."""
        return self._ended and self._at == self._stop

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
        self._start, self._at, self._stop = 0, length, len(self._text)
        self.rewound = True

    def narrow(self, ends: re.Pattern[str], *, with_end: bool = False) -> None:
        """Hide all from the next place on where `ends` is found, or from after it, once all has come."""
        start, end = self._next_end.get(ends, (0, 0))
        if start < self._at:  # not looked for each time anew: there may be none, and that takes the whole text
            found = ends.search(self._text, self._at)
            start, end = found.span() if found else (len(self._text), len(self._text))
            self._next_end[ends] = start, end
        self._stop = end if with_end else start

    def widen(self) -> None:
        """Show again what was hidden."""
        self._stop = len(self._text)

    def more(self) -> Read[bool]:
        """Wait for a character; return whether there is one."""
        while self._at == self._stop:
            if self._ended:
                return False
            yield
        return True

    def peek(self) -> Read[str]:
        """The next character, not passed; `""` at the end."""
        while self._at == self._stop:
            if self._ended:
                return ""
            yield
        return self._text[self._at]

    def take(self) -> Read[str]:
        """The next character, passed; `""` at the end."""
        char = yield from self.peek()
        self._at += len(char)
        return char

    def now(self, pattern: re.Pattern[str]) -> str:
        """Pass what `pattern` matches of what has come, without waiting."""
        found = pattern.match(self._text, self._at, self._stop)
        self._at = found.end() if found else self._at
        return found[0] if found else ""

    def before(self, pattern: re.Pattern[str]) -> str:
        """Pass a character, and all that has come up to where `pattern` is found, without waiting."""
        found = pattern.search(self._text, self._at + 1, self._stop)
        start, self._at = self._at, found.start() if found else self._stop
        return self._text[start : self._at]

    def run(self, pattern: re.Pattern[str]) -> Read[str]:
        """Pass all that `pattern`, a repeated class of characters, matches."""
        pieces: list[str] = []
        while (yield from self.more()):
            pieces.append(self.now(pattern))
            if self._at < self._stop:
                break
        return "".join(pieces)

    def blanks(self) -> Read[str]:
        """Pass spaces, tabs and newlines."""
        return (yield from self.run(BLANKS))

    def one_of(self, words: Iterable[str]) -> Read[str | None]:
        """The longest of `words` that stands here.

        None: none does, and nothing is passed; but where the text ends within one, that is passed.
        """
        every, pattern, longest = _compile_words(frozenset(words))  # costs nothing where it is one already
        while self._stop - self._at < longest:
            rest = self._text[self._at : self._stop]
            if not any(word.startswith(rest) for word in every if len(word) > len(rest)):
                break
            if self._ended:
                self._at = self._stop
                return rest if rest in every else None
            yield
        return self.now(pattern) or None

    def skip(self, word: str) -> Read[bool]:
        """Pass blanks and then `word`, if it stands here; return whether it does."""
        yield from self.blanks()
        if self._text.startswith(word, self._at, self._stop):
            self._at += len(word)
            return True
        return (yield from self.one_of((word,))) is not None

    def until(self, end: str) -> Read[tuple[str, bool]]:
        """Pass all up to and with `end`; return what is before it, and whether it came."""
        pieces: list[str] = []
        held = ""  # the last characters, with which `end` may have begun
        while (yield from self.more()):
            # across the seam of two pieces, and then in place: what follows is copied once at most
            seam = held + self._text[self._at : min(self._at + len(end) - 1, self._stop)] if held else ""
            at = seam.find(end)
            if at >= 0:
                self._at += at + len(end) - len(held)
                return "".join([*pieces, seam[:at]]), True
            at = self._text.find(end, self._at, self._stop)
            if at >= 0:
                pieces += [held, self._text[self._at : at]]
                self._at = at + len(end)
                return "".join(pieces), True
            rest = held + self._text[self._at : self._stop]
            self._at = self._stop
            kept = max(len(rest) - len(end) + 1, 0)
            pieces.append(rest[:kept])
            held = rest[kept:]
        return "".join([*pieces, held]), False


@lru_cache(maxsize=512)
def _compile_words(words: frozenset[str]) -> tuple[frozenset[str], re.Pattern[str], int]:
    return words, re.compile(_words_pattern(sorted(words)) if words else r"(?!)"), max(map(len, words), default=0)


def _words_pattern(words: Sequence[str]) -> str:
    """The longest of `words`: what several begin with is tried once."""
    by_char: dict[str, list[str]] = {}
    for word in filter(None, words):
        by_char.setdefault(word[0], []).append(word[1:])
    going_on = "|".join(re.escape(char) + _words_pattern(rests) for char, rests in by_char.items())
    if "" in words:
        return f"(?:{going_on})?" if going_on else ""
    return f"(?:{going_on})"
