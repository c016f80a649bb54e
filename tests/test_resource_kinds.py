"""What a resource may be made of, and given in place of it: context managers of every kind, fakes in tests."""

import asyncio
import concurrent.futures
import contextlib
import copy
import functools
import gc
import pickle
import sqlite3
import tempfile
import threading
import types
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self
from unittest.mock import AsyncMock, MagicMock

import aiohttp
import httpx
import pytest
import requests
from langchain_core.runnables import ConfigurableField

from langplug import ChatModel, Request, chat_model, resource
from langplug.models import ChatEndpoint

LOG: list[str] = []


@pytest.fixture(autouse=True, scope="module")
def little_to_collect() -> Iterator[None]:
    """Garbage collections that take no notice of what was there before."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def log() -> list[str]:
    """What happened, in order."""
    gc.collect()
    LOG.clear()
    return LOG


class Client:
    """A client as most are: it is opened and closed, and entering it gives itself."""

    def __init__(self, name: str = "client") -> None:
        self.name = name

    def __enter__(self) -> Self:
        LOG.append(f"enter {self.name}")
        return self

    def __exit__(self, *_: object) -> None:
        LOG.append(f"exit {self.name}")

    def close(self) -> None:
        LOG.append(f"close {self.name}")


class AsyncClient:
    """The same, async."""

    async def __aenter__(self) -> Self:
        LOG.append("enter async")
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0)
        LOG.append("exit async")

    async def aclose(self) -> None:
        LOG.append("close async")


class Declared(contextlib.AbstractContextManager[str]):
    """An author's own context manager, which says so."""

    def __exit__(self, *_: object) -> None:
        LOG.append("exit declared")

    def __enter__(self) -> str:
        return "value"


def model_of(make: Callable[[Any], Any], **options: Any) -> Any:
    """A model whose resource `thing` is made so."""

    class ChatThing(ChatModel):
        temperature: float = 0.0
        thing = resource(**options)(make)

        def respond(self, request: Request, /) -> str:
            return type(self.thing).__name__

    return ChatThing()


# --- what is entered ---

SYNC: dict[str, tuple[Callable[[], Any], str, Callable[[Any], bool] | None]] = {
    "client": (Client, "Client", lambda _: ["enter client", "exit client"] == LOG),
    "httpx": (httpx.Client, "Client", lambda client: client.is_closed),
    "requests": (requests.Session, "Session", None),
    "file": (Path(__file__).open, "TextIOWrapper", lambda file: file.closed),
    "closing": (lambda: contextlib.closing(Client()), "Client", lambda _: ["close client"] == LOG),
    "nullcontext": (lambda: contextlib.nullcontext("value"), "str", None),
    "exit stack": (contextlib.ExitStack, "ExitStack", None),
    "declared": (Declared, "str", lambda _: ["exit declared"] == LOG),
    # Entering these would acquire them, change their type, or wait for them: the value is what is returned.
    "lock": (threading.Lock, "lock", lambda lock: lock.acquire(blocking=False)),
    "rlock": (threading.RLock, "RLock", None),
    "semaphore": (lambda: threading.Semaphore(1), "Semaphore", lambda one: one.acquire(blocking=False)),
    "directory": (tempfile.TemporaryDirectory, "TemporaryDirectory", lambda directory: directory.cleanup() is None),
    "executor": (
        concurrent.futures.ThreadPoolExecutor,
        "ThreadPoolExecutor",
        lambda pool: pool.submit(int).result() == 0,
    ),
    "mock": (MagicMock, "MagicMock", lambda mock: not mock.__enter__.called),
    "async client": (AsyncClient, "AsyncClient", lambda _: not LOG),  # a sync resource cannot
    "data": (lambda: {"a": 1}, "dict", None),
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize(("make", "kind", "is_right_after"), SYNC.values(), ids=SYNC.keys())
def test_what_a_sync_method_returns(
    make: Callable[[], Any], kind: str, is_right_after: Callable[[Any], bool] | None, shared: bool
) -> None:
    """Contextlib's managers, and what is opened and closed, are entered; all else is the value as it is."""
    model: Any = model_of(lambda self: make(), shared=shared)
    assert kind == model.invoke("x").text
    assert kind == model.invoke("x", temperature=1.0).text
    value = model.thing
    model.close()
    del model
    gc.collect()
    assert is_right_after is None or is_right_after(value)


def test_an_open_database_is_entered_and_so_committed() -> None:
    """Leaving a database's connection commits, as its own `with` does; to have it closed, one yields it."""
    model: Any = model_of(lambda self: sqlite3.connect(":memory:"))
    connection = model.thing
    connection.execute("create table t (x)")
    connection.execute("insert into t values (1)")
    assert connection.in_transaction
    model.close()
    assert not connection.in_transaction


async def make_async_client(self: Any) -> AsyncClient:
    return AsyncClient()


async def make_httpx(self: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient()


async def make_aiohttp(self: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


async def make_sync_client(self: Any) -> Client:
    return Client()


async def make_aclosing(self: Any) -> Any:
    return contextlib.aclosing(AsyncClient())


async def make_lock(self: Any) -> asyncio.Lock:
    return asyncio.Lock()


async def make_mock(self: Any) -> AsyncMock:
    return AsyncMock()


ASYNC: list[tuple[Callable[[Any], Any], type, Callable[[Any], bool]]] = [
    (make_async_client, AsyncClient, lambda _: ["enter async", "exit async"] == LOG),
    (make_httpx, httpx.AsyncClient, lambda client: client.is_closed),
    (make_aiohttp, aiohttp.ClientSession, lambda session: session.closed),
    (make_sync_client, Client, lambda _: ["enter client", "exit client"] == LOG),
    (make_aclosing, AsyncClient, lambda _: ["close async"] == LOG),
    (make_lock, asyncio.Lock, lambda lock: not lock.locked()),
    (make_mock, AsyncMock, lambda mock: not mock.__aenter__.called),
]


@pytest.mark.parametrize(("make", "kind", "is_right_after"), ASYNC)
def test_what_an_async_method_returns(
    make: Callable[[Any], Any], kind: type, is_right_after: Callable[[Any], bool]
) -> None:
    """The same for async methods, when the model is closed, and when its event loop ends."""
    model: Any = model_of(make)

    async def use() -> Any:
        value = await model.thing
        assert value is await model.thing
        return value

    async def use_and_close() -> Any:
        value = await use()
        await model.aclose()
        return value

    for run in (use_and_close, use):
        LOG.clear()
        value = asyncio.run(run())
        assert isinstance(value, kind)
        assert is_right_after(value)


class ChatManaged(ChatModel):
    """Has resources under contextlib's decorators, in both colours, one made of the other."""

    url: str = "u"
    temperature: float = 0.0

    @resource(uses=("url",))
    @contextlib.contextmanager
    def pool(self) -> Iterator[str]:
        """A sync one."""
        LOG.append("open pool")
        try:
            yield f"pool {self.url}"
        finally:
            LOG.append("close pool")

    @resource
    @contextlib.contextmanager
    def table(self) -> Iterator[str]:
        """One that uses another."""
        LOG.append(f"open table in {self.pool}")
        yield "table"
        LOG.append("close table")

    @resource
    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[str]:
        """An async one, which uses a sync one."""
        LOG.append(f"open session in {self.table}")
        await asyncio.sleep(0)
        yield "session"
        await asyncio.sleep(0)
        LOG.append("close session")

    async def respond(self, request: Request, /) -> str:
        return f"{await self.session}, {self.table}, {self.pool}"


OPENED = ["open pool", "open table in pool u", "open session in table"]
CLOSED = ["close session", "close table", "close pool"]


def test_a_decorated_context_manager_is_entered_and_left_once_in_reverse_order(log: list[str]) -> None:
    """`@resource` over contextlib's decorators gives the value, and `close` leaves users before what they use."""
    model = ChatManaged()
    for _ in range(2):
        assert "session, table, pool u" == model.invoke("x").text
        assert "session, table, pool u" == model.invoke("x", temperature=1.0).text
    assert OPENED == log
    model.close()
    model.close()
    assert [*OPENED, *CLOSED] == log


async def test_the_same_in_an_event_loop(log: list[str]) -> None:
    """The same when all is used and closed in the caller's event loop; with other `uses`, another value is made."""
    model = ChatManaged()
    assert "session, table, pool u" == (await model.ainvoke("x")).text
    assert "session, table, pool v" == (await model.ainvoke("x", url="v")).text
    assert [*OPENED, "open pool"] == log
    await model.aclose()
    assert ["close session", "close pool", "close table", "close pool"] == log[len(OPENED) + 1 :]


def test_a_shared_context_manager_lives_as_long_as_its_last_user(log: list[str]) -> None:
    """With `shared=True` it is entered once for all models, and left when the last of them is gone."""

    class ChatShares(ChatModel):
        @resource(shared=True)
        @contextlib.contextmanager
        def weights(self) -> Iterator[str]:
            log.append("loaded")
            yield "weights"
            log.append("freed")

        def respond(self, request: Request, /) -> str:
            return self.weights

    one, other = ChatShares(), ChatShares()
    assert "weights" == one.invoke("x").text == other.invoke("x").text
    one.close()
    del one
    gc.collect()
    assert ["loaded"] == log
    del other
    gc.collect()
    assert ["loaded", "freed"] == log


def test_a_manager_that_fails_to_open_is_tried_again(log: list[str]) -> None:
    """An error while it is entered is the author's, and the next use tries again."""

    class ChatTries(ChatModel):
        @resource
        @contextlib.contextmanager
        def client(self) -> Iterator[str]:
            log.append("try")
            if len(log) < 2:
                raise ConnectionError("down")
            yield "up"

        def respond(self, request: Request, /) -> str:
            return self.client

    model = ChatTries()
    with pytest.raises(ConnectionError, match="down"):
        model.invoke("x")
    assert "up" == model.invoke("x").text


def test_an_ordinary_decorator_over_a_generator_changes_nothing(log: list[str]) -> None:
    """What `functools.wraps` keeps of a generator, sync or async, is enough."""

    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    class ChatTraced(ChatModel):
        @resource
        @traced
        def client(self) -> Iterator[str]:
            yield "client"
            log.append("closed")

        @resource
        @traced
        async def session(self) -> AsyncIterator[str]:
            yield "session"
            log.append("closed async")

        async def respond(self, request: Request, /) -> str:
            return f"{self.client} {await self.session}"

    model = ChatTraced()
    assert "client session" == model.invoke("x").text
    model.close()
    assert ["closed async", "closed"] == log


# --- what cannot be one ---


async def agenerator(self: Any) -> AsyncIterator[int]:
    yield 1


def generator(self: Any) -> Iterator[int]:
    yield 1


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "property": (lambda: resource(property(lambda self: 1)), "plain method.*got a property"),  # type: ignore[call-overload]
    "static": (lambda: resource(staticmethod(lambda self: 1)), "got a staticmethod"),
    "no self": (lambda: resource(lambda: 1), "called with the model alone"),  # type: ignore[call-overload, misc]
    "more": (lambda: resource(lambda self, url: 1), "called with the model alone"),  # type: ignore[call-overload, misc]
    "wrong colour": (lambda: resource(contextlib.contextmanager(agenerator)), "@contextmanager .*`def`"),  # type: ignore[arg-type]
    "other colour": (lambda: resource(contextlib.asynccontextmanager(generator)), "@asynccontextmanager .*`async def`"),  # type: ignore[arg-type]
    "no yield": (lambda: resource(contextlib.contextmanager(lambda self: 1)), "yields the value"),  # type: ignore[arg-type, return-value]
    "shared": (lambda: resource(shared=True)(contextlib.asynccontextmanager(agenerator)), "is for sync resources"),
    "shared async": (lambda: resource(shared=True)(agenerator), "is for sync resources"),
}


@pytest.mark.parametrize(("declare", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_a_resource_says_so_when_its_class_is_made(declare: Callable[[], Any], sentence: str) -> None:
    """A declaration that can never give a value is an error at once."""
    with pytest.raises(TypeError, match=sentence):
        declare()


def log_calls(made: Any) -> Any:
    """A decorator that uses `functools.wraps`."""

    @functools.wraps(made)
    def wrapper(self: Any) -> Any:
        return made(self)

    return wrapper


ABOVE: list[Any] = [contextlib.contextmanager, contextlib.asynccontextmanager, log_calls, property, staticmethod]
ABOVE += [classmethod, functools.cached_property, lambda made: contextlib.contextmanager(log_calls(made))]


@pytest.mark.parametrize("decorator", ABOVE)
def test_a_decorator_above_resource_is_refused_when_the_class_is_made(decorator: Any) -> None:
    """`@contextmanager` above `@resource`, in the wrong order, would hide the resource."""
    body = {"client": decorator(resource(generator)), "respond": lambda self, request: "x"}
    with pytest.raises(TypeError, match=r"client: another decorator stands above `@resource`.*comes first"):
        types.new_class("ChatHides", (ChatModel,), exec_body=lambda namespace: namespace.update(body))


def test_uses_names_fields() -> None:
    """`uses` with a name that the model lacks, and an annotated resource, are errors when the class is made."""
    with pytest.raises(TypeError, match=r"ChatWrong.client uses 'ulr'.*Did you mean 'url'"):

        class ChatWrong(ChatModel):
            url: str = "u"

            @resource(uses=("ulr",))
            def client(self) -> str:
                return "x"

            def respond(self, request: Request, /) -> str:
                return "x"

    with pytest.raises(TypeError, match=r"Write `uses=\('url',\)`"):
        resource(uses="url")(generator)  # type: ignore[arg-type, call-overload]
    with pytest.raises(TypeError, match=r"ChatField.client is a resource, and no setting"):

        class ChatField(ChatModel):
            client: Any = resource(generator)

            def respond(self, request: Request, /) -> str:
                return "x"


def test_an_async_value_of_a_plain_method_says_what_to_write() -> None:
    """A `def` that returns what only a coroutine can open is an error that says `async def`."""

    @contextlib.asynccontextmanager
    async def connect() -> AsyncIterator[str]:
        yield "x"

    with pytest.raises(TypeError, match=r"ChatThing\.thing returned a .*`async def`"):
        model_of(lambda self: connect()).invoke("x")
    with pytest.raises(TypeError, match=r"ChatThing\.thing returned a coroutine.*`async def`"):
        model_of(lambda model: make_lock(model)).invoke("x")  # noqa: PLW0108 - a plain function


# --- given in place of it ---


class Fake:
    """What a test gives."""

    name = "fake"

    def __enter__(self) -> Self:
        raise AssertionError("entered")

    def __exit__(self, *_: object) -> None:
        raise AssertionError("left")

    def close(self) -> None:
        raise AssertionError("closed")


class ChatClients(ChatModel):
    """Has a resource of each kind."""

    url: str = "u"

    @resource(uses=("url",))
    def client(self) -> Any:
        """A sync one."""
        LOG.append("made client")
        return Client(self.url)

    @resource(uses=("url",), shared=True)
    def weights(self) -> Any:
        """A shared one."""
        LOG.append("made weights")
        return Client(self.url)

    @resource(uses=("url",))
    async def session(self) -> Any:
        """An async one."""
        LOG.append("made session")
        return Client(self.url)

    async def respond(self, request: Request, /) -> str:
        return f"{self.client.name} {self.weights.name} {(await self.session).name}"


FAKES = ("client", "weights", "session")


def with_fakes(**settings: Any) -> Any:
    """A model that makes nothing itself."""
    return ChatClients(**{**{name: Fake() for name in FAKES}, **settings})


async def test_a_fake_is_used_on_every_path_and_never_torn_down(log: list[str]) -> None:
    """What is passed under a resource's name is used in its place, whatever `uses` says, and is left alone."""
    model = with_fakes()
    for given in ({}, {"url": "v"}):
        assert "fake fake fake" == (await model.ainvoke("x", **given)).text
        assert "fake fake fake" == (await asyncio.to_thread(model.invoke, "x", **given)).text
        assert "fake fake fake" == model.bind(**given).invoke("x").text
    await model.aclose()
    model.close()
    assert "fake fake fake" == model.invoke("x").text
    fake = Fake()
    assert fake is ChatClients(client=fake).client
    assert fake is await ChatClients(session=fake).session
    assert not log


def test_one_fake_leaves_the_others_to_be_made() -> None:
    """Only what is given is replaced."""
    model = ChatClients(client=Fake())
    assert "fake u u" == model.invoke("x").text
    assert "fake v v" == model.invoke("x", url="v").text
    model.close()


def test_copies_keep_a_fake_and_share_it(log: list[str]) -> None:
    """Every copy has the very same fake; `model_copy(update=...)` can give another."""
    model = with_fakes()
    copies = [
        copy.copy(model),
        copy.deepcopy(model),
        model.model_copy(update={"url": "w"}),
        model.model_copy(deep=True),
    ]
    assert all(one.client is model.client for one in copies)
    other = model.model_copy(update={"client": Client("other")})
    assert ("other fake fake", "fake fake fake") == (other.invoke("x").text, model.invoke("x").text)
    configurable = model.configurable_fields(url=ConfigurableField(id="url"))
    assert "fake fake fake" == configurable.invoke("x").text
    assert not log


def test_a_fake_is_seen_before_the_model_is_ready(log: list[str]) -> None:
    """Also validators, `model_post_init` and other resources get it; a model made meanwhile does not."""

    class ChatInner(ChatModel):
        @resource
        def client(self) -> str:
            return "inner"

        def respond(self, request: Request, /) -> str:
            return self.client

    class ChatOuter(ChatInner):
        def __init__(self, **settings: Any) -> None:
            super().__init__(**settings)
            self._after = self.client

        def model_post_init(self, context: Any, /) -> None:
            self._seen = f"{self.client} {ChatInner().client}"

        @resource
        def table(self) -> str:
            return f"table of {self.client}"

        def respond(self, request: Request, /) -> str:
            return f"{self._seen}, {self._after}, {self.table}"

    assert "fake inner, fake, table of fake" == ChatOuter(client="fake").invoke("x").text


def test_a_fake_is_shown_nowhere_and_is_no_setting() -> None:
    """It is in no field, repr, trace, dump, or parameter of a call."""
    model = with_fakes()
    assert not ChatClients.model_fields.keys() & {*FAKES}
    assert "ChatClients()" == repr(model)
    shown = [
        model._identifying_params,
        model._get_invocation_params(),
        model._serialized,
        model.model_dump(mode="json"),
    ]
    assert not any("Fake" in repr(one) or "client" in one for one in shown)
    assert ChatClients() != ChatClients(url="v")
    with pytest.raises(TypeError, match="no parameter 'client' that a call"):
        model.invoke("x", client=Fake())
    with pytest.raises(TypeError, match=r"no parameter 'clinet'.*Did you mean 'client'"):
        ChatClients(clinet=Fake())


def test_a_fake_has_cache_entries_of_its_own() -> None:
    """A fake shares no entry with the real one, nor with another fake; a model without one has the key that it had."""
    fake = Fake()
    keys = [ChatClients(client=one).cache_key() for one in (fake, fake, Fake())] + [ChatClients().cache_key()] * 2
    assert keys[0] == keys[1]
    assert 3 == len(set(keys))


def test_a_pickle_leaves_a_fake_behind_and_says_so() -> None:
    """A model from a pickle never takes the real one instead: its first use says what is missing."""
    model = with_fakes()
    pickled = pickle.dumps(model)
    assert b"Fake" not in pickled
    for loaded in (pickle.loads(pickled), pickle.loads(pickle.dumps(pickle.loads(pickled)))):
        with pytest.raises(RuntimeError, match=r"ChatClients was made with a `client`.*`ChatClients\(\.\.\., client="):
            loaded.invoke("x")
        with pytest.raises(RuntimeError, match="a `session` of its own"):
            asyncio.run(loaded.session)


def test_a_decorated_function_can_be_given_fakes() -> None:
    """A function's resource is a keyword of its model; two functions may share the declaration under two names."""

    @resource
    def connect(model: ChatModel) -> Client:
        return Client("real")

    @chat_model
    def ask(request: Request, *, client: Client = connect, n: int = 1) -> str:  # type: ignore[assignment]
        return client.name * n

    @chat_model
    def tell(request: Request, *, http: Client = connect) -> str:  # type: ignore[assignment]
        return http.name

    assert ("real", "real") == (ask().invoke("x").text, tell().invoke("x").text)
    assert "fake" == tell(http=Client("fake")).invoke("x").text
    assert "fakefake" == ask(client=Client("fake")).invoke("x", n=2).text
    assert ask().cache_key() != ask(client=Client("fake")).cache_key()


def test_a_coroutine_is_no_fake() -> None:
    """A coroutine, which can be awaited once, is refused when the model is made; nothing warns of it."""
    with pytest.raises(TypeError, match=r"`session` is a coroutine\. Await it first"):
        ChatClients(session=make_lock(None))


def test_what_langplug_s_own_models_hold_cannot_be_replaced() -> None:
    """The internal resources of our own models are no parameters."""
    with pytest.raises(TypeError, match="no parameter 'client'"):
        ChatEndpoint(model="m", client=object())
