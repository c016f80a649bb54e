"""Chunks built without pydantic's constructor are what it would build; long answers are kept in few pieces."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from pydantic import BaseModel

from langplug import Reasoning
from langplug._answer import fast_chunks
from langplug._answer.chunks import Closing, MessageBuilder, join_pieces
from langplug._answer.fast_chunks import (
    generation_chunk,
    generation_info,
    plain_chunk,
    plain_message,
    whole_generation,
)
from langplug._answer.tool_calls import WholeCall

TEXTS = ["", "text", "a\nb", "ação 漢字 \x00", "\ud800"]
IDS = [None, "lc_run--1"]


def built(text: str, message_id: str | None) -> AIMessageChunk:
    return AIMessageChunk(content=text, response_metadata={}, id=message_id)


def wrapped(text: str, message_id: str | None) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=built(text, message_id))


Pair = Callable[[str, str | None], tuple[BaseModel, BaseModel]]


def chunk_pair(text: str, message_id: str | None) -> tuple[BaseModel, BaseModel]:
    return plain_chunk(text, message_id), built(text, message_id)


def generation_pair(text: str, message_id: str | None) -> tuple[BaseModel, BaseModel]:
    return generation_chunk(built(text, message_id)), wrapped(text, message_id)


METADATA = {"model_name": "m", "finish_reason": "stop"}


def joined(text: str, usage: UsageMetadata | None) -> AIMessage:
    builder = MessageBuilder()
    builder.add(text)
    return builder.message(Closing(usage, METADATA))


def message_pair(text: str, _: str | None) -> tuple[BaseModel, BaseModel]:
    usage = UsageMetadata(input_tokens=1, output_tokens=2, total_tokens=3)
    return plain_message(text, usage, METADATA), joined(text, usage)


def whole_pair(text: str, _: str | None) -> tuple[BaseModel, BaseModel]:
    message = joined(text, None)
    return whole_generation(message), ChatGeneration(message=message, generation_info=generation_info(message))


PAIRS = {"chunk": chunk_pair, "generation": generation_pair, "message": message_pair, "whole": whole_pair}


@pytest.fixture(params=PAIRS.values(), ids=list(PAIRS))
def pair(request: pytest.FixtureRequest) -> Any:
    """A chunk or message as it is built here, and the same by pydantic's constructor."""
    return request.param


def state(made: BaseModel) -> list[Any]:
    return [
        type(made),
        [(name, type(value), value) for name, value in vars(made).items()],
        made.model_fields_set,
        made.model_extra,
        made.__pydantic_private__,
    ]


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (
            AIMessageChunk,
            "content additional_kwargs response_metadata type name id tool_calls invalid_tool_calls usage_metadata "  # noqa: ISC004
            "tool_call_chunks chunk_position",
        ),
        (ChatGenerationChunk, "text generation_info type message"),
        (ChatGeneration, "text generation_info type message"),
        (
            AIMessage,
            "content additional_kwargs response_metadata type name id tool_calls invalid_tool_calls usage_metadata",
        ),
    ],
)
def test_langchain_cores_chunks_have_the_fields_that_are_known(cls: type[BaseModel], fields: str) -> None:
    """A langchain-core with one more field fails here: say in `_answer/fast_chunks.py` what it is by default."""
    assert fields.split() == list(cls.model_fields)
    assert fast_chunks._CHUNKS_ARE_AS_KNOWN
    assert fast_chunks._GENERATIONS_ARE_AS_KNOWN
    assert fast_chunks._MESSAGES_ARE_AS_KNOWN
    assert fast_chunks._WHOLES_ARE_AS_KNOWN


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("message_id", IDS)
def test_every_field_is_the_same(pair: Pair, text: str, message_id: str | None) -> None:
    """Fields in their order, which were set, what is extra and what is private: all as pydantic has it."""
    ours, pydantics = pair(text, message_id)
    assert state(pydantics) == state(ours)
    assert pydantics == ours
    assert repr(pydantics) == repr(ours)


@pytest.mark.parametrize(
    "options", [{}, {"exclude_unset": True}, {"exclude_defaults": True}, {"mode": "json"}], ids=str
)
def test_dumps_are_the_same(pair: Pair, options: dict[str, Any]) -> None:
    """Dumped by pydantic or by langchain-core, both say the same."""
    ours, pydantics = pair("text", "id")
    assert pydantics.model_dump(**options) == ours.model_dump(**options)
    assert dumps(pydantics) == dumps(ours)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_are_the_same(pair: Pair, make: Callable[[BaseModel], BaseModel]) -> None:
    """Copies and pickles have every field."""
    ours, pydantics = pair("text", "id")
    assert state(pydantics) == state(make(ours))
    assert state(pydantics) == state(ours.model_copy())


def test_sums_are_the_same() -> None:
    """They add up with each other and with those that pydantic built, from either side."""
    expected = state(built("one", "i") + built(" two", None))
    for left in (built("one", "i"), plain_chunk("one", "i")):
        for right in (built(" two", None), plain_chunk(" two")):
            assert expected == state(left + right)
    ours = generation_chunk(plain_chunk("a")) + generation_chunk(plain_chunk("b"))
    assert state(wrapped("a", None) + wrapped("b", None)) == state(ours)


def test_no_two_share_a_list() -> None:
    """What is written into one chunk is in no other."""
    first, second = plain_chunk("a"), plain_chunk("a")
    for name, value in vars(first).items():
        assert not isinstance(value, dict | list) or value is not getattr(second, name)
    first.id = "changed"
    first.response_metadata["changed"] = first.additional_kwargs["changed"] = True
    assert state(built("a", None)) == state(second)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        UsageMetadata(input_tokens=1, output_tokens=2, total_tokens=3),
        UsageMetadata(input_tokens=1, output_tokens=2, total_tokens=3, input_token_details={"cache_read": 1}),
        UsageMetadata(input_tokens=1.0, output_tokens=True, total_tokens=2),  # type: ignore[typeddict-item] # numpy's
    ],
    ids=str,
)
def test_messages_report_what_was_used(usage: UsageMetadata | None) -> None:
    """Usage stands in a message as pydantic reads it, and neither it nor the metadata is shared."""
    message = plain_message("a", usage, METADATA)
    assert state(joined("a", usage)) == state(message)
    assert message.response_metadata is not METADATA
    assert usage is None or message.usage_metadata is not usage


BUILDERS = {
    "_CHUNKS": "_build_chunk",
    "_GENERATIONS": "_build_generation",
    "_MESSAGES": "_build_message",
    "_WHOLES": "_build_whole",
}
"""The function that builds each, by the beginning of the name under which it is noted that it may."""


@pytest.mark.parametrize("name", BUILDERS)
def test_with_other_fields_the_constructor_is_used(monkeypatch: pytest.MonkeyPatch, pair: Pair, name: str) -> None:
    """If langchain-core's chunks are not as they are known, its own constructors build them."""
    monkeypatch.setattr(fast_chunks, f"{name}_ARE_AS_KNOWN", False)
    monkeypatch.setattr(fast_chunks, BUILDERS[name], None)
    ours, pydantics = pair("text", "id")
    assert state(pydantics) == state(ours)


def test_other_strings_become_strings() -> None:
    """A string of a class of its own is read as pydantic reads it."""
    text = type("Text", (str,), {})("text")
    assert state(built(text, None)) == state(plain_chunk(text))


def test_a_message_of_blocks_keeps_its_text() -> None:
    """Around blocks, langchain-core's own reading of the text is used."""
    message = AIMessageChunk(content=[{"text": "a"}, {"type": "text", "text": "b"}])
    assert state(ChatGenerationChunk(message=message)) == state(generation_chunk(message))


# --- long answers in few pieces ---

PIECES = st.lists(
    st.one_of(
        st.text(max_size=2),
        st.builds(Reasoning, st.text(max_size=2), st.none() | st.just({"signature": "s"}) | st.just({"id": "i"})),
        st.just(WholeCall("add", "call_1", "{}", {})),
        st.just({"type": "image", "url": "u"}),
    ),
    max_size=12,
)


@given(pieces=PIECES, cut=st.integers(0, 12), v1=st.booleans())
def test_joined_pieces_are_the_same_answer(pieces: list[Any], cut: int, v1: bool) -> None:
    """An answer whose pieces were put together, at any time, makes the message that its pieces make."""
    messages = []
    for form in (pieces, join_pieces(pieces), [*join_pieces(pieces[:cut]), *join_pieces(pieces[cut:])]):
        builder = MessageBuilder(v1=v1)
        for piece in form:
            builder.add(piece)
        messages.append(builder.message(Closing()))
    assert messages[0] == messages[1] == messages[2]


def test_joined_pieces_are_few() -> None:
    """Adjacent text becomes one piece, and so does adjacent reasoning; extras, calls and blocks stay as they are."""
    signed, block = Reasoning("c", {"signature": "s"}), {"type": "image", "url": "u"}
    given_pieces = [*"ab", Reasoning("a"), Reasoning("b"), signed, signed, *"cd", block, block, "e"]
    assert ["ab", Reasoning("ab"), signed, signed, "cd", block, block, "e"] == join_pieces(given_pieces)  # type: ignore[arg-type]
