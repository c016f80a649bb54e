"""OpenAI messages taken apart: each dialect writes their parts in its own way."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langplug._messages.blocks import write_block
from langplug._messages.openai import openai_turns
from langplug._messages.results import WriteBlock
from langplug._request import Request

OpenAIMessage = dict[str, Any]

SYSTEM_ROLES = ("system", "developer")
"""The roles of instructions."""


def openai_messages_of(
    messages: Sequence[BaseMessage], write: WriteBlock = write_block
) -> Iterator[tuple[int, BaseMessage, OpenAIMessage, str]]:
    """Each OpenAI message of the conversation, with where it comes from.

    Args:
        messages: The conversation, oldest first.
        write: Writes the blocks, for APIs that take more of them than OpenAI's.

    Yields:
        The number of the message that it is made from, that message, the OpenAI message, and a path for errors, such
        as `$.messages[2]`.

    Raises:
        ValueError: If a message or a content block has no counterpart; the error names it.
    """
    for number, source in enumerate(messages):
        path = f"$.messages[{number}]"
        for message in openai_turns(source, path, write):  # a message with the results of several tools makes several
            yield number, source, message, path


def content_parts(message: OpenAIMessage) -> list[dict[str, Any]]:
    """The content of an OpenAI message as a list of parts, without empty text, which some APIs refuse."""
    content = message["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return [part for part in parts if part["type"] != "text" or part["text"]]


def system_text(request: Request) -> str | None:
    """All instructions, with a blank line between two, for APIs that take them apart from the messages."""
    texts = [
        part["text"]
        for _, _, message, _ in openai_messages_of(request.messages)
        if message["role"] in SYSTEM_ROLES
        for part in content_parts(message)
        if part["type"] == "text"
    ]
    return "\n\n".join(texts) or None


def arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of an OpenAI call as a mapping.

    Those that a model has written wrongly, and that it has to be shown again, are text under the name `arguments`.
    """
    written = call["function"]["arguments"]
    try:
        value = json.loads(written)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"arguments": written}


def split_data_url(url: str) -> tuple[str, str] | None:
    """MIME type and base64 data of a `data:` URL; None for any other URL."""
    head, found, data = url.partition(";base64,")
    return (head.removeprefix("data:"), data) if found and head.startswith("data:") else None


def unsupported_part(path: str, part: Mapping[str, Any], api: str, accepted: str) -> ValueError:
    """The error for a part of a message that an API has no place for."""
    return ValueError(
        f"{path} holds a part of the type {part['type']!r}, which {api} does not take. It takes {accepted}."
    )
