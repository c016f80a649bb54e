"""Group F of the contract: callbacks, events, errors."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
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
from langchain_core.messages import AIMessage
from tests.bridge.endless_models import SHAPES
from tests.echo_models import MakeModel
from tests.paths import PATHS, Path
from tests.recording import RecordingHandler

from langplug import ChatModel, Finish, IncompleteAnswerError, Part, Reasoning, Request, Usage
from langplug.models import ChatScripted

PROMPT = "/think one two three"
TEXT = "one two three"


# --- errors ---


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
    seen = RecordingHandler()
    with pytest.raises(OwnBaseException):
        PATHS[path](make(error=OwnBaseException("out")), "x", config={"callbacks": [seen]})
    assert ["start", "OwnBaseException"] == seen.seen


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
    seen = RecordingHandler()
    with pytest.raises(ValueError, match="broke"):
        list(make(error=ValueError("broke")).stream("x", {"callbacks": [seen]}))
    assert seen.streamed is not None
    assert "so far, <|en" == "".join(one[0].text for one in seen.streamed.generations if one)


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


# --- runs that are left ---


@pytest.mark.parametrize("turns", [3, 10, 30])
@pytest.mark.parametrize("shape", SHAPES)
async def test_m06b_a_cancelled_ainvoke_ends_its_run(shape: str, turns: int) -> None:
    """A cancelled `ainvoke` ends its run, with exactly one error."""
    seen = RecordingHandler()
    task = asyncio.ensure_future(SHAPES[shape]().ainvoke("x", {"callbacks": [seen]}))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["start", "CancelledError"] == seen.seen


@pytest.mark.parametrize("shape", SHAPES)
async def test_slow_handlers_hear_of_a_cancellation(shape: str) -> None:
    """Handlers that await something are told to the end, though the task is being cancelled."""
    heard = asyncio.Event()

    class Slow(AsyncCallbackHandler):
        async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
            await asyncio.sleep(0.01)
            heard.set()

    model = SHAPES[shape]()
    task = asyncio.ensure_future(model.ainvoke("x", {"callbacks": [Slow()]}))
    while not model.record.began:  # noqa: ASYNC110 - a thread may begin it
        await asyncio.sleep(0.001)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await asyncio.wait_for(heard.wait(), 20)


# --- what the answer says of itself ---


def test_usage_and_reason_are_told_once(call: Path) -> None:
    """However often a source reports them, usage and finish reason arrive once."""
    replies = [
        ["a", Usage(input_tokens=1), Usage(input_tokens=1, output_tokens=1), "b", Finish(), Finish(reason="stop")]
    ]
    message = call(ChatScripted(replies=replies), "x").message
    assert {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2} == message.usage_metadata
    assert "stop" == message.response_metadata["finish_reason"]
