"""What a body of Chat Completions asks, once it has its shape: its messages, and its tools."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langplug.serve.errors import refused
from langplug.serve.json_text import load_object


def read_message(message: Mapping[str, Any]) -> BaseMessage:
    """One message as LangChain has it. Addresses in its parts are passed on, and never opened here."""
    content, name = message.get("content"), message.get("name")
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


def _assistant(message: Mapping[str, Any]) -> AIMessage:
    """An earlier answer. Arguments that are no JSON object stay as they were written: the model wrote them."""
    calls, broken = [], []
    for call in message.get("tool_calls") or ():
        function = call["function"]
        known = {"name": function["name"], "id": call["id"]}
        try:
            args = load_object(function["arguments"] or "{}")
        except ValueError as error:
            broken.append(invalid_tool_call(**known, args=function["arguments"], error=str(error)))
        else:
            calls.append(tool_call(**known, args=args))
    content: Any = message.get("content") or ""
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


def read_choice(choice: Any, tools: list[dict[str, Any]]) -> str | dict[str, Any] | None:
    """`tool_choice`, if there are tools to choose from.

    Raises:
        ApiError: If it asks for a call that no function here can answer.
    """
    if choice in (None, "auto", "none"):
        return choice if tools else None
    if choice == "required":
        if not tools:
            raise refused("tool_choice", "'required' needs a function, and `tools` has none.")
        return "required"
    name = choice["function"]["name"]
    if name not in [tool["function"]["name"] for tool in tools]:
        raise refused("tool_choice.function.name", f"there is no function {name!r:.80} among the tools.")
    return {"type": "function", "function": {"name": name}}
