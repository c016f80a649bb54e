"""One instance on many event loops, in many threads and processes, with a thousand streams at once."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from typing import Any

import pytest
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import beta_allowed

from langplug.models import ChatEndpoint
from langplug_backend import Backend, Reply

WORDS = Reply(pieces=("word ",) * 5, pace=0.002)


@pytest.fixture(autouse=True)
def no_noise() -> Any:
    """Whatever asyncio or aiohttp complains of when it is collected, fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


async def read(model: ChatEndpoint, prompt: str = "x") -> str:
    return "".join([chunk.text async for chunk in model.astream(prompt)])


def test_one_instance_in_one_loop_after_the_other(backend: Backend, make: MakeEndpoint) -> None:
    """`asyncio.run(model.ainvoke(...))` works again and again on one instance, streamed or not, as do sync calls."""
    model = make()
    for number in range(20):
        assert f"{number}" == asyncio.run(model.ainvoke(f"{number}")).text
        assert f"{number}" == asyncio.run(read(model, f"{number}"))
        assert f"{number}" == model.invoke(f"{number}").text
    model.close()
    assert backend.all_closed()


@pytest.mark.parametrize("way", ["left", "dropped", "pending"])
def test_a_loop_that_ends_over_a_stream_does_no_harm(backend: Backend, make: MakeEndpoint, way: str) -> None:
    """A stream that was abandoned as its loop ended is closed, and does not disturb the next loop."""
    model = make()

    async def abandon() -> None:
        backend.reply = Reply(pieces=("word ",) * 400, pace=0.005)
        stream = model.astream("x")
        await anext(stream)
        if way == "left":
            await stream.aclose()  # type: ignore[attr-defined]
        elif way == "pending":
            asyncio.current_task().kept = (stream, asyncio.ensure_future(anext(stream)))  # type: ignore[union-attr, attr-defined, arg-type]
            await asyncio.sleep(0)

    for _ in range(5):
        asyncio.run(abandon())
        backend.reply = "again"
        assert "again" == asyncio.run(model.ainvoke("x")).text
    gc.collect()
    assert backend.all_ended()
    assert {"client_gone", "complete"} == {chat.outcome for chat in backend.chats}
    model.close()
    assert backend.all_closed()


DROPPED = """
import asyncio, gc, sys
from langplug.models import ChatEndpoint

async def main():
    model = ChatEndpoint(model="m-1", base_url=sys.argv[1])
    await model.ainvoke("x")
    cycle = [model]
    cycle.append(cycle)
    del model, cycle
    gc.collect()
    await asyncio.sleep(0.1)

asyncio.run(main())
"""


def test_a_model_that_is_dropped_closes_its_connections(backend: Backend) -> None:
    """A model that only the garbage collector finds, on a loop that goes on, closes its connections without a word."""
    command = [sys.executable, "-W", "always", "-c", DROPPED, backend.openai_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (0, "") == (done.returncode, done.stderr)


def test_a_loop_that_is_used_in_turns(backend: Backend, make: MakeEndpoint) -> None:
    """A loop that stands still between calls, as in a notebook, works."""
    model = make()
    loop = asyncio.new_event_loop()
    try:
        for _ in range(5):
            assert "x" == loop.run_until_complete(read(model))
            time.sleep(0.01)
        loop.run_until_complete(model.aclose())
    finally:
        loop.close()
    assert backend.all_closed()


def test_four_threads_with_a_loop_each(backend: Backend, make: MakeEndpoint) -> None:
    """Four threads with event loops of their own, 25 calls each, use one instance, and so does a sync caller."""
    model = make()
    backend.reply = lambda asked: Reply(pieces=(asked.text, " ", "answered"), pace=0.001)
    errors: list[BaseException] = []

    async def calls(thread: int) -> None:
        for number in range(5):
            names = [f"{thread}.{number}.{one}" for one in range(5)]
            whole = [model.ainvoke(name) for name in names[:3]]
            streams = [read(model, name) for name in names[3:]]
            answers: list[Any] = await asyncio.gather(*whole, *streams)
            said = [one if isinstance(one, str) else one.text for one in answers]
            assert [f"{name} answered" for name in names] == said

    def work(thread: int) -> None:
        try:
            asyncio.run(calls(thread))
        except BaseException as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        assert f"s{number} answered" == model.invoke(f"s{number}").text
    for thread in threads:
        thread.join(30)
    assert [] == errors
    assert 110 == len(backend.chats)
    model.close()
    assert backend.all_closed()


@pytest.mark.usefixtures("no_blocking")
async def test_sync_calls_inside_a_running_loop(backend: Backend, make: MakeEndpoint) -> None:
    """`invoke` and `stream` work where an event loop runs, as in a notebook, before and after async calls."""
    model = make()
    assert "a" == (await model.ainvoke("a")).text
    assert "b" == await asyncio.to_thread(lambda: model.invoke("b").text)
    await model.aclose()


def test_sync_calls_in_the_loops_own_thread(backend: Backend, make: MakeEndpoint) -> None:
    """Called from a coroutine itself, `invoke` blocks, but answers."""
    model = make()

    async def main() -> list[str]:
        return [model.invoke("a").text, "".join(chunk.text for chunk in model.stream("b")), await read(model, "c")]

    assert ["a", "b", "c"] == asyncio.run(main())


async def test_a_thousand_streams_at_once(backend: Backend, make: MakeEndpoint) -> None:
    """1,000 concurrent streams in one process are all answered, each with its own, and nothing is left of them."""
    backend.reply = lambda asked: Reply(pieces=(asked.text, " one", " two"), first=0.3, pace=0.05)
    model = make()
    before = backend.connections_made
    answers = await asyncio.gather(*(read(model, f"no. {number}") for number in range(1000)))
    assert [f"no. {number} one two" for number in range(1000)] == answers
    assert 1000 == backend.connections_made - before
    assert {asyncio.current_task()} == asyncio.all_tasks()
    await model.aclose()
    assert await asyncio.to_thread(backend.all_closed, 10)


@pytest.mark.usefixtures("no_blocking")
@pytest.mark.parametrize("way", ["ainvoke", "astream", "v3"])
async def test_the_loop_is_never_blocked(backend: Backend, make: MakeEndpoint, way: str) -> None:
    """No async path blocks the event loop: no file is read, no lock waited for, nothing slept."""
    backend.reply = WORDS
    model = make(api_key="sk-x", auth=None)
    if way == "ainvoke":
        assert "word " * 5 == (await model.ainvoke("x")).text
    elif way == "astream":
        assert "word " * 5 == await read(model)
    else:
        with beta_allowed():
            async with await model.astream_events("x", version="v3") as stream:
                assert "word " * 5 == "".join([piece async for piece in stream.text])
    await model.aclose()


def test_batches_keep_their_order(backend: Backend, make: MakeEndpoint) -> None:
    """`batch` and `abatch` answer each prompt in its place, all at once."""
    backend.reply = lambda asked: Reply(text=f"re {asked.text}", first=0.5)
    model = make()
    prompts = [f"{number}" for number in range(24)]
    assert [f"re {one}" for one in prompts] == [answer.text for answer in model.batch(prompts)]
    began = time.monotonic()
    assert [f"re {one}" for one in prompts] == [answer.text for answer in asyncio.run(model.abatch(prompts))]
    assert time.monotonic() - began < 24 * 0.5


def test_one_failure_of_a_batch_is_its_own(backend: Backend, make: MakeEndpoint) -> None:
    """With `return_exceptions`, one request that fails leaves the others their answers."""
    model = make()
    answers: list[Any] = model.batch(["one", "[[status 400]]", "three"], return_exceptions=True)
    assert ["one", "ModelInvalidRequestError", "three"] == [
        getattr(answer, "text", None) or type(answer).__name__ for answer in answers
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_process_asks_by_itself(backend: Backend, make: MakeEndpoint) -> None:
    """After a fork, parent and child both go on to use the model, each with connections of its own."""
    model = make()
    model.invoke("before")
    made = backend.connections_made
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            whole = model.invoke("child").text
            code = 0 if (whole, asyncio.run(read(model, "child"))) == ("child", "child") else 2
        finally:
            os._exit(code)
    assert "parent" == model.invoke("parent").text
    deadline = time.monotonic() + 20
    status = None
    while status is None and time.monotonic() < deadline:
        done, code = os.waitpid(pid, os.WNOHANG)
        status = code if done else None
        time.sleep(0.01)
    if status is None:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    assert 0 == status
    assert backend.connections_made - made == 2
    assert "after" == model.invoke("after").text
