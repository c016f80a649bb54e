"""Calls as JSON that stands by itself: at the start of a line, or fenced as Markdown has it."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langplug._tools.formats import Tool, ToolFormat, instructions_for, json_call, json_result, names_of
from langplug._tools.json_calls import JsonCalls
from langplug._tools.markup import CallParser, Found, Markup, MarkupParser
from langplug._tools.scanner import Read, Scanner
from langplug._tools.tags import CLOSER

_FENCE = "```"
_WORD = re.compile(r"[\w+-]*")
_WORDS = frozenset(("", "json", "tool", "tool_call", "tool_calls", "function_call"))


def bare(names: Collection[str]) -> Sequence[Markup]:
    """Objects, or a list of them, at the start of a line; a closing tag that lost its opener goes with them."""
    calls = JsonCalls(names)
    return (
        Markup("{", calls.read_object, "line start"),
        Markup("[", calls.read_list, "line start"),
        *calls.behind(),
        Markup(CLOSER, where="behind a call"),
    )


def fenced(names: Collection[str]) -> Sequence[Markup]:
    """Objects, or a list of them, between fences that say `json`, `tool_call` or the like, or nothing."""
    calls = JsonCalls(names)
    return (Markup(_FENCE, _Fences(calls).read, "line start"), *calls.behind())


class _Fences:
    """Reader of fences, which look the same whether they open or close."""

    def __init__(self, calls: JsonCalls) -> None:
        self._calls = calls
        self._inside: str = ""  # of what it is between fences: "text", "calls" or nothing

    def read(self, scanner: Scanner) -> Read[Found]:
        inside, self._inside = self._inside, ""
        word = yield from scanner.run(_WORD)
        if inside and not word:
            return [] if inside == "calls" else None
        self._inside = "text"
        calls = (yield from self._calls.read_any(scanner)) if word in _WORDS else None
        if calls is not None:
            self._inside = "calls"
        return calls


def call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A call as a JSON object."""
    return json_call(name, args, call_id)


def result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result as a JSON object."""
    return f"Tool result: {json_result(name, content, call_id, is_error)}"


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of JSON, bare or fenced."""
    names = names_of(tools)
    return MarkupParser((*bare(names), *fenced(names)))


FORMAT = ToolFormat("json", instructions_for(call), call, result, parser)
