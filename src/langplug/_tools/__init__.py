"""The text side of tool calls: for models that know only text.

A `ToolFormat` says how such a model is told of tools, how calls and results stand in the conversation, and makes the
parser that reads calls back out of an answer.
"""

from langplug._tools.formats import Tool, ToolChoice, ToolFormat, instructions_for
from langplug._tools.history import rewrite_history, with_instructions
from langplug._tools.markup import CallParser, Markup, MarkupParser
from langplug._tools.registry import TOOL_FORMATS, format_for, format_named

__all__ = [
    "TOOL_FORMATS",
    "CallParser",
    "Markup",
    "MarkupParser",
    "Tool",
    "ToolChoice",
    "ToolFormat",
    "format_for",
    "format_named",
    "instructions_for",
    "rewrite_history",
    "with_instructions",
]
