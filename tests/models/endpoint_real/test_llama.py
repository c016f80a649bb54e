"""ChatEndpoint on llama.cpp's own OpenAI server, with real weights."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel, ConfigDict
from tests.models.endpoint_real.conftest import MakeModel
from tests.models.endpoint_real.servers import Llama, llama, wait_until
from tests.paths import ON_AN_ENGINE, STREAMED, WHOLE, chunks
from tests.paths import Path as CallPath

from langplug import IncompleteAnswerError
from langplug.models import ChatEndpoint

QUESTION = "What is the capital of Japan?"
COUNT = "Count: one two three four five six"
STORY = "Write a very long story about the sea."
WILD: dict[str, Any] = {"temperature": 2, "top_p": 1, "extra_body": {"min_p": 0, "top_k": 0}}
"""The model says anything at all: what still fits is the server's doing."""

PIXEL = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}

each_path = pytest.mark.parametrize("path", ON_AN_ENGINE)
each_kind = pytest.mark.parametrize("kind", ["any", "llama.cpp"])


# --- answers ---


@each_path
def test_each_path_gives_the_same(model: ChatEndpoint, path: CallPath) -> None:
    """Text, finish reason, name and usage are the same on each path."""
    expected, answer = model.invoke(QUESTION), path(model, QUESTION)
    assert "Tokyo" in answer.text
    assert expected.text == answer.text == answer.message.text
    assert "stop" == answer.message.response_metadata["finish_reason"]
    assert "smol" == answer.message.response_metadata["model_name"]
    usage, same = answer.message.usage_metadata, expected.usage_metadata
    assert usage is not None
    assert same is not None
    assert usage["input_tokens"] == same["input_tokens"] > 10
    assert usage["output_tokens"] == same["output_tokens"] > 3


def test_it_streams_token_by_token(model: ChatEndpoint) -> None:
    """Text comes piece by piece; the usage comes once, at the end."""
    pieces = chunks(model, QUESTION)
    assert len([piece for piece in pieces if piece.text]) > 3
    assert [False] * (len(pieces) - 1) + [True] == [piece.usage_metadata is not None for piece in pieces]


def test_it_follows_the_conversation(model: ChatEndpoint) -> None:
    """The whole conversation is read, the system message too."""
    told = [SystemMessage("You are a pirate."), HumanMessage("Who are you?")]
    assert model.invoke(told).text != model.invoke(told[1:]).text


@each_path
def test_the_token_limit(model: ChatEndpoint, path: CallPath) -> None:
    """An answer that is cut off at `max_tokens` says so."""
    message = path(model, STORY, max_tokens=3).message
    assert "length" == message.response_metadata["finish_reason"]
    assert message.usage_metadata is not None
    assert 3 == message.usage_metadata["output_tokens"]


def test_seeds(model: ChatEndpoint) -> None:
    """The same seed gives the same answer, another one another."""
    first, same, other = (model.invoke(STORY, temperature=1.5, seed=seed).text for seed in (1, 1, 2))
    assert first == same != other


@pytest.mark.parametrize("path", [*WHOLE.values(), STREAMED["stream"]], ids=[*WHOLE, "stream"])
def test_logprobs(model: ChatEndpoint, path: CallPath) -> None:
    """Each token comes with its logprob and the likeliest ones in its place, streamed or not."""
    answer = path(model, QUESTION, top_logprobs=2)
    told = answer.message.response_metadata["logprobs"]["content"]
    assert answer.text == "".join(token["token"] for token in told)
    assert all(2 == len(token["top_logprobs"]) for token in told if token["token"])
    assert all(token["logprob"] <= 0 for token in told)


def test_several_answers_to_one_prompt(model: ChatEndpoint) -> None:
    """With `n=2`, `generate` gives two answers, and `invoke` the first."""
    two = model.model_copy(update={"n": 2, "temperature": 1.5})
    ((first, second),) = two.generate([[HumanMessage(STORY)]]).generations
    assert first.text != second.text
    assert two.invoke(QUESTION).text


# --- stop ---


@each_kind
@each_path
def test_an_answer_ends_with_its_stop_text(server: Llama, make: MakeModel, kind: str, path: CallPath) -> None:
    """The stop text is in the answer though the server cuts it off; whoever names the server also has the usage."""
    model = make(server.url, server=kind)
    whole = model.invoke(COUNT).text
    message = path(model, COUNT, stop=["three"]).message
    assert whole.partition("three")[0] + "three" == message.text
    assert "stop" == message.response_metadata["finish_reason"]
    assert "three" == message.response_metadata["stop_sequence"]
    if kind == "llama.cpp":
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_tokens"] > 10
        assert 0 < message.usage_metadata["output_tokens"] < 10


@each_kind
@each_path
def test_an_answer_without_its_stop_text(server: Llama, make: MakeModel, kind: str, path: CallPath) -> None:
    """With `include_stop=False` it ends before the stop text, and its usage is known."""
    model = make(server.url, server=kind, include_stop=False)
    whole = model.invoke(COUNT).text
    message = path(model, COUNT, stop=["three"]).message
    assert whole.partition("three")[0] == message.text
    assert message.usage_metadata is not None
    assert 0 < message.usage_metadata["output_tokens"] < 10


# --- schemas ---


class Chosen(BaseModel):
    """A choice."""

    model_config = ConfigDict(extra="forbid", strict=True)

    color: Literal["red", "green"]
    size: Literal[1, 2] | None
    loud: bool


@each_path
def test_the_server_keeps_to_a_schema(model: ChatEndpoint, path: CallPath) -> None:
    """Whatever the model would say, its answer fits the schema that is sent with the request, on each path."""
    schema = {"type": "json_schema", "json_schema": {"name": "chosen", "schema": Chosen.model_json_schema()}}
    answer = path(model, "Hello!", response_format=schema, max_tokens=60, seed=1, **WILD)
    assert Chosen.model_validate_json(answer.text)
    assert "adaptations" not in answer.message.response_metadata


def test_structured_output(model: ChatEndpoint) -> None:
    """Structured output comes of the server's own grammar, and streams as it grows."""
    structured = model.with_structured_output(Chosen)
    assert isinstance(structured.invoke("Hello!", max_tokens=60, seed=1, **WILD), Chosen)
    grown = list(structured.stream("A loud red one of size 1.", max_tokens=60))
    assert isinstance(grown[-1], Chosen)


# --- what the server refuses ---


@each_path
def test_a_prompt_that_is_too_long(model: ChatEndpoint, path: CallPath) -> None:
    """A prompt beyond the context is a `ContextOverflowError`, which says how far, and is not sent again."""
    with pytest.raises(ContextOverflowError, match=r"exceeds the available context size \(512 tokens\)"):
        path(model, "hello " * 600)


def test_more_fields(model: ChatEndpoint) -> None:
    """Fields that only this server knows reach it, and what it says of wrong ones is passed on."""
    assert model.invoke(QUESTION, extra_body={"n_predict": 2, "max_tokens": None, "of_no_use": 1}).text == "The capital"
    with pytest.raises(ModelInvalidRequestError, match=r"top_k.*must be number"):
        model.invoke(QUESTION, extra_body={"top_k": "many"})


def test_images_for_a_text_model(server: Llama, make: MakeModel) -> None:
    """An image for a model that takes none is an error that says so, never left out."""
    with pytest.raises(ModelError, match="image input is not supported"):
        make(server.url, max_retries=0).invoke([HumanMessage(["What is it?", PIXEL])])


# --- what it says of itself ---


def test_the_profile(model: ChatEndpoint) -> None:
    """Asked, the server tells how much fits in its context, what it is, and that it takes text alone."""
    informed = model.with_server_profile()
    assert 512 == informed.context_window
    assert "llama.cpp" == informed.server
    assert informed.profile is not None
    assert {"max_input_tokens": 512, "image_inputs": False, "audio_inputs": False}.items() <= informed.profile.items()
    assert "Tokyo" in informed.invoke(QUESTION).text


def test_a_model_that_it_has_not(server: Llama, make: MakeModel) -> None:
    """Asked for the profile of a model that it has not, it names those that it has, by all their names."""
    with pytest.raises(ModelNotFoundError, match="Did you mean 'smollm2'") as caught:
        make(server.url, model="smollm").with_server_profile()
    assert "It has: 'smol', 'smollm2'." in str(caught.value)


def test_a_wrong_address(server: Llama, make: MakeModel) -> None:
    """At an address without an API, the error names the address; that of the chat completions themselves is taken."""
    with pytest.raises(ModelNotFoundError, match=r"base_url='http://.*/v2' the address of its API"):
        make("", base_url=f"{server.url}/v2").invoke(QUESTION)
    assert "Tokyo" in make("", base_url=f"{server.url}/v1/chat/completions/").invoke(QUESTION).text


# --- many, and none any more ---


def test_many_at_once(model: ChatEndpoint) -> None:
    """Sixteen at once, on four slots, from threads and from an event loop: each gets its own answer."""

    async def gathered() -> list[Any]:
        return list(await asyncio.gather(*(model.ainvoke(f"Say {word}!") for word in words[8:])))

    words = [f"word{number}" for number in range(16)]
    answers = [*model.batch([f"Say {word}!" for word in words[:8]]), *asyncio.run(gathered())]
    assert 16 == len([answer for answer in answers if answer.text])
    assert 16 == len({answer.id for answer in answers})


def test_again_and_again(model: ChatEndpoint) -> None:
    """One instance serves one event loop after another, also after streams that were left."""

    async def leave_and_ask() -> str:
        async for _ in model.astream(STORY):
            break
        return (await model.ainvoke(QUESTION)).text

    answers = [asyncio.run(leave_and_ask()) for _ in range(5)]
    assert "Tokyo" in answers[0]
    assert all(one == other for one, other in pairwise(answers))


async def test_one_stream_right_after_another(server: Llama, make: MakeModel) -> None:
    """The server closes its connection after a stream without a word, which costs the next request nothing."""
    model = make(server.url, max_tokens=1, max_retries=0)
    for _ in range(20):
        assert [chunk async for chunk in model.astream(QUESTION)]


async def leave_a_stream(model: ChatEndpoint, server: Llama) -> None:
    async for _ in model.astream(STORY):
        break


async def leave_a_sync_stream(model: ChatEndpoint, server: Llama) -> None:
    def leave() -> None:
        for _ in model.stream(STORY):
            break

    await asyncio.to_thread(leave)


async def cancel_a_stream(model: ChatEndpoint, server: Llama) -> None:
    await cancel(asyncio.create_task(drained(model)), server)


async def cancel_a_call(model: ChatEndpoint, server: Llama) -> None:
    await cancel(asyncio.create_task(whole(model)), server)


async def hit_a_stop(model: ChatEndpoint, server: Llama) -> None:
    await model.ainvoke(STORY, stop=["the"])


async def drained(model: ChatEndpoint) -> None:
    async for _ in model.astream(STORY):
        pass


async def whole(model: ChatEndpoint) -> None:
    await model.ainvoke(STORY)


async def cancel(task: "asyncio.Task[None]", server: Llama) -> None:
    """Once the server is at work on it."""
    assert await asyncio.to_thread(wait_until, lambda: server.busy, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture(scope="module")
def lone(weights: Path) -> Any:
    """One request at a time, which may take half a minute."""
    with llama(weights, parallel=1, context=4096) as running:
        yield running


@pytest.mark.parametrize(
    "leave",
    [leave_a_stream, leave_a_sync_stream, cancel_a_stream, cancel_a_call, hit_a_stop],
    ids=lambda it: it.__name__,
)
async def test_what_nobody_waits_for_is_not_made(lone: Llama, make: MakeModel, leave: Any) -> None:
    """An answer that is left frees its slot on the server, long before it would have ended, and the next is served."""
    model = make(lone.url, server="llama.cpp", max_tokens=None, extra_body={"ignore_eos": True})
    await leave(model, lone)
    assert await asyncio.to_thread(wait_until, lambda: not lone.busy, 8)
    assert (await model.ainvoke(QUESTION, max_tokens=2)).text


@pytest.mark.parametrize("path", [STREAMED["stream"], STREAMED["astream"]], ids=["stream", "astream"])
def test_a_server_that_dies(weights: Path, make: MakeModel, path: CallPath) -> None:
    """When the server is killed in the middle of an answer, the error holds what had come; then it is not there."""
    with llama(weights, parallel=1, context=2048) as running:
        model = make(running.url, max_tokens=None, max_retries=0, extra_body={"ignore_eos": True})
        pieces = model.stream(STORY)
        said = [next(pieces).text for _ in range(4)]
        running.process.kill()
        with pytest.raises(IncompleteAnswerError) as caught:
            said += [piece.text for piece in pieces]
        assert caught.value.partial is not None
        assert caught.value.partial.text.startswith("".join(said[:4]))
        with pytest.raises(ModelConnectionError, match="Is the server up"):
            path(model, STORY)
