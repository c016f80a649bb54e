"""Reasoning that a model writes into its answer between tags, such as `<think>` and `</think>`."""

import re
from functools import cache
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

    The opener counts only at the start of a line, after blanks at most, so prose that mentions the tag stays
    text. The place right after a closer is the start of a line too. The closer counts anywhere while inside; elsewhere
    it is text. Reasoning that is never closed stays reasoning.

    The tags go, and with them exactly this:

    * spaces, tabs and newlines between the start of the answer and an opener (blanks before a later opener are text);
    * newlines (`\n`, `\r`) right after the opener, right before the closer and right after the closer.

    Args:
        opener: The tag that starts reasoning.
        closer: The tag that ends it.
        opened: Whether the answer begins inside, because the prompt already ended with the opener, as the chat
            templates of DeepSeek-R1 and Qwen3-Thinking have it. An opener that the model then repeats at once is
            dropped; newlines at the start are those after the opener.

    Raises:
        ValueError: If a tag is empty, holds a newline, or begins or ends with a blank.
    """

    __slots__ = ("_blanks", "_closer", "_fresh", "_held", "_opened", "_opener", "_place")

    def __init__(self, opener: str = "<think>", closer: str = "</think>", *, opened: bool = False) -> None:
        for which, tag in (("opener", opener), ("closer", closer)):
            if not tag or tag != tag.strip() or "\n" in tag:
                raise ValueError(
                    f"{which} is {tag!r}; expected a tag on one line without blanks around it. "
                    "Write one such as '<think>'."
                )
        self._opener = opener
        self._closer = closer
        self._opened = opened
        self._place: Literal["start", "text", "after opener", "inside", "after closer"] = "start"
        self._held = ""  # what may become a tag
        self._blanks: list[str] = []  # the blanks before _held that go with that tag
        self._fresh = True  # whether only blanks have come since the line of text began

    def feed(self, text: str) -> _Parts:
        """Take the next piece; return what is known now."""
        # Most pieces of most answers: text that cannot have anything to do with a tag.
        if self._place == "text" and not self._held and self._opener[0] not in text:
            self._fresh = self._is_fresh(text)
            return [text] if text else []
        text, self._held = self._held + text, ""
        parts: _Parts = []
        at = 0
        while at < len(text):
            match self._place:
                case "start":
                    at = self._read_start(text, parts)
                case "text":
                    at = self._read_text(text, at, parts)
                case "inside":
                    end = text.find(self._closer, at)
                    known = end if end >= 0 else at + partial_start(text[at:], self._closer)
                    self._add_reasoning(text[at:known], parts)
                    if end < 0:
                        self._held = text[known:]
                        return parts
                    self._blanks.clear()  # the newlines right before the closer
                    self._place = "after closer"
                    at = end + len(self._closer)
                case "after opener" | "after closer":
                    at = _run_end(_NEWLINE_RUN, text, at)
                    if at < len(text):
                        self._fresh = True
                        self._place = "inside" if self._place == "after opener" else "text"
        return parts

    def flush(self) -> _Parts:
        """Say that the answer is over; return what was held back."""
        rest = self._take_blanks() + self._held
        self._held = ""
        inside = self._place == "inside"
        if self._place == "start" and self._opened:
            rest, inside = rest.lstrip(_NEWLINES), True
        if not rest:
            return []
        return [Reasoning(rest) if inside else rest]

    # Each reads on in one place, adds to `parts` what is certain, and returns how far it went.

    def _read_start(self, text: str, parts: _Parts) -> int:
        body = text.lstrip(_BLANKS)
        at = len(text) - len(body)
        self._blanks.append(text[:at])
        if body.startswith(self._opener):
            self._blanks.clear()
            self._place = "after opener"
            return at + len(self._opener)
        if self._opener.startswith(body):  # with an empty body, too: only blanks so far
            self._held = body
            return len(text)
        blanks = self._take_blanks()
        if self._opened:
            self._place = "inside"
            self._add_reasoning(blanks.lstrip(_NEWLINES), parts)
        else:
            self._place = "text"
            if blanks:
                parts.append(blanks)
        return at

    def _read_text(self, text: str, at: int, parts: _Parts) -> int:
        if text.find(self._opener, at) >= 0:
            # An opener counts at the start of a line: of this one, if only blanks came before it, or of a later one.
            body = _run_end(_INDENT_RUN, text, at)
            end = body + len(self._opener) if self._fresh and text.startswith(self._opener, body) else -1
            # From `at + 1`, as `^` matches at the beginning of `text` even where that is the middle of a line.
            if end < 0 and (found := _opener_of_a_line(self._opener).search(text, at + 1)):
                end = found.end()
            if end >= 0:
                if before := text[at : end - len(self._opener)]:
                    parts.append(before)
                self._place = "after opener"
                return end
        rest = text[at:]
        line = rest[rest.rfind("\n") + 1 :].lstrip(" \t")
        starts_line = self._fresh or "\n" in rest
        self._held = line if starts_line and line and self._opener.startswith(line) else ""
        self._fresh = bool(self._held) or self._is_fresh(rest)
        if known := rest[: len(rest) - len(self._held)]:
            parts.append(known)
        return len(text)

    def _add_reasoning(self, text: str, parts: _Parts) -> None:
        """Give `text` on, but hold its last newlines back: a closer may follow."""
        said = text.rstrip(_NEWLINES)
        if said:
            parts.append(Reasoning(self._take_blanks() + said))
        self._blanks.append(text[len(said) :])

    def _is_fresh(self, text: str) -> bool:
        """Whether, after `text`, only blanks have come since the line began."""
        line = text[text.rfind("\n") + 1 :]
        return (self._fresh or len(line) < len(text)) and not line.strip(" \t")

    def _take_blanks(self) -> str:
        blanks = "".join(self._blanks)
        self._blanks.clear()
        return blanks


@cache
def _opener_of_a_line(opener: str) -> re.Pattern[str]:
    return re.compile(rf"^[ \t]*{re.escape(opener)}", re.MULTILINE)


def _run_end(run: re.Pattern[str], text: str, at: int) -> int:
    found = run.match(text, at)
    return found.end() if found else at
