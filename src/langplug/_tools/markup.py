"""Tool calls read back out of text: what all formats share.

A format is a `Grammar` of a few `Markup`s: what opens a call, where that counts, and a reader of what follows. One
grammar serves all answers. `MarkupParser` streams the prose of one answer, runs the readers, and gives out exactly the
text that turned out not to be a call.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Literal, Protocol, TypeAlias, cast

from langplug._parts import ToolCall
from langplug._tools.markdown import MarkdownState
from langplug._tools.references import Schema
from langplug._tools.scanner import BLANKS, Read, Scanner


class CallParser(Protocol):
    """A push parser: pieces of an answer in, text and tool calls out."""

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take the next piece; return what is certain now, in order."""
        ...

    def flush(self) -> list[str | ToolCall]:
        """Say that the answer is over; return what was held back."""
        ...


BoundTools: TypeAlias = Mapping[str, Schema]
"""The tools whose calls are recognised: the JSON schema of each one's arguments, by its name."""

Found: TypeAlias = list[ToolCall] | None
"""The calls that were read (an empty list: markup without a call), or None if it was only text."""

Reader: TypeAlias = Callable[[Scanner, BoundTools], Read[Found]]
"""Reads on after an opener. It keeps nothing between two answers, as it serves all of them."""


@dataclass(frozen=True, slots=True)
class Markup:
    """One way in which markup begins.

    Attributes:
        opener: The characters that it begins with.
        read: Reads what follows. None: the opener is all there is to it, and is left out of the text.
        where: Where it counts. The start of a line is the start of the answer, the place after a call, or a newline
            and at most one blank: what is indented further is more likely part of something else.
        follows: What can stand next after blanks, as a pattern of one character; empty if anything can. It spares the
            reader what cannot be a call anyway, such as most brackets in code.
    """

    opener: str
    read: Reader | None = None
    where: Literal["anywhere", "line start", "after a call"] = "anywhere"
    follows: str = ""


class Grammar:
    """What the calls of a format look like.

    Args:
        markups: What to recognise; the first of two with the same opener counts.

    Attributes:
        markups: What it was made of.
        after_call: The markups that count right after a call: all of them.
        line_start: Those that count at the start of a line.
        anywhere: Those that count in the middle of a line.
    """

    def __init__(self, *markups: Markup) -> None:
        before_calls = [markup for markup in markups if markup.where != "after a call"]
        self.markups = markups
        self.after_call = _Place(markups)
        self.line_start = _Place(before_calls)
        self.anywhere = _Place([markup for markup in before_calls if markup.where == "anywhere"])
        self._before_calls = before_calls

    @cached_property
    def candidate(self) -> re.Pattern[str]:
        """What finds the next place where markup can begin; made with the first answer, as there are many grammars."""
        return re.compile("|".join(_candidates(self._before_calls)) or "(?!)")


def _candidates(markups: Sequence[Markup]) -> Iterator[str]:
    """The patterns of places where a markup begins, or may begin once more of the text has come."""
    firsts = dict.fromkeys((markup.opener[0], markup.where) for markup in markups)
    for char, where in firsts:
        rests = [
            (markup.opener[1:], rf"(?=\s*(?:{markup.follows}|\Z))" if markup.follows else "")
            for markup in markups
            if (markup.opener[0], markup.where) == (char, where)
        ]
        first = re.escape(char)
        # the pattern begins with the character itself, so that the search can skip to it
        after_newline = rf"(?:(?<=\n{first})|(?<=\n\s{first}))" if where == "line start" else ""
        yield first + after_newline + _rest_pattern(rests)


def _rest_pattern(rests: Sequence[tuple[str, str]]) -> str:
    """What goes on as one of `rests`, each with what must follow it, or ends within one."""
    ends = [follows for rest, follows in rests if not rest]
    if "" in ends:
        return ""
    by_char: dict[str, list[tuple[str, str]]] = {}
    for rest, follows in rests:
        if rest:
            by_char.setdefault(rest[0], []).append((rest[1:], follows))
    goes_on = [re.escape(char) + _rest_pattern(others) for char, others in by_char.items()]
    return "(?:" + "|".join([*ends, *goes_on, *([r"\Z"] if goes_on else [])]) + ")"


class _Place:
    """The markups that count in one place."""

    def __init__(self, markups: Sequence[Markup]) -> None:
        self.readers: dict[str, Reader | None] = {}
        for markup in markups:
            self.readers.setdefault(markup.opener, markup.read)
        self.openers = frozenset(self.readers)
        self.first_chars = frozenset(opener[0] for opener in self.openers)
        self.closers = [markup.opener for markup in markups if markup.where == "after a call"]


class MarkupParser:
    """Splits an answer that comes in pieces into text and tool calls.

    What comes out, joined, does not depend on how the answer is cut. Text is held back only while it can still become
    markup, or is blank and may stand before some. Once the text departs from what a call of a bound tool looks like, it
    comes out as it was, and the reading goes on right there.

    In Markdown code and in block quotes nothing is a call but what is fenced by itself: a fence that a format reads, or
    one with which the answer begins.

    Spaces, tabs and newlines directly around calls are left out, except that text on both sides of calls stays apart:
    the blanks before the first of the calls, or if there are none those after the last, come out before the text that
    follows.

    Args:
        grammar: What to recognise.
        tools: The tools whose calls are recognised.
    """

    def __init__(self, grammar: Grammar, tools: BoundTools) -> None:
        self.grammar = grammar
        self._tools = tools
        self._scanner = Scanner()
        self._out = _Output()
        self._reading = self._read()

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take the next piece; return what is certain now, in order."""
        if text:
            self._scanner.feed(text)
            next(self._reading)
        return self._out.take()

    def flush(self) -> list[str | ToolCall]:
        """Say that the answer is over, or goes on after something else; return what was held back."""
        self._scanner.end()
        next(self._reading, None)
        self._out.end()
        self._scanner.restart()
        self._reading = self._read()
        return self._out.take()

    def _read(self) -> Read[None]:
        """Read the answer to its end, a run of blanks, of prose or of markup at a time."""
        scanner, out, grammar = self._scanner, self._out, self.grammar
        while (yield from scanner.more()):
            scanner.mark()
            if blanks := scanner.now(BLANKS):
                out.say(blanks)
                continue
            if out.is_after_call:
                place = grammar.after_call
            else:
                place = grammar.line_start if out.is_at_line_start else grammar.anywhere
            if (yield from scanner.peek()) not in place.first_chars:
                out.say(scanner.before(grammar.candidate))
                continue
            opener = yield from scanner.one_of(place.openers)
            if opener is None:
                begun = scanner.marked()
                # an answer may end within the end of a call's markup: `</tool_` after a whole call is not text
                if not begun:
                    out.say(scanner.before(grammar.candidate))
                elif not any(closer.startswith(begun) for closer in place.closers):
                    out.say(begun)
                continue
            read = place.readers[opener]
            calls = (yield from read(scanner, self._tools)) if read else []
            # more calls of the same markup come by themselves: what separates them counts "after a call"
            if calls is None or (not out.is_after_call and out.markdown.is_code()):
                out.say(scanner.marked())
            else:
                out.call(calls)


class _Output:
    """Text and calls on their way out; blanks wait until it is known what they stand before."""

    def __init__(self) -> None:
        self.is_after_call = False
        self.markdown = MarkdownState()
        self._parts: list[str | ToolCall] = []
        self._blanks: list[str] = []
        self._tail = ""  # the last two of the blanks
        self._has_text = False
        self._gap = ""  # the blanks before the calls

    @property
    def is_at_line_start(self) -> bool:
        # of `\n` and one blank the newline is among the last two; of more blanks after it, it is not
        return "\n" in self._tail or not (self._has_text or self.is_after_call)

    def say(self, text: str) -> None:
        self.markdown.add(text)
        body = text.rstrip(" \t\r\n")
        if body:
            blanks = self._take_blanks()
            if self.is_after_call:
                # text on both sides of calls stays apart; before the first text of the answer nothing has to
                blanks = (self._gap or blanks) if self._has_text else ""
            self._parts.append(blanks + body)
            self._has_text, self.is_after_call, self._tail = True, False, ""
        self._blanks.append(text[len(body) :])
        self._tail = (self._tail + text[len(body) :])[-2:]

    def call(self, calls: Iterable[ToolCall]) -> None:
        blanks = self._take_blanks()
        if not self.is_after_call:
            self._gap = blanks
        self.is_after_call, self._tail = True, ""
        self._parts.extend(calls)

    def end(self) -> None:
        blanks = self._take_blanks()
        if blanks and not self.is_after_call:
            self._parts.append(blanks)

    def take(self) -> list[str | ToolCall]:
        """What is certain by now, with text that follows on text joined."""
        parts, self._parts = self._parts, []
        if len(parts) < 2:
            return parts
        joined: list[str | ToolCall] = []
        for is_text, run in groupby(parts, lambda part: isinstance(part, str)):
            found = list(run)
            joined.extend(["".join(cast("list[str]", found))] if is_text else found)
        return joined

    def _take_blanks(self) -> str:
        blanks = "".join(self._blanks)
        self._blanks.clear()
        return blanks
