"""langchain-core's faults, shown on a plain `BaseChatModel`, and our cures; and the names of core that these lean on.

Every fault is there from langchain-core 1.8.0 to 1.8.3, the two ends of what is tested. A test of a fault that fails
after an upgrade means that core has mended it: take the cure out once the oldest supported version has it mended.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models import chat_models as core
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from pydantic import PrivateAttr

from langplug import ChatModel, Request
from langplug._model.keywords import OPENED, RUNS
from langplug._model.langchain import PatchedChatModel

# --- the names that `_model/langchain.py` leans on ---


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("_generate_with_cache", ["self", "messages", "stop", "run_manager", "kwargs"]),
        ("_agenerate_with_cache", ["self", "messages", "stop", "run_manager", "kwargs"]),
        ("_should_stream", ["self", "async_api", "run_manager", "kwargs"]),
        ("_get_llm_string", ["self", "stop", "kwargs"]),
        ("_get_invocation_params", ["self", "stop", "kwargs"]),
        ("_get_ls_params", ["self", "stop", "kwargs"]),
        ("_convert_cached_generations", ["self", "cache_val"]),
        ("_resolve_model_profile", ["self"]),
        ("_generate", ["self", "messages", "stop", "run_manager", "kwargs"]),
        ("_agenerate", ["self", "messages", "stop", "run_manager", "kwargs"]),
        ("_stream", ["self", "messages", "stop", "run_manager", "kwargs"]),
        ("_astream", ["self", "messages", "stop", "run_manager", "kwargs"]),
        ("stream", ["self", "input", "config", "stop", "kwargs"]),
        ("astream", ["self", "input", "config", "stop", "kwargs"]),
    ],
)
def test_core_still_has(name: str, parameters: list[str]) -> None:
    """langchain-core has the method that `_model/langchain.py` overrides or calls, with these parameters."""
    assert parameters == list(inspect.signature(vars(BaseChatModel)[name]).parameters)


@pytest.mark.parametrize("name", ["generate", "agenerate"])
def test_core_still_generates_with(name: str) -> None:
    """`generate` and `agenerate` begin with the parameters that are handed on by position."""
    assert ["self", "messages", "stop", "callbacks"] == list(
        inspect.signature(getattr(BaseChatModel, name)).parameters
    )[:4]


def test_core_still_serializes_by() -> None:
    """What traces and the cache take for the model is the attribute `_serialized`."""
    assert "_serialized" in vars(BaseChatModel)
    assert isinstance(inspect.getattr_static(PatchedChatModel, "_serialized"), property)


def test_core_still_notes_versions_by() -> None:
    """A package's version is noted by `_add_version`."""
    assert callable(BaseChatModel._add_version)


@pytest.mark.parametrize(
    ("function", "calls"),
    [
        (BaseChatModel.stream, "self._stream(input_messages, stop=stop, **kwargs)"),
        (BaseChatModel.invoke, 'run_id=config.pop("run_id", None)'),
        (BaseChatModel.ainvoke, "self.agenerate_prompt("),
        (BaseChatModel.stream, "options = {"),
        (BaseChatModel.stream, "if key in params"),
        (BaseChatModel.astream, "self._astream("),
        (BaseChatModel.astream, "if key in params"),
        (BaseChatModel.generate, "self._generate_with_cache("),
        (BaseChatModel.agenerate, "self._agenerate_with_cache("),
        (BaseChatModel.agenerate, "return_exceptions=True"),
        (BaseChatModel._generate_with_cache, "self._get_llm_string(stop=stop, **kwargs)"),
        (BaseChatModel._generate_with_cache, "self._convert_cached_generations(cache_val)"),
        (BaseChatModel._generate_with_cache, "_signature_parameters(self._generate)"),
        (BaseChatModel._agenerate_with_cache, "self._get_llm_string(stop=stop, **kwargs)"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_core_still_works_by(function: Callable[..., Any], calls: str) -> None:
    """The line of langchain-core through which a cure takes hold is still there."""
    assert calls in inspect.getsource(function)


def test_core_still_reads_a_signature_that_is_kept_ready() -> None:
    """langchain-core finds the prepared signature of `_generate`, with the `run_manager` in it."""
    assert "run_manager" in vars(core)["_signature_parameters"](ChatWords()._generate)


# --- the two models ---


class Runs(BaseCallbackHandler):
    """Keeps the events of each run, in order."""

    run_inline = True

    def __init__(self) -> None:
        self.events: dict[str, list[str]] = {}
        self.options: list[dict[str, Any]] = []

    def note(self, event: str, run_id: Any) -> None:
        self.events.setdefault(str(run_id), []).append(event)

    def on_chat_model_start(self, *args: Any, run_id: Any, **kwargs: Any) -> None:
        self.options.append({**kwargs["options"], **kwargs["invocation_params"]})
        self.note("start", run_id)

    def on_llm_end(self, *args: Any, run_id: Any, **kwargs: Any) -> None:
        self.note("end", run_id)

    def on_llm_error(self, *args: Any, run_id: Any, **kwargs: Any) -> None:
        self.note("error", run_id)

    @property
    def all(self) -> list[list[str]]:
        return list(self.events.values())


class Plain(BaseChatModel):
    """What one writes without langplug: says `name`, in two pieces, and fails or waits where it is told to."""

    name: str = "one"
    _closed: list[str] = PrivateAttr(default_factory=list)

    @property
    def closed(self) -> list[str]:
        return self._closed

    @property
    def _llm_type(self) -> str:
        return "plain"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if messages[-1].text == "fail":
            raise ValueError("failed")
        return ChatResult(generations=[ChatGeneration(message=AIMessage(self.name or "one"))])

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        if messages[-1].text == "wait":
            await asyncio.sleep(60)
        return self._generate(messages)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        try:
            for piece in (self.name, " two"):
                yield ChatGenerationChunk(message=AIMessageChunk(piece))
        finally:
            await asyncio.sleep(0.01)
            self._closed.append("closed")

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for piece in (self.name, " two"):
            yield ChatGenerationChunk(message=AIMessageChunk(piece))


class ChatWords(ChatModel):
    """The same, with langplug."""

    name: str = "one"
    _closed: list[str] = PrivateAttr(default_factory=list)

    @property
    def closed(self) -> list[str]:
        return self._closed

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        if request.text == "fail":
            raise ValueError("failed")
        if request.text == "wait":
            await asyncio.sleep(60)
        try:
            yield self.name
            if request.streaming:
                yield " two"
        finally:
            await asyncio.sleep(0.01)
            self._closed.append("closed")


Make = Callable[..., Any]

BOTH = pytest.mark.parametrize(
    ("make", "healed"), [(Plain, False), (ChatWords, True)], ids=["core's fault", "our cure"]
)

# --- runs ---


async def cancelled_after(task: asyncio.Task[Any], turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@BOTH
@pytest.mark.parametrize("turns", [1, 2, 3, 5, 20])
async def test_a_cancelled_ainvoke_ends_its_run(make: Make, healed: bool, turns: int) -> None:
    """However early an `ainvoke` is cancelled, its run ends, with one error; core leaves it open for ever."""
    runs = Runs()
    await cancelled_after(asyncio.ensure_future(make().ainvoke("wait", {"callbacks": [runs]})), turns)
    assert [["start", "error"] if healed else ["start"]] == runs.all


@BOTH
async def test_a_cancelled_agenerate_ends_all_its_runs(make: Make, healed: bool) -> None:
    """Of several prompts, those that were done already end too."""
    runs = Runs()
    prompts = [[HumanMessage(text)] for text in ("quick", "wait")]
    await cancelled_after(asyncio.ensure_future(make().agenerate(prompts, callbacks=[runs])), 20)
    assert [["start", "error"] if healed else ["start"]] * 2 == runs.all


@BOTH
def test_in_generate_one_failure_leaves_no_run_open(make: Make, healed: bool) -> None:
    """If one of several prompts fails, every run that began ends; core leaves those of the good ones open."""
    runs = Runs()
    prompts = [[HumanMessage(text)] for text in ("good", "fail", "good")]
    with pytest.raises(ValueError, match="failed"):
        make().generate(prompts, callbacks=[runs])
    left_open = [events for events in runs.all if events == ["start"]]
    assert (0 if healed else 2) == len(left_open)
    if healed:
        assert [["start", "end"], ["start", "error"]] == runs.all


def test_generate_of_several_prompts_gives_what_core_gives() -> None:
    """One prompt after the other gives the same shape of result: a generation and a run for each, in order."""
    prompts = [[HumanMessage(text)] for text in "abc"]
    plain, healed = Plain().generate(prompts), ChatWords().generate(prompts)
    assert [one[0].text for one in plain.generations] == [one[0].text for one in healed.generations]
    assert len(plain.run or []) == len(healed.run or []) == len({run.run_id for run in healed.run or []}) == 3


# --- streams ---


@BOTH
def test_a_stream_without_streaming_adds_up(make: Make, healed: bool) -> None:
    """With streaming disabled, what `stream` yields adds up to a chunk; core's makes a prompt template."""
    (only,) = make(disable_streaming=True).stream("x")
    assert (AIMessageChunk if healed else ChatPromptTemplate) is type(only + AIMessageChunk(""))


@BOTH
async def test_an_astream_without_streaming_adds_up(make: Make, healed: bool) -> None:
    """The same for `astream`."""
    (only,) = [chunk async for chunk in make(disable_streaming=True).astream("x")]
    assert (AIMessageChunk if healed else ChatPromptTemplate) is type(only + AIMessageChunk(""))


@BOTH
async def test_a_closed_stream_has_closed_its_source(make: Make, healed: bool) -> None:
    """When `aclose` of a stream returns, the source is closed; core leaves that to the garbage collector."""
    model = make()
    async with aclosing(model.astream("x")) as stream:
        await anext(stream)
    assert (["closed"] if healed else []) == model.closed


@pytest.mark.parametrize("keyword", [OPENED, RUNS])
async def test_traces_do_not_see_the_cures(keyword: str) -> None:
    """What the cures hand through langchain-core appears neither in options nor in invocation parameters."""
    runs, model = Runs(), ChatWords()
    config: Any = {"callbacks": [runs]}
    assert [chunk.text async for chunk in model.astream("x", config)]
    assert list(model.stream("x", config))
    await model.ainvoke("x", config)
    assert 3 == len(runs.options)
    assert not any(keyword in options for options in runs.options)
    assert keyword not in model._get_llm_string(**{keyword: []})


# --- the cache ---


@BOTH
def test_the_cache_tells_models_apart(make: Make, healed: bool) -> None:
    """Two models that differ do not get each other's answers from a shared cache; core's key knows only their type."""
    cache = InMemoryCache()
    first, second = make(name="first", cache=cache), make(name="second", cache=cache)
    assert ["first", "second" if healed else "first"] == [first.invoke("x").text, second.invoke("x").text]


class PlainSerializable(Plain):
    """One that langchain-core serializes, and so takes its key from what was serialized first."""

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True


@pytest.mark.parametrize(
    ("make", "healed"), [(PlainSerializable, False), (ChatWords, True)], ids=["core's fault", "our cure"]
)
@pytest.mark.parametrize("change", ["assignment", "copy"])
def test_the_key_follows_changes(make: Make, healed: bool, change: str) -> None:
    """After an assignment, or in a changed copy, the cache key is another; core's is frozen at first use."""
    model = make(name="before", cache=InMemoryCache())
    assert "before" == model.invoke("x").text
    if change == "copy":
        model = model.model_copy(update={"name": "after"})
    else:
        model.name = "after"
    assert ("after" if healed else "before") == model.invoke("x").text


@BOTH
def test_a_hit_invents_no_usage(make: Make, healed: bool) -> None:
    """A cache hit of an answer without usage has none; core's has a cost, which is no valid usage."""
    model = make(cache=InMemoryCache())
    model.invoke("x")
    hit = model.invoke("x")
    assert (None if healed else {"total_cost": 0}) == hit.usage_metadata


@BOTH
def test_hits_are_apart(make: Make, healed: bool) -> None:
    """Each hit of an entry has an id of its own, and can be changed without changing later ones."""
    model = make(cache=InMemoryCache())
    model.invoke("x")
    first, second = model.invoke("x"), model.invoke("x")
    first.response_metadata["changed"] = True
    assert healed is (first.id != second.id)
    assert healed is ("changed" not in model.invoke("x").response_metadata)
