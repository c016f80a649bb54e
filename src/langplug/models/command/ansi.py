"""Terminal control codes, taken out of a text that comes in pieces."""

import re
from enum import Enum, auto

_OPENER = re.compile("[\x1b\x9b]")
_CSI_BODY = re.compile("[\x20-\x3f]*")
_STRING_BODY = re.compile("[^\x00-\x1f\x9c]*")


class _State(Enum):
    """What the next character belongs to."""

    TEXT = auto()
    ESCAPE = auto()  # after ESC: the next character says what kind of sequence this is
    DESIGNATION = auto()  # ESC ( B and its like, which choose a character set
    CSI = auto()  # ESC [ 31 m and its like: colours, cursor movements
    STRING = auto()  # ESC ] 0 ; title BEL and its like: titles, links, answers of the terminal
    STRING_ESCAPE = auto()  # ESC in a string: its end, if a backslash follows


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
        """Take the next piece and return the text in it. Nothing is held back, so there is nothing to flush."""
        if self._state is _State.TEXT and not _OPENER.search(text):
            return text
        kept: list[str] = []
        at = 0
        while at < len(text):
            if self._state is not _State.TEXT:
                at = self._skip(text, at)
            elif opener := _OPENER.search(text, at):
                kept.append(text[at : opener.start()])
                self._state = _State.ESCAPE if opener.group() == "\x1b" else _State.CSI
                at = opener.end()
            else:
                kept.append(text[at:])
                break
        return "".join(kept)

    def _skip(self, text: str, at: int) -> int:
        """Skip what belongs to the sequence, and return where to go on.

        What cannot be in the sequence is not skipped: it is text, or begins the next sequence.
        """
        match self._state:
            case _State.ESCAPE if text[at] == "[":
                self._state = _State.CSI
            case _State.ESCAPE if text[at] in "]PX^_":
                self._state = _State.STRING
            case _State.ESCAPE | _State.DESIGNATION if "\x20" <= text[at] <= "\x2f":
                self._state = _State.DESIGNATION
            case _State.ESCAPE | _State.DESIGNATION:
                return self._end(at, is_final="\x30" <= text[at] <= "\x7e")
            case _State.CSI:
                at = _end_of(_CSI_BODY, text, at)
                return at if at == len(text) else self._end(at, is_final="\x40" <= text[at] <= "\x7e")
            case _State.STRING:
                at = _end_of(_STRING_BODY, text, at)
                if at == len(text):
                    return at
                if text[at] != "\x1b":
                    return self._end(at, is_final=text[at] in "\x07\x9c")
                self._state = _State.STRING_ESCAPE
            case _:
                if text[at] == "\\":
                    return self._end(at, is_final=True)
                self._state = _State.ESCAPE  # the ESC before it did not end the string: it begins another sequence
                return at
        return at + 1

    def _end(self, at: int, *, is_final: bool) -> int:
        self._state = _State.TEXT
        return at + 1 if is_final else at


def _end_of(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    return found.end() if found else at
