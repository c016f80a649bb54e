"""What a body of Chat Completions asks: its messages, its tools, where to stop."""

import json
from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langplug.serve.errors import refused

_ROLES = "system, developer, user, assistant or tool"


def read_messages(messages: Any) -> list[BaseMessage]:
    """The conversation, oldest first.

    Raises:
        ApiError: If there is none, or a message cannot be read.
    """
    if not messages:
        raise refused("messages", "required: a list of at least one message.")
    return [read_message(message, f"messages[{number}]") for number, message in enumerate(messages)]


def read_message(message: Any, path: str) -> BaseMessage:
    """One message as LangChain has it.

    Raises:
        ApiError: If it is wrong; the error names the place, which begins with `path`.
    """
    if not isinstance(message, Mapping):
        raise refused(path, f"expected an object, not {message!r:.80}.")
    name = message.get("name")
    if name is not None and not isinstance(name, str):
        raise refused(f"{path}.name", f"expected a string, not {name!r:.80}.")
    match message.get("role"):
        case "system":
            return SystemMessage(_content(message, path), name=name)
        case "developer":  # marked as langchain-openai marks it
            mark = {"__openai_role__": "developer"}
            return SystemMessage(_content(message, path), name=name, additional_kwargs=mark)
        case "user":
            return HumanMessage(_content(message, path), name=name)
        case "assistant":
            return _assistant(message, path)
        case "tool":
            call_id = message.get("tool_call_id")
            if not isinstance(call_id, str):
                raise refused(f"{path}.tool_call_id", "required: the id of the call that this is the result of.")
            return ToolMessage(_content(message, path), tool_call_id=call_id, name=name)
        case role:
            raise refused(f"{path}.role", f"expected {_ROLES}, not {role!r:.50}.")


def _content(message: Mapping[str, Any], path: str) -> Any:
    """Text, or parts. Addresses in parts are passed on, and never opened here."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise refused(f"{path}.content", f"expected a string or a list of parts, not {content!r:.80}.")
    for number, part in enumerate(content):
        if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
            raise refused(f"{path}.content[{number}]", f"expected an object with a `type`, not {part!r:.80}.")
        if part["type"] == "text" and not isinstance(part.get("text"), str):
            raise refused(f"{path}.content[{number}].text", "required: a string.")
    return content


def _assistant(message: Mapping[str, Any], path: str) -> AIMessage:
    """An earlier answer. Arguments that are no JSON object stay as they were written: the model wrote them."""
    calls, broken = [], []
    written_calls = message.get("tool_calls")
    if written_calls is not None and not isinstance(written_calls, list):
        raise refused(f"{path}.tool_calls", f"expected a list, not {written_calls!r:.80}.")
    for number, call in enumerate(written_calls or ()):
        call_id, name, written = read_call(call, f"{path}.tool_calls[{number}]")
        try:
            args = json.loads(written or "{}")
        except ValueError as error:
            broken.append(invalid_tool_call(name=name, args=written, id=call_id, error=str(error)))
            continue
        if isinstance(args, dict):
            calls.append(tool_call(name=name, args=args, id=call_id))
        else:
            broken.append(invalid_tool_call(name=name, args=written, id=call_id, error="not a JSON object"))
    content: Any = "" if message.get("content") is None else _content(message, path)
    thought, refusal = message.get("reasoning_content"), message.get("refusal")
    if isinstance(refusal, str) and not content:
        content = [{"type": "refusal", "refusal": refusal}]
    kept = {"reasoning_content": thought} if isinstance(thought, str) else {}
    return AIMessage(content, tool_calls=calls, invalid_tool_calls=broken, additional_kwargs=kept)


def read_call(call: Any, path: str) -> tuple[str, str, str]:
    """The id, the name and the arguments, as written, of an earlier call."""
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise refused(path, f"expected an object with a `function`, not {call!r:.80}.")
    found = (call.get("id"), function.get("name"), function.get("arguments"))
    for value, place in zip(found, ("id", "function.name", "function.arguments"), strict=True):
        if not isinstance(value, str):
            raise refused(f"{path}.{place}", "required: a string.")
    return found  # type: ignore[return-value]  # three strings, as the loop has seen


def read_tools(tools: list[Any], notes: list[str]) -> list[dict[str, Any]]:
    """The functions among `tools`. Whatever else is there is left out, and said in `notes`.

    Raises:
        ApiError: If a function has no name, or a name that another has.
    """
    functions: dict[str, dict[str, Any]] = {}
    for number, tool in enumerate(tools):
        path = f"tools[{number}]"
        if not isinstance(tool, Mapping) or not isinstance(tool.get("type"), str):
            raise refused(path, f"expected an object with a `type`, not {tool!r:.80}.")
        if tool["type"] != "function":
            notes.append(f"{path} ({tool['type']})")
            continue
        function = tool.get("function")
        if not isinstance(function, Mapping):
            raise refused(f"{path}.function", "required: an object with a `name`.")
        name = function.get("name")
        if not isinstance(name, str) or not name or name in functions:
            raise refused(f"{path}.function.name", f"each tool needs a name of its own, not {name!r:.80}.")
        parameters = function.get("parameters") or {"type": "object", "properties": {}}
        if not isinstance(parameters, Mapping):
            raise refused(f"{path}.function.parameters", "expected a JSON schema, which is an object.")
        functions[name] = {"type": "function", "function": {**function, "parameters": parameters}}
    return list(functions.values())


def read_choice(choice: Any, tools: list[dict[str, Any]]) -> str | dict[str, Any] | None:
    """`tool_choice`, if there are tools to choose from.

    Raises:
        ApiError: If it asks for a call that no function here can answer.
    """
    if choice is None or choice in ("auto", "none"):
        return choice if tools else None
    if choice == "required":
        if not tools:
            raise refused("tool_choice", "'required' needs a function, and `tools` has none.")
        return "required"
    function = choice.get("function") if isinstance(choice, Mapping) else None
    if not isinstance(function, Mapping):
        raise refused("tool_choice", f"expected auto, none, required or a function, not {choice!r:.80}.")
    name = function.get("name")
    if name not in [tool["function"]["name"] for tool in tools]:
        raise refused("tool_choice.function.name", f"there is no function {name!r:.80} among the tools.")
    return {"type": "function", "function": {"name": name}}


def read_stop(stop: Any) -> list[str]:
    """The stop sequences, of which the API allows four.

    Raises:
        ApiError: If they are more, empty, or no strings.
    """
    stops: list[str] = [stop] if isinstance(stop, str) else list(stop or ())
    if len(stops) > 4 or not all(isinstance(one, str) and one for one in stops):
        raise refused("stop", f"expected up to 4 strings, none of them empty, not {stop!r:.80}.")
    return stops
