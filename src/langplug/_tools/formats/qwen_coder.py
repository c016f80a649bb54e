"""The format of Qwen3-Coder and Qwen3.5: XML in `<tool_call>` tags.

The chat template at https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._tools.markup import CallParser, Grammar, MarkupParser
from langplug._tools.schema import dump
from langplug._tools.tags import (
    CLOSER,
    FUNCTION,
    FUNCTION_CLOSER,
    FUNCTIONS,
    OPENER,
    PARAMETER,
    PARAMETER_CLOSER,
    TAGGED,
)
from langplug._tools.tool_format import Instructions, ToolFormat
from langplug._tools.toolbox import Tool, schemas_of

GRAMMAR = Grammar(*TAGGED, *FUNCTIONS)  # small ones forget `<tool_call>` around it


def write_call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:  # noqa: ARG001 - there is no place for ids
    """A call with a tag for each argument."""
    lines = [OPENER, f"{FUNCTION}{name}>"]
    if isinstance(args, str):  # broken ones, as they were
        lines += [args] if args else []
    else:
        for key, value in args.items():
            written = value if isinstance(value, str) else dump(value)
            lines.append(f"{PARAMETER}{key}>\n{written}\n{PARAMETER_CLOSER}")
    return "\n".join([*lines, FUNCTION_CLOSER, CLOSER])


def write_result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result in its tags, which say whose it is."""
    attributes = (
        (f' name="{name}"' if name else "")
        + (f' id="{call_id}"' if call_id else "")
        + (' status="error"' if is_error else "")
    )
    return f"<tool_response{attributes}>\n{content}\n</tool_response>"


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of calls in XML, with or without `<tool_call>` around them."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMAT = ToolFormat("qwen_coder", Instructions(write_call), write_call, write_result, make_parser)
