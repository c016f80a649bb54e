"""Chunks and messages: adding up the chunks of an answer makes the message that it has as a whole."""

from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk

from langplug._answer.chunks import ChunkBuilder, Closing, MessageBuilder
from langplug._answer.parser import Piece
from langplug._answer.tool_calls import CallAssembler
from langplug._parts import Reasoning, ToolCall

TEXTS = st.text(min_size=1, max_size=5)
IMAGES = st.builds(
    lambda data: {"type": "image", "base64": data, "mime_type": "image/png"}, st.sampled_from(["aaaa", "bbbb"])
)
ARGS = st.one_of(
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3) | TEXTS, max_size=2),
    st.sampled_from(['{"a": 1', '{"a": "x', "nonsense", "[1]", '{"a": 1}}', '{"a": {"b": [1', ""]),
)
CALLS = st.builds(ToolCall, name=st.sampled_from("fg"), args=ARGS)
SIGNATURES = st.none() | st.dictionaries(st.sampled_from(["signature", "id"]), TEXTS, min_size=1, max_size=2)

SAID = st.lists(TEXTS | st.builds(Reasoning, TEXTS) | CALLS | IMAGES, max_size=8)


def pieces_of(said: list[Any]) -> list[Piece]:
    """What was said as pieces, its calls put together and given their ids."""
    pieces: list[Piece] = []
    for one in said:
        if isinstance(one, ToolCall):
            assembler = CallAssembler()
            pieces += assembler.feed(one) + assembler.flush()
        else:
            pieces.append(one)
    return pieces


CLOSING = Closing(
    usage={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
    response_metadata={"model_name": "m", "model_provider": "p", "finish_reason": "stop"},
    additional_kwargs={"more": [1]},
    id="id-1",
)


def chunks_of(pieces: list[Piece], *, v1: bool) -> list[AIMessageChunk]:
    builder = ChunkBuilder(v1=v1)
    return [*(builder.chunk(piece) for piece in pieces), builder.last(CLOSING)]


def streamed(pieces: list[Piece], *, v1: bool) -> AIMessage:
    message = message_chunk_to_message(reduce(add, chunks_of(pieces, v1=v1)))
    assert isinstance(message, AIMessage)
    return message


def whole(pieces: list[Piece], *, v1: bool) -> AIMessage:
    builder = MessageBuilder(v1=v1)
    for piece in pieces:
        builder.add(piece)
    return builder.message(CLOSING)


def calls_in(message: AIMessage) -> list[Any]:
    return [(call["name"], call["args"], call["id"]) for call in message.tool_calls]


def broken_in(message: AIMessage) -> list[Any]:
    return [(call["name"], call["args"], call["id"]) for call in message.invalid_tool_calls]


# --- the two are one ---


@given(SAID)
def test_plain_chunks_add_up_to_the_message(said: list[Any]) -> None:
    """v0: text, content, reasoning, calls, broken calls, usage and metadata are the same, streamed and whole."""
    pieces = pieces_of(said)
    got, expected = streamed(pieces, v1=False), whole(pieces, v1=False)
    assert expected.text == got.text
    assert said_in(expected) == said_in(got)
    assert calls_in(expected) == calls_in(got)
    assert broken_in(expected) == broken_in(got)
    assert expected.additional_kwargs == got.additional_kwargs
    assert expected.usage_metadata == got.usage_metadata
    assert expected.response_metadata == got.response_metadata
    assert expected.id == got.id


@given(SAID)
def test_standard_chunks_add_up_to_the_message(said: list[Any]) -> None:
    """v1: so are the typed blocks, in their order."""
    pieces = pieces_of(said)
    got, expected = streamed(pieces, v1=True), whole(pieces, v1=True)
    assert expected.text == got.text
    assert without_numbers(expected.content_blocks) == without_numbers(got.content_blocks)
    assert calls_in(expected) == calls_in(got)
    assert broken_in(expected) == broken_in(got)
    assert expected.additional_kwargs == got.additional_kwargs
    assert expected.response_metadata == got.response_metadata


def said_in(message: AIMessage) -> Any:
    """The content; langchain-core's sum begins with "" where something else came before the first block."""
    return message.content if isinstance(message.content, str) else [block for block in message.content if block != ""]


def without_numbers(blocks: list[Any]) -> list[Any]:
    return [{name: value for name, value in block.items() if name != "index"} for block in blocks]


@given(st.lists(TEXTS | st.builds(Reasoning, TEXTS, SIGNATURES), max_size=6), st.booleans())
def test_signatures_are_the_same_streamed_and_whole(said: list[Any], v1: bool) -> None:
    """What has to be sent back with reasoning (a signature, an id) is the same, streamed and whole."""
    got, expected = streamed(said, v1=v1), whole(said, v1=v1)
    assert expected.additional_kwargs == got.additional_kwargs
    assert without_numbers(expected.content_blocks) == without_numbers(got.content_blocks)


@pytest.mark.parametrize("v1", [False, True])
def test_a_signature_that_is_said_again_is_said_once(v1: bool) -> None:
    """A source may repeat a signature with every piece of reasoning; sent back, it must be as it was."""
    said = [Reasoning("h", {"signature": "s", "id": "i"}), Reasoning("m", {"signature": "s", "id": "i"})]
    for message in (streamed([*said], v1=v1), whole([*said], v1=v1)):
        (block,) = [block for block in message.content_blocks if block["type"] == "reasoning"]
        assert "hm" == block["reasoning"]
        extras = block["extras"] if v1 else message.additional_kwargs["reasoning_extras"]
        assert {"signature": "s", "id": "i"} == extras


@given(SAID, st.booleans())
def test_nothing_is_lost(said: list[Any], v1: bool) -> None:
    """All text, reasoning, calls and blocks that came in are in the message."""
    pieces = pieces_of(said)
    message = whole(pieces, v1=v1)
    assert "".join(piece for piece in pieces if isinstance(piece, str)) == message.text
    reasoning = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
    kept = "".join(block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning")
    assert reasoning == kept
    assert len(message.tool_calls) + len(message.invalid_tool_calls) == sum(isinstance(one, ToolCall) for one in said)
    images = [piece for piece in pieces if isinstance(piece, dict)]
    assert images == [
        {k: v for k, v in b.items() if k != "index"} for b in message.content_blocks if b["type"] == "image"
    ]


@given(SAID, st.booleans())
def test_any_grouping_adds_up_the_same(said: list[Any], v1: bool) -> None:
    """E15: adding all chunks to the first at once gives what adding one after the other gives."""
    first, *rest = chunks_of(pieces_of(said), v1=v1)
    assert reduce(add, rest, first) == (first + rest if rest else first)


@given(SAID, st.booleans())
def test_the_end_is_said_once(said: list[Any], v1: bool) -> None:
    """Exactly the last chunk is marked so, and it alone has usage and metadata."""
    *before, last = chunks_of(pieces_of(said), v1=v1)
    assert "last" == last.chunk_position
    assert CLOSING.usage == last.usage_metadata
    for chunk in before:
        assert (None, None) == (chunk.chunk_position, chunk.usage_metadata)
        assert set(chunk.response_metadata) <= {"output_version"}


@given(SAID)
def test_text_and_calls_never_share_a_chunk(said: list[Any]) -> None:
    """A chunk with both would lose its call in langchain-core's bridge to events."""
    for chunk in chunks_of(pieces_of(said), v1=False):
        assert not (chunk.content and chunk.tool_call_chunks)


@given(SAID, st.booleans())
def test_calls_have_numbers_of_their_own(said: list[Any], v1: bool) -> None:
    """Each call has an `int` index of its own, which no block has: langchain-core would merge the two."""
    chunks = chunks_of(pieces_of(said), v1=v1)
    numbers = [piece["index"] for chunk in chunks for piece in chunk.tool_call_chunks]
    assert all(isinstance(number, int) for number in numbers)
    assert len(numbers) == len(set(numbers))
    blocks = {
        block["index"]
        for chunk in chunks
        if isinstance(chunk.content, list)
        for block in chunk.content
        if isinstance(block, dict) and block.get("type") in ("text", "reasoning")
    }
    assert not blocks & set(numbers)


def test_calls_are_numbered_from_0() -> None:
    """In plain content the calls are numbered from 0, whatever was said before: front ends index a list by it."""
    said = ["a", Reasoning("h"), "b", ToolCall(name="f", args={}), "c", ToolCall(name="g", args={})]
    chunks = chunks_of(pieces_of(said), v1=False)
    assert [0, 1] == [call["index"] for chunk in chunks for call in chunk.tool_call_chunks]
    first = chunks_of(pieces_of([ToolCall(name="f", args={})]), v1=True)[0]
    assert [0] == [call["index"] for call in first.tool_call_chunks]


@given(SAID)
def test_events_say_the_same(said: list[Any]) -> None:
    """langchain-core's bridge from chunks to events, version 3, ends with the same text and calls."""
    pieces = pieces_of(said)
    stream = ChatModelStream(message_id="id-1")
    chunks = [ChatGenerationChunk(message=chunk) for chunk in chunks_of(pieces, v1=False)]
    for event in chunks_to_events(iter(chunks), message_id="id-1"):
        stream.dispatch(event)
    assert stream.output_message is not None
    expected = whole(pieces, v1=False)
    assert expected.text == stream.output_message.text
    assert calls_in(expected) == calls_in(stream.output_message)
    assert broken_in(expected) == broken_in(stream.output_message)


# --- broken calls ---


@pytest.mark.parametrize(
    "args",
    ['{"a": 1', '{"a": "x', '{"a": [1, {"b": "c', '{"a"', "{", '{"a": 1, ', '{"a": tru', '{"a": "\\', "[", "1", "x"],
)
@pytest.mark.parametrize("v1", [False, True])
def test_a_broken_call_is_broken_for_every_reader(args: str, v1: bool) -> None:
    """Arguments that were cut off are an invalid call, streamed and whole, though core's reader would complete them."""
    pieces = pieces_of([ToolCall(name="f", args=args)])
    for message in (streamed(pieces, v1=v1), whole(pieces, v1=v1)):
        assert [] == message.tool_calls
        (broken,) = message.invalid_tool_calls
        assert "f" == broken["name"]
        assert args in (broken["args"] or "")


def test_the_empty_answer() -> None:
    """An answer without a word is one empty chunk, and an empty message."""
    for v1 in (False, True):
        assert "" == streamed([], v1=v1).text == whole([], v1=v1).text
        assert 1 == len(chunks_of([], v1=v1))


def test_v0_content_is_text_where_there_is_only_text() -> None:
    """Plain content is a string, with reasoning and calls beside it."""
    pieces = pieces_of([Reasoning("hm"), "a", "b", ToolCall(name="f", args={})])
    for message in (streamed(pieces, v1=False), whole(pieces, v1=False)):
        assert "ab" == message.content
        assert "hm" == message.additional_kwargs["reasoning_content"]
        assert ["f"] == [call["name"] for call in message.tool_calls]


def test_v1_content_is_blocks_in_their_order() -> None:
    """Standard content keeps what came between what."""
    pieces = pieces_of([Reasoning("h"), Reasoning("m"), "a", "b", ToolCall(name="f", args={}), "c"])
    for message in (streamed(pieces, v1=True), whole(pieces, v1=True)):
        assert ["reasoning", "text", "tool_call", "text"] == [block["type"] for block in message.content_blocks]
        assert ["hm", "ab", "c"] == [
            block.get("reasoning") or block.get("text")
            for block in message.content_blocks
            if block["type"] != "tool_call"
        ]
        assert "v1" == message.response_metadata["output_version"]
