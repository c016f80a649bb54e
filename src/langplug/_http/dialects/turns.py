"""What a dialect is given, and what several dialects need."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage

from langplug._messages.kept_reasoning import KeepReasoning
from langplug._messages.openai import openai_turns

OpenAIMessage = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What is said to a model in one request.

    Attributes:
        messages: The conversation, oldest first.
        keep_reasoning: Which of its earlier reasoning the model is shown again.
        tools: The tools that may be called, as OpenAI tool dicts.
        tool_choice: `"auto"`, `"none"`, `"required"`, an OpenAI tool-choice dict, or None.
        parallel_tool_calls: Whether several tools may be called at once; None: as the model likes.
    """

    messages: Sequence[BaseMessage]
    keep_reasoning: KeepReasoning = "never"
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None


SYSTEM = ("system", "developer")
"""The roles of instructions."""


def turns_of(messages: Sequence[BaseMessage]) -> Iterator[tuple[int, BaseMessage, OpenAIMessage, str]]:
    """Each OpenAI message of the conversation, with the number of its own message, that message, and its place.

    Raises:
        ValueError: If a message or a content block has no counterpart; it is named.
    """
    for number, message in enumerate(messages):
        path = f"$.messages[{number}]"
        for turn in openai_turns(message, path):
            yield number, message, turn, path


def blocks_of(turn: OpenAIMessage) -> list[dict[str, Any]]:
    """The content of an OpenAI message as a list of parts; empty text is none."""
    content = turn["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [part for part in parts if part["type"] != "text" or part["text"]]


def system_text(conversation: Conversation) -> str | None:
    """All instructions, with a blank line between two, for wires that take them apart from the messages."""
    texts = [
        part["text"]
        for _, _, turn, _ in turns_of(conversation.messages)
        if turn["role"] in SYSTEM
        for part in blocks_of(turn)
        if part["type"] == "text"
    ]
    return "\n\n".join(texts) or None


def arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an OpenAI call as a mapping; broken ones as text, under the name `arguments`."""
    written = call["function"]["arguments"]
    try:
        value = json.loads(written)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"arguments": written}


def data_of(url: str) -> tuple[str, str] | None:
    """MIME type and base64 data of a `data:` URL; None for any other URL."""
    head, found, data = url.partition(";base64,")
    return (head.removeprefix("data:"), data) if found and head.startswith("data:") else None


def unfit(path: str, part: Mapping[str, Any], wire: str, accepted: str) -> ValueError:
    """The error for a part that a wire cannot hold."""
    return ValueError(
        f"{path} holds a part of the type {part['type']!r}, which {wire} has none for; accepted: {accepted}."
    )
