"""What a format of tool calls is, and the words that all formats share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langplug._tools.markup import CallParser
from langplug._tools.schemas import Schema, dump, example_arguments

Tool: TypeAlias = Mapping[str, Any]
"""An OpenAI tool dict: `{"type": "function", "function": {"name", "description", "parameters"}}`."""

ToolChoice: TypeAlias = str | Mapping[str, Any] | None
"""`"auto"` (or None), `"none"`, `"required"` (or `"any"`), a tool's name, or an OpenAI tool-choice dict."""

WriteCall: TypeAlias = Callable[[str, Mapping[str, Any] | str, str], str]
WriteResult: TypeAlias = Callable[[str, str, str, bool], str]
WriteInstructions: TypeAlias = Callable[[Sequence[Tool], ToolChoice, bool | None], str]
MakeParser: TypeAlias = Callable[[Sequence[Tool]], CallParser]


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How a model that knows only text is told of tools, calls them and is shown what they gave.

    `dataclasses.replace` makes one that differs in some of this.

    Attributes:
        name: What it is called.
        instructions: `(tools, tool_choice, parallel) -> str`: what the model is told, for the system prompt; empty if
            there is nothing to say. `parallel` is False if an answer may hold one call at most.
        call: `(name, args, id) -> str`: how a call of the past stands in the conversation. Arguments that were broken
            are a string, and stand there as they were. An empty id is left out.
        result: `(name, content, id, is_error) -> str`: how the result of a call is shown. An empty id, or an empty
            name, is left out.
        parser: `(tools) -> CallParser`: reads the calls of these tools back out of an answer. One for each answer.
    """

    name: str
    instructions: WriteInstructions
    call: WriteCall
    result: WriteResult
    parser: MakeParser


def instructions_for(call: WriteCall) -> WriteInstructions:
    """Instructions with one line for each tool, and a call of the first or the chosen one as `call` has it.

    For `"none"`, and without tools, they are empty.
    """
    return _Instructions(call)


@dataclass(frozen=True, slots=True)
class _Instructions:
    """A function that can be pickled: models are, and hold their format."""

    call: WriteCall

    def __call__(self, tools: Sequence[Tool], tool_choice: ToolChoice = None, parallel: bool | None = None) -> str:
        if not tools or tool_choice == "none":
            return ""
        chosen = chosen_name(tool_choice)
        lines = "\n".join(dump(_signature(tool)) for tool in tools)
        shown = next((tool for tool in tools if name_of(tool) == chosen), tools[0])
        example = self.call(name_of(shown), example_arguments(parameters_of(shown)), "")
        return (
            f"You can call these tools:\n<tools>\n{lines}\n</tools>\n"
            f"To call a tool, write its name and arguments exactly like this, then stop and wait for the result:\n"
            f"{example}\n{_rule(tool_choice, chosen)}{_count_rule(parallel)}"
        )


def _rule(tool_choice: ToolChoice, chosen: str) -> str:
    if chosen:
        return f'Now you must call the tool "{chosen}". Write the call and nothing else.'
    if tool_choice in ("required", "any"):
        return "Now you must call a tool. Write the call and nothing else."
    return "If no tool is needed, answer in plain text instead."


def _count_rule(parallel: bool | None) -> str:
    return " Call one tool at most." if parallel is False else " For several calls, write one after the other."


def chosen_name(tool_choice: ToolChoice) -> str:
    """The tool that a choice names; empty if it names none."""
    if isinstance(tool_choice, Mapping):
        function = tool_choice.get("function")
        holder = function if isinstance(function, Mapping) else tool_choice
        return str(holder.get("name") or "")
    return "" if tool_choice in (None, "auto", "none", "required", "any") else str(tool_choice)


def name_of(tool: Tool) -> str:
    """The name of a tool."""
    return str(_function(tool)["name"])


def parameters_of(tool: Tool) -> Schema:
    """The JSON schema of a tool's arguments."""
    return _function(tool).get("parameters") or {}


def names_of(tools: Sequence[Tool]) -> frozenset[str]:
    """The names of the tools."""
    return frozenset(name_of(tool) for tool in tools)


def schemas_of(tools: Sequence[Tool]) -> dict[str, Schema]:
    """The JSON schemas of the tools' arguments, by name."""
    return {name_of(tool): parameters_of(tool) for tool in tools}


def _function(tool: Tool) -> Mapping[str, Any]:
    function: Mapping[str, Any] = tool.get("function", tool)
    return function


def _signature(tool: Tool) -> dict[str, Any]:
    return {key: value for key, value in _function(tool).items() if key in ("name", "description", "parameters")}


def json_call(name: str, args: Mapping[str, Any] | str, call_id: str, *, key: str = "arguments") -> str:
    """A call as a JSON object; broken arguments stand in it as they were."""
    said = args if isinstance(args, str) else dump(args)
    return f'{{"name": {dump(name)}, "{key}": {said}{_id_member(call_id)}}}'


def json_result(name: str, content: str, call_id: str, is_error: bool, *, key: str = "content") -> str:
    """A result as a JSON object, with `"error"` in place of `key` if the tool failed. JSON content stays what it is."""
    said = content if _is_json(content) else dump(content)
    named = f'"name": {dump(name)}, ' if name else ""
    return f'{{{named}"{"error" if is_error else key}": {said}{_id_member(call_id)}}}'


def _id_member(call_id: str) -> str:
    return f', "id": {dump(call_id)}' if call_id else ""


def _is_json(content: str) -> bool:
    """Whether it is JSON other than a string, whose quotes would get lost."""
    try:
        return not isinstance(json.loads(content), str)
    except (ValueError, RecursionError):
        return False
