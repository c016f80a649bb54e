"""Tool calls read back out of text: what all formats share.

A format is a few `Markup`s: what opens a call, where that counts, and a reader of what follows. `MarkupParser` streams
the prose, runs the readers, and gives out exactly the text that turned out to be no call.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, Protocol, TypeAlias

from langplug._parts import ToolCall
from langplug._tools.scanner import BLANKS, Read, Scanner


class CallParser(Protocol):
    """A push parser: pieces of an answer in, text and tool calls out."""

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take the next piece; return what is certain now, in order."""
        ...

    def flush(self) -> list[str | ToolCall]:
        """Say that the answer is over; return what was held back."""
        ...


Found: TypeAlias = list[ToolCall] | None
"""The calls that were read (an empty list: markup without a call), or None if it was only text."""

Reader: TypeAlias = Callable[[Scanner], Read[Found]]
"""Reads on behind an opener."""


@dataclass(frozen=True, slots=True)
class Markup:
    """One way in which markup begins.

    Attributes:
        opener: The characters that it begins with.
        read: Reads what follows. None: the opener is all there is to it, and goes.
        where: Where it counts. The start of a line is the start of the answer, the place behind a call, or a newline
            and at most one blank: what is indented further is more likely part of something else.
    """

    opener: str
    read: Reader | None = None
    where: Literal["anywhere", "line start", "behind a call"] = "anywhere"


class MarkupParser:
    """Splits an answer that comes in pieces into text and tool calls.

    What comes out, joined, does not depend on how the answer is cut. Text is held back only while it can still become
    markup, or is blank and may stand before some. Once the text departs from what a call of a bound tool looks like, it
    comes out as it was, and the reading goes on right there.

    Spaces, tabs and newlines directly around calls go, except that text on both sides of calls stays apart: the blanks
    before the first of the calls, or if there are none those behind the last, come out before the text that follows.

    Args:
        markups: What to recognise; the first of two with the same opener counts.
    """

    def __init__(self, markups: Iterable[Markup]) -> None:
        self._behind = tuple(markups)
        self._line_start = tuple(markup for markup in self._behind if markup.where != "behind a call")
        self._anywhere = tuple(markup for markup in self._line_start if markup.where == "anywhere")
        firsts = "".join({re.escape(markup.opener[0]) for markup in self._line_start})
        self._prose = re.compile(f"(?s:.)[^{firsts}]*" if firsts else r"(?s:.)+")
        self._tape = Scanner()
        self._out = _Output()
        self._job = self._read()

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take the next piece; return what is certain now, in order."""
        if text:
            self._tape.feed(text)
            next(self._job)
        return self._out.take()

    def flush(self) -> list[str | ToolCall]:
        """Say that the answer is over, or goes on behind something else; return what was held back."""
        self._tape.end()
        next(self._job, None)
        self._out.end()
        self._tape = Scanner()
        self._job = self._read()
        return self._out.take()

    def _read(self) -> Read[None]:
        scanner, out = self._tape, self._out
        while (yield from scanner.more()):
            scanner.mark()
            if blanks := scanner.now(BLANKS):
                out.say(blanks)
                continue
            markups = self._allowed()
            char = yield from scanner.peek()
            if any(markup.opener.startswith(char) for markup in markups):
                yield from self._read_markup(markups)
            else:
                out.say(scanner.now(self._prose))

    def _allowed(self) -> Sequence[Markup]:
        if self._out.is_behind_call:
            return self._behind
        return self._line_start if self._out.is_at_line_start else self._anywhere

    def _read_markup(self, markups: Sequence[Markup]) -> Read[None]:
        opener = yield from self._tape.one_of(markup.opener for markup in markups)
        if opener is None:
            if not self._is_cut_closer(markups):
                self._out.say(self._tape.marked())
            return
        read = next(markup.read for markup in markups if markup.opener == opener)
        calls = (yield from read(self._tape)) if read else []
        if calls is None:
            self._out.say(self._tape.marked())
        else:
            self._out.call(calls)

    def _is_cut_closer(self, markups: Sequence[Markup]) -> bool:
        """Whether the answer ends in what would have become the end of the markup of a call."""
        begun = self._tape.marked()
        closers = (markup.opener for markup in markups if markup.where == "behind a call")
        return self._tape.at_end and any(closer.startswith(begun) for closer in closers)


class _Output:
    """Text and calls on their way out; blanks wait until it is known what they stand before."""

    def __init__(self) -> None:
        self.is_behind_call = False
        self._parts: list[str | ToolCall] = []
        self._blanks: list[str] = []
        self._tail = ""  # the last two of the blanks
        self._has_text = False
        self._gap = ""  # the blanks before the calls

    @property
    def is_at_line_start(self) -> bool:
        return "\n" in self._tail or not (self._has_text or self.is_behind_call)

    def say(self, text: str) -> None:
        body = text.rstrip(" \t\r\n")
        if body:
            self._parts.append(self._gap_before_text() + body)
            self._has_text, self.is_behind_call, self._tail = True, False, ""
        self._blanks.append(text[len(body) :])
        self._tail = (self._tail + text[len(body) :])[-2:]

    def call(self, calls: Iterable[ToolCall]) -> None:
        blanks = self._take_blanks()
        if not self.is_behind_call:
            self._gap = blanks
        self.is_behind_call, self._tail = True, ""
        self._parts.extend(calls)

    def end(self) -> None:
        blanks = self._take_blanks()
        if blanks and not self.is_behind_call:
            self._parts.append(blanks)

    def take(self) -> list[str | ToolCall]:
        parts, self._parts = self._parts, []
        if len(parts) < 2:
            return parts
        return [part for is_text, run in groupby(parts, _is_text) for part in (_joined(run) if is_text else run)]

    def _gap_before_text(self) -> str:
        blanks = self._take_blanks()
        if not self.is_behind_call:
            return blanks
        return (self._gap or blanks) if self._has_text else ""

    def _take_blanks(self) -> str:
        blanks = "".join(self._blanks)
        self._blanks.clear()
        return blanks


def _is_text(part: str | ToolCall) -> bool:
    return isinstance(part, str)


def _joined(parts: Iterable[str | ToolCall]) -> list[str]:
    return ["".join(part for part in parts if isinstance(part, str))]
