"""`request.run`: what the caller says of a call reaches the author's function, whichever way the call is made."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from pydantic import PrivateAttr
from tests.models.http.canned import Canned, CannedServer
from tests.paths import PATHS

from langplug import ChatModel, Request, chat_model
from langplug._request import Run
from langplug.models import ChatHTTP

CONFIG: RunnableConfig = {
    "run_name": "greeting",
    "tags": ["call"],
    "metadata": {"user": "bo", "tenant": 7},
    "configurable": {"thread_id": "t1"},
}


class Told(ChatModel):
    """Keeps what its last call was told of its run."""

    _runs: list[Run] = PrivateAttr(default_factory=list)

    def respond(self, request: Request) -> Iterator[str]:
        self._runs.append(request.run)
        yield "hi"


class Listener(BaseCallbackHandler):
    """Notes the ids of the runs of models."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []

    def on_chat_model_start(self, *_: Any, run_id: UUID, **__: Any) -> None:
        self.ids.append(run_id)


def test_defaults_without_a_call() -> None:
    """A `Request` made by hand has a run that says nothing."""
    run = Request(messages=(HumanMessage("x"),)).run
    assert (run.id, run.name, run.tags, run.metadata, run.configurable) == (None, "", (), {}, {})


@pytest.mark.parametrize("heard", [False, True], ids=["unheard", "heard"])
@pytest.mark.parametrize("path", PATHS)
def test_the_caller_s_configuration_arrives(path: str, heard: bool) -> None:
    """Name, tags, metadata and configurable values arrive on every path, listened to or not."""
    model = Told(tags=["model"], metadata={"team": "red"})
    listener = Listener()
    config = {**CONFIG, "callbacks": [listener]} if heard else dict(CONFIG)
    PATHS[path](model.with_config(config), "x")
    run = model._runs[-1]
    assert run.name == "greeting"
    assert set(run.tags) == {"call", "model"}
    assert {name: run.metadata.get(name) for name in ("user", "tenant", "team")} == {
        "user": "bo",
        "tenant": 7,
        "team": "red",
    }
    assert run.configurable["thread_id"] == "t1"
    assert isinstance(run.id, UUID)
    if heard:
        assert listener.ids == [run.id]


def test_metadata_is_the_same_whether_anybody_listens() -> None:
    """An author sees the same metadata and tags with and without a callback handler."""
    model = Told()
    model.invoke("x", CONFIG)
    model.invoke("x", {**CONFIG, "callbacks": [Listener()]})
    unheard, heard = model._runs[-2:]
    assert dict(unheard.metadata) == dict(heard.metadata)
    assert unheard.tags == heard.tags


def test_the_id_is_the_one_that_the_caller_gave() -> None:
    """A `run_id` of the configuration is the run's id, and part of the message's."""
    model = Told()
    for config in ({}, {"callbacks": [Listener()]}):
        given = uuid4()
        message = model.invoke("x", {"run_id": given, **config})
        assert model._runs[-1].id == given
        assert str(given) in str(message.id)


def test_the_configuration_of_a_chain_arrives() -> None:
    """What is said of a chain is said of the models in it."""
    model = Told()
    chain: Runnable[str, Any] = RunnableLambda(str.upper) | model
    chain.invoke("x", CONFIG)
    assert model._runs[-1].metadata["user"] == "bo"
    assert model._runs[-1].configurable["thread_id"] == "t1"
    RunnableLambda(model.invoke).invoke("x", CONFIG)
    assert model._runs[-1].metadata["user"] == "bo"


@pytest.mark.parametrize("call", ["batch", "abatch", "generate"])
def test_each_call_of_many_has_its_own_run(call: str) -> None:
    """Calls that are made together have a run each."""
    model = Told()
    before = len(model._runs)
    configs: list[RunnableConfig] = [{"metadata": {"user": name}} for name in ("a", "b")]
    calls: dict[str, Callable[[], Any]] = {
        "batch": lambda: model.batch(["x", "y"], configs),
        "abatch": lambda: asyncio.run(model.abatch(["x", "y"], configs)),
        "generate": lambda: [model.generate([[HumanMessage("x")]], metadata=config["metadata"]) for config in configs],
    }
    calls[call]()
    runs = model._runs[before:]
    assert {run.metadata["user"] for run in runs} == {"a", "b"}
    assert len({run.id for run in runs}) == 2


def test_a_function_reads_its_run() -> None:
    """`@chat_model` functions find it in their request."""

    @chat_model
    def greet(request: Request) -> str:
        return f"hello {request.run.metadata['user']}"

    assert greet().invoke("x", {"metadata": {"user": "bo"}}).text == "hello bo"


def ask_by_name(request: Request) -> str:
    """A helper of an author's function."""
    return f"hello {request.run.metadata.get('user')}"


@chat_model
def by_helper(request: Request) -> str:
    """Reads the run in another function."""
    return ask_by_name(request)


class ByMethod(ChatModel):
    """Reads the run in another method."""

    def respond(self, request: Request) -> str:
        return self.greet(request)

    def greet(self, request: Request) -> str:
        """Greets by name."""
        return f"hello {request.run.metadata.get('user')}"


def by_closure() -> Any:
    """A model whose function is made by another."""

    def greet(request: Request) -> str:
        return f"hello {request.run.metadata.get('user')}"

    return chat_model(greet)


@pytest.mark.parametrize("make", [by_helper, ByMethod, by_closure()], ids=["helper", "method", "closure"])
def test_one_user_s_answer_is_not_another_s(make: Any) -> None:
    """Where an author's code reads the run, the cache key follows what the caller says of the call."""
    model = make(cache=InMemoryCache())
    for _ in range(2):
        for user in ("alice", "bob"):
            assert model.invoke("x", {"metadata": {"user": user}}).text == f"hello {user}"


def test_who_asks_does_not_matter_to_a_model_that_does_not_look() -> None:
    """Where nothing reads the run, callers share answers."""
    asked: list[str] = []

    @chat_model
    def model(request: Request) -> str:
        asked.append(request.text)
        return "hi"

    shared = model(cache=InMemoryCache())
    for user in ("alice", "bob"):
        shared.invoke("x", {"metadata": {"user": user}})
    assert len(asked) == 1


def test_a_template_that_names_the_user_is_not_shared() -> None:
    """`ChatHTTP` that sends who asks has an answer for each."""
    with CannedServer() as server:
        server.answer = Canned(pieces=[b'{"t": "hi"}'])
        cache = InMemoryCache()
        for body, calls in (({"p": "$text"}, 1), ({"p": "$text", "user": "$metadata.user"}, 2)):
            before = len(server.received)
            model = ChatHTTP(base_url=server.url, url="/", body=body, text="t", cache=cache)
            for user in ("alice", "bob"):
                model.invoke("x", {"metadata": {"user": user}})
            assert len(server.received) - before == calls
            model.close()


def test_the_caller_s_own_words_alone() -> None:
    """What LangChain keeps for itself in metadata and configuration is not the caller's, and is not shown."""
    model = Told()
    config: RunnableConfig = {
        "metadata": {"ls_tenant": "t"},
        "configurable": {"__pregel_runtime": object(), "thread_id": "1"},
    }
    for more in ({}, {"callbacks": [Listener()]}):
        model.invoke("x", {**config, **more})  # type: ignore[typeddict-item]
        run = model._runs[-1]
        assert dict(run.metadata) == {"ls_tenant": "t", "thread_id": "1"} or dict(run.metadata) == {"ls_tenant": "t"}
        assert dict(run.configurable) == {"thread_id": "1"}
        assert "__pregel_runtime" in run.config["configurable"]  # what is called within needs it
    model.generate([[HumanMessage("x")]], callbacks=[Listener()], metadata={"user": "bo"})
    assert dict(model._runs[-1].metadata) == {"user": "bo"}
