"""Terminal control codes, taken out of a text that comes in pieces."""

import re
from enum import Enum, auto

_OPENER = re.compile("[\x1b\x9b]")
_CSI_BODY = re.compile("[\x20-\x3f]*")
_STRING_BODY = re.compile("[^\x00-\x1f\x9c]*")


class _State(Enum):
    """What the next character belongs to."""

    TEXT = auto()
    ESCAPE = auto()
    DESIGNATION = auto()
    CSI = auto()
    STRING = auto()
    STRING_ESCAPE = auto()


class AnsiStripper:
    """Takes the escape sequences of ECMA-48 out of a text: colours, cursor movements, titles, links.

    What a terminal would do with them (going back, erasing) is not done; backspaces and carriage returns stay. A
    sequence that a control character breaks off is dropped as far as it went, and so is one that never ends. What comes
    out does not depend on how the text is cut. Source: https://ecma-international.org/publications-and-standards/standards/ecma-48/.
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = _State.TEXT

    def feed(self, text: str) -> str:
        """Take the next piece; return the text in it. Nothing is held back, so there is nothing to flush."""
        if self._state is _State.TEXT and not _OPENER.search(text):
            return text
        kept: list[str] = []
        at = 0
        while at < len(text):
            at = self._text(text, at, kept) if self._state is _State.TEXT else self._sequence(text, at)
        return "".join(kept)

    def _text(self, text: str, at: int, kept: list[str]) -> int:
        opener = _OPENER.search(text, at)
        if opener is None:
            kept.append(text[at:])
            return len(text)
        kept.append(text[at : opener.start()])
        self._state = _State.ESCAPE if opener.group() == "\x1b" else _State.CSI
        return opener.end()

    def _sequence(self, text: str, at: int) -> int:
        """Go through a sequence; return where to go on."""
        match self._state:
            case _State.ESCAPE:
                return self._escape(text[at], at)
            case _State.DESIGNATION:
                return self._final(text[at], at, stays="\x20" <= text[at] <= "\x2f", first="\x30")
            case _State.CSI:
                body = _CSI_BODY.match(text, at)
                at = body.end() if body else at
                return at if at == len(text) else self._final(text[at], at, stays=False, first="\x40")
            case _State.STRING:
                body = _STRING_BODY.match(text, at)
                at = body.end() if body else at
                return at if at == len(text) else self._string_end(text[at], at)
            case _:
                self._state = _State.TEXT if text[at] == "\\" else _State.ESCAPE
                return at + 1 if text[at] == "\\" else at

    def _escape(self, mark: str, at: int) -> int:
        """The character after ESC, which says what kind of sequence this is."""
        if mark == "[":
            self._state = _State.CSI
        elif mark in "]PX^_":
            self._state = _State.STRING
        elif "\x20" <= mark <= "\x2f":
            self._state = _State.DESIGNATION
        else:
            return self._final(mark, at, stays=False, first="\x30")
        return at + 1

    def _final(self, mark: str, at: int, *, stays: bool, first: str) -> int:
        """The last character of a sequence, or one that cannot be in it and so is text, or begins the next."""
        if stays:
            return at + 1
        self._state = _State.TEXT
        return at + 1 if first <= mark <= "\x7e" else at

    def _string_end(self, mark: str, at: int) -> int:
        if mark == "\x1b":
            self._state = _State.STRING_ESCAPE
            return at + 1
        self._state = _State.TEXT
        return at + 1 if mark in "\x07\x9c" else at
