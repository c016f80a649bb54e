"""What a cassette holds of an answer: messages and their pieces as data that a person can read, and back."""

import builtins
from collections.abc import Iterator, Mapping
from typing import Any, Final

from langchain_core import exceptions
from langchain_core.messages import AIMessage, AIMessageChunk

from langplug import _errors
from langplug._answer.json_data import to_json_data

REASONING: Final = "reasoning_content"
"""Where LangChain's messages hold what a model thought."""


class RecordedError(RuntimeError):
    """An error of a class that cannot be made anew: of another package, or one that needs more than a text.

    Attributes:
        type: The name of its class.
    """

    def __init__(self, type: str, message: str) -> None:  # noqa: A002 - what a cassette calls it
        super().__init__(f"{type}: {message}")
        self.type = type


def data_of(message: AIMessage) -> Any:
    """A message, or a piece of one, as data: its text alone if it holds no more."""
    is_piece = isinstance(message, AIMessageChunk)
    if isinstance(message, AIMessageChunk) and isinstance(message.content, str):
        held = (message.tool_call_chunks, message.usage_metadata, message.response_metadata, message.additional_kwargs)
        if not (message.id or any(held)):  # most pieces
            return message.content
    kwargs: dict[str, Any] = {**message.additional_kwargs}
    found: dict[str, Any] = {
        "id": message.id,
        "reasoning": kwargs.pop(REASONING, None),
        "text" if isinstance(message.content, str) else "content": message.content,
        "calls": message.tool_call_chunks if isinstance(message, AIMessageChunk) else message.tool_calls,
        "invalid_calls": None if is_piece else message.invalid_tool_calls,
        "usage": message.usage_metadata,
        "metadata": message.response_metadata,
        "more": kwargs,
    }
    data = {name: to_json_data(value, name) for name, value in found.items() if value}
    for call in (*data.get("calls", ()), *data.get("invalid_calls", ())):
        del call["type"]
    return data.get("text", "") if data.keys() <= {"text"} else data


def message_of(data: Any, *, is_piece: bool) -> AIMessage:
    """The message, or the piece of one, that `data` describes."""
    if isinstance(data, str):
        return AIMessageChunk(content=data) if is_piece else AIMessage(content=data)
    kwargs = dict(data.get("more") or {})
    if "reasoning" in data:
        kwargs[REASONING] = data["reasoning"]
    fields: dict[str, Any] = {
        "content": data.get("content", data.get("text", "")),
        "id": data.get("id"),
        "usage_metadata": _usage_of(data.get("usage")),
        "response_metadata": dict(data.get("metadata") or {}),
        "additional_kwargs": kwargs,
    }
    calls: list[Any] = [
        {"name": None, "args": None, "id": None, "index": None, **call} for call in data.get("calls") or ()
    ]
    if is_piece:
        pieces: list[Any] = [{**call, "type": "tool_call_chunk"} for call in calls]
        return AIMessageChunk(**fields, tool_call_chunks=pieces)
    whole = [{"name": call["name"], "args": call["args"] or {}, "id": call["id"]} for call in calls]
    broken = [{"error": None, **call, "type": "invalid_tool_call"} for call in data.get("invalid_calls") or ()]
    return AIMessage(**fields, tool_calls=whole, invalid_tool_calls=broken)


def _usage_of(written: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Counts of tokens; a person who writes some by hand may leave out the others."""
    if not written:
        return None
    read, wrote = written.get("input_tokens", 0), written.get("output_tokens", 0)
    return {"input_tokens": read, "output_tokens": wrote, "total_tokens": read + wrote, **written}


def error_of(written: Mapping[str, Any]) -> Exception:
    """The error that was raised: of the same class, if that is Python's, langchain-core's or langplug's."""
    name, message = str(written["type"]), str(written.get("message", ""))
    for module in (_errors, exceptions, builtins):
        cls = getattr(module, name, None)
        if isinstance(cls, type) and issubclass(cls, Exception):
            try:
                return cls(message)
            except TypeError:  # it needs more than a text, as `UnicodeDecodeError` does
                break
    return RecordedError(name, message)


def steps_of(recording: Mapping[str, Any]) -> Iterator[tuple[float | None, AIMessage | Exception]]:
    """What happened as an answer came: pieces, or one message, or an error, each with its moment if that is known."""
    answer = recording.get("answer", [])
    is_streamed = isinstance(answer, list)
    moments = iter(recording.get("seconds") or ())
    for data in answer if is_streamed else [answer]:
        yield next(moments, None), message_of(data, is_piece=is_streamed)
    if "error" in recording:
        yield next(moments, None), error_of(recording["error"])
    elif recording.get("left"):
        told = "The recording ends here: whoever had asked did not wait for the rest. Record it again (mode='rewrite')."
        yield next(moments, None), _errors.IncompleteAnswerError(told)
