"""After a fork the child has none of its parent's threads, and the parent's models work in it all the same."""

import asyncio
import os
import signal
import time
import traceback
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
from tests.paths import PATHS

from langplug import ChatModel, Request

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning"),
]


class ChatSync(ChatModel):
    """Says it back."""

    def respond(self, request: Request, /) -> Iterator[str]:
        yield from request.text


class ChatAsync(ChatModel):
    """Says it back."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        for letter in request.text:
            yield letter


def in_child(work: Callable[[], object]) -> str:
    """Do `work` in a forked child; return "done", or what went wrong there."""
    read, write = os.pipe()
    if not (child := os.fork()):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(40)  # one that hangs ends, and says nothing
        try:
            work()
            os.write(write, b"done")
        except BaseException:  # noqa: BLE001 - the child must never come back
            os.write(write, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        complaint = pipe.read().decode()
    os.waitpid(child, 0)
    return complaint


def answer_on_all_paths(model: ChatModel) -> None:
    for name, path in PATHS.items():
        assert path(model, "hello").text == "hello", name


@pytest.mark.parametrize("make", [ChatSync, ChatAsync])
@pytest.mark.parametrize("timeout", [None, 30])
def test_a_used_model_answers_in_a_child(make: Callable[..., ChatModel], timeout: float | None) -> None:
    """An instance used before the fork answers after it, on every path, in the child and in the parent."""
    model = make(timeout=timeout)
    answer_on_all_paths(model)
    assert "done" == in_child(lambda: answer_on_all_paths(model))
    answer_on_all_paths(model)


@pytest.mark.parametrize("make", [ChatSync, ChatAsync])
def test_an_unused_model_answers_in_a_child(make: Callable[..., ChatModel]) -> None:
    """An instance made before the fork and first used after it answers."""
    model = make()
    assert "done" == in_child(lambda: answer_on_all_paths(model))


class ChatSlow(ChatModel):
    """Takes its time."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        for letter in request.text:
            await asyncio.sleep(0.01)
            yield letter


def test_a_fork_in_the_middle_of_an_answer() -> None:
    """With an answer under way, the child can use the model, and the parent's answer comes to its end."""
    model = ChatSlow()
    stream = model.stream("hello")
    begun = next(stream).text
    assert "done" == in_child(lambda: answer_on_all_paths(model))
    assert "hello" == begun + "".join(chunk.text for chunk in stream)


async def test_a_fork_inside_a_running_loop() -> None:
    """A child forked from a coroutine can use the model synchronously."""
    model = ChatAsync()
    assert "hello" == (await model.ainvoke("hello")).text
    assert "done" == in_child(lambda: str(model.invoke("hello").text == "hello"))
    assert "hello" == (await model.ainvoke("hello")).text


def test_forks_while_threads_are_busy() -> None:
    """Whatever the parent's threads are doing at the moment of the fork, the child does not wait for them."""
    sync, slow = ChatSync(), ChatSlow()

    async def main() -> list[str]:
        streams = [asyncio.ensure_future(slow.ainvoke("x" * 30)) for _ in range(10)]
        streams += [asyncio.ensure_future(sync.ainvoke("y" * 3000)) for _ in range(10)]
        complaints: list[str] = []
        for _ in range(5):
            await asyncio.sleep(0.005)
            complaints.append(await asyncio.to_thread(in_child, lambda: answer_on_all_paths(sync)))
        await asyncio.gather(*streams)
        return complaints

    started = time.monotonic()
    assert ["done"] * 5 == asyncio.run(main())
    assert time.monotonic() - started < 40
