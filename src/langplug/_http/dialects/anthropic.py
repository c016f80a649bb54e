"""The conversation as Anthropic's Messages API has it: https://docs.anthropic.com/en/api/messages."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langplug._http.dialects.turns import (
    SYSTEM,
    Conversation,
    OpenAIMessage,
    arguments_of,
    blocks_of,
    data_of,
    turns_of,
    unfit,
)
from langplug._messages.kept_reasoning import drop_old_reasoning

Block = dict[str, Any]

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
_ROLES = {"user": "user", "tool": "user", "assistant": "assistant"}


def messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages without the instructions, which `system` has; turns of one role in a row are one.

    Earlier thoughts are sent back, as far as the policy keeps them, where they have the signature that the API checks.

    Raises:
        ValueError: If a message has a role, or content, that the API has no place for.
    """
    kept = drop_old_reasoning(conversation.messages, conversation.keep_reasoning)
    merged: list[dict[str, Any]] = []
    for _, message, turn, path in turns_of(kept):
        if turn["role"] in SYSTEM:
            continue
        thoughts = [] if conversation.keep_reasoning == "never" else _thoughts(message)
        content = [*thoughts, *_content(message, turn, path)]
        role = _role(turn, path)
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"].extend(content)
        elif content:
            merged.append({"role": role, "content": content})
    return merged


def tools(conversation: Conversation) -> list[dict[str, Any]] | None:
    """The tools, with their schemas as `input_schema`."""
    return [_tool(tool["function"]) for tool in conversation.tools] or None


def tool_choice(conversation: Conversation) -> dict[str, Any] | None:
    """Which tool must be called, and whether one alone may be."""
    if not conversation.tools or (conversation.tool_choice is None and conversation.parallel_tool_calls is None):
        return None
    choice = conversation.tool_choice or "auto"
    named = {"type": "tool", "name": choice["function"]["name"]} if isinstance(choice, Mapping) else None
    said: dict[str, Any] = named or {"type": _CHOICES[str(choice)]}
    if conversation.parallel_tool_calls is not None and said["type"] != "none":
        said["disable_parallel_tool_use"] = not conversation.parallel_tool_calls
    return said


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    described = {"description": text} if (text := function.get("description")) else {}
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    return {"name": function["name"], **described, "input_schema": schema}


def _role(turn: OpenAIMessage, path: str) -> str:
    if turn["role"] not in _ROLES:
        raise ValueError(f"{path} has the role {turn['role']!r}; expected one of {', '.join([*_ROLES, *SYSTEM])}.")
    return _ROLES[turn["role"]]


def _content(message: BaseMessage, turn: OpenAIMessage, path: str) -> list[Block]:
    blocks = [_block(part, path) for part in blocks_of(turn)]
    if turn["role"] == "tool":
        failed = {"is_error": True} if isinstance(message, ToolMessage) and message.status == "error" else {}
        return [{"type": "tool_result", "tool_use_id": turn["tool_call_id"], "content": blocks, **failed}]
    return [*blocks, *(_tool_use(call) for call in turn.get("tool_calls", ()))]


def _tool_use(call: Mapping[str, Any]) -> Block:
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": arguments_of(call)}


def _block(part: Mapping[str, Any], path: str) -> Block:
    kind = part["type"]
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "image_url":
        return {"type": "image", "source": _source(part["image_url"]["url"])}
    if kind == "file" and "file_data" in part["file"]:
        return {"type": "document", "source": _source(part["file"]["file_data"]), "title": part["file"]["filename"]}
    if kind == "file":
        return {"type": "document", "source": {"type": "file", "file_id": part["file"]["file_id"]}}
    raise unfit(path, part, "Anthropic's API", "text, images and files")


def _source(url: str) -> dict[str, Any]:
    data = data_of(url)
    if data is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": data[0], "data": data[1]}


def _thoughts(message: BaseMessage) -> list[Block]:
    if not isinstance(message, AIMessage):
        return []
    return [block for text, extras in _reasoning(message) if (block := _thinking(text, extras))]


def _reasoning(message: AIMessage) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Text and extras of each thought: in standard blocks, in Anthropic's own, or in `additional_kwargs`."""
    content = message.content if isinstance(message.content, list) else []
    blocks: list[Block] = [block for block in content if isinstance(block, dict) and block.get("type") in _THOUGHTS]
    for block in blocks:
        extras = (block.get("extras") or {}) if block["type"] == "reasoning" else block
        yield str(block.get("reasoning") or block.get("thinking") or ""), extras
    if not blocks:
        kwargs = message.additional_kwargs
        yield str(kwargs.get("reasoning_content") or ""), kwargs.get("reasoning_extras") or {}


def _thinking(text: str, extras: Mapping[str, Any]) -> Block | None:
    if signature := extras.get("signature"):
        return {"type": "thinking", "thinking": text, "signature": signature}
    if data := extras.get("data"):
        return {"type": "redacted_thinking", "data": data}
    return None
