"""The long-lived loop: async models for sync callers, wherever these are."""

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from langplug import ChatModel, Request
from langplug._bridge.loop import LoopThread


class ChatAsync(ChatModel):
    """Answers with the loop that it runs on, and where."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield f"{id(asyncio.get_running_loop())} "
        await asyncio.sleep(0)
        yield threading.current_thread().name


def test_all_sync_callers_share_one_loop() -> None:
    """Calls from any thread run on the same loop, so that an async client's connections last."""
    model = ChatAsync()
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(lambda _: model.invoke("x").text, range(32)))
    assert {model.invoke("x").text} == answers
    assert answers.pop().endswith("langplug-loop-0")


async def test_a_sync_call_within_a_running_loop() -> None:
    """Inside a running loop, as in a notebook, `invoke` and `stream` of an async model work, on another loop."""
    answer = ChatAsync().invoke("x").text
    assert answer == "".join(chunk.text for chunk in ChatAsync().stream("x"))
    assert str(id(asyncio.get_running_loop())) not in answer


async def test_an_async_call_runs_on_the_callers_own_loop() -> None:
    """An async caller's loop runs an async model itself."""
    assert (await ChatAsync().ainvoke("x")).text.startswith(str(id(asyncio.get_running_loop())))


# --- nesting ---


class ChatCalls(ChatModel):
    """An async model that calls another one synchronously, and so blocks its loop."""

    inner: ChatModel

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield f"{threading.current_thread().name}>"
        yield self.inner.invoke(request.text).text


class ChatSync(ChatModel):
    """A sync model that calls another one."""

    inner: ChatModel

    def respond(self, request: Request, /) -> Iterator[str]:
        yield "sync>"
        yield self.inner.invoke(request.text).text


class ChatBatch(ChatModel):
    """A model that calls another one from several threads, and waits for them."""

    inner: ChatModel

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield "batch>"
        for answer in self.inner.batch([request.text] * 4):
            yield answer.text + ","


class ChatLeaf(ChatModel):
    """Says hello."""

    async def respond(self, request: Request, /) -> str:
        await asyncio.sleep(0)
        return "leaf"


def test_async_models_may_call_async_models_synchronously() -> None:
    """Each level of nesting runs on a loop of its own: none waits for itself."""
    model = ChatCalls(inner=ChatCalls(inner=ChatLeaf()))
    assert "langplug-loop-0>langplug-loop-1>leaf" == model.invoke("x").text
    assert "langplug-loop-0>langplug-loop-1>leaf" == "".join(chunk.text for chunk in model.stream("x"))


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(ChatCalls(inner=ChatSync(inner=ChatLeaf())), "sync>leaf", id="through a sync model"),
        pytest.param(ChatCalls(inner=ChatSync(inner=ChatLeaf(), timeout=20)), "sync>leaf", id="through a thread"),
        pytest.param(ChatBatch(inner=ChatLeaf()), "batch>leaf,leaf,leaf,leaf,", id="through batch"),
        pytest.param(
            ChatBatch(inner=ChatBatch(inner=ChatLeaf())), "batch>" + 4 * ("batch>" + 4 * "leaf," + ","), id="twice"
        ),
    ],
)
def test_a_loop_is_never_waited_for_by_what_it_waits_for(model: ChatModel, expected: str) -> None:
    """A blocked loop is not asked again, by whatever threads the call reaches it."""
    assert model.invoke("x").text.endswith(expected)


async def test_nesting_within_a_running_loop() -> None:
    """The same from inside a running loop, where the first level runs on the caller's own."""
    answer = (await ChatCalls(inner=ChatCalls(inner=ChatLeaf())).ainvoke("x")).text
    assert answer.endswith(">langplug-loop-0>leaf")


# --- contexts ---

WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class ChatContext(ChatModel):
    """Says who asks, and what it set itself between two pieces."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield WHO.get()
        WHO.set("the model")
        yield WHO.get()
        await asyncio.sleep(0)
        yield WHO.get()


def test_the_callers_context_reaches_an_async_model() -> None:
    """A sync caller's context variables are seen on the loop; what the model sets is the model's alone."""
    token = WHO.set("a caller")
    try:
        assert ["a caller", "the model", "the model"] == [
            chunk.text for chunk in ChatContext().stream("x") if chunk.text
        ]
        assert "a caller" == WHO.get()
    finally:
        WHO.reset(token)


# --- the end ---


async def forever(log: list[str]) -> None:
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0.01)
        log.append("cleaned up")


def test_stopping_a_loop_lets_it_clean_up() -> None:
    """What runs on a loop that is stopped is cancelled, and its clean-up awaited; then the thread ends."""
    loop_thread, log = LoopThread(0), list[str]()
    work = loop_thread.submit(forever(log), contextvars.copy_context())
    time.sleep(0.02)
    loop_thread.stop()
    assert ["cleaned up"] == log
    with pytest.raises(asyncio.CancelledError):
        work.result(5)


def test_what_is_stopped_before_it_began_does_not_run() -> None:
    """Work that is stopped at once ends without a warning."""
    loop_thread, log = LoopThread(0), list[str]()
    try:
        for _ in range(50):
            loop_thread.submit(forever(log), contextvars.copy_context()).stop()
    finally:
        loop_thread.stop()


def test_stopping_waits_for_the_clean_up() -> None:
    """Whoever stops its own piece of work on the loop finds it cleaned up."""
    loop_thread, log = LoopThread(0), list[str]()
    try:
        work = loop_thread.submit(forever(log), contextvars.copy_context())
        time.sleep(0.02)
        work.stop()
        assert ["cleaned up"] == log
    finally:
        loop_thread.stop()


def test_what_would_end_the_program_reaches_its_caller_alone() -> None:
    """A coroutine on the loop that raises SystemExit or the like ends neither the loop nor what others run there."""

    async def leave(error: BaseException) -> None:
        raise error

    async def stay() -> str:
        await asyncio.sleep(0)
        return "here"

    loop_thread = LoopThread(0)
    try:
        for error in (SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), ValueError("no")):
            work = loop_thread.submit(leave(error), contextvars.copy_context())
            other = loop_thread.submit(stay(), contextvars.copy_context())
            with pytest.raises(type(error)):
                work.result(5)
            assert "here" == other.result(5)
    finally:
        loop_thread.stop()


EXITING = """
import asyncio
from langplug import ChatModel, resource

class ChatAtExit(ChatModel):
    @resource
    async def client(self):
        yield "client"
        await asyncio.sleep(0.01)
        print("torn down", flush=True)

    async def respond(self, request):
        try:
            yield await self.client
            await asyncio.sleep(3600)
        finally:
            print("closed", flush=True)

model = ChatAtExit()
stream = model.stream("x")
print(next(stream).text, flush=True)
"""


def test_the_loop_is_shut_down_at_exit() -> None:
    """At the interpreter's end, open answers are closed and async resources torn down, in silence."""
    done = subprocess.run([sys.executable, "-c", EXITING], capture_output=True, text=True, timeout=50, check=False)
    assert (0, "client\nclosed\ntorn down\n", "") == (done.returncode, done.stdout, done.stderr)
