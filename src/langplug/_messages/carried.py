"""What a server must get back as it came, and nobody but that server understands: signatures, encrypted reasoning.

Gemini's door puts a `thought_signature` on a call, OpenRouter and LiteLLM list `reasoning_details` and
`thinking_blocks`, Anthropic signs its thoughts; without them, the next request of an agent's loop is refused. All of it
travels in one place of the message, which checkpointers, `messages_from_dict` and both kinds of content keep as it is::

    message.additional_kwargs["langplug_carried"] == {
        "origin": "openrouter.ai",                              # to which alone it is sent back
        "message": {"reasoning_details": [...]},                # fields of the message
        "calls": {"call_1": {"extra_content": {...}}},          # fields of its calls, by the call's id
        "reasoning": [                                          # what has a signature, and what it came after:
            {"text": "...", "extras": {...},                    # characters of text, other blocks, and calls
             "after": {"text": 12, "blocks": 0, "calls": ["call_1"]}},
        ],
    }

It is said on the last chunk of a stream, for chunks that are added up would join its strings. `_answer/carried.py`
makes it; what is here writes it.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from langchain_core.messages import BaseMessage

from langplug._messages.blocks import ContentPart, join_texts

CARRIED = "langplug_carried"
"""Where in `additional_kwargs` it is."""

THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
"""Parts of an answer's content that hold reasoning: they stand nowhere else than in that answer."""

_NOT_REASONING = frozenset({"images", "audio", "extra_content", "provider_specific_fields"})
"""Fields of a message that go back with old turns, too."""

_MEDIA = {"images": "image_url", "audio": "input_audio"}
"""The parts of content that stand for what such a field held; it is not kept twice."""


def carried_in(message: BaseMessage, origin: str) -> Mapping[str, Any]:
    """What `message` carries for the server `origin`; nothing if another one sent it, which this one may refuse."""
    record = message.additional_kwargs.get(CARRIED)
    return record if isinstance(record, dict) and record.get("origin") in (origin, None, "") else {}


def is_from_elsewhere(message: BaseMessage, origin: str) -> bool:
    """Whether another server than `origin` wants back what `message` carries."""
    return CARRIED in message.additional_kwargs and not carried_in(message, origin)


def add_carried(turn: dict[str, Any], record: Mapping[str, Any], *, with_reasoning: bool) -> None:
    """Put into the OpenAI message `turn` what its message carries, each thing where it was.

    Args:
        turn: The assistant's message, of which nothing is shared with others.
        record: What `carried_in` gives.
        with_reasoning: Whether its reasoning is to be sent. What belongs to a call or to media is sent in any case.
    """
    of_calls = record.get("calls") or {}
    for call in turn.get("tool_calls", ()):
        for name, value in deepcopy(of_calls.get(call["id"]) or {}).items():
            call[name] = {**call["function"], **value} if name == "function" else value
    for name, value in deepcopy(record.get("message") or {}).items():
        content = turn["content"]
        if name in _MEDIA:
            parts: list[ContentPart] = [] if isinstance(content, str) else content
            media = [part for part in parts if part["type"] == _MEDIA[name]]
            if media:
                turn["content"] = join_texts([part for part in parts if part["type"] != _MEDIA[name]], "assistant")
            turn[name] = media if name == "images" else value
        elif not with_reasoning and name not in _NOT_REASONING:
            continue
        elif name == "content":  # blocks of reasoning, which stand before the text
            text = [{"type": "text", "text": content}] if content else []
            turn["content"] = [*value, *(text if isinstance(content, str) else content)]
        else:
            turn[name] = value


def drop_carried_reasoning(kwargs: dict[str, Any]) -> dict[str, Any]:
    """A message's `additional_kwargs`, of which what is carried for its reasoning is gone."""
    record = kwargs.get(CARRIED)
    if not isinstance(record, dict):
        return kwargs
    fields = {name: value for name, value in (record.get("message") or {}).items() if name in _NOT_REASONING}
    kept = {name: value for name, value in record.items() if name not in ("reasoning", "message")}
    return {**kwargs, CARRIED: kept | ({"message": fields} if fields else {})}
