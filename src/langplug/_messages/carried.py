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
        "places": [{...}, ...],                                 # the same of the blocks in the message's "content"
    }

It is said on the last chunk of a stream, for chunks that are added up would join its strings. `_answer/carried.py`
makes it; what is here writes it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from langchain_core.messages import BaseMessage

from langplug._messages.blocks import ContentPart, join_texts, text_part

CARRIED = "langplug_carried"
"""Where in `additional_kwargs` it is."""

OUTPUT_ITEMS = "output_items"
"""The field of a message that stands for items of OpenAI's Responses API, each as `{"item": ..., "after": ...}`."""

THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
"""Parts of an answer's content that hold reasoning: they stand nowhere else than in that answer."""

_NOT_REASONING = frozenset({"images", "audio", "extra_content", "provider_specific_fields"})
"""Fields of a message that go back with old turns, too."""

_MEDIA = {"images": "image_url", "audio": "input_audio"}
"""The parts of content that stand for what such a field held; it is not kept twice."""


def carried_in(message: BaseMessage, origin: str) -> Mapping[str, Any]:
    """What `message` carries for the server `origin`; nothing if another one sent it, which this one may refuse."""
    record = message.additional_kwargs.get(CARRIED)
    if not isinstance(record, dict):
        return {}
    given = record.get("origin") or ""
    if given in (origin, ""):
        return record
    if not origin or str(given).replace(origin, ""):
        return {}
    # `merge_message_runs` has put several answers together, and with them their texts, signatures included, and blocks
    # of one index. What it cannot have mixed up goes back.
    intact = {
        name: value
        for name, value in (record.get("message") or {}).items()
        if isinstance(value, list) and not any("index" in one for one in value if isinstance(one, dict))
    }
    return {**record, "origin": origin, "message": intact}


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
            if kept := _of_calls(name, value, [call["id"] for call in turn.get("tool_calls", ())]):
                turn[name] = kept
        elif name == "content":  # blocks of reasoning
            said: list[ContentPart] = content if isinstance(content, list) else [text_part(content)] if content else []
            places: list[dict[str, Any]] = record.get("places") or []
            if len(places) != len(value):  # unknown
                places = [{}] * len(value)
            thoughts = zip(value, places, strict=True)
            turn["content"] = put_in_place(thoughts, said)
        else:
            turn[name] = value


def put_in_place(
    thoughts: Iterable[tuple[ContentPart | None, Mapping[str, Any]]],
    content: Sequence[ContentPart],
    calls: Sequence[ContentPart] = (),
) -> list[ContentPart]:
    """Content and calls of an answer with its thoughts among them, each after what it came after.

    A caller may have changed the content since: then the thoughts keep their order, and stand as near to their places
    as can be.

    Args:
        thoughts: Each with its place, as `after` above; the first place of all is `{}`. None is left out.
        content: The other parts of the answer.
        calls: Its calls, which have an `id`.
    """
    placed: list[ContentPart] = []
    content, calls = list(content), list(calls)
    text = blocks = 0
    for thought, after in thoughts:
        while content:
            said = content[0]["text"] if content[0]["type"] == "text" else None
            missing = after.get("text", 0) - text
            # Blocks do not stand for text: some that the answer had may not be sent.
            if missing <= 0 and (said is not None or blocks >= after.get("blocks", 0)):
                break
            part = content.pop(0)
            if said is None:
                blocks += 1
            elif len(said) > missing:  # pieces of a text, between which the thought stood
                content.insert(0, {**part, "text": said[missing:]})
                part = text_part(said[:missing])
            text += len(part["text"]) if said is not None else 0
            placed.append(part)
        placed += [call for call in calls if call["id"] in after.get("calls", ())]
        calls = [call for call in calls if call["id"] not in after.get("calls", ())]
        placed += [thought] if thought is not None else []
    return [*placed, *content, *calls]


def _of_calls(name: str, value: Any, call_ids: Collection[str | None]) -> list[Any]:
    """Details of a field that belong to calls, as OpenRouter has Gemini's: encrypted, under the id of the call."""
    details = value if name == "reasoning_details" and isinstance(value, list) else ()
    return [one for one in details if isinstance(one, dict) and one.get("id") and one["id"] in call_ids]


def drop_carried_reasoning(kwargs: dict[str, Any], call_ids: Collection[str | None]) -> dict[str, Any]:
    """A message's `additional_kwargs`, of which what is carried for its reasoning, and for no call, is gone."""
    record = kwargs.get(CARRIED)
    if not isinstance(record, dict):
        return kwargs
    fields: dict[str, Any] = {
        name: value if name in _NOT_REASONING else details
        for name, value in (record.get("message") or {}).items()
        if (details := _of_calls(name, value, call_ids)) or name in _NOT_REASONING
    }
    kept = {name: value for name, value in record.items() if name not in ("reasoning", "message", "places")}
    return {**kwargs, CARRIED: kept | ({"message": fields} if fields else {})}
