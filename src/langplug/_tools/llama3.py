"""The format of Llama 3: JSON with `"parameters"`, by itself or behind `<|python_tag|>`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._tools.formats import (
    Tool,
    ToolFormat,
    instructions_for,
    json_call,
    json_result,
    names_of,
    schemas_of,
)
from langplug._tools.json_calls import JsonCalls
from langplug._tools.markup import CallParser, Markup, MarkupParser
from langplug._tools.plain_json import bare
from langplug._tools.tags import functions


def call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A call as a JSON object."""
    return json_call(name, args, call_id, key="parameters")


def result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result as a JSON object."""
    return f"Tool result: {json_result(name, content, call_id, is_error, key='output')}"


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of JSON at the start of a line or behind the tag, and of `<function=name>{...}</function>`."""
    names = names_of(tools)
    marked = JsonCalls(names, sure=True)
    markups = (Markup("<|python_tag|>", marked.read_any), *bare(names), *functions(names, schemas_of(tools)))
    return MarkupParser(markups)


FORMAT = ToolFormat("llama3", instructions_for(call), call, result, parser)
