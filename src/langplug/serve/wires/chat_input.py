"""What a body of Chat Completions asks, once it has its shape: its messages, and its tools."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langplug.serve.errors import refused
from langplug.serve.json_text import load_object
from langplug.serve.wires import responses_input


def read_message(message: Mapping[str, Any]) -> BaseMessage:
    """One message as LangChain has it. Addresses in its parts are passed on, and never opened here."""
    content, name = _content(message.get("content")), message.get("name")
    match message["role"]:
        case "system":
            return SystemMessage(content, name=name)
        case "developer":  # marked as langchain-openai marks it
            return SystemMessage(content, name=name, additional_kwargs={"__openai_role__": "developer"})
        case "user":
            return HumanMessage(content, name=name)
        case "tool":
            return ToolMessage(content, tool_call_id=message["tool_call_id"], name=name)
        case _:
            return _assistant(message)


_MEMBERS = {"input_audio": ("data", "format"), "file": ("file_data", "file_id", "filename")}
"""What langchain-core reads of the parts that it makes standard blocks of. On null and some other members it fails."""


def _content(content: Any) -> Any:
    """Content as it came, but that parts which langchain-core reads have the members that it reads, and no other."""
    if not isinstance(content, list):
        return content
    return [_read_part(part) if part["type"] in _MEMBERS else part for part in content]


def _read_part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part["type"]
    given = {name: part[kind][name] for name in _MEMBERS[kind] if part[kind].get(name) is not None}
    if "file_data" in given:
        given.pop("file_id", None)  # the data says it all, wherever the id comes from
    return {"type": kind, kind: given}


def _assistant(message: Mapping[str, Any]) -> AIMessage:
    """An earlier answer. Arguments that are no JSON object stay as they were written: the model wrote them."""
    calls, broken = [], []
    for call in message.get("tool_calls") or ():
        if (custom := call.get("custom")) is not None:
            calls.append(tool_call(name=custom["name"], id=call["id"], args={"input": custom["input"]}))
            continue
        function = call["function"]
        known = {"name": function["name"], "id": call["id"]}
        try:
            args = load_object(function["arguments"] or "{}")
        except ValueError as error:
            broken.append(invalid_tool_call(**known, args=function["arguments"], error=str(error)))
        else:
            calls.append(tool_call(**known, args=args))
    content: Any = _content(message.get("content")) or ""
    if not content and (refusal := message.get("refusal")) is not None:
        content = [{"type": "refusal", "refusal": refusal}]
    thought = message.get("reasoning_content")
    kept = {} if thought is None else {"reasoning_content": thought}
    return AIMessage(content, tool_calls=calls, invalid_tool_calls=broken, additional_kwargs=kept)


def read_tools(tools: list[Mapping[str, Any]], notes: list[str]) -> list[dict[str, Any]]:
    """The functions among `tools`. Whatever else is there is left out, and said in `notes`.

    Raises:
        ApiError: If a function has the name that another has.
    """
    functions: dict[str, dict[str, Any]] = {}
    for number, tool in enumerate(tools):
        if tool["type"] != "function":
            notes.append(f"tools[{number}] ({tool['type']})")
            continue
        function = tool["function"]
        name = function["name"]
        if name in functions:
            raise refused(f"tools[{number}].function.name", f"each tool needs a name of its own, not {name!r:.80}.")
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        functions[name] = {"type": "function", "function": {**function, "parameters": parameters}}
    return list(functions.values())


def read_choice(choice: Any, tools: list[dict[str, Any]]) -> tuple[str | dict[str, Any] | None, list[dict[str, Any]]]:
    """`tool_choice`, if there are tools to choose from, and the tools that it leaves.

    Raises:
        ApiError: If it asks for a call that no function here can answer.
    """
    place = "tool_choice"
    if isinstance(choice, Mapping):  # the other API's choice has what is nested here
        kind = choice.get("type") or "function"
        place = f"tool_choice.{kind}"
        choice = {**choice[kind], "type": kind}
        if kind == "allowed_tools":
            choice["tools"] = [one.get("function") or {} for one in choice["tools"]]
    return responses_input.read_choice(choice, tools, place)
