"""What the events of version 3 must be, one after the other, for a user interface to follow the stream.

Stricter than `assert_valid_event_stream` of langchain-tests in that a stream must have a start and an end.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Events = Sequence[Mapping[str, Any]]

_BLOCK = "content-block-"
_DELTAS: Mapping[str, str] = {"text-delta": "text", "reasoning-delta": "reasoning"}
"""By the type of a delta: the type of its block, which is also the field that holds the text in both."""


def broken_rule(events: Events) -> str | None:
    """What is wrong with the order of the events; None if it is right.

    One `message-start` comes first and one `message-finish` last. Between them each block, numbered from 0 in the order
    of the starts, is started, grows by deltas, and is finished with their sum. Blocks may interleave.
    """
    names = [str(event.get("event")) for event in events]
    if not names or names[0] != "message-start" or names.count("message-start") != 1:
        return f"one message-start must come first, and the events are {_names_text(names)}"
    if names[-1] != "message-finish" or names.count("message-finish") != 1:
        return f"one message-finish must come last, and the events end in {_names_text(names[-3:])}"
    return _broken_block([event for event in events if str(event["event"]).startswith(_BLOCK)])


def _broken_block(events: Events) -> str | None:
    """What is wrong with a block, given the events of blocks only."""
    sums: dict[Any, dict[str, str]] = {}
    finished: set[Any] = set()
    for event in events:
        number, step = event.get("index"), str(event["event"]).removeprefix(_BLOCK)
        if step == "start":
            if number != len(sums):
                return f"the block that starts as number {len(sums)} has the index {number!r}"
            sums[number] = {}
            continue
        if number not in sums or number in finished:
            return f"a {_BLOCK}{step} for block {number!r}, which is not open"
        if step == "delta":
            # Deltas of calls and data are not compared: only text and reasoning grow by plain concatenation.
            delta: Mapping[str, Any] = event.get("delta") or {}
            if kind := _DELTAS.get(str(delta.get("type"))):
                sums[number][kind] = sums[number].get(kind, "") + str(delta.get(kind, ""))
        elif step == "finish":
            finished.add(number)
            content = _content(event)
            kind = str(content.get("type"))
            text, total = content.get(kind, ""), sums[number].get(kind)
            if total is not None and text != total:
                return f"block {number}: its deltas add up to {total!r}, and it finishes with {text!r}"
    if still_open := sorted(set(sums) - finished):
        return f"the blocks {still_open} are started and not finished"
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
    # langchain-core's `ChatModelStream` reads both names; `content_block` is its legacy one.
    content: Mapping[str, Any] = event.get("content") or event.get("content_block") or {}
    return content


def _names_text(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "") if names else "none"
