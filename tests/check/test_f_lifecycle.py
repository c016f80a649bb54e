"""What a valid stream of version 3 is: our rules, beside those of langchain-tests."""

from typing import Any

import pytest
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langplug_check.groups._lifecycle import broken_rule, finished_blocks, text_deltas

START, END = {"event": "message-start", "role": "ai"}, {"event": "message-finish", "metadata": {}}


def block(index: int, *pieces: str, kind: str = "text", said: str | None = None) -> list[dict[str, Any]]:
    """A block from its start to its finish."""
    text = "".join(pieces) if said is None else said
    return [
        {"event": "content-block-start", "index": index, "content": {"type": kind, kind: ""}},
        *(
            {"event": "content-block-delta", "index": index, "delta": {"type": f"{kind}-delta", kind: piece}}
            for piece in pieces
        ),
        {"event": "content-block-finish", "index": index, "content": {"type": kind, kind: text}},
    ]


def interleaved() -> list[dict[str, Any]]:
    first, second = block(0, "a", "b"), block(1, "c")
    return [first[0], first[1], *second, *first[2:]]


VALID = {
    "a text": [START, *block(0, "one ", "two"), END],
    "nothing": [START, END],
    "a thought and a text": [START, *block(0, "hm", kind="reasoning"), *block(1, "one"), END],
    "blocks that take turns": [START, *interleaved(), END],
}

BROKEN = {
    "no start": [*block(0, "one"), END],
    "a second start": [START, START, END],
    "a second end": [START, END, END],
    "an end before the last block": [START, END, *block(0, "one")],
    "a block from 1": [START, *block(1, "one"), END],
    "a block that starts twice": [START, *block(0, "one"), *block(0, "two"), END],
    "a block that is not finished": [START, *block(0, "one")[:-1], END],
    "a delta behind the finish": [START, *block(0, "one"), block(0, "one")[1], END],
    "a finish without a start": [START, block(0, "one")[-1], END],
    "other text at the finish": [START, *block(0, "one", said="two"), END],
    "other thoughts at the finish": [START, *block(0, "one", kind="reasoning", said="two"), END],
}


@pytest.mark.parametrize("name", VALID)
def test_a_valid_stream_breaks_no_rule(name: str) -> None:
    """What langchain-tests lets pass, passes here."""
    assert_valid_event_stream(VALID[name])
    assert broken_rule(VALID[name]) is None


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_stream_is_seen(name: str) -> None:
    """What langchain-tests refuses is refused here, with words that say what is wrong."""
    with pytest.raises(AssertionError):
        assert_valid_event_stream(BROKEN[name])
    assert broken_rule(BROKEN[name])


@pytest.mark.parametrize("events", [[], [START, *block(0, "one")]], ids=["none", "no end"])
def test_a_stream_has_an_end(events: list[dict[str, Any]]) -> None:
    """Stricter than langchain-tests: there is a start and an end, or a user interface waits for ever."""
    assert_valid_event_stream(events)
    assert broken_rule(events)


def test_what_a_stream_said() -> None:
    """Its finished blocks by type, and its pieces of text."""
    events = VALID["a thought and a text"]
    assert [{"type": "text", "text": "one"}] == finished_blocks(events, "text")
    assert [{"type": "reasoning", "reasoning": "hm"}] == finished_blocks(events, "reasoning")
    assert ["one "] == text_deltas(VALID["a text"])[:1]
