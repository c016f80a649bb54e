"""The text side of tool calls: for models that know only text.

A `ToolFormat` says how such a model is told of tools, how calls and results stand in the conversation, and makes the
parser that reads calls back out of an answer.
"""

from langplug._wire.tools.formats import Tool, ToolChoice, ToolFormat, instructions_for
from langplug._wire.tools.history import rewrite_history, with_instructions
from langplug._wire.tools.markup import CallParser, Markup, MarkupParser
from langplug._wire.tools.registry import FORMATS, format_for

__all__ = [
    "FORMATS",
    "CallParser",
    "Markup",
    "MarkupParser",
    "Tool",
    "ToolChoice",
    "ToolFormat",
    "format_for",
    "instructions_for",
    "rewrite_history",
    "with_instructions",
]
