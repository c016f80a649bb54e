"""A model that passes on another model is one model to whoever streams it, counts its tokens or traces it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    adispatch_custom_event,
    dispatch_custom_event,
    get_usage_metadata_callback,
)
from langchain_core.language_models import BaseChatModel, GenericFakeChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.schemas import Run as TracedRun
from langgraph.graph import END, START, MessagesState, StateGraph
from tests.paths import PATHS

from langplug import ChatModel, Request, Usage, chat_model

USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


class Plain(BaseChatModel):
    """Somebody else's model."""

    @property
    def _llm_type(self) -> str:
        return "plain"

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        return generate_from_stream(self._stream(messages))

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for word in ("one ", "two ", "three"):
            yield ChatGenerationChunk(message=AIMessageChunk(word))
        yield ChatGenerationChunk(message=AIMessageChunk("", usage_metadata=USAGE, chunk_position="last"))  # type: ignore[arg-type]


@chat_model
def ours(request: Request) -> Iterator[Any]:
    """One of langplug's."""
    yield from ("one ", "two ", "three")
    yield Usage(input_tokens=7, output_tokens=3)


INNER: dict[str, Callable[[], BaseChatModel]] = {"plain": Plain, "ours": ours}


def streaming(inner: BaseChatModel) -> ChatModel:
    """A model that passes on the stream of another one."""

    @chat_model
    def router(request: Request) -> Iterator[AIMessageChunk]:
        yield from inner.stream(list(request.messages))  # type: ignore[misc]

    return router()


def whole(inner: BaseChatModel) -> ChatModel:
    """A model that passes on the whole answer of another one."""

    @chat_model
    def router(request: Request) -> AIMessage:
        return inner.invoke(list(request.messages), {"callbacks": None})

    return router()


def astreaming(inner: BaseChatModel) -> ChatModel:
    """As `streaming`, async, and with the run's configuration given on."""

    @chat_model
    async def router(request: Request) -> AsyncIterator[AIMessageChunk]:
        async for chunk in inner.astream(list(request.messages), request.run.config):
            yield chunk  # type: ignore[misc]

    return router()


def awhole(inner: BaseChatModel) -> ChatModel:
    """As `whole`, async, and with the run's configuration given on."""

    @chat_model
    async def router(request: Request) -> AIMessage:
        return await inner.ainvoke(list(request.messages), request.run.config)

    return router()


ROUTERS: dict[str, Callable[[BaseChatModel], ChatModel]] = {
    "streaming": streaming,
    "whole": whole,
    "astreaming": astreaming,
    "awhole": awhole,
}


@pytest.fixture(params=INNER)
def inner(request: pytest.FixtureRequest) -> BaseChatModel:
    """The model within."""
    return INNER[request.param]()


@pytest.fixture(params=ROUTERS)
def router(request: pytest.FixtureRequest, inner: BaseChatModel) -> ChatModel:
    """The model around it."""
    return ROUTERS[request.param](inner)


def graph_of(model: BaseChatModel) -> Any:
    """A graph of one node, sync and async, that calls the model."""

    def call(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def acall(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("model", RunnableLambda(call, afunc=acall))
    graph.add_edge(START, "model")
    graph.add_edge("model", END)
    return graph.compile()


def test_langgraph_streams_each_token_once(router: ChatModel) -> None:
    """`stream_mode="messages"` shows the answer once."""
    parts = graph_of(router).stream({"messages": [("user", "x")]}, stream_mode="messages")
    assert "".join(str(chunk.text) for chunk, _ in parts) == "one two three"


async def test_langgraph_streams_each_token_once_async(router: ChatModel) -> None:
    """The same on an event loop."""
    parts = [part async for part in graph_of(router).astream({"messages": [("user", "x")]}, stream_mode="messages")]
    assert "".join(str(chunk.text) for chunk, _ in parts) == "one two three"


async def test_events_are_those_of_one_model(router: ChatModel) -> None:
    """`astream_events` shows one model, which starts, streams and ends once."""
    events = [event async for event in router.astream_events("x", version="v2")]
    names = [event["event"] for event in events]
    assert names.count("on_chat_model_start") == names.count("on_chat_model_end") == 1
    chunks = [event["data"]["chunk"] for event in events if event["event"] == "on_chat_model_stream"]
    assert "".join(str(chunk.text) for chunk in chunks) == "one two three"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("by", ["context", "handler"])
def test_usage_is_counted_once(router: ChatModel, path: str, by: str) -> None:
    """What counts tokens counts those of the outer model, which are the inner one's."""
    if by == "context":
        with get_usage_metadata_callback() as counted:
            PATHS[path](router, "x")
    else:
        counted = UsageMetadataCallbackHandler()
        PATHS[path](router.with_config(callbacks=[counted]), "x")
    assert [entry["total_tokens"] for entry in counted.usage_metadata.values()] == [10]


class Tree(BaseTracer):
    """Keeps the traces that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[TracedRun] = []

    def _persist_run(self, run: TracedRun) -> None:
        self.roots.append(run)


@pytest.mark.parametrize("path", PATHS)
def test_a_tracer_sees_the_inner_run_as_a_child(router: ChatModel, path: str) -> None:
    """A trace is one tree: the inner model's run is a child of the outer one's."""
    tree = Tree()
    PATHS[path](router.with_config(callbacks=[tree]), "x")
    (root,) = tree.roots
    (child,) = root.child_runs
    assert child.run_type == root.run_type
    assert not child.child_runs


def test_metadata_is_handed_on() -> None:
    """What is called within a run knows whose run it is, listened to or not."""
    users: list[Any] = []

    @chat_model
    def inner(request: Request) -> str:
        users.append(request.run.metadata.get("user"))
        return "hi"

    asked = inner()

    @chat_model
    def outer(request: Request) -> AIMessage:
        return asked.invoke(request.text)

    outer().invoke("x", {"metadata": {"user": "bo"}})
    outer().invoke("x", {"metadata": {"user": "bo"}, "callbacks": [BaseCallbackHandler()]})
    assert users == ["bo", "bo"]


class Events(BaseCallbackHandler):
    """Notes the events that authors dispatch."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.seen.append((name, data))


class AsyncEvents(AsyncCallbackHandler):
    """The same, async."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    async def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        self.seen.append((name, data))


def test_an_author_s_own_events_are_heard() -> None:
    """`dispatch_custom_event` in `respond` reaches the call's handlers."""

    @chat_model
    def model(request: Request) -> Iterator[str]:
        yield "a"
        dispatch_custom_event("half", {"way": 1})
        yield "b"

    events = Events()
    for path in PATHS.values():
        path(model().with_config(callbacks=[events]), "x")
    assert events.seen == [("half", {"way": 1})] * len(PATHS)


async def test_an_author_s_own_events_are_heard_async() -> None:
    """The same on an event loop, by async handlers and by `astream_events`."""

    @chat_model
    async def model(request: Request) -> AsyncIterator[str]:
        yield "a"
        await adispatch_custom_event("half", {"way": 1}, config=request.run.config)
        yield "b"

    events = AsyncEvents()
    await model().ainvoke("x", {"callbacks": [events]})
    assert events.seen == [("half", {"way": 1})]
    seen = [event async for event in model().astream_events("x", version="v2")]
    assert [event["data"] for event in seen if event["event"] == "on_custom_event"] == [{"way": 1}]


class Plainly(BaseCallbackHandler):
    """Notes the names of all that starts."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.started.append("model")

    def on_tool_start(self, *_: Any, **__: Any) -> None:
        self.started.append("tool")

    def on_chain_start(self, *_: Any, name: str | None = None, **__: Any) -> None:
        self.started.append(f"chain {name}")


class PlainlyAsync(AsyncCallbackHandler):
    """The same, async."""

    def __init__(self) -> None:
        self.started: list[str] = []

    async def on_chat_model_start(self, *_: Any, name: str | None = None, **__: Any) -> None:
        self.started.append("model")

    async def on_tool_start(self, *_: Any, name: str | None = None, **__: Any) -> None:
        self.started.append("tool")

    async def on_chain_start(self, *_: Any, name: str | None = None, **__: Any) -> None:
        self.started.append(f"chain {name}")


@tool
def lookup(word: str) -> str:
    """Looks a word up."""
    return word


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("listener", [Plainly, PlainlyAsync])
def test_tools_and_chains_within_are_heard_by_all(path: str, listener: Any) -> None:
    """Handlers that are no tracers hear what a model calls, but for other models, whose answer is its own."""
    if listener is PlainlyAsync and path in ("invoke", "stream", "v3"):
        return  # langchain-core runs async handlers of sync calls on a loop of their own, in its own time
    inner = ours()

    @chat_model
    def outer(request: Request) -> Any:
        lookup.invoke({"word": "x"})
        chain: Any = RunnableLambda(lambda text: [("user", text)], name="ask") | inner
        return chain.invoke(request.text)

    heard = listener()
    PATHS[path](outer().with_config(callbacks=[heard]), "x")
    assert [name for name in heard.started if name != "chain RunnableSequence"] == [
        "model",
        "tool",
        "chain ask",
    ]


# --- the context of the author's function ---

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")


@pytest.mark.parametrize("path", PATHS)
def test_the_caller_s_variables_are_seen_and_kept(path: str) -> None:
    """An author's function sees its caller's context variables, listened to or not, and changes none of them."""

    @chat_model
    def model(request: Request) -> Iterator[str]:
        yield VARIABLE.get()
        VARIABLE.set("the author's")
        yield VARIABLE.get()

    token = VARIABLE.set("the caller's ")
    try:
        config: RunnableConfig = {"callbacks": [BaseCallbackHandler()]}
        assert PATHS[path](model().with_config(config), "x").text == "the caller's the author's"
        assert VARIABLE.get() == "the caller's "
    finally:
        VARIABLE.reset(token)


async def test_cancelling_reaches_what_is_called_within() -> None:
    """A caller that leaves cancels the inner call in its own task, and its `finally` runs."""
    started, ended = asyncio.Event(), asyncio.Event()

    @chat_model
    async def slow(request: Request) -> AsyncIterator[str]:
        try:
            started.set()
            await asyncio.sleep(3600)
            yield "never"
        finally:
            ended.set()

    outer = astreaming(slow())
    task = asyncio.create_task(outer.ainvoke("x", {"callbacks": [BaseCallbackHandler()]}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_errors_of_the_inner_model_come_out() -> None:
    """What the inner model raises is what the outer one raises."""
    outer = streaming(GenericFakeChatModel(messages=iter([])))
    with pytest.raises(Exception, match="StopIteration"):
        outer.invoke("x", {"callbacks": [BaseCallbackHandler()]})
