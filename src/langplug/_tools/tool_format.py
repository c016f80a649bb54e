"""What a format of tool calls is, and the words that most formats share."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pydantic import GetCoreSchemaHandler
from pydantic_core.core_schema import CoreSchema, is_instance_schema

from langplug._tools.markup import CallParser
from langplug._tools.schema import dump, example_arguments
from langplug._tools.toolbox import Tool, ToolChoice, chosen_name, name_of, schemas_of, signature_of

WriteCall: TypeAlias = Callable[[str, Mapping[str, Any] | str, str], str]
WriteResult: TypeAlias = Callable[[str, str, str, bool], str]
WriteInstructions: TypeAlias = Callable[[Sequence[Tool], ToolChoice, bool | None], str]
WriteCalls: TypeAlias = Callable[[Sequence[tuple[str, Mapping[str, Any] | str, str]]], str]
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
        calls: `(calls) -> str`: how calls of the past that were made at once stand in the conversation, each of them a
            tuple of name, arguments and id. None: each as `call` writes it, one after another.
    """

    name: str
    instructions: WriteInstructions
    call: WriteCall
    result: WriteResult
    parser: MakeParser
    calls: WriteCalls | None = None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A dataclass's own reads the source for docstrings, anew for each class of models: a fifth of what one costs.
        return is_instance_schema(cls)


@dataclass(frozen=True, slots=True)
class Instructions:
    """Instructions with one line for each tool, and a call of the first or the chosen one as `write_call` writes it.

    Attributes:
        write_call: Writes the call.
        tools: What stands before and after the lines of the tools.
        several: What is said of several calls.

    For `"none"`, and without tools, they are empty. An object, and not a function that encloses `write_call`, as
    models hold their format and have to be picklable.
    """

    write_call: WriteCall
    tools: tuple[str, str] = ("<tools>", "</tools>")
    several: str = "For several calls, write one after the other."

    def __call__(self, tools: Sequence[Tool], tool_choice: ToolChoice = None, parallel: bool | None = None) -> str:
        """The instructions for `tools`."""
        if not tools or tool_choice == "none":
            return ""
        chosen = chosen_name(tool_choice)
        lines = "\n".join(map(signature_of, tools))
        schemas = schemas_of(tools)
        example = chosen if chosen in schemas else name_of(tools[0])
        if chosen:
            rule = f'Now you must call the tool "{chosen}". Write the call and nothing else.'
        elif tool_choice in ("required", "any"):
            rule = "Now you must call a tool. Write the call and nothing else."
        else:
            rule = "If no tool is needed, answer in plain text instead."
        count = "Call one tool at most." if parallel is False else self.several
        before, after = self.tools
        return (
            f"You can call these tools:\n{before}\n{lines}\n{after}\n"
            f"To call a tool, write its name and arguments exactly like this, then stop and wait for the result:\n"
            f"{self.write_call(example, example_arguments(schemas[example]), '')}\n{rule} {count}"
        )


def json_call(name: str, args: Mapping[str, Any] | str, call_id: str, *, key: str = "arguments") -> str:
    """A call as a JSON object; broken arguments stand in it as they were."""
    written = args if isinstance(args, str) else dump(args)
    return f'{{"name": {dump(name)}, "{key}": {written}{_id_member(call_id)}}}'


def json_result(name: str, content: str, call_id: str, is_error: bool, *, key: str = "content") -> str:
    """A result as a JSON object, with `"error"` in place of `key` if the tool failed. JSON content stays what it is."""
    try:
        is_json = not isinstance(json.loads(content), str)  # of a string the quotes would get lost
    except (ValueError, RecursionError):
        is_json = False
    named = f'"name": {dump(name)}, ' if name else ""
    written = content if is_json else dump(content)
    return f'{{{named}"{"error" if is_error else key}": {written}{_id_member(call_id)}}}'


def _id_member(call_id: str) -> str:
    return f', "id": {dump(call_id)}' if call_id else ""
