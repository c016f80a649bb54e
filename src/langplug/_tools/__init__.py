"""Tools as callers bind them, their schemas, and calls that are written in text.

`toolbox` and `schema` serve every model. The rest is for models that know only text: a `ToolFormat` says how such a
model is told of tools, how calls and results stand in the conversation, and makes the parser that reads calls back out
of an answer. Fragments of calls that a model gives natively are not put together here, but in `_answer`.
"""

from langplug._tools.history import rewrite_history, with_instructions
from langplug._tools.leaks import LeakParser
from langplug._tools.markup import CallParser
from langplug._tools.registry import TOOL_FORMATS, format_for, format_named
from langplug._tools.tool_format import ToolFormat
from langplug._tools.toolbox import Tool, ToolChoice

__all__ = [
    "TOOL_FORMATS",
    "CallParser",
    "LeakParser",
    "Tool",
    "ToolChoice",
    "ToolFormat",
    "format_for",
    "format_named",
    "rewrite_history",
    "with_instructions",
]
