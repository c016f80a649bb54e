"""The format of Mistral: `[TOOL_CALLS]`, and a JSON list of calls or, since the tokenizer v11, `name[ARGS]{...}`.

https://docs.mistral.ai/guides/tokenization/ and https://github.com/mistralai/mistral-common
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._parts import ToolCall
from langplug._tools.json_calls import JsonCalls
from langplug._tools.literals import arguments_of, read_value
from langplug._tools.markup import BoundTools, CallParser, Found, Grammar, Markup, MarkupParser
from langplug._tools.scanner import Read, Scanner
from langplug._tools.tool_format import Instructions, ToolFormat, json_call, json_result
from langplug._tools.toolbox import Tool, schemas_of

OPENER, ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"

JSON = JsonCalls(sure=True, with_id=True)  # the model makes its ids up anew for each call, so they tell calls apart


def read_calls(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first of the calls; `[TOOL_CALLS]` was read."""
    yield from scanner.blanks()
    if (yield from scanner.peek()) in ("[", "{"):
        return (yield from JSON.read_any(scanner, tools))
    name = yield from scanner.one_of(tools)
    if not name:
        return None
    call_id = ""
    yield from scanner.blanks()
    if (yield from scanner.peek()) == "[":
        tag = yield from scanner.one_of((ID, ARGS))
        if tag is None and not scanner.at_end:
            return None
        if tag == ID:
            call_id = (yield from scanner.until(ARGS))[0].strip()
        yield from scanner.blanks()
    elif (yield from scanner.peek()) not in ("{", ""):  # some leave `[ARGS]` out
        return None
    text, is_whole = yield from read_value(scanner)
    args = arguments_of(text) if is_whole else None
    raw = text.strip() or scanner.marked()
    return [ToolCall(name=name, args=raw if args is None else args, id=call_id or None)]


GRAMMAR = Grammar(Markup(OPENER, read_calls), *JSON.after_call())


def write_call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A list with one call."""
    return f"{OPENER} [{json_call(name, args, call_id)}]"


def write_result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result between its tags."""
    return f"[TOOL_RESULTS] {json_result(name, content, call_id, is_error)} [/TOOL_RESULTS]"


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of both ways of writing."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMATS = (ToolFormat("mistral", Instructions(write_call), write_call, write_result, make_parser),)
