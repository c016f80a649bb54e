"""Reasoning that a model writes into its answer between tags, such as `<think>` and `</think>`."""

import re
from typing import Literal, TypeAlias

from langplug._answer.stop import partial_start
from langplug._parts import Reasoning

_NEWLINES = "\r\n"
_BLANKS = " \t\r\n"
_NEWLINE_RUN = re.compile(r"[\r\n]*")
_INDENT_RUN = re.compile(r"[ \t]*")

_Parts: TypeAlias = list[str | Reasoning]


class ReasoningSplitter:
    r"""Splits an answer that comes in pieces into text and reasoning.

    What comes out, joined by kind, does not depend on how the answer is cut. Tags may be cut anywhere; text is held
    back only while it can still become a tag, or is a blank that goes with one.

    The opener counts only at the start of a line, behind blanks at most, so prose that mentions the tag stays
    text. The place right behind a closer is the start of a line too. The closer counts anywhere while inside; elsewhere
    it is text. Reasoning that is never closed stays reasoning.

    The tags go, and with them exactly this:

    * spaces, tabs and newlines between the start of the answer and an opener (blanks before a later opener are text);
    * newlines (`\n`, `\r`) right behind the opener, right before the closer and right behind the closer.

    Args:
        opener: The tag that starts reasoning.
        closer: The tag that ends it.
        opened: Whether the answer begins inside, because the prompt already ended with the opener, as the chat
            templates of DeepSeek-R1 and Qwen3-Thinking have it. An opener that the model then repeats at once is
            dropped; newlines at the start are those behind the opener.

    Raises:
        ValueError: If a tag is empty, holds a newline, or begins or ends with a blank.
    """

    __slots__ = ("_blanks", "_closer", "_fresh", "_held", "_line_opener", "_opened", "_opener", "_place")

    def __init__(self, opener: str = "<think>", closer: str = "</think>", *, opened: bool = False) -> None:
        self._opener = _checked("opener", opener)
        self._closer = _checked("closer", closer)
        self._opened = opened
        self._line_opener = re.compile(rf"^[ \t]*{re.escape(opener)}", re.MULTILINE)
        self._place: Literal["start", "text", "behind opener", "inside", "behind closer"] = "start"
        self._held = ""  # what may become a tag
        self._blanks: list[str] = []  # the blanks before _held that go with that tag
        self._fresh = True  # whether only blanks came since the line of text began

    def feed(self, text: str) -> list[str | Reasoning]:
        """Take the next piece; return what is known now."""
        if self._place == "text" and not self._held and self._opener[0] not in text:
            self._fresh = self._is_fresh(text)
            return [text] if text else []
        text, self._held = self._held + text, ""
        parts: _Parts = []
        at = 0
        while at < len(text):
            at = self._advance(text, at, parts)
        return parts

    def flush(self) -> list[str | Reasoning]:
        """Say that the answer is over; return what was held back."""
        rest = self._take_blanks() + self._held
        self._held = ""
        inside = self._place == "inside"
        if self._place == "start" and self._opened:
            rest, inside = rest.lstrip(_NEWLINES), True
        if not rest:
            return []
        return [Reasoning(rest) if inside else rest]

    def _advance(self, text: str, at: int, parts: _Parts) -> int:
        """Read on from `at`; return how far it went."""
        match self._place:
            case "start":
                return self._read_start(text, at, parts)
            case "text":
                return self._read_text(text, at, parts)
            case "inside":
                return self._read_inside(text, at, parts)
            case "behind opener":
                return self._skip_newlines(text, at, "inside")
            case "behind closer":
                self._fresh = True
                return self._skip_newlines(text, at, "text")

    def _read_start(self, text: str, at: int, parts: _Parts) -> int:
        body = text[at:].lstrip(_BLANKS)
        self._blanks.append(text[at : len(text) - len(body)])
        if not body:
            return len(text)
        if body.startswith(self._opener):
            self._blanks.clear()
            self._place = "behind opener"
            return len(text) - len(body) + len(self._opener)
        if self._opener.startswith(body):
            self._held = body
            return len(text)
        return self._begin_without_opener(len(text) - len(body), parts)

    def _begin_without_opener(self, at: int, parts: _Parts) -> int:
        blanks = self._take_blanks()
        if self._opened:
            self._place = "inside"
            self._think(blanks.lstrip(_NEWLINES), parts)
        else:
            self._place = "text"
            _emit(blanks, parts)
        return at

    def _read_text(self, text: str, at: int, parts: _Parts) -> int:
        end = self._find_opener(text, at)
        if end >= 0:
            _emit(text[at : end - len(self._opener)], parts)
            self._place = "behind opener"
            return end
        rest = text[at:]
        held = self._partial_opener(rest)
        self._fresh = bool(held) or self._is_fresh(rest)
        self._held = held
        _emit(rest[: len(rest) - len(held)], parts)
        return len(text)

    def _find_opener(self, text: str, at: int) -> int:
        """Return where the next opener that counts ends, or -1. `at` is where the text goes on."""
        if text.find(self._opener, at) < 0:
            return -1
        body = _run_end(_INDENT_RUN, text, at)
        if self._fresh and text.startswith(self._opener, body):
            return body + len(self._opener)
        found = self._line_opener.search(text, at + 1)  # `^` matches at `at` even in mid-line, if that is 0
        return found.end() if found else -1

    def _partial_opener(self, text: str) -> str:
        """Return what of the end of `text` may become an opener that counts."""
        line = text[text.rfind("\n") + 1 :]
        begun = line.lstrip(" \t")
        at_line_start = self._fresh or len(line) < len(text)
        return begun if at_line_start and begun and self._opener.startswith(begun) else ""

    def _is_fresh(self, text: str) -> bool:
        line = text[text.rfind("\n") + 1 :]
        return (self._fresh or len(line) < len(text)) and not line.strip(" \t")

    def _read_inside(self, text: str, at: int, parts: _Parts) -> int:
        end = text.find(self._closer, at)
        if end < 0:
            rest = text[at:]
            known = partial_start(rest, self._closer)
            self._held = rest[known:]
            self._think(rest[:known], parts)
            return len(text)
        self._think(text[at:end], parts)
        self._blanks.clear()
        self._place = "behind closer"
        return end + len(self._closer)

    def _think(self, text: str, parts: _Parts) -> None:
        """Emit reasoning, but hold its last newlines back: a closer may follow."""
        said = text.rstrip(_NEWLINES)
        if said:
            parts.append(Reasoning(self._take_blanks() + said))
        self._blanks.append(text[len(said) :])

    def _skip_newlines(self, text: str, at: int, then: Literal["inside", "text"]) -> int:
        end = _run_end(_NEWLINE_RUN, text, at)
        if end < len(text):
            self._place = then
        return end

    def _take_blanks(self) -> str:
        blanks = "".join(self._blanks)
        self._blanks.clear()
        return blanks


def _emit(text: str, parts: _Parts) -> None:
    if text:
        parts.append(text)


def _run_end(run: re.Pattern[str], text: str, at: int) -> int:
    found = run.match(text, at)
    return found.end() if found else at


def _checked(which: str, tag: str) -> str:
    if not tag or tag != tag.strip() or "\n" in tag:
        raise ValueError(
            f"{which} is {tag!r}; expected a tag in one line with no blanks around it. Write one such as '<think>'."
        )
    return tag
