"""The format of Llama 3: JSON with `"parameters"`, by itself or after `<|python_tag|>`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama3_1/
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._tools.json_calls import BARE, JsonCalls
from langplug._tools.markup import CallParser, Grammar, Markup, MarkupParser
from langplug._tools.tags import FUNCTIONS
from langplug._tools.tool_format import Instructions, ToolFormat, json_call, json_result
from langplug._tools.toolbox import Tool, schemas_of

PYTHON_TAG = "<|python_tag|>"
GRAMMAR = Grammar(Markup(PYTHON_TAG, JsonCalls(sure=True).read_any), *BARE, *FUNCTIONS)


def write_call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A call as a JSON object."""
    return json_call(name, args, call_id, key="parameters")


def write_result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result as a JSON object."""
    return f"Tool result: {json_result(name, content, call_id, is_error, key='output')}"


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of JSON at the start of a line or after the tag, and of `<function=name>{...}</function>`."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMAT = ToolFormat("llama3", Instructions(write_call), write_call, write_result, make_parser)
