"""The format of Qwen3-Coder and Qwen3.5: XML in `<tool_call>` tags.

The chat template at https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._tools.formats import Tool, ToolFormat, instructions_for, names_of, schemas_of
from langplug._tools.markup import CallParser, MarkupParser
from langplug._tools.schemas import dump
from langplug._tools.tags import (
    CLOSER,
    FUNCTION,
    FUNCTION_CLOSER,
    OPENER,
    PARAMETER,
    PARAMETER_CLOSER,
    functions,
    tagged,
)


def call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:  # noqa: ARG001 - there is no place for ids
    """A call with a tag for each argument."""
    said = args if isinstance(args, str) else "\n".join(_parameter(key, value) for key, value in args.items())
    lines = (OPENER, f"{FUNCTION}{name}>", said, FUNCTION_CLOSER, CLOSER)
    return "\n".join(line for line in lines if line)


def _parameter(key: str, value: Any) -> str:
    said = value if isinstance(value, str) else dump(value)
    return f"{PARAMETER}{key}>\n{said}\n{PARAMETER_CLOSER}"


def result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result in its tags, which say whose it is."""
    said = (
        (f' name="{name}"' if name else "")
        + (f' id="{call_id}"' if call_id else "")
        + (' status="error"' if is_error else "")
    )
    return f"<tool_response{said}>\n{content}\n</tool_response>"


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of calls in XML, with or without `<tool_call>` around them."""
    names, schemas = names_of(tools), schemas_of(tools)
    return MarkupParser((*tagged(names, schemas), *functions(names, schemas)))


FORMAT = ToolFormat("qwen_coder", instructions_for(call), call, result, parser)
