"""Group E of the contract: streaming."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk
from tests.echo_models import MakeModel
from tests.paths import achunks, added_up, beta_allowed, by_invoke, by_v3, chunks

from langplug import ChatModel, Part, Request, chat_model
from langplug.models import ChatScripted

PROMPT = "/think one two three"

Read = Callable[..., list[AIMessageChunk]]


@pytest.fixture(params=[chunks, achunks], ids=["stream", "astream"])
def read(request: pytest.FixtureRequest) -> Read:
    """Each way to read a stream of chunks."""
    reader: Read = request.param
    return reader


# --- chunks ---


@pytest.mark.parametrize("prompt", [PROMPT, "", "/show one", "/spell ab", "one"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_e02_exactly_the_last_chunk_is_marked(make_model: MakeModel, read: Read, prompt: str, version: Any) -> None:
    """One chunk is marked as the last, and it is the last."""
    positions = [chunk.chunk_position for chunk in read(make_model(output_version=version), prompt)]
    assert [*[None] * (len(positions) - 1), "last"] == positions


# --- switches ---


@pytest.mark.parametrize("off", [{"disable_streaming": True}, {"streaming": False}])
def test_e11_streaming_can_be_switched_off(make_model: MakeModel, read: Read, off: dict[str, Any]) -> None:
    """With streaming off the author is not asked to stream, and the one chunk has the whole answer."""
    model = make_model(**off)
    (only,) = read(model, "/settings")
    assert "echo-1 0.5  False" == only.text
    assert "last" == only.chunk_position
    assert by_invoke(model, PROMPT).message.usage_metadata == read(model, PROMPT)[0].usage_metadata


GATE = threading.Event()


@chat_model
def patient(request: Request) -> Iterator[str]:
    """Goes on only when the first word was read."""
    yield "one"
    assert GATE.wait(5), "the first chunk was not handed over"
    yield " two"


@chat_model
async def apatient(request: Request) -> AsyncIterator[str]:
    """Goes on only when the first word was read, asynchronously."""
    yield "one"
    assert await asyncio.to_thread(GATE.wait, 5), "the first chunk was not handed over"
    yield " two"


@pytest.fixture(params=[patient, apatient], ids=["generator", "async generator"])
def waiter(request: pytest.FixtureRequest) -> ChatModel:
    """A model that waits until it is heard."""
    GATE.clear()
    model: ChatModel = request.param()
    return model


def test_e13_version_3_hands_over_at_once(waiter: ChatModel) -> None:
    """So does version 3 of the events."""
    with beta_allowed():
        words = iter(waiter.stream_events("go", version="v3").text)
    assert "one" == next(words)
    GATE.set()
    assert " two" == "".join(words)


# --- adding up ---


@pytest.mark.parametrize("prompt", [PROMPT, "/show one two", "", "/spell ab"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_e15_chunks_add_up_in_any_grouping(make_model: MakeModel, read: Read, prompt: str, version: Any) -> None:
    """Adding chunk by chunk or all at once gives the same, and so does the text of adding the rest first."""
    first, *rest = read(make_model(output_version=version), prompt)
    one_by_one = reduce(add, rest, first)
    assert one_by_one == first + rest
    if rest:
        assert one_by_one.text == (first + reduce(add, rest)).text


# --- what the author passes on ---


def test_e_chunks_of_another_model_pass_through(read: Read) -> None:
    """A model that passes on another model's chunks gives the same text, metadata and usage."""
    inner = ChatScripted(replies=[["one ", "two"]], when_exhausted="repeat", token_counter=len)

    @chat_model
    def outer(request: Request) -> Iterator[Part]:
        yield from inner.stream(list(request.messages))

    direct, passed = added_up(inner.stream("?")).message, added_up(read(outer(), "?")).message
    assert (direct.text, direct.usage_metadata) == (passed.text, passed.usage_metadata)
    assert "scripted" == passed.response_metadata["model_provider"]
    assert "one two" == by_v3(outer(), "?").text
