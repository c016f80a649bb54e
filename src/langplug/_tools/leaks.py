"""Calls in the text of a model that calls tools natively: its server has not recognised them."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from langplug._parts import ToolCall
from langplug._tools.json_schema_check import problem_with
from langplug._tools.markup import BoundTools, Grammar, MarkupParser, Reader
from langplug._tools.registry import TOOL_FORMATS
from langplug._tools.scanner import Read, Scanner
from langplug._tools.tool_format import ToolFormat
from langplug._tools.toolbox import Tool, schemas_of

_SENTENCE_ENDS = frozenset(".!?:;…。！？：")  # noqa: RUF001 - Chinese ones, too


class LeakParser:
    """Reads calls that were left in the text, and passes all other text on at once.

    It is stricter than the parsers of models that are told how to write calls: this one was not told to, and its text
    may well be about calls. Calls count if they stand at the start of a line or right after a sentence, not within a
    Markdown fence, in markup that no prose has; if each is whole, calls a bound tool and fits its schema; and if
    nothing but more of them follows. All else is text as it stands, blanks included.

    Args:
        tool_format: How the model writes calls. Common ways that cannot be taken for prose are read as well.
        tools: The bound tools.
    """

    def __init__(self, tool_format: ToolFormat, tools: Sequence[Tool]) -> None:
        self._markups, self._candidate, self._begins = _prepare(tool_format)
        self._openers = frozenset(self._markups)
        self._tools: BoundTools = schemas_of(tools)
        self._scanner = Scanner()
        self._is_off = False
        self._begin()

    def _begin(self) -> None:
        self._scanner.restart()
        self._reading = self._read()
        self._is_waiting = False  # within what may be markup
        self._out: list[str | ToolCall] = []
        self._said: list[str] = []  # since it was last looked at: most answers never come to that
        self._last = "\n"  # the character before
        self._is_blank_line = True  # whether the line holds nothing else yet
        self._ticks = ""  # backticks at the end, which may become a fence
        self._is_fenced = False

    def feed(self, text: str) -> list[str | ToolCall]:
        """Take the next piece; return what is certain now, in order."""
        if self._is_off or not (self._is_waiting or self._begins(text)):  # as nearly always
            self._said.append(text)
            return [text]
        self._scanner.feed(text)
        next(self._reading)
        return self._take()

    def flush(self) -> list[str | ToolCall]:
        """Say that the answer is over, or goes on after something else; return what was held back."""
        self._scanner.end()
        next(self._reading, None)
        parts = self._take()
        self._begin()
        return parts

    def turn_off(self) -> None:
        """Take all text as it is from now on, with what is held back: the model has called a tool natively."""
        self._is_off = True

    def _read(self) -> Read[None]:
        scanner = self._scanner
        while True:
            self._is_waiting = False
            if not (yield from scanner.more()):
                return
            scanner.mark()
            if not self._may_begin():
                self._say(scanner.before(self._candidate))
                continue
            self._is_waiting = True
            opener = yield from scanner.one_of(self._openers)
            calls = (yield from self._read_calls(opener)) if opener else None
            if calls and not self._is_off:
                self._out += calls
            else:
                self._say(scanner.marked() or scanner.before(self._candidate))

    def _read_calls(self, opener: str) -> Read[list[ToolCall] | None]:
        """The calls from an opener to the end of the answer; None if it is only text."""
        scanner = self._scanner
        read: Reader | None
        read, after_call = self._markups[opener]
        calls: list[ToolCall] = []
        while True:
            found = (yield from read(scanner, self._tools)) if read else []
            if found is None:
                return None
            for call in found:
                schema = self._tools.get(str(call.name))
                if schema is None or not isinstance(call.args, Mapping) or problem_with(call.args, schema):
                    return None
            calls += found
            yield from scanner.blanks()
            if not (yield from scanner.more()):
                return calls
            next_opener = yield from scanner.one_of(after_call)
            if next_opener is None:
                return calls if scanner.at_end else None  # it may end within a closing tag
            read = after_call[next_opener]

    def _may_begin(self) -> bool:
        """Whether a call may stand here."""
        if text := "".join(self._said):
            self._said.clear()
            line = text[text.rfind("\n") + 1 :]
            self._is_blank_line = (self._is_blank_line or len(line) < len(text)) and not line.strip(" \t")
            self._last = text[-1]
            ticks = self._ticks + text
            self._is_fenced ^= ticks.count("```") % 2 == 1
            self._ticks = "`" * ((len(ticks) - len(ticks.rstrip("`"))) % 3)
        return not self._is_fenced and (self._is_blank_line or self._last in _SENTENCE_ENDS)

    def _say(self, text: str) -> None:
        self._out.append(text)
        self._said.append(text)

    def _take(self) -> list[str | ToolCall]:
        parts, self._out = self._out, []
        texts = [part for part in parts if isinstance(part, str)]
        # calls come last, as nothing may follow them
        return [*(["".join(texts)] if texts else []), *(part for part in parts if not isinstance(part, str))]


_Markups = dict[str, tuple[Reader | None, dict[str, Reader | None]]]
_Search = Callable[[str], re.Match[str] | None]


@lru_cache(maxsize=64)
def _prepare(tool_format: ToolFormat) -> tuple[_Markups, re.Pattern[str], _Search]:
    """What opens calls, with what reads them and what may follow; where one may begin; and its first character."""
    own = _grammar_of(tool_format)
    markups: _Markups = {}
    for grammar in filter(None, (own, *map(_grammar_of, TOOL_FORMATS.values()))):
        # What counts anywhere in the text of prompted models is markup of tokenizers or the like; brackets, fences and
        # words count at the start of a line alone. What stands for no call is not looked for.
        for opener, read in grammar.anywhere.readers.items():
            if read is not None and (grammar is own or opener[0] in "<["):
                markups.setdefault(opener, (read, grammar.after_call.readers))
    before = rf"(?<=[\s{''.join(sorted(_SENTENCE_ENDS))}])"
    firsts = "".join(sorted({re.escape(opener[0]) for opener in markups})) or "<"
    starts: list[str] = []
    for opener in markups:
        start = ""
        for char in reversed(opener[1:]):  # all of the opener, or as much of it as the text holds that has come
            start = rf"(?:{re.escape(char)}{start}|\Z)"
        starts.append(re.escape(opener[0]) + start)
    candidate = re.compile(f"{before}(?:{'|'.join(starts)})")
    return markups, candidate, re.compile(f"[{firsts}]").search


def _grammar_of(tool_format: ToolFormat) -> Grammar | None:
    parser = tool_format.parser(())
    return parser.grammar if isinstance(parser, MarkupParser) else None
