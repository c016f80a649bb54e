"""The conversation as Anthropic's Messages API takes it: https://docs.anthropic.com/en/api/messages."""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from langplug._http.dialects.openai_parts import (
    SYSTEM_ROLES,
    arguments_of,
    content_parts,
    openai_messages_of,
    split_data_url,
    unsupported_part,
)
from langplug._messages.kept_reasoning import drop_old_reasoning
from langplug._request import Request

Block = dict[str, Any]

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_ROLES = {"user": "user", "tool": "user", "assistant": "assistant"}


def messages(request: Request) -> list[dict[str, Any]]:
    """The messages without the instructions, which `system` has. Messages of one role in a row are one.

    Earlier reasoning is sent back, as far as the model's policy keeps it, where it has the signature that the API
    checks.

    Raises:
        ValueError: If a message has a role, or content, that the API has no place for.
    """
    merged: list[dict[str, Any]] = []
    kept = drop_old_reasoning(request.messages, request.keep_reasoning)
    for _, source, message, path in openai_messages_of(kept):
        if message["role"] in SYSTEM_ROLES:
            continue
        if message["role"] not in _ROLES:
            expected = ", ".join([*_ROLES, *SYSTEM_ROLES])
            raise ValueError(f"{path} has the role {message['role']!r}; expected one of {expected}.")
        role = _ROLES[message["role"]]
        content: list[Block] = []
        if isinstance(source, AIMessage) and request.keep_reasoning != "never":
            content += _reasoning_blocks(source)  # the API wants them first
        blocks = [_block(part, path) for part in content_parts(message)]
        if message["role"] == "tool":
            failed = {"is_error": True} if isinstance(source, ToolMessage) and source.status == "error" else {}
            content.append({"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": blocks, **failed})
        else:
            calls = message.get("tool_calls", ())
            uses = [{"id": call["id"], "name": call["function"]["name"], "input": arguments_of(call)} for call in calls]
            content += [*blocks, *({"type": "tool_use", **use} for use in uses)]
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"].extend(content)
        elif content:
            merged.append({"role": role, "content": content})
    return merged


def tools(request: Request) -> list[dict[str, Any]] | None:
    """The tools, with their schemas as `input_schema`."""
    described = []
    for tool in request.tools:
        if "function" not in tool:  # it runs at the provider, in whose own words it is
            described.append(dict(tool))
            continue
        function = tool["function"]
        description = {"description": text} if (text := function.get("description")) else {}
        schema = function.get("parameters") or {"type": "object", "properties": {}}  # it is required
        strict = {"strict": True} if function.get("strict") else {}
        described.append({"name": function["name"], **description, "input_schema": schema, **strict})
    return described or None


def tool_choice(request: Request) -> dict[str, Any] | None:
    """Which tool must be called, and whether several may be called at once."""
    if not request.tools or (request.tool_choice is None and request.parallel_tool_calls is None):
        return None
    choice = request.tool_choice or "auto"  # without which the API does not take the word on parallel calls
    written: dict[str, Any] = (
        {"type": "tool", "name": choice["function"]["name"]}
        if isinstance(choice, Mapping)
        else {"type": _CHOICES[choice]}
    )
    if request.parallel_tool_calls is not None and written["type"] != "none":
        written["disable_parallel_tool_use"] = not request.parallel_tool_calls
    return written


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
    raise unsupported_part(path, part, "Anthropic's API", "text, images and files")


def _source(url: str) -> dict[str, Any]:
    data = split_data_url(url)
    if data is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": data[0], "data": data[1]}


def _reasoning_blocks(message: AIMessage) -> list[Block]:
    """The reasoning that a message holds: in standard blocks, in Anthropic's own, or in `additional_kwargs`."""
    held: list[tuple[Any, Mapping[str, Any]]] = []
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") == "reasoning":
            held.append((block.get("reasoning"), block.get("extras") or {}))
        elif isinstance(block, dict) and block.get("type") in ("thinking", "redacted_thinking"):
            held.append((block.get("thinking"), block))
    if not held:
        kwargs = message.additional_kwargs
        held.append((kwargs.get("reasoning_content"), kwargs.get("reasoning_extras") or {}))
    blocks: list[Block] = []
    for text, extras in held:
        if signature := extras.get("signature"):
            blocks.append({"type": "thinking", "thinking": str(text or ""), "signature": signature})
        elif data := extras.get("data"):  # the API keeps some of it to itself, encrypted
            blocks.append({"type": "redacted_thinking", "data": data})
    return blocks
