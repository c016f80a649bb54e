"""Group F of the contract: callbacks, events, errors."""

import asyncio
import contextvars
import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, get_usage_metadata_callback
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream
from tests.contract.conftest import SECRET
from tests.paths import PATHS, STREAMED, Path, beta_allowed, by_invoke
from tests.zoo import MakeModel, ZooError

from langplug import ChatModel, Finish, IncompleteAnswerError, Part, Reasoning, Request, Usage
from langplug.models import ChatScripted

PROMPT = "/think one two three"
TEXT = "one two three"


class Recorder(BaseCallbackHandler):
    """Keeps all that a run says."""

    run_inline = True

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.tokens: list[str] = []
        self.chunks: list[Any] = []
        self.starts: list[dict[str, Any]] = []
        self.ends: list[LLMResult] = []
        self.errors: list[BaseException] = []
        self.responses: list[LLMResult] = []

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **kwargs: Any) -> None:
        self.seen.append("start")
        self.starts.append({"serialized": serialized, "messages": messages, **kwargs})

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.tokens.append(token)
        self.chunks.append(chunk)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.seen.append("end")
        self.ends.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.seen.append("error")
        self.errors.append(error)
        self.responses.append(kwargs.get("response") or LLMResult(generations=[]))

    @property
    def config(self) -> RunnableConfig:
        return {"callbacks": [self]}

    @property
    def final(self) -> AIMessage:
        generation = self.ends[-1].generations[0][0]
        assert isinstance(generation, ChatGeneration)
        assert isinstance(generation.message, AIMessage)
        return generation.message


# --- starts, ends and tokens ---


def test_f01_a_run_starts_and_ends_once(make_model: MakeModel, call: Path) -> None:
    """On every path a run has exactly one start and one end, and the end carries the whole message."""
    seen = Recorder()
    answered = call(make_model(), PROMPT, config=seen.config)
    assert ["start", "end"] == seen.seen
    assert TEXT == answered.text == seen.final.text
    assert answered.message.usage_metadata == seen.final.usage_metadata


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_f02_each_chunk_is_one_token_event(make_model: MakeModel, path: str) -> None:
    """While streaming, each yielded chunk is told once, with the chunk itself; the tokens join to the text."""
    seen, yielded = Recorder(), list[AIMessageChunk]()
    model = make_model()
    if path == "stream":
        yielded = list(model.stream(PROMPT, seen.config))
    else:

        async def read() -> list[AIMessageChunk]:
            return [chunk async for chunk in model.astream(PROMPT, seen.config)]

        yielded = asyncio.run(read())
    assert yielded == [told.message for told in seen.chunks]
    assert TEXT == "".join(seen.tokens)


@pytest.mark.parametrize("path", ["v3", "av3"])
@pytest.mark.parametrize("prompt", [PROMPT, "", "one"])
def test_f03_events_carry_no_token_twice(make_model: MakeModel, path: str, prompt: str) -> None:
    """In version 3 the model adds no tokens of its own: the deltas join to the text, also for an empty prompt."""
    seen = Recorder()
    answered = PATHS[path](make_model(), prompt, config=seen.config)
    assert by_invoke(make_model(), prompt).text == answered.text == answered.message.text
    assert "".join(seen.tokens) in ("", answered.text)


# --- errors ---


def test_f04_an_error_is_the_same_on_every_path(make_model: MakeModel, call: Path) -> None:
    """An author's error keeps its type and reaches `on_llm_error` once, with no end."""
    seen = Recorder()
    with pytest.raises(ZooError, match="The animal failed") as caught:
        call(make_model(), "/fail one two", config=seen.config)
    assert ["start", "error"] == seen.seen
    assert type(caught.value) is type(seen.errors[0])


class ChatFailing(ChatModel):
    """Says a little and then raises what it is told to."""

    error: Any

    def respond(self, request: Request, /) -> Iterator[Part]:
        yield Reasoning("hm")
        yield "so far, <|en"
        raise self.error


class ChatFailingAsync(ChatModel):
    """The same, asynchronously."""

    error: Any

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        yield Reasoning("hm")
        yield "so far, <|en"
        raise self.error


class OwnBaseException(BaseException):
    """One that is no `Exception`."""


FAILING = pytest.mark.parametrize("make", [ChatFailing, ChatFailingAsync], ids=["sync", "async"])


@FAILING
@pytest.mark.parametrize(
    "error",
    [
        ValueError("v"),
        ModelRateLimitError("r"),
        ModelAuthenticationError("a"),
        ModelAPIError("p"),
        ModelConnectionError("c"),
        ModelTimeoutError("t"),
        ContextOverflowError("o"),
        TimeoutError("own"),
        KeyError("k"),
        RuntimeError("generator raised StopIteration"),
        ExceptionGroup("group", [ValueError("inner")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_f04_any_error_keeps_its_type_and_identity(make: MakeModel, call: Path, error: Exception) -> None:
    """Whatever an author raises, in sync or async code, the caller gets that very object."""
    with pytest.raises(type(error)) as caught:
        call(make(error=error), "x")
    assert caught.value is error


@FAILING
@pytest.mark.parametrize("path", ["invoke", "stream", "astream"])
def test_f04_not_even_a_base_exception_is_lost(make: MakeModel, path: str) -> None:
    """What is no `Exception` gets through, and the run ends with it."""
    seen = Recorder()
    with pytest.raises(OwnBaseException):
        PATHS[path](make(error=OwnBaseException("out")), "x", config=seen.config)
    assert ["start", "error"] == seen.seen


@FAILING
def test_e10_an_error_holds_what_was_said(make: MakeModel, call: Path) -> None:
    """An error in the middle has all that was said as `partial`, with what was held back for a stop string."""
    with pytest.raises(ValueError, match="broke") as caught:
        call(make(error=ValueError("broke")), "x", stop=["<|end|>"])
    partial = getattr(caught.value, "partial", None)
    assert isinstance(partial, AIMessage)
    assert "so far, <|en" == partial.text
    assert "hm" == partial.additional_kwargs["reasoning_content"]


@FAILING
def test_e10_callbacks_get_what_was_streamed(make: MakeModel) -> None:
    """`on_llm_error` of a stream carries what had been yielded."""
    seen = Recorder()
    with pytest.raises(ValueError, match="broke"):
        list(make(error=ValueError("broke")).stream("x", seen.config))
    assert "so far, <|en" == "".join(one[0].text for one in seen.responses[0].generations if one)


def test_e10_before_the_first_word_there_is_no_partial(call: Path) -> None:
    """An error before anything was said has None as `partial`."""
    with pytest.raises(ValueError, match="at once") as caught:
        call(ChatScripted(replies=[ValueError("at once")]), "x")
    assert caught.value.partial is None  # type: ignore[attr-defined]


def test_e10_an_error_that_is_raised_again_forgets_the_last_answer(call: Path) -> None:
    """One exception object raised in two answers holds what was said in the second."""
    error = ValueError("again")
    model = ChatScripted(replies=[["one", error], ["two", error]])
    for said in ("one", "two"):
        with pytest.raises(ValueError, match="again") as caught:
            call(model, "x")
        assert said == caught.value.partial.text  # type: ignore[attr-defined]


def test_e10_an_answer_cut_off_is_an_error(call: Path) -> None:
    """A source that ends without its end raises `IncompleteAnswerError` on every path, never a short answer."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "half an ans"}}]}
    with pytest.raises(IncompleteAnswerError) as caught:
        call(ChatScripted(replies=[[chunk]]), "x")
    assert caught.value.partial is not None
    assert "half an ans" == caught.value.partial.text


@pytest.mark.parametrize(
    ("error", "expected", "retryable"),
    [
        ({"code": 401, "message": "no key"}, ModelAuthenticationError, False),
        ({"code": 429, "message": "slow down"}, ModelRateLimitError, True),
        ({"code": 500, "message": "oops"}, ModelAPIError, True),
        ({"code": 503, "message": "overloaded"}, ModelAPIError, True),
        ({"code": 400, "message": "bad"}, ModelInvalidRequestError, False),
        ({"code": 400, "message": "maximum context length is 8"}, ContextOverflowError, False),
        ({"code": "context_length_exceeded", "message": "long"}, ContextOverflowError, False),
    ],
)
def test_f05_f06_wire_errors_are_typed(error: dict[str, Any], expected: type[ModelError], retryable: bool) -> None:
    """An OpenAI-shaped error raises the error of its status or words, with the right `is_retryable`, on every path."""
    for path in PATHS.values():
        with pytest.raises(expected, match=error["message"]) as caught:
            path(ChatScripted(replies=[{"error": error}]), "x")
        assert retryable is caught.value.is_retryable


# --- what a run is told of ---


def test_f08_the_start_can_be_traced(make_model: MakeModel, call: Path) -> None:
    """The start's parameters are JSON, say which model it is and where it stops, and hold no secret."""
    seen = Recorder()
    call(make_model(temperature=0.25), "x", config=seen.config, stop=["END"])
    (start,) = seen.starts
    params = start["invocation_params"]
    shown = json.dumps({"params": params, "serialized": start["serialized"], "options": start["options"]})
    assert ["END"] == params["stop"]
    assert params["_type"] == make_model()._llm_type
    assert 0.25 == params["temperature"]
    assert start["serialized"]["id"]
    assert SECRET not in shown
    assert "langplug_" not in shown


def test_f09_the_callers_labels_reach_the_run(make_model: MakeModel, call: Path) -> None:
    """Tags, metadata, name and id of a run are those of the caller, and the metadata says which model it is."""
    seen, run_id = Recorder(), uuid.uuid4()
    config: RunnableConfig = {
        **seen.config,
        "tags": ["a tag"],
        "metadata": {"user": 7},
        "run_name": "a name",
        "run_id": run_id,
    }
    call(make_model(model="zoo-9"), "x", config=config)
    (start,) = seen.starts
    assert (["a tag"], "a name", run_id) == (start["tags"], start["name"], start["run_id"])
    assert (7, "zoo-9") == (start["metadata"]["user"], start["metadata"]["ls_model_name"])


def test_f10_usage_adds_up_to_the_same_on_every_path(make_model: MakeModel) -> None:
    """LangChain's usage callback sees the same totals, whichever way the model was called."""
    totals: dict[str, Any] = {}
    for name, path in PATHS.items():
        with get_usage_metadata_callback() as counted:
            path(make_model(), PROMPT)
            path(make_model(), "hello")
        totals[name] = counted.usage_metadata
    assert {
        "zoo-1": {
            "input_tokens": 5,
            "output_tokens": 6,
            "total_tokens": 11,
            "input_token_details": {"cache_read": 2},
            "output_token_details": {"reasoning": 2},
        }
    } == totals["invoke"]
    assert [totals["invoke"]] * len(PATHS) == list(totals.values())


# --- events ---


async def events_of(runnable: Any, version: str, config: RunnableConfig | None = None) -> list[Any]:
    return [event async for event in runnable.astream_events(PROMPT, config, version=version)]


@pytest.mark.filterwarnings("ignore:.*version='v1' is deprecated")
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_f11_f13_events_tell_the_run(make_model: MakeModel, version: str) -> None:
    """Events of versions 1 and 2: a start, the stream, an end, of one run; the chunks join to the end's output."""
    events = await events_of(make_model(), version)
    kinds = [event["event"] for event in events]
    assert ["on_chat_model_start", "on_chat_model_end"] == [kinds[0], kinds[-1]]
    assert {"on_chat_model_stream"} == set(kinds[1:-1])
    assert len(kinds) >= 4
    assert 1 == len({event["run_id"] for event in events})
    streamed = "".join(event["data"]["chunk"].text for event in events[1:-1])
    output = events[-1]["data"]["output"]
    assert TEXT == streamed == output.text


@pytest.mark.parametrize("method", ["ainvoke", "invoke"])
async def test_f12_events_stream_inside_a_chain(make_model: MakeModel, method: str) -> None:
    """A model that is only invoked inside a chain streams into the chain's events, once, and its usage is kept."""
    model = make_model()

    async def node(given: str, config: RunnableConfig) -> AIMessage:
        if method == "ainvoke":
            return await model.ainvoke(given, config)
        return await asyncio.to_thread(model.invoke, given, config)

    events = await events_of(RunnableLambda(node), "v2")
    streamed = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    (ended,) = [event["data"]["output"] for event in events if event["event"] == "on_chat_model_end"]
    assert TEXT == "".join(chunk.text for chunk in streamed) == ended.text
    assert by_invoke(model, PROMPT).message.usage_metadata == ended.usage_metadata


@pytest.mark.filterwarnings("ignore:.*astream_log.*")
async def test_f13_the_log_ends_with_the_answer(make_model: MakeModel) -> None:
    """`astream_log` builds up to a final output with the whole text."""
    log = None
    async for patch in make_model().astream_log(PROMPT):
        log = patch if log is None else log + patch
    assert log is not None
    assert TEXT == log.state["final_output"].text  # type: ignore[attr-defined]


def test_f14_events_of_version_3_are_valid(make_model: MakeModel) -> None:
    """Version 3: a valid lifecycle, one text block in several deltas, and invoke's text, usage, model and reason."""
    with beta_allowed():
        events = list(make_model().stream_events(PROMPT, version="v3"))
    assert_valid_event_stream(events)
    blocks: list[Any] = [event for event in events if event["event"] == "content-block-finish"]
    assert ["reasoning", "text"] == [event["content"]["type"] for event in blocks]
    assert TEXT == blocks[-1]["content"]["text"]


def test_f14_version_3_agrees_with_invoke(make_model: MakeModel) -> None:
    """Version 3's message has invoke's text, usage, model and reason, sync and async."""
    expected = by_invoke(make_model(), PROMPT).message
    for path in ("v3", "av3"):
        message = STREAMED[path](make_model(), PROMPT).message
        assert expected.text == message.text
        assert expected.usage_metadata == message.usage_metadata
        for name in ("model_name", "finish_reason"):
            assert expected.response_metadata[name] == message.response_metadata[name]


async def test_f15_closing_version_3_ends_the_run(make_model: MakeModel) -> None:
    """`aclose` of an async version 3 stream ends its run, with one error."""
    seen = Recorder()
    with beta_allowed():
        stream = await make_model().astream_events("/slow one two three", seen.config, version="v3")
        async with stream:
            await asyncio.sleep(0.01)
    assert ["start", "error"] == seen.seen


# --- runs that are left ---


@pytest.mark.parametrize("turns", [3, 10, 30])
async def test_m06b_a_cancelled_ainvoke_ends_its_run(make_model: MakeModel, turns: int) -> None:
    """A cancelled `ainvoke` ends its run, with exactly one error."""
    seen = Recorder()
    task = asyncio.ensure_future(make_model().ainvoke("/slow one two three", seen.config))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["start", "error"] == seen.seen
    assert asyncio.CancelledError is type(seen.errors[0])


async def test_e09_a_stream_that_is_left_ends_its_run(make_model: MakeModel) -> None:
    """`aclose` in mid-stream ends the run with one error, which carries what was streamed."""
    seen = Recorder()
    async with aclosing(make_model().astream(PROMPT, seen.config)) as stream:
        await anext(stream)
    assert ["start", "error"] == seen.seen


def test_e08_a_sync_stream_that_is_left_ends_its_run(make_model: MakeModel) -> None:
    """`close` in mid-stream ends the run with one error."""
    seen = Recorder()
    for _ in make_model().stream(PROMPT, seen.config):
        break
    assert ["start", "error"] == seen.seen


async def test_slow_handlers_hear_of_a_cancellation(make_model: MakeModel) -> None:
    """Handlers that await something are told to the end, though the task is being cancelled."""
    heard: list[str] = []

    class Slow(AsyncCallbackHandler):
        async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
            await asyncio.sleep(0.01)
            heard.append("error")

    task = asyncio.ensure_future(make_model().ainvoke("/slow one two three", {"callbacks": [Slow()]}))
    await asyncio.sleep(0.01)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.05)
    assert ["error"] == heard


# --- contexts ---

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def test_f16_handlers_see_the_callers_context(make_model: MakeModel, call: Path) -> None:
    """Context variables of the caller are seen by handlers on every path."""
    seen: list[str] = []

    class Asker(BaseCallbackHandler):
        run_inline = True

        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(WHO.get())

    token = WHO.set("Ann")
    try:
        call(make_model(), "x", config={"callbacks": [Asker()]})
    finally:
        WHO.reset(token)
    assert ["Ann"] == seen


class ChatDelegating(ChatModel):
    """Asks another model."""

    inner: ChatModel

    def respond(self, request: Request, /) -> str:
        return self.inner.invoke(request.text).text


class ChatDelegatingAsync(ChatModel):
    """Asks another model, asynchronously."""

    inner: ChatModel

    async def respond(self, request: Request, /) -> str:
        return (await self.inner.ainvoke(request.text)).text


@pytest.mark.parametrize("make", [ChatDelegating, ChatDelegatingAsync])
async def test_f16_runs_inside_a_chain_are_its_children(make: Callable[..., ChatModel]) -> None:
    """A model called inside a chain is its child, whichever way the chain was called, across threads and loops."""
    model = make(inner=ChatScripted(replies=["hello"], when_exhausted="repeat"))
    chain = RunnableLambda(lambda given: given) | model
    for config in (Recorder(), Recorder()):
        answer = await chain.ainvoke("x", config.config) if config.seen else chain.invoke("x", config.config)
        assert "hello" == answer.text
        assert config.starts[0]["parent_run_id"] is not None


# --- what the answer says of itself ---


def test_usage_and_reason_are_told_once(call: Path) -> None:
    """However often a source reports them, usage and finish reason arrive once."""
    replies = [
        ["a", Usage(input_tokens=1), Usage(input_tokens=1, output_tokens=1), "b", Finish(), Finish(reason="stop")]
    ]
    message = call(ChatScripted(replies=replies), "x").message
    assert {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2} == message.usage_metadata
    assert "stop" == message.response_metadata["finish_reason"]
