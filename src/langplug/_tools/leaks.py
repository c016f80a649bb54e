"""Calls in the text of a model that calls tools natively: its server has not recognised them."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from langplug._parts import ToolCall
from langplug._tools.json_schema_check import problem_with
from langplug._tools.markdown import MarkdownState
from langplug._tools.markup import BoundTools, Grammar, MarkupParser, Reader
from langplug._tools.registry import TOOL_FORMATS
from langplug._tools.scanner import Read, Scanner
from langplug._tools.tool_format import ToolFormat
from langplug._tools.toolbox import Tool, schemas_of

_SENTENCE_ENDS = frozenset(".!?…。！？")  # noqa: RUF001 - Chinese ones, too
_COLONS = frozenset(":：")  # noqa: RUF001
_CLOSING_MARKS = "*_\"'”’)»"
_ITEM = re.compile(r"\s*(?:(?:[-*+•]|//|\d+[.)])(?:\s|\Z)|[|#])")
_HTML = re.compile(r"<(/?)(?:pre|code)|<!--|-->")
_TAIL = 200
_TOKEN = re.compile(r"<[|｜]|\]<\]")
"""What tokens of tokenizers begin with, which nobody writes in prose."""
_UNMISTAKABLE = re.compile(rf"{_TOKEN.pattern}|<\w+:|<tool_call>|<function=|\[TOOL_CALLS\]")
"""What opens calls of some families and nothing else, not even calls in other people's XML."""
_END_TOKENS = (
    "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|eot|>", "<|eom|>", "<|end|>", "<|call|>", "<|return|>",
    "<|endoftext|>", "<|end_of_text|>", "<｜end▁of▁sentence｜>", "<end_of_turn>", "<turn|>", "<eos>", "</s>",
)  # fmt: skip


class LeakParser:
    """Reads calls that were left in the text, and passes all other text on at once.

    It is stricter than the parsers of models that are told how to write calls: this one was not told to, and its text
    may well be about calls. Calls count

    * where the answer begins, after a sentence, or after a colon and a blank line; those in a tokenizer's own tokens,
      which are not prose, anywhere;
    * outside of code, be it Markdown's or HTML's, block quotes, comments, and items of lists;
    * in markup of the model's family, or if that is unknown in markup that no prose has;
    * if each is whole, calls a bound tool and fits its schema;
    * if nothing but more of them follows, and the tokens that end an answer.

    All else is text as it stands, blanks included.

    Args:
        tool_format: How the model writes calls. Common ways that cannot be taken for prose are read as well.
        tools: The bound tools.
    """

    def __init__(self, tool_format: ToolFormat, tools: Sequence[Tool]) -> None:
        self._markups, self._candidate, self._begins = _prepare(tool_format)
        self._openers = frozenset(self._markups)
        self._tokens = frozenset(filter(_TOKEN.match, self._markups))
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
        self._tail = ""  # the last characters before
        self._is_html_code = False
        self._markdown = MarkdownState()

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
            places = self._find_openers()
            if not places:
                self._say(scanner.before(self._candidate))
                continue
            self._is_waiting = True
            opener = yield from scanner.one_of(places)
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
        while read is None:  # a frame of the family's, with which a call may begin
            yield from scanner.blanks()
            next_opener = yield from scanner.one_of(self._openers)
            if next_opener is None:
                return None
            read, after_call = self._markups[next_opener]
        calls: list[ToolCall] = []
        while True:
            found = (yield from read(scanner, self._tools)) if read is not None else []
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

    def _find_openers(self) -> frozenset[str]:
        """What may open a call here; nothing in code."""
        text = "".join(self._said)
        self._said.clear()
        self._markdown.add(text)
        for found in _HTML.finditer(self._tail[-5:] + text):
            self._is_html_code = found[0] == "<!--" or found[1] == ""
        self._tail = (self._tail + text)[-_TAIL:]
        body = self._tail.rstrip()
        gap = self._tail[len(body) :]
        _, newline, indent = gap.rpartition("\n")
        is_indented = bool(newline or not body) and (len(indent) > 3 or "\t" in indent)
        if is_indented or self._is_html_code or self._markdown.is_code() or _ITEM.match(self._markdown.line):
            return frozenset()
        end = body.rstrip(_CLOSING_MARKS)[-1:] if body else "."
        is_apart = end in _SENTENCE_ENDS or (end in _COLONS and gap.count("\n") > 1)
        return self._openers if is_apart else self._tokens

    def _say(self, text: str) -> None:
        self._out.append(text)
        self._said.append(text)

    def _take(self) -> list[str | ToolCall]:
        parts, self._out = self._out, []
        texts = [part for part in parts if isinstance(part, str)]
        # calls come last, as nothing may follow them
        return [*(["".join(texts)] if texts else []), *(part for part in parts if not isinstance(part, str))]


_Markups = dict[str, tuple[Reader | None, Mapping[str, Reader | None]]]
_Search = Callable[[str], re.Match[str] | None]


@lru_cache(maxsize=64)
def _prepare(tool_format: ToolFormat) -> tuple[_Markups, re.Pattern[str], _Search]:
    """What opens calls, with what reads them and what may follow; where one may begin; and its first character."""
    own = None if tool_format.name == "default" else _grammar_of(tool_format)
    markups: _Markups = {}
    for grammar in filter(None, (own, *map(_grammar_of, TOOL_FORMATS.values()))):
        # What counts anywhere in the text of prompted models is markup of tokenizers or the like; brackets, fences and
        # words count at the start of a line alone.
        after_call = {**dict.fromkeys(_END_TOKENS), **grammar.after_call.readers}
        for opener, read in grammar.anywhere.readers.items():
            if grammar is own or (read is not None and _UNMISTAKABLE.match(opener)):
                markups.setdefault(opener, (read, after_call))
    ends = re.escape("".join(sorted(_SENTENCE_ENDS | _COLONS | set(_CLOSING_MARKS))))
    before = rf"(?:(?<=[\s{ends}])|(?={_TOKEN.pattern}|<\Z))"
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
