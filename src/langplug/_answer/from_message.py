"""LangChain messages that an author hands on, read as parts."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk

from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage

CALLS = frozenset({"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use"})
"""Blocks that are calls; in a message they mostly say again what its own `tool_calls` say."""


def parts_of(message: AIMessage) -> Iterator[Part]:
    """The parts of `message`, in order: reasoning, content, calls, usage, and what is known of its end."""
    yield from _kept_reasoning(message)
    calls = list(_calls(message))
    blocks = [message.content] if isinstance(message.content, str) else message.content
    for block in blocks:
        yield from _content(block, with_calls=not calls)
    yield from calls
    if message.usage_metadata is not None:
        yield _usage(message.usage_metadata, delta=isinstance(message, AIMessageChunk))
    if message.response_metadata:
        yield _finish(message.response_metadata)


def _kept_reasoning(message: AIMessage) -> Iterator[Reasoning]:
    text = message.additional_kwargs.get("reasoning_content")
    if isinstance(text, str) and text:
        yield Reasoning(text)


def _content(block: str | dict[Any, Any], *, with_calls: bool) -> Iterator[Part]:
    if isinstance(block, str):
        if block:
            yield block
    elif block.get("type") == "text" and not block.get("annotations"):
        yield str(block.get("text") or "")
    elif block.get("type") == "reasoning":
        yield Reasoning(str(block.get("reasoning") or ""), block.get("extras"))
    elif block.get("type") != "input_json_delta" and (with_calls or block.get("type") not in CALLS):
        yield {str(key): value for key, value in block.items()}


def _calls(message: AIMessage) -> Iterator[ToolCall]:
    if isinstance(message, AIMessageChunk):
        for piece in message.tool_call_chunks:
            yield ToolCall(name=piece["name"], args=piece["args"], id=piece["id"], index=piece["index"])
        return
    for call in message.tool_calls:
        yield ToolCall(name=call["name"], args=call["args"], id=call["id"])
    for broken in message.invalid_tool_calls:
        yield ToolCall(name=broken["name"], args=broken["args"] or "", id=broken["id"])


def _usage(usage: Mapping[str, Any], *, delta: bool) -> Usage:
    return Usage(
        input_tokens=usage.get("input_tokens"),
        output_tokens=usage.get("output_tokens"),
        total_tokens=usage.get("total_tokens"),
        input_token_details=usage.get("input_token_details"),
        output_token_details=usage.get("output_token_details"),
        delta=delta,
    )


def _finish(metadata: Mapping[str, Any]) -> Finish:
    rest = {key: value for key, value in metadata.items() if key not in ("finish_reason", "output_version")}
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or ""
    return Finish(reason=str(reason), stop_sequence=rest.pop("stop_sequence", None), metadata=rest)
