"""The format of Hermes, which Qwen2.5, Qwen3 and SmolLM2 follow: JSON in `<tool_call>` tags.

https://github.com/NousResearch/Hermes-Function-Calling
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._tools.markup import CallParser, Grammar, MarkupParser
from langplug._tools.tags import CLOSER, OPENER, TAGGED
from langplug._tools.tool_format import Instructions, ToolFormat, json_call, json_result
from langplug._tools.toolbox import Tool, schemas_of

GRAMMAR = Grammar(*TAGGED)


def write_call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A call in its tags."""
    return f"{OPENER}\n{json_call(name, args, call_id)}\n{CLOSER}"


def write_result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result in its tags."""
    return f"<tool_response>\n{json_result(name, content, call_id, is_error)}\n</tool_response>"


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of calls in tags."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMAT = ToolFormat("hermes", Instructions(write_call), write_call, write_result, make_parser)
