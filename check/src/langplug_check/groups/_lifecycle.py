"""Group F: what events of version 3 must be, one behind the other, to be a stream that a user interface can follow."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Events = Sequence[Mapping[str, Any]]

_BLOCK = "content-block-"
_DELTAS: Mapping[str, tuple[str, str]] = {"text-delta": ("text", "text"), "reasoning-delta": ("reasoning", "reasoning")}
"""By type of a delta: the field that holds its text, and the type of block that it belongs to."""


def broken_rule(events: Events) -> str | None:
    """What is wrong with the order of the events; None if it is right.

    One `message-start` comes first and one `message-finish` last. Between them each block, numbered from 0 in the order
    of the starts, is started, grows by deltas, and is finished with what they add up to. Blocks may take turns.
    """
    names = [str(event.get("event")) for event in events]
    if not names or names[0] != "message-start" or names.count("message-start") != 1:
        return f"one message-start has to come first, and the events are {_brief(names)}"
    if names[-1] != "message-finish" or names.count("message-finish") != 1:
        return f"one message-finish has to come last, and the events end in {_brief(names[-3:])}"
    return _broken_block(event for event in events if str(event["event"]).startswith(_BLOCK))


def _broken_block(events: Iterable[Mapping[str, Any]]) -> str | None:
    grown: dict[Any, dict[str, str]] = {}
    finished: set[Any] = set()
    for event in events:
        number, does = event.get("index"), str(event["event"]).removeprefix(_BLOCK)
        if does == "start":
            if number != len(grown):
                return f"the block that starts as number {len(grown)} has the index {number!r}"
            grown[number] = {}
            continue
        if number not in grown or number in finished:
            return f"a {_BLOCK}{does} for block {number!r}, which is not open"
        if does == "delta":
            _grow(grown[number], event.get("delta") or {})
        elif does == "finish":
            finished.add(number)
            if wrong := _not_the_sum(grown[number], _content(event)):
                return f"block {number}: {wrong}"
    if still_open := sorted(set(grown) - finished):
        return f"the blocks {still_open} are started and not finished"
    return None


def _grow(block: dict[str, str], delta: Mapping[str, Any]) -> None:
    if (kind := delta.get("type")) in _DELTAS:
        field, _ = _DELTAS[str(kind)]
        block[field] = block.get(field, "") + str(delta.get(field, ""))


def _not_the_sum(grown: Mapping[str, str], content: Mapping[str, Any]) -> str | None:
    for field, kind in _DELTAS.values():
        if content.get("type") == kind and field in grown and content.get(field, "") != grown[field]:
            return f"its deltas add up to {grown[field]!r}, and it finishes with {content.get(field, '')!r}"
    return None


def finished_blocks(events: Events, kind: str) -> list[Mapping[str, Any]]:
    """The blocks of a type, as they were finished."""
    finishes = [_content(event) for event in events if event["event"] == f"{_BLOCK}finish"]
    return [content for content in finishes if content.get("type") == kind]


def text_deltas(events: Events) -> list[str]:
    """The pieces of text, without empty ones."""
    deltas = [event.get("delta") or {} for event in events if event["event"] == f"{_BLOCK}delta"]
    return [str(delta["text"]) for delta in deltas if delta.get("type") == "text-delta" and delta.get("text")]


def _content(event: Mapping[str, Any]) -> Mapping[str, Any]:
    content: Mapping[str, Any] = event.get("content") or event.get("content_block") or {}
    return content


def _brief(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "none"
