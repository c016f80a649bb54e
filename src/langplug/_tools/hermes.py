"""The format of Hermes, which Qwen2.5, Qwen3 and SmolLM2 follow: JSON in `<tool_call>` tags.

https://github.com/NousResearch/Hermes-Function-Calling
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
from langplug._tools.markup import CallParser, MarkupParser
from langplug._tools.tags import CLOSER, OPENER, tagged


def call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A call in its tags."""
    return f"{OPENER}\n{json_call(name, args, call_id)}\n{CLOSER}"


def result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result in its tags."""
    return f"<tool_response>\n{json_result(name, content, call_id, is_error)}\n</tool_response>"


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of calls in tags."""
    return MarkupParser(tagged(names_of(tools), schemas_of(tools)))


FORMAT = ToolFormat("hermes", instructions_for(call), call, result, parser)
