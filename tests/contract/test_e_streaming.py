"""Group E of the contract: streaming."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.callbacks.manager import CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.messages.utils import message_chunk_to_message
from langchain_core.outputs import ChatGeneration, LLMResult
from tests.paths import STREAMED, Path, achunks, added_up, beta_allowed, by_invoke, by_v3, chunks
from tests.zoo import MakeModel, ZooError

from langplug import ChatModel, Part, Request, chat_model
from langplug.models import ChatScripted

PROMPT = "/think one two three"

Read = Callable[..., list[AIMessageChunk]]


@pytest.fixture(params=[chunks, achunks], ids=["stream", "astream"])
def read(request: pytest.FixtureRequest) -> Read:
    """Each way to read a stream of chunks."""
    reader: Read = request.param
    return reader


class Watcher(BaseCallbackHandler):
    """Keeps how a run went."""

    run_inline = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.partial: list[str] = []
        self.tokens: list[Any] = []

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append("start")

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append("end")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append("error")
        response = kwargs.get("response") or LLMResult(generations=[])
        for generation in (one for generations in response.generations for one in generations):
            if isinstance(generation, ChatGeneration):
                self.partial.append(generation.message.text)


# --- chunks ---


def test_e01_a_stream_has_chunks_only(make_model: MakeModel, read: Read) -> None:
    """All that is streamed is an `AIMessageChunk`; a function that yields gives more than one with text."""
    model = make_model()
    given = read(model, "one two three")
    assert {AIMessageChunk} == {type(chunk) for chunk in given}
    expected = ["one", " two", " three"] if model.__langplug_shape__.streams else ["one two three"]
    assert expected == [chunk.text for chunk in given if chunk.text]


@pytest.mark.parametrize("prompt", [PROMPT, "", "/show one", "/spell ab", "one"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_e02_exactly_the_last_chunk_is_marked(make_model: MakeModel, read: Read, prompt: str, version: Any) -> None:
    """One chunk is marked as the last, and it is the last."""
    positions = [chunk.chunk_position for chunk in read(make_model(output_version=version), prompt)]
    assert [*[None] * (len(positions) - 1), "last"] == positions


def test_e02_a_stream_that_is_cut_at_a_stop_string_is_marked(make_model: MakeModel, read: Read) -> None:
    """A stream that ends at a stop string has its last chunk marked too."""
    positions = [chunk.chunk_position for chunk in read(make_model(), "one END two", stop=["END"])]
    assert [*[None] * (len(positions) - 1), "last"] == positions


def test_e02b_the_hook_marks_its_own_last_chunk(make_model: MakeModel) -> None:
    """`_stream` marks its last chunk itself, so langchain-core need not add an empty one."""
    positions = [chunk.message.chunk_position for chunk in make_model()._stream([HumanMessage("one two")])]  # type: ignore[attr-defined]
    assert [*[None] * (len(positions) - 1), "last"] == positions


async def test_e02b_the_async_hook_marks_its_own_last_chunk(make_model: MakeModel) -> None:
    """`_astream` marks its last chunk itself."""
    stream = make_model()._astream([HumanMessage("one two")])
    positions = [chunk.message.chunk_position async for chunk in stream]  # type: ignore[attr-defined]
    assert [*[None] * (len(positions) - 1), "last"] == positions


@pytest.mark.parametrize("prompt", [PROMPT, "", "/show one"])
def test_e03_all_chunks_have_one_id(make_model: MakeModel, read: Read, prompt: str) -> None:
    """The chunks of an answer have one id, which their sum keeps and no other answer has."""
    model = make_model()
    given, other = read(model, prompt), read(model, prompt)
    assert 1 == len({chunk.id for chunk in given})
    assert given[0].id == reduce(add, given).id
    assert given[0].id
    assert given[0].id != other[0].id


@pytest.mark.parametrize("path", STREAMED.values(), ids=STREAMED)
def test_e04_the_text_is_that_of_invoke(make_model: MakeModel, path: Path) -> None:
    """What is streamed is what `invoke` gives, every blank included."""
    model = make_model()
    for prompt in ("  one\n\n two\t", "one", " ", "\n", "a  b "):
        assert prompt == model.invoke(prompt).text == path(model, prompt).text


def test_e05_usage_is_said_once(make_model: MakeModel, read: Read) -> None:
    """One chunk has the usage, and it is `invoke`'s, details included."""
    model = make_model()
    reports = [chunk.usage_metadata for chunk in read(model, PROMPT) if chunk.usage_metadata is not None]
    assert [model.invoke(PROMPT).usage_metadata] == reports


def test_e06_metadata_are_not_doubled(make_model: MakeModel, read: Read) -> None:
    """The metadata of all chunks together are `invoke`'s."""
    model = make_model(max_tokens=3)
    expected = by_invoke(model, "one END", stop=["END"]).message.response_metadata
    assert expected == reduce(add, read(model, "one END", stop=["END"])).response_metadata


def test_e07_metadata_are_on_the_last_chunk_alone(make_model: MakeModel, read: Read) -> None:
    """No chunk but the last has metadata, and it has all of `invoke`'s."""
    model = make_model()
    *before, last = read(model, PROMPT)
    assert [{}] * len(before) == [chunk.response_metadata for chunk in before]
    assert by_invoke(model, PROMPT).message.response_metadata == last.response_metadata


# --- leaving early ---


CLOSED = threading.Event()


@chat_model
def counting(request: Request) -> Iterator[str]:
    """Counts until it is closed."""
    try:
        for number in range(1_000_000):
            yield f"{number} "
    finally:
        CLOSED.set()


@chat_model
async def acounting(request: Request) -> AsyncIterator[str]:
    """Counts until it is closed, asynchronously."""
    try:
        for number in range(1_000_000):
            yield f"{number} "
            await asyncio.sleep(0)
    finally:
        CLOSED.set()


@pytest.fixture(params=[counting, acounting], ids=["generator", "async generator"])
def counter(request: pytest.FixtureRequest) -> ChatModel:
    """A model that says more than anyone reads."""
    CLOSED.clear()
    model: ChatModel = request.param()
    return model


def test_e08_closing_a_stream_ends_its_run_and_its_source(counter: ChatModel) -> None:
    """A stream that is closed early stops the author's function and ends the run, promptly."""
    watcher = Watcher()
    stream = counter.stream("go", config={"callbacks": [watcher]})
    assert "0 " == next(stream).text
    started = time.monotonic()
    stream.close()  # type: ignore[attr-defined]
    assert CLOSED.wait(1)
    assert time.monotonic() - started < 1
    assert ["start", "error"] == watcher.seen


async def test_e09_closing_an_async_stream_ends_its_run_and_its_source(counter: ChatModel) -> None:
    """An async stream that is closed early stops the author's function and ends the run, promptly."""
    watcher = Watcher()
    stream = counter.astream("go", config={"callbacks": [watcher]})
    assert "0 " == (await anext(stream)).text
    started = time.monotonic()
    await stream.aclose()  # type: ignore[attr-defined]
    assert await asyncio.to_thread(CLOSED.wait, 1)
    assert time.monotonic() - started < 1
    assert ["start", "error"] == watcher.seen


def test_e10_an_error_in_mid_answer_is_raised(make_model: MakeModel, call: Path) -> None:
    """An error after some text is raised as it is, on each path, and callbacks hear of it once."""
    watcher = Watcher()
    with pytest.raises(ZooError, match=r"The animal failed\."):
        call(make_model(mode="fail"), "one two", config={"callbacks": [watcher]})
    assert ["start", "error"] == watcher.seen


def test_e10_an_error_has_what_was_said_before_it(make_model: MakeModel, call: Path) -> None:
    """Where the author had yielded text until an error, the error has it as `partial`, on each path."""
    model = make_model(mode="fail")
    with pytest.raises(ZooError) as caught:
        call(model, "one two")
    partial: AIMessage | None = caught.value.partial  # type: ignore[attr-defined]
    assert ("one two" if model.__langplug_shape__.streams else None) == (partial and partial.text)


def test_e10_callbacks_get_what_was_said_before_an_error(make_model: MakeModel, read: Read) -> None:
    """`on_llm_error` has the generation that was streamed until an error."""
    model, watcher = make_model(mode="fail"), Watcher()
    with pytest.raises(ZooError):
        read(model, "one two", config={"callbacks": [watcher]})
    assert (["one two"] if model.__langplug_shape__.streams else []) == watcher.partial


# --- switches ---


@pytest.mark.parametrize("off", [{"disable_streaming": True}, {"streaming": False}])
def test_e11_streaming_can_be_switched_off(make_model: MakeModel, read: Read, off: dict[str, Any]) -> None:
    """With streaming off the author is not asked to stream, and the one chunk has the whole answer."""
    model = make_model(**off)
    (only,) = read(model, "/settings")
    assert "zoo-1 0.5  False" == only.text
    assert "last" == only.chunk_position
    assert by_invoke(model, PROMPT).message.usage_metadata == read(model, PROMPT)[0].usage_metadata


def test_e11b_what_is_not_streamed_is_a_chunk_all_the_same(make_model: MakeModel, read: Read) -> None:
    """With streaming disabled the one chunk is an `AIMessageChunk`, and adds up like any other."""
    (only,) = read(make_model(disable_streaming=True), PROMPT)
    assert AIMessageChunk is type(only)
    assert "one two threemore" == (only + AIMessageChunk("more")).text


@pytest.mark.parametrize("prompt", [PROMPT, "", "/show one", "/spell ab"])
def test_e12_streaming_switched_on_changes_nothing_about_invoke(make_model: MakeModel, prompt: str) -> None:
    """With `streaming=True`, `invoke` gives the same message, and callbacks see its tokens."""
    watcher = Watcher()
    plain = make_model().invoke(prompt)
    streamed = make_model(streaming=True).invoke(prompt, config={"callbacks": [watcher]})
    assert plain.model_dump(exclude={"id"}) == streamed.model_dump(exclude={"id"})
    assert plain.text == "".join(token for token in watcher.tokens if isinstance(token, str))
    assert len(watcher.tokens) > 0


async def test_e12_streaming_switched_on_changes_nothing_about_ainvoke(make_model: MakeModel) -> None:
    """With `streaming=True`, `ainvoke` gives the same message, and callbacks see its tokens."""
    watcher = Watcher()
    plain = await make_model().ainvoke(PROMPT)
    streamed = await make_model(streaming=True).ainvoke(PROMPT, config={"callbacks": [watcher]})
    assert plain.model_dump(exclude={"id"}) == streamed.model_dump(exclude={"id"})
    assert plain.text == "".join(watcher.tokens)


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


def test_e13_a_chunk_is_handed_over_at_once(waiter: ChatModel) -> None:
    """The first chunk of a stream arrives while the author's function has not gone on."""
    stream = waiter.stream("go")
    assert "one" == next(stream).text
    GATE.set()
    assert " two" == "".join(chunk.text for chunk in stream)


async def test_e13_a_chunk_is_handed_over_at_once_asynchronously(waiter: ChatModel) -> None:
    """The first chunk of an async stream arrives while the author's function has not gone on."""
    stream = waiter.astream("go")
    assert "one" == (await anext(stream)).text
    GATE.set()
    assert " two" == "".join([chunk.text async for chunk in stream])


def test_e13_version_3_hands_over_at_once(waiter: ChatModel) -> None:
    """So does version 3 of the events."""
    with beta_allowed():
        words = iter(waiter.stream_events("go", version="v3").text)
    assert "one" == next(words)
    GATE.set()
    assert " two" == "".join(words)


# --- adding up ---


@pytest.mark.parametrize("prompt", [PROMPT, "", "/spell ab"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_e14_chunks_have_one_kind_of_content(make_model: MakeModel, read: Read, prompt: str, version: Any) -> None:
    """Content is text in all chunks or a list in all, and the sum can be made a message."""
    given = read(make_model(output_version=version), prompt)
    assert {list if version else str} == {type(chunk.content) for chunk in given}
    assert AIMessage is type(message_chunk_to_message(reduce(add, given)))


@pytest.mark.parametrize("prompt", [PROMPT, "/show one two", "", "/spell ab"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_e15_chunks_add_up_in_any_grouping(make_model: MakeModel, read: Read, prompt: str, version: Any) -> None:
    """Adding chunk by chunk or all at once gives the same, and so does the text of adding the rest first."""
    first, *rest = read(make_model(output_version=version), prompt)
    one_by_one = reduce(add, rest, first)
    assert one_by_one == first + rest
    if rest:
        assert one_by_one.text == (first + reduce(add, rest)).text


@pytest.mark.parametrize("given", [False, True], ids=["without", "with"])
def test_e75_the_hooks_need_no_run_manager(make_model: MakeModel, given: bool) -> None:
    """`_stream` and `_generate` work with and without a run manager, and send no tokens themselves."""
    watcher = Watcher()
    manager = CallbackManagerForLLMRun.get_noop_manager()
    manager.handlers = [watcher]
    run_manager = {"run_manager": manager} if given else {}
    stream = make_model()._stream([HumanMessage("one two")], **run_manager)
    assert "one two" == "".join(chunk.text for chunk in stream)
    assert "one two" == make_model()._generate([HumanMessage("one two")], **run_manager).generations[0].text
    assert [] == watcher.tokens


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
