"""`resource`: made when first used, once, shared by what agrees, torn down in order, and never the wrong one."""

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from langplug import ChatModel, Request, chat_model, resource

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
    """What was made and torn down, in order; what the test before left behind is gone by now."""
    gc.collect()
    end = time.monotonic() + 1
    while sum("made" in one for one in LOG) > sum("torn down" in one for one in LOG) and time.monotonic() < end:
        time.sleep(0.005)
    LOG.clear()
    return LOG


class Client:
    """What a resource gives."""

    def __init__(self, name: str) -> None:
        self.name = name


class ChatSync(ChatModel):
    """Has a sync resource."""

    path: str = "a"
    temperature: float = 0.0

    @resource(uses=("path",))
    def client(self) -> Iterator[Client]:
        """The client."""
        LOG.append(f"made {self.path}")
        yield Client(self.path)
        LOG.append(f"torn down {self.path}")

    def respond(self, request: Request, /) -> str:
        return f"{self.client.name} {id(self.client)}"


class ChatAsync(ChatModel):
    """Has an async resource, torn down by what follows its `yield`."""

    path: str = "a"

    @resource(uses=("path",))
    async def client(self) -> AsyncIterator[Client]:
        LOG.append(f"made {self.path}")
        await asyncio.sleep(0.01)
        yield Client(self.path)
        await asyncio.sleep(0)
        LOG.append(f"torn down {self.path}")

    async def respond(self, request: Request, /) -> str:
        client = await self.client
        return f"{client.name} {id(client)}"


class ChatShared(ChatModel):
    """Has a resource that all its instances share."""

    path: str = "a"
    key: SecretStr = SecretStr("k")

    @resource(uses=("path", "key"), shared=True)
    def weights(self) -> Iterator[Client]:
        LOG.append(f"loaded {self.path}")
        yield Client(f"{self.path} for {self.key.get_secret_value()}")
        LOG.append(f"freed {self.path}")

    def respond(self, request: Request, /) -> str:
        return self.weights.name


# --- when it is made ---


def test_it_is_made_when_first_used_and_once(log: list[str]) -> None:
    """Making a model makes no resource; the first use does, and every later one gets the same value."""
    model = ChatSync()
    assert [] == log
    answers = {model.invoke("x").text for _ in range(3)}
    assert (1, ["made a"]) == (len(answers), log)


def test_it_is_made_once_for_many_threads(log: list[str]) -> None:
    """Threads that ask for it at the same moment all get the one value."""
    model, start, got = ChatSync(), threading.Barrier(16), list[int]()

    def work() -> None:
        start.wait(20)
        got.append(id(model.client))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (1, ["made a"]) == (len(set(got)), log)


async def test_an_async_one_is_made_once_for_many_tasks(log: list[str]) -> None:
    """Tasks that ask for it at the same moment all get the one value of their loop."""
    model = ChatAsync()
    answers = await asyncio.gather(*[model.ainvoke("x") for _ in range(20)])
    assert (1, ["made a"]) == (len({answer.text for answer in answers}), log)
    await model.aclose()


def test_an_async_one_is_made_once_for_each_loop(log: list[str]) -> None:
    """Each event loop has its own, torn down by that loop before it ends; sync callers share one."""
    model = ChatAsync()
    for _ in range(2):
        asyncio.run(model.ainvoke("x"))
    assert ["made a", "torn down a"] * 2 == log
    assert model.invoke("x").text == model.invoke("y").text
    model.close()


def test_the_class_shows_what_is_declared() -> None:
    """On the class, the name gives the declaration with its docstring; it is not a field."""
    assert "The client." == ChatSync.client.__doc__
    assert "client" not in ChatSync.model_fields


def test_decorated_functions_have_them_too(log: list[str]) -> None:
    """A keyword-only parameter with a resource as its default gets the value."""

    @resource
    def made(model: Any) -> Client:
        LOG.append("made")
        return Client("of a function")

    @chat_model
    def speaker(request: Request, *, client: Any = made) -> str:
        return str(client.name)

    model = speaker()
    assert ["of a function"] * 2 == [model.invoke("x").text for _ in range(2)]
    assert ["made"] == log


# --- whose it is ---


def test_two_models_have_two(log: list[str]) -> None:
    """An instance's resource is its own."""
    assert ChatSync().invoke("x").text != ChatSync().invoke("x").text
    assert 2 == log.count("made a")


def test_a_copy_shares_what_its_settings_leave_alone(log: list[str]) -> None:
    """A copy with another temperature has the same client, one with another path its own."""
    model = ChatSync()
    same = model.model_copy(update={"temperature": 1.0})
    other = model.model_copy(update={"path": "b"})
    assert model.invoke("x").text == same.invoke("x").text == model.invoke("x", temperature=0.5).text
    assert "b" == other.invoke("x").text.split()[0]
    assert ["made a", "made b"] == log


def test_an_assignment_makes_another(log: list[str]) -> None:
    """After an assignment to a field that it uses, the value is another; back again, it is the first."""
    model = ChatSync()
    first = model.client
    model.path = "b"
    assert "b" == model.client.name
    model.path = "a"
    assert first is model.client


def test_a_call_can_make_another(log: list[str]) -> None:
    """A parameter given for one call counts."""
    model = ChatSync()
    assert ["a", "b", "a"] == [model.invoke("x", path=path).text.split()[0] for path in ("a", "b", "a")]
    assert ["made a", "made b"] == log


@pytest.mark.parametrize("where", ["constructor", "copy", "assignment"])
def test_models_with_different_secrets_never_share(where: str) -> None:
    """A client made with one key is never given to a model with another, though all keys look the same when shown."""
    first, second = ChatShared(key=SecretStr("alice")), ChatShared(key=SecretStr("bob"))
    assert "a for alice" == first.invoke("x").text
    if where == "copy":
        second = first.model_copy(update={"key": SecretStr("bob")})
    elif where == "assignment":
        first.key = SecretStr("bob")
        second = first
    assert "a for bob" == second.invoke("x").text


def test_secrets_within_other_values_count() -> None:
    """Secrets inside a mapping or a list tell values apart too."""

    class ChatHeaders(ChatModel):
        headers: dict[str, list[SecretStr]]

        @resource(uses=("headers",), shared=True)
        def client(self) -> str:
            return self.headers["auth"][0].get_secret_value()

        def respond(self, request: Request, /) -> str:
            return self.client

    models = [ChatHeaders(headers={"auth": [SecretStr(who)]}) for who in ("alice", "bob", "alice")]
    assert ["alice", "bob", "alice"] == [model.invoke("x").text for model in models]


def test_shared_ones_are_made_once_for_all_that_agree(log: list[str]) -> None:
    """Instances that agree share heavy weights; others have their own; freed when the last is gone."""
    models = [ChatShared(path=path) for path in ("a", "b", "a", "b")]
    for model in models:
        model.invoke("x")
    assert ["loaded a", "loaded b"] == log
    del models[:2], model
    gc.collect()
    assert ["loaded a", "loaded b"] == log
    models.clear()
    gc.collect()
    assert {"freed a", "freed b"} == set(log[2:])


def test_classes_of_the_same_name_do_not_share() -> None:
    """A class defined anew, as in a notebook, does not get the values of the old one."""

    def define(text: str) -> type[ChatModel]:
        class ChatCell(ChatModel):
            @resource(shared=True)
            def weights(self) -> str:
                return text

            def respond(self, request: Request, /) -> str:
                return self.weights

        return ChatCell

    old, new = define("old")(), define("new")()
    assert ("old", "new") == (old.invoke("x").text, new.invoke("x").text)


# --- tearing down ---


def test_it_goes_with_its_model(log: list[str]) -> None:
    """When a model and its copies are gone, what follows the `yield` runs."""
    model = ChatSync()
    model.invoke("x")
    copied = model.model_copy()
    del model
    gc.collect()
    assert ["made a"] == log
    del copied
    gc.collect()
    assert ["made a", "torn down a"] == log


def test_closing_tears_down_and_later_use_makes_anew(log: list[str]) -> None:
    """`close` tears down at once; the model can still be used."""
    model = ChatSync()
    model.invoke("x")
    model.close()
    model.close()
    assert ["made a", "torn down a"] == log
    model.invoke("x")
    assert ["made a", "torn down a", "made a"] == log


def test_closing_leaves_what_others_share(log: list[str]) -> None:
    """`close` of one of two models that share leaves the value to the other."""
    first, second = ChatShared(), ChatShared()
    first.invoke("x")
    second.invoke("x")
    first.close()
    gc.collect()
    assert ["loaded a"] == log
    second.close()
    gc.collect()
    assert ["loaded a", "freed a"] == log


async def test_aclose_tears_down_what_belongs_to_the_loop(log: list[str]) -> None:
    """`aclose` waits until the running loop's async resource is torn down, what follows its `yield` included."""
    model = ChatAsync()
    await model.ainvoke("x")
    await model.aclose()
    assert ["made a", "torn down a"] == log
    await model.ainvoke("x")
    await model.aclose()
    assert ["made a", "torn down a"] * 2 == log


async def test_a_dropped_model_gives_back_its_async_ones(log: list[str]) -> None:
    """When a model is gone, its loop tears its async resources down."""
    model = ChatAsync()
    await model.ainvoke("x")
    del model
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert ["made a", "torn down a"] == log


async def test_a_model_in_a_circle_gives_back_its_async_ones_too(
    log: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that the garbage collector finds leaves the tearing down to the loop, and makes no noise."""
    noise: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", noise.append)
    circle: list[Any] = [ChatAsync()]
    circle.append(circle)
    await circle[0].ainvoke("x")
    del circle
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert ["made a", "torn down a"] == log
    assert [] == noise


def test_close_reaches_the_sync_callers_loop(log: list[str]) -> None:
    """`close` tears down what sync calls made on langplug's own loop."""
    model = ChatAsync()
    model.invoke("x")
    model.close()
    end = time.monotonic() + 10
    while log[-1] != "torn down a" and time.monotonic() < end:
        time.sleep(0.005)
    assert ["made a", "torn down a"] == log


@pytest.mark.parametrize("form", ["finally", "with"])
def test_the_usual_forms_work(form: str, log: list[str]) -> None:
    """`try: yield ... finally:` and `with ...: yield` tear down once, exactly as the plain form."""

    class Context:
        def __enter__(self) -> str:
            return "value"

        def __exit__(self, *_: object) -> None:
            LOG.append("closed")

    class ChatForms(ChatModel):
        @resource
        def client(self) -> Iterator[str]:
            if form == "with":
                with Context() as value:
                    yield value
            else:
                try:
                    yield "value"
                finally:
                    LOG.append("closed")

        def respond(self, request: Request, /) -> str:
            return self.client

    model = ChatForms()
    assert "value" == model.invoke("x").text
    model.close()
    assert ["closed"] == log


AT_EXIT = """
from langplug import ChatModel, resource

class ChatAtExit(ChatModel):
    @resource
    def client(self):
        yield "client"
        print("torn down")

    def respond(self, request):
        return self.client

model = ChatAtExit()
print(model.invoke("x").text)
"""


def test_it_goes_at_exit() -> None:
    """A model that lives to the end has its resources torn down by the interpreter's exit."""
    done = subprocess.run([sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=False)
    assert ("client\ntorn down\n", "") == (done.stdout, done.stderr)


# --- resources that use resources ---


class ChatNested(ChatModel):
    """A session needs the weights."""

    path: str = "a"

    @resource(uses=("path",))
    def weights(self) -> Iterator[Client]:
        LOG.append("loaded")
        client = Client("weights")
        yield client
        client.name = "freed"
        LOG.append("freed")

    @resource
    def session(self) -> list[Client]:
        return [self.weights]

    @resource
    def server(self) -> Iterator[list[Client]]:
        LOG.append("up")
        yield [self.weights]
        LOG.append(f"down with {self.weights.name}")

    def respond(self, request: Request, /) -> str:
        gc.collect()
        return f"{self.session[0].name} {self.server[0].name} {self.session[0] is self.weights}"


def test_a_resource_may_use_another(log: list[str]) -> None:
    """The other one is the same that the model has, lives as long as what uses it, and is torn down after it."""
    model = ChatNested()
    assert "weights weights True" == model.invoke("x").text
    assert ["loaded", "up"] == log
    del model
    gc.collect()
    assert ["loaded", "up", "down with weights", "freed"] == log


def test_closing_goes_from_users_to_used(log: list[str]) -> None:
    """`close` tears the user down before what it uses, in whatever order they were first asked for."""
    model = ChatNested()
    assert "weights" == model.weights.name
    model.invoke("x")
    model.close()
    assert ["loaded", "up", "down with weights", "freed"] == log


async def test_async_resources_may_use_each_other(log: list[str]) -> None:
    """An async resource may await another one of its model; they go in reverse order."""

    class ChatNestedAsync(ChatModel):
        @resource
        async def session(self) -> AsyncIterator[str]:
            yield "session"
            await asyncio.sleep(0)
            LOG.append("session gone")

        @resource
        async def api(self) -> AsyncIterator[str]:
            yield f"api over {await self.session}"
            await asyncio.sleep(0)
            LOG.append("api gone")

        async def respond(self, request: Request, /) -> str:
            return f"{await self.api}, {await self.session}"

    model = ChatNestedAsync()
    assert "api over session, session" == (await model.ainvoke("x")).text
    await model.aclose()
    assert ["api gone", "session gone"] == log


# --- what goes wrong ---


def test_a_failure_is_raised_and_tried_again(log: list[str]) -> None:
    """An error while it is made reaches the caller; the next use tries again."""

    class ChatFlaky(ChatModel):
        @resource
        def client(self) -> Iterator[str]:
            LOG.append("try")
            if len(LOG) == 1:
                raise ConnectionError("not yet")
            yield "client"

        def respond(self, request: Request, /) -> str:
            return self.client

    model = ChatFlaky()
    with pytest.raises(ConnectionError, match="not yet"):
        model.invoke("x")
    assert "client" == model.invoke("x").text


async def test_an_async_failure_is_raised_and_tried_again(log: list[str]) -> None:
    """The same for an async one; all that waited for it get the error."""

    class ChatFlaky(ChatModel):
        @resource
        async def client(self) -> AsyncIterator[str]:
            LOG.append("try")
            await asyncio.sleep(0.01)
            if len(LOG) == 1:
                raise ConnectionError("not yet")
            yield "client"

        async def respond(self, request: Request, /) -> str:
            return await self.client

    model = ChatFlaky()
    failed = await asyncio.gather(*[model.ainvoke("x") for _ in range(3)], return_exceptions=True)
    assert ["not yet"] * 3 == [str(error) for error in failed]
    assert "client" == (await model.ainvoke("x")).text
    await model.aclose()


async def test_a_cancelled_first_caller_does_not_cancel_the_others(log: list[str]) -> None:
    """Whoever asked first and is cancelled leaves the value, still in the making, to those who wait too."""
    model = ChatAsync()
    first = asyncio.ensure_future(model.ainvoke("x"))
    await asyncio.sleep(0.002)
    second = asyncio.ensure_future(model.ainvoke("x"))
    await asyncio.sleep(0.002)
    first.cancel()
    assert (await second).text.startswith("a ")
    assert ["made a"] == log
    await model.aclose()


class ChatEmpty(ChatModel):
    """Its resource forgets to yield."""

    @resource
    def client(self) -> Iterator[str]:
        yield from ()

    def respond(self, request: Request, /) -> str:
        return self.client


class ChatEmptyAsync(ChatModel):
    """Its resource forgets to yield."""

    @resource
    async def client(self) -> AsyncIterator[str]:
        for text in list[str]():
            yield text

    async def respond(self, request: Request, /) -> str:
        return await self.client


@pytest.mark.parametrize("make", [ChatEmpty, ChatEmptyAsync])
def test_one_that_yields_nothing_says_so(make: Callable[[], ChatModel]) -> None:
    """A resource that ends without a `yield` is named in the error."""
    with pytest.raises(RuntimeError, match=r"Chat\w+\.client ended without a `yield`"):
        make().invoke("x")


def test_an_async_one_cannot_be_shared() -> None:
    """`shared=True` for an async resource is refused where it is declared."""
    with pytest.raises(TypeError, match="shared=True"):

        @resource(shared=True)
        async def client(self: Any) -> str:
            return "client"


def test_one_that_fails_to_go_does_not_keep_the_others() -> None:
    """An error while one async resource is torn down leaves the others their turn."""

    class ChatStubborn(ChatModel):
        @resource
        async def first(self) -> AsyncIterator[str]:
            yield "first"
            LOG.append("first gone")

        @resource
        async def second(self) -> AsyncIterator[str]:
            yield "second"
            raise OSError("stuck")

        async def respond(self, request: Request, /) -> str:
            return await self.first + await self.second

    async def main() -> None:
        model = ChatStubborn()
        await model.ainvoke("x")
        with pytest.raises(OSError, match="stuck"):
            await model.aclose()

    asyncio.run(main())
    assert ["first gone"] == LOG


# --- copies, pickles, forks ---


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("make", [ChatSync, ChatAsync])
def test_it_is_never_copied(make: Callable[[], ChatModel], again: Callable[[ChatModel], ChatModel]) -> None:
    """A deep copy or a pickle of a used model makes its own."""
    model = make()
    first = model.invoke("x").text
    copied = again(model)
    assert first != copied.invoke("x").text
    assert first == model.invoke("x").text
    model.close()
    copied.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
@pytest.mark.parametrize("used_in_child", [True, False])
def test_a_child_makes_its_own_and_leaves_its_parents_alone(used_in_child: bool, tmp_path: Any) -> None:
    """A forked child makes its own value, and tears its parent's down neither in use nor as it goes."""
    path = str(tmp_path / "log")
    script = FORKING.format(path=path, used=used_in_child)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ("", "True\n" * (1 + used_in_child)) == (done.stderr, done.stdout)
    assert (["child"] if used_in_child else []) + ["parent"] == Path(path).read_text().split()


FORKING = """
import gc, os, sys, warnings
from langplug import ChatModel, resource
warnings.simplefilter("ignore")
parent = os.getpid()

class ChatForked(ChatModel):
    @resource
    def client(self):
        made = os.getpid()
        try:
            yield made
        finally:
            with open({path!r}, "a") as file:
                whose = "parent" if made == parent else "child"
                file.write((whose if os.getpid() == made else "wrong") + " ")

    def respond(self, request):
        return str(self.client)

model = ChatForked()
model.invoke("x")
child = os.fork()
if not child:
    if {used}:
        print(model.invoke("x").text == str(os.getpid()))
        model.close()
    del model
    gc.collect()
    sys.exit()
os.waitpid(child, 0)
print(model.invoke("x").text == str(parent))
"""
