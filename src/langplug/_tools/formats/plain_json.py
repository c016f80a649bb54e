"""Calls as JSON that stands by itself: at the start of a line, or fenced as Markdown has it."""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._tools.json_calls import BARE, FENCED
from langplug._tools.markup import CallParser, Grammar, MarkupParser
from langplug._tools.tool_format import Instructions, ToolFormat, json_call, json_result
from langplug._tools.toolbox import Tool, schemas_of

GRAMMAR = Grammar(*BARE, *FENCED)


def write_call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A call as a JSON object."""
    return json_call(name, args, call_id)


def write_result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result as a JSON object."""
    return f"Tool result: {json_result(name, content, call_id, is_error)}"


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of JSON, bare or fenced."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMAT = ToolFormat("json", Instructions(write_call), write_call, write_result, make_parser)
