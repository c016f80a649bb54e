"""The fast path is taken by calls without callback handlers, and by no others; and it keeps nothing.

That it gives what langchain-core's way gives is shown in `test_fast_path.py`.
"""

import asyncio
import inspect
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import pairwise
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackManager, CallbackManager, get_usage_metadata_callback
from langchain_core.globals import set_debug, set_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import tracing_v2_callback_var
from tests.echo_models import ECHO_MODELS
from tests.test_fast_path import WAYS, Deaf, Way, both, by_astream, by_invoke, by_stream, outcome

from langplug import ChatModel, Request
from langplug._model.langchain import TO_A_STREAM, TO_A_STREAM_ASYNC, TO_AN_ANSWER, TO_AN_ANSWER_ASYNC
from langplug.models import ChatScripted


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key of every echo model."""
    monkeypatch.setenv("ECHO_API_KEY", "a key")


@pytest.fixture(params=list(WAYS))
def way(request: pytest.FixtureRequest) -> Way:
    """Each way to an answer in turn."""
    return WAYS[request.param]


# --- when it is taken ---


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How often langchain-core was about to tell callbacks of a chat model that starts."""
    seen: list[str] = []
    for manager in (CallbackManager, AsyncCallbackManager):
        original = manager.on_chat_model_start

        def noted(self: Any, *args: Any, _original: Any = original, **kwargs: Any) -> Any:
            seen.append("start")
            return _original(self, *args, **kwargs)

        monkeypatch.setattr(manager, "on_chat_model_start", noted)
    return seen


SILENT: dict[str, Any] = {
    "nothing": None,
    "no callbacks": {"callbacks": []},
    "an empty manager": {"callbacks": CallbackManager(handlers=[])},
    "an async one": {"callbacks": AsyncCallbackManager(handlers=[])},
    "tags": {"tags": ["t"], "metadata": {"m": 1}},
}


@pytest.mark.parametrize("config", SILENT)
def test_the_short_way_is_taken_if_nobody_listens(way: Way, starts: list[str], config: str) -> None:
    """Without a handler, langchain-core's callbacks are not reached, in a chain or alone."""
    way([], ECHO_MODELS["class, generator"](), "one", SILENT[config])
    way([], ChatPromptTemplate.from_template("{x}") | ECHO_MODELS["class, coroutine"](), {"x": "one"}, SILENT[config])
    assert [] == starts


LOUD: dict[str, dict[str, Any]] = {
    "a handler": {"config": {"callbacks": [Deaf()]}},
    "a manager": {"config": {"callbacks": CallbackManager(handlers=[Deaf()])}},
    "the model's handler": {"model": {"callbacks": [Deaf()]}},
    "the model's manager": {"model": {"callbacks": CallbackManager(handlers=[Deaf()])}},
    "verbose": {"model": {"verbose": True}},
}


@pytest.mark.parametrize("loud", LOUD)
def test_langchain_cores_way_is_taken_if_somebody_listens(way: Way, starts: list[str], loud: str) -> None:
    """A handler of the call's configuration or of the model is told of it."""
    way([], ECHO_MODELS["class, generator"](**LOUD[loud].get("model", {})), "one", LOUD[loud].get("config"))
    assert ["start"] == starts


def test_a_cache_that_is_refused_is_no_detour(way: Way, starts: list[str]) -> None:
    """A model that wants no cache goes the short way, whatever the process has."""
    set_llm_cache(InMemoryCache())
    try:
        way([], ECHO_MODELS["class, generator"](cache=False), "one", None)
    finally:
        set_llm_cache(None)
    assert [] == starts


def test_the_process_may_listen(way: Way, starts: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """`set_debug` tells of every call."""
    set_debug(True)
    try:
        way([], ECHO_MODELS["class, generator"](), "one", None)
    finally:
        set_debug(False)
    assert ["start"] == starts
    assert "llm/start" in capsys.readouterr().out


def test_the_context_may_listen(way: Way, starts: list[str]) -> None:
    """Usage is counted around a call, as the hooks of langchain-core have it."""
    with get_usage_metadata_callback() as usage:
        way([], ECHO_MODELS["class, generator"](), "one two", None)
    assert {"echo-1": 4} == {model: counted["total_tokens"] for model, counted in usage.usage_metadata.items()}
    assert ["start"] == starts


def test_a_run_around_it_may_listen(way: Way, starts: list[str]) -> None:
    """A handler of the run in which the model is called hears of it, though the call names none."""

    def node(text: str) -> str:
        seen: list[Any] = []
        by_invoke(seen, ECHO_MODELS["class, generator"](), text, None)
        return "".join(message.text for message in seen)

    assert "one" in outcome(way, RunnableLambda(node), "one", {"callbacks": [Deaf()]})
    assert ["start"] == starts


def test_a_tracer_may_listen(way: Way, starts: list[str]) -> None:
    """What traces the context hears of each call in it."""
    token = tracing_v2_callback_var.set(Deaf())  # type: ignore[arg-type]
    try:
        way([], ECHO_MODELS["class, generator"](), "one", None)
    finally:
        tracing_v2_callback_var.reset(token)
    assert ["start"] == starts


def test_a_tracer_that_is_gone_is_refused_the_same(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """langchain-core's error about tracing of old is raised by either way."""
    monkeypatch.setenv("LANGCHAIN_TRACING", "true")
    assert "no longer supported" in both(way, ECHO_MODELS["class, generator"], "one")


def test_events_are_listened_to(starts: list[str]) -> None:
    """Events and logs of a call come as ever: each piece of text is one."""

    async def read() -> list[str]:
        model = ECHO_MODELS["class, generator"]()
        return [event["event"] async for event in model.astream_events("one two three", version="v2")]

    assert 4 == asyncio.run(read()).count("on_chat_model_stream")
    assert ["start"] == starts


def test_no_chunk_is_wrapped_or_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unheard stream keeps none of its chunks, and wraps none for callbacks."""
    monkeypatch.setattr("langplug._model.run.generation_chunk", None)

    async def read() -> list[weakref.ref[Any]]:
        stream = ECHO_MODELS["class, async generator"]().astream("/spell abcdef")
        async with aclosing(stream):  # type: ignore[type-var]
            refs = [weakref.ref(await anext(stream)) for _ in range(5)]
            return [ref for ref in refs if ref() is not None]

    assert 1 >= len(asyncio.run(read()))  # the one that was given last
    sync = iter(ECHO_MODELS["class, generator"]().stream("/spell abcdef"))
    refs = [weakref.ref(next(sync)) for _ in range(5)]
    assert 1 >= sum(ref() is not None for ref in refs)


# --- models with ways of their own ---


@pytest.mark.parametrize(
    "path",
    [
        ("invoke", *TO_AN_ANSWER),
        ("ainvoke", *TO_AN_ANSWER_ASYNC),
        ("stream", *TO_A_STREAM),
        ("astream", *TO_A_STREAM_ASYNC),
    ],
)
def test_core_still_goes_by(path: tuple[str, ...]) -> None:
    """langchain-core's way to a call leads through the methods that are looked at, one calling the next."""
    for caller, callee in pairwise(path):
        assert f"self.{callee}(" in inspect.getsource(getattr(BaseChatModel, caller))


class OwnStream(ChatScripted):
    """Streams in its own way."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        super()._stream(*args, **kwargs)  # one that is not an extension of langplug's is refused
        yield ChatGenerationChunk(message=AIMessageChunk("own stream"))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        super()._astream(*args, **kwargs)
        yield ChatGenerationChunk(message=AIMessageChunk("own stream"))


class OwnAnswer(ChatScripted):
    """Answers in its own way."""

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        super()._generate(*args, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("own answer"))])

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        await super()._agenerate(*args, **kwargs)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("own answer"))])


class OwnGenerate(ChatScripted):
    """Looks at all that is generated."""

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError("not me")

    async def agenerate(self, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError("not me")


@pytest.mark.parametrize("cls", [OwnStream, OwnAnswer, OwnGenerate])
def test_a_method_of_ones_own_is_called(way: Way, cls: type[ChatScripted]) -> None:
    """What a subclass writes for langchain-core is called, though nobody listens."""
    said = both(way, lambda: cls(replies=["langplug's"]), "x")
    streams = way in (by_stream, by_astream)
    expected: dict[type[ChatScripted], str] = {OwnStream: "own stream" if streams else "langplug's"}
    expected |= {OwnAnswer: "langplug's" if streams else "own answer"}
    expected |= {OwnGenerate: "langplug's" if streams else "PermissionError"}
    assert expected[cls] in said


# --- who stops reading ---


class ChatEndless(ChatModel):
    """Talks until it is closed, and says so."""

    closed: list[str]

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        try:
            while True:
                yield "on "
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)  # what is only dropped gets no further
            self.closed.append("closed")


@pytest.mark.parametrize("callbacks", [[], [Deaf()]], ids=["unheard", "heard"])
async def test_who_stops_reading_closes_the_source(callbacks: list[Any]) -> None:
    """`aclose`, and a task that is cancelled, close the author's generator before they return, by either way."""
    for cancels in (False, True):
        model = ChatEndless(closed=[])
        async with aclosing(model.astream("x", {"callbacks": callbacks})) as stream:  # type: ignore[type-var]
            await anext(stream)
            if cancels:
                task = asyncio.ensure_future(model.ainvoke("x", {"callbacks": callbacks}))
                await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert ["closed"] == model.closed
        assert ["closed"] * (1 + cancels) == model.closed
