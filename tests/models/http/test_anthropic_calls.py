"""Calls on Anthropic's wire, as the API and the gateways that imitate it send them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import langplug.models
from langplug._answer.chunks import Closing, MessageBuilder
from langplug._answer.parser import AnswerParser
from langplug._stream.paths import NAMES, Paths, ValueParser

AB, CD = {"a": 1, "b": 2}, {"a": 3, "b": 4}


def start(index: int, call_id: str, **given: Any) -> dict[str, Any]:
    block = {"type": "tool_use", "id": call_id, "name": "add", "input": {}, **given}
    return {"type": "content_block_start", "index": index, "content_block": block}


def piece(index: int, text: str) -> dict[str, Any]:
    delta = {"type": "input_json_delta", "partial_json": text}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def use(call_id: str, args: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "add", "input": args}


END: list[dict[str, Any]] = [{"type": "message_delta", "delta": {"stop_reason": "tool_use"}}, {"type": "message_stop"}]

STREAMS: dict[str, tuple[list[dict[str, Any]], list[Any]]] = {
    "one block after the other": (
        [
            start(0, "t1"),
            piece(0, ""),
            piece(0, '{"a": 1, "b": 2}'),
            start(1, "t2"),
            piece(1, '{"a": 3, "b": 4}'),
            *END,
        ],
        [AB, CD],
    ),
    "blocks that take turns": (
        [
            *(start(0, "t1"), start(1, "t2"), piece(0, '{"a": 1,'), piece(1, '{"a": 3,')),
            *(piece(1, ' "b": 4}'), piece(0, ' "b": 2}'), *END),
        ],
        [AB, CD],
    ),
    "the input whole, and again in pieces": (
        [start(0, "t1", input=AB), piece(0, '{"a": 1,'), piece(0, ' "b": 2}'), *END],
        [AB],
    ),
    "the input whole": ([start(0, "t1", input=AB), start(1, "t2", input=CD), *END], [AB, CD]),
    "no input": ([start(0, "t1"), start(1, "t2"), *END], [{}, {}]),
    "a whole answer": (
        [{"content": [use("t1", AB), use("t2", {}), use("t3", CD)], "stop_reason": "tool_use"}],
        [AB, {}, CD],
    ),
    "each call twice": (
        [{"content": [use("t1", AB), use("t2", CD), use("t1", AB), use("t2", CD)], "stop_reason": "tool_use"}],
        [AB, CD],
    ),
    "cut off before the input": (
        [start(0, "t1"), {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}, {"type": "message_stop"}],
        [],
    ),
}


@pytest.mark.parametrize(("events", "meant"), STREAMS.values(), ids=STREAMS)
def test_calls_are_those_that_were_meant(events: list[dict[str, Any]], meant: list[Any]) -> None:
    """Blocks are told apart by their number, come once, and have no arguments that the model did not write."""
    file = Path(langplug.models.__file__).parent / "wires" / "anthropic.yaml"
    described = yaml.safe_load(file.read_text(encoding="utf-8"))
    values = ValueParser(Paths.read({name: value for name, value in described.items() if name in NAMES}))
    parser, builder = AnswerParser(owner="ChatTest.respond"), MessageBuilder()
    for part in [part for event in events for part in values.feed(event)]:
        for one in parser.feed(part):
            builder.add(one)
    for one in parser.end():
        builder.add(one)
    message = builder.message(Closing())
    assert meant == [call["args"] for call in message.tool_calls]
    assert (not meant) == bool(message.invalid_tool_calls)
