"""What a cassette holds of a question, which questions are the same, and how two of them differ."""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, FunctionMessage, ToolMessage

from langplug._answer.json_data import to_json_data
from langplug._model.identity import to_plain
from langplug._request import Request
from langplug.models.replay.yaml_text import to_yaml

FIELDS: Final = ("messages", "tools", "tool_choice", "parallel_tool_calls", "stop", "schema", "strict", "parameters")
"""What makes a question."""

ROLES: Final = ("system", "human", "ai", "tool", "function", "chat")
"""How a message begins, by who speaks."""

_LONG: Final = 512
"""Characters of media from which a digest stands in their place."""

_SHOWN_LINES, _SHOWN_WIDTH = 12, 160
"""How much of a difference is shown."""


def question_of(request: Request) -> dict[str, Any]:
    """A request as data; what it does not ask for is left out."""
    found: dict[str, Any] = {
        "messages": [_describe(message) for message in request.messages],
        "tools": to_json_data(list(request.tools), "tools"),
        "tool_choice": None if request.tool_choice == "auto" else to_json_data(request.tool_choice, "tool_choice"),
        "parallel_tool_calls": request.parallel_tool_calls,
        "stop": list(request.stop),
        "schema": to_json_data(request.schema, "schema"),
        "strict": request.strict,
        "parameters": {name: to_plain(value, name) for name, value in request.params.items()},
    }
    return {name: value for name, value in found.items() if value not in (None, [], {})}


def _describe(message: BaseMessage) -> dict[str, Any]:
    role = message.type.removesuffix("MessageChunk").lower()
    data: dict[str, Any] = {role if role in ROLES else "human": _content_of(message)}
    if isinstance(message, AIMessage):
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        if calls:
            data["calls"] = [
                {"name": call["name"], "args": to_json_data(call["args"], "args"), "id": call["id"]} for call in calls
            ]
    elif isinstance(message, ToolMessage):
        data["id"] = message.tool_call_id
        if message.status != "success":
            data["status"] = message.status
    elif isinstance(message, ChatMessage):
        data["role"] = message.role
    if message.name and not isinstance(message, ToolMessage | FunctionMessage):  # these are named by the call
        data["name"] = message.name
    return data


def _content_of(message: BaseMessage) -> Any:
    """The text, or the blocks if there are others than text; of media that are part of a message, a digest."""
    if isinstance(message.content, str):
        return message.content
    said = {"text", "reasoning", "thinking", "tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use"}
    others = [block for block in message.content if isinstance(block, dict) and block.get("type") not in said]
    if not others:
        return str(message.text)
    kept = [
        block
        for block in message.content
        if isinstance(block, str) or block in others or (block.get("type") == "text" and block.get("text"))
    ]
    return [_digested(to_json_data(block, "content")) for block in kept]


def _digested(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _digested(item, key) for key, item in value.items() if key != "index"}
    if isinstance(value, list):
        return [_digested(item) for item in value]
    if isinstance(value, str) and name != "text" and len(value) > _LONG:
        return f"sha256:{hashlib.sha256(value.encode(errors='replace')).hexdigest()} of {len(value)} characters"
    return value


def key_of(question: Mapping[str, Any]) -> str:
    """Equal for equal questions. Ids of calls count by their order alone, and blanks at the end of a text do not."""
    ids: dict[Any, int] = {}

    def normal(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: normal(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [normal(item) for item in value]
        if name == "id":
            return ids.setdefault(value, len(ids))
        return value.rstrip() if isinstance(value, str) and name in ROLES else value

    asked = {name: question[name] for name in FIELDS if name in question}
    asked["messages"] = normal(asked.get("messages", []))
    return json.dumps(asked, sort_keys=True, default=str)


def nearest(question: Mapping[str, Any], known: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The recorded question that is most like this one."""
    wanted = _lines_of(question)

    def likeness(other: Mapping[str, Any]) -> float:
        return difflib.SequenceMatcher(None, wanted, _lines_of(other), autojunk=False).ratio()

    return max(known, key=likeness, default=None)


def difference(asked: Mapping[str, Any], recorded: Mapping[str, Any]) -> str:
    """How two questions differ, in a few lines: `-` is recorded, `+` is asked."""
    compared = difflib.unified_diff(_lines_of(recorded), _lines_of(asked), n=0, lineterm="")
    lines = [f"{line[0]} {line[1:_SHOWN_WIDTH]}" for line in compared if not line.startswith(("---", "+++", "@@"))]
    more = [f"… and {len(lines) - _SHOWN_LINES} more lines"] if len(lines) > _SHOWN_LINES else []
    return "\n".join(f"  {line}" for line in [*lines[:_SHOWN_LINES], *more])


def _lines_of(question: Mapping[str, Any]) -> list[str]:
    return to_yaml({name: question[name] for name in (*FIELDS, "model") if name in question}).splitlines()
