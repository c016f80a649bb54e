"""Group K of the contract: what LangChain builds out of models."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableLambda, RunnableParallel
from pydantic import PrivateAttr
from tests.paths import Path, by_ainvoke, by_astream, by_invoke, by_stream
from tests.zoo import MakeModel, ZooError

from langplug import ChatModel, IncompleteAnswerError, Request
from langplug.models import ChatScripted

RUNNABLE_PATHS: dict[str, Path] = {
    "invoke": by_invoke,
    "ainvoke": by_ainvoke,
    "stream": by_stream,
    "astream": by_astream,
}


@pytest.fixture(params=list(RUNNABLE_PATHS))
def path(request: pytest.FixtureRequest) -> Path:
    """The paths that every Runnable has."""
    return RUNNABLE_PATHS[request.param]


# --- configuration ---


def test_k01_configurable_fields_take_effect(make_model: MakeModel, path: Path) -> None:
    """A field made configurable is set by the config of a call, for that call alone."""
    model = make_model(mode="settings").configurable_fields(
        suffix=ConfigurableField(id="suffix"), temperature=ConfigurableField(id="warmth")
    )
    configured = path(model, "x", config={"configurable": {"suffix": "!", "warmth": 0.75}}).text
    assert "zoo-1 0.75 !" == " ".join(configured.split()[:3])
    assert "zoo-1 0.5" == " ".join(path(model, "x").text.split()[:2])


def test_k01_a_misspelt_field_is_an_error(make_model: MakeModel) -> None:
    """A field that there is not cannot be made configurable."""
    with pytest.raises(ValueError, match="sufix"):
        make_model().configurable_fields(sufix=ConfigurableField(id="suffix"))


def test_k02_alternatives(make_model: MakeModel, path: Path) -> None:
    """Another model can be chosen by config."""
    model = make_model().configurable_alternatives(
        ConfigurableField(id="model"), default_key="zoo", other=ChatScripted(replies=["other"], when_exhausted="repeat")
    )
    assert "hello" == path(model, "hello").text
    assert "other" == path(model, "hello", config={"configurable": {"model": "other"}}).text


def test_k02_fallbacks_help(make_model: MakeModel, path: Path) -> None:
    """If a model fails, its fallback answers; where it does not, it does."""
    help_ = ChatScripted(replies=["helped"], when_exhausted="repeat")
    failing = ChatScripted(replies=[ZooError("down")], when_exhausted="repeat")
    assert "helped" == path(failing.with_fallbacks([help_]), "x").text
    assert "hello" == path(make_model().with_fallbacks([help_]), "hello").text


def test_k02_fallbacks_can_be_chosen_by_error(path: Path) -> None:
    """Only the errors that are named make a fallback answer."""
    broken = ChatScripted(replies=[IncompleteAnswerError("cut"), ValueError("bad"), ValueError("bad")])
    model = broken.with_fallbacks(
        [ChatScripted(replies=["helped"], when_exhausted="repeat")], exceptions_to_handle=(IncompleteAnswerError,)
    )
    assert "helped" == path(model, "x").text
    with pytest.raises(ValueError, match="bad"):
        path(model, "x")


@pytest.mark.parametrize("path", [by_invoke, by_ainvoke])
def test_k02_a_retry_asks_again(path: Path) -> None:
    """`with_retry` asks again after the errors that it is for, each time from the start."""
    model = ChatScripted(replies=[["half", IncompleteAnswerError("cut")], "whole"])
    retrying = model.with_retry(retry_if_exception_type=(IncompleteAnswerError,), wait_exponential_jitter=False)
    assert "whole" == path(retrying, "x").text
    assert 2 == len(model.requests)


@pytest.mark.parametrize("path", [by_invoke, by_ainvoke])
def test_k02_a_retry_leaves_other_errors_alone(path: Path) -> None:
    """Other errors are raised at once."""
    model = ChatScripted(replies=[ValueError("bad"), "whole"])
    with pytest.raises(ValueError, match="bad"):
        path(model.with_retry(retry_if_exception_type=(IncompleteAnswerError,)), "x")
    assert 1 == len(model.requests)


def test_k02_a_bound_model_keeps_its_parameters(make_model: MakeModel, path: Path) -> None:
    """`bind` gives parameters to each call; the model itself stays as it was."""
    model = make_model()
    bound = model.bind(suffix=" END more", stop=["END"])
    assert "hello END" == path(bound, "hello").text
    assert "hello" == path(model, "hello").text


def test_k02_listeners_and_config(make_model: MakeModel, path: Path) -> None:
    """`with_config` and `with_listeners` work on a model."""
    ended: list[Any] = []
    model = make_model().with_config(tags=["t"]).with_listeners(on_end=ended.append)
    assert "hello" == path(model, "hello").text
    assert 1 == len(ended)


# --- chains ---


def chain_of(model: ChatModel) -> Any:
    return ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{text}")]) | model | StrOutputParser()


def test_k02_a_chain_streams(make_model: MakeModel) -> None:
    """prompt | model | parser streams piece by piece, and adds up to what `invoke` gives."""
    chain = chain_of(make_model(mode="spell"))
    pieces = list(chain.stream({"text": "hello"}))
    assert "hello" == "".join(pieces) == chain.invoke({"text": "hello"})
    if "unction" not in repr(make_model) and "oroutine" not in repr(make_model):
        assert len(pieces) > 3


async def test_k02_a_chain_streams_asynchronously(make_model: MakeModel) -> None:
    """The same with `astream` and `ainvoke`."""
    chain = chain_of(make_model(mode="spell"))
    pieces = [piece async for piece in chain.astream({"text": "hello"})]
    assert "hello" == "".join(pieces) == await chain.ainvoke({"text": "hello"})


class ChatStepwise(ChatModel):
    """Says its second word only when the first has been read."""

    _read: threading.Event = PrivateAttr(default_factory=threading.Event)

    @property
    def read(self) -> threading.Event:
        return self._read

    def respond(self, request: Request, /) -> Iterator[str]:
        yield "one "
        if request.streaming:
            self.read.wait(20)
        yield "two"


class ChatStepwiseAsync(ChatStepwise):
    """The same, asynchronously."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:  # type: ignore[override]
        yield "one "
        for _ in range(2000):
            if self.read.is_set() or not request.streaming:
                break
            await asyncio.sleep(0.01)
        yield "two"


async def test_k02_a_chain_holds_no_piece_back() -> None:
    """A piece is out of an async chain before the next is made, whatever the model's shape."""
    for model in (ChatStepwise(), ChatStepwiseAsync()):
        started = time.monotonic()
        async for piece in chain_of(model).astream({"text": "x"}):
            if piece == "one ":
                model.read.set()
        assert time.monotonic() - started < 10


def test_k02_a_chain_holds_no_piece_back_synchronously() -> None:
    """A sync caller of an async model has each piece before the next is made."""
    model = ChatStepwiseAsync()
    started = time.monotonic()
    for piece in chain_of(model).stream({"text": "x"}):
        if piece == "one ":
            model.read.set()
    assert time.monotonic() - started < 10


def test_k02_models_side_by_side(make_model: MakeModel, path: Path) -> None:
    """Models in parallel each get the input."""
    both = RunnableParallel(first=make_model(), second=make_model(suffix="!"))

    def merge(got: dict[str, AIMessage]) -> AIMessageChunk:
        return AIMessageChunk(f"{got['first'].text} {got['second'].text}")

    merged: Any = both | RunnableLambda(merge)
    assert "hello hello!" == path(merged, "hello").text


# --- batches ---

TEXTS = [f"text {number}" for number in range(12)]


def test_k03_a_batch_keeps_its_order(make_model: MakeModel) -> None:
    """`batch` and `abatch` answer in the order of the inputs, with and without a limit."""
    model = make_model()
    for config in (None, {"max_concurrency": 3}):
        assert TEXTS == [answer.text for answer in model.batch(TEXTS, config)]  # type: ignore[arg-type]
        assert TEXTS == [answer.text for answer in asyncio.run(model.abatch(TEXTS, config))]  # type: ignore[arg-type]


def test_k03_one_failure_spoils_no_other_answer(make_model: MakeModel) -> None:
    """With `return_exceptions`, an error stands in its own place."""
    given = ["a", "/fail b", "c"]
    for answers in (
        make_model().batch(given, return_exceptions=True),
        asyncio.run(make_model().abatch(given, return_exceptions=True)),
    ):
        first, failed, last = answers
        assert ["a", "c"] == [first.text, last.text]
        assert isinstance(failed, ZooError)


def test_k03_a_failure_is_raised_without(make_model: MakeModel) -> None:
    """Without it, the error is raised."""
    with pytest.raises(ZooError):
        make_model().batch(["a", "/fail b"])
    with pytest.raises(ZooError):
        asyncio.run(make_model().abatch(["a", "/fail b"]))


def test_k03_answers_as_they_come(make_model: MakeModel) -> None:
    """`batch_as_completed` and its async twin give each answer once, with its place."""
    model = make_model()
    assert dict(enumerate(TEXTS)) == {number: answer.text for number, answer in model.batch_as_completed(TEXTS)}

    async def read() -> dict[int, str]:
        return {number: answer.text async for number, answer in model.abatch_as_completed(TEXTS)}

    assert dict(enumerate(TEXTS)) == asyncio.run(read())


class ChatGathering(ChatModel):
    """Answers when as many calls are in it as it waits for: never, if calls come one after the other."""

    calls: int
    _inside: threading.Semaphore = PrivateAttr(default_factory=lambda: threading.Semaphore(0))
    _barriers: dict[str, Any] = PrivateAttr(default_factory=dict)

    @property
    def barriers(self) -> dict[str, Any]:
        return self._barriers

    def respond(self, request: Request, /) -> str:
        self.barriers.setdefault("sync", threading.Barrier(self.calls)).wait(20)
        return request.text


class ChatGatheringAsync(ChatGathering):
    """The same, asynchronously."""

    async def respond(self, request: Request, /) -> str:  # type: ignore[override]
        async with asyncio.timeout(20):
            await self.barriers.setdefault("async", asyncio.Barrier(self.calls)).wait()
        return request.text


@pytest.mark.parametrize("make", [ChatGathering, ChatGatheringAsync])
def test_k04_batches_are_concurrent(make: Callable[..., ChatModel]) -> None:
    """All 8 calls of a batch are under way at the same time, sync and async."""
    texts = TEXTS[:8]
    assert texts == [answer.text for answer in asyncio.run(make(calls=8).abatch(texts))]
    assert texts == [answer.text for answer in make(calls=8).batch(texts, {"max_concurrency": 8})]


class ChatCrowd(ChatModel):
    """Notes how many are in it at once."""

    _now: list[int] = PrivateAttr(default_factory=lambda: [0, 0])

    @property
    def most(self) -> int:
        return self._now[1]

    async def respond(self, request: Request, /) -> str:
        self._now[0] += 1
        self._now[1] = max(self._now)
        await asyncio.sleep(0.01)
        self._now[0] -= 1
        return request.text


@pytest.mark.parametrize("limit", [1, 3])
def test_max_concurrency_is_kept(limit: int) -> None:
    """No more calls than `max_concurrency` are under way at once."""
    model = ChatCrowd()
    asyncio.run(model.abatch(TEXTS, {"max_concurrency": limit}))
    model.batch(TEXTS, {"max_concurrency": limit})
    assert limit == model.most


# --- what goes in and out ---


def test_a_model_maps_over_lists(make_model: MakeModel) -> None:
    """`model.map()` answers a list."""
    assert ["a", "b"] == [answer.text for answer in make_model().map().invoke(["a", "b"])]


async def test_a_model_transforms_streams(make_model: MakeModel) -> None:
    """`transform` and `atransform` take the input as a stream."""

    async def given() -> AsyncIterator[str]:
        yield "hel"
        yield "lo"

    model = make_model()
    assert "hello" == "".join(chunk.text for chunk in model.transform(iter(["hel", "lo"])))
    assert "hello" == "".join([chunk.text async for chunk in model.atransform(given())])


def test_a_conversation_goes_round(make_model: MakeModel, path: Path) -> None:
    """A model's own answer, sent back as history, arrives with its text and role."""
    model = make_model()
    first = path(model, "hello").message
    again = path(model, [("human", "hello"), first, ("human", "/recall")])
    assert "human: hello\nai: hello\nhuman: /recall\n" == again.text
    assert AIMessage is type(first)
