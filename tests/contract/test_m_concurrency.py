"""Group M of the contract: concurrency, async, limits. Cancellation, timeouts, loops and forks: `tests/bridge`."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.paths import PATHS, Path
from tests.zoo import MakeModel

TEXTS = [f"text number {number}" for number in range(48)]


def test_m01_many_threads_on_one_instance(make_model: MakeModel) -> None:
    """16 threads on one instance each get the answer to their own question, whole and streamed."""
    model = make_model()
    with ThreadPoolExecutor(16) as pool:
        assert TEXTS == list(pool.map(lambda text: model.invoke(text).text, TEXTS))
        streamed = pool.map(lambda text: "".join(chunk.text for chunk in model.stream(text)), TEXTS)
        assert TEXTS == list(streamed)


async def test_m02_many_tasks_on_one_instance(make_model: MakeModel) -> None:
    """Concurrent `ainvoke`s on one instance do not mix up their answers."""
    model = make_model()
    assert TEXTS == [answer.text for answer in await asyncio.gather(*[model.ainvoke(text) for text in TEXTS])]


async def test_m02_interleaved_streams(make_model: MakeModel) -> None:
    """Streams read a chunk at a time in turns each give their own text."""
    model = make_model(mode="spell")
    streams = {text: model.astream(text) for text in TEXTS[:8]}
    read = dict.fromkeys(streams, "")
    while streams:
        for text, stream in list(streams.items()):
            chunk = await anext(stream, None)
            if chunk is None:
                del streams[text]
            else:
                read[text] += chunk.text
    assert {text: text for text in TEXTS[:8]} == read


def test_m02_interleaved_sync_streams(make_model: MakeModel) -> None:
    """The same for sync streams."""
    model = make_model(mode="spell")
    streams: dict[str, Iterator[object]] = {text: model.stream(text) for text in TEXTS[:8]}
    read = dict.fromkeys(streams, "")
    while streams:
        for text, stream in list(streams.items()):
            chunk = next(stream, None)
            if chunk is None:
                del streams[text]
            else:
                read[text] += chunk.text  # type: ignore[attr-defined]
    assert {text: text for text in TEXTS[:8]} == read


def test_parameters_of_one_call_do_not_reach_another(make_model: MakeModel) -> None:
    """Concurrent calls with parameters of their own each see theirs alone."""
    model = make_model()

    async def main() -> list[str]:
        answers = await asyncio.gather(*[model.ainvoke("x", suffix=f" {number}") for number in range(30)])
        return [answer.text for answer in answers]

    assert [f"x {number}" for number in range(30)] == asyncio.run(main())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: model.invoke("x", suffix=f" {number}").text, range(30)))
    assert [f"x {number}" for number in range(30)] == answers
    assert "x" == model.invoke("x").text


def test_m03_m04_one_instance_everywhere(make_model: MakeModel) -> None:
    """Sync use, several `asyncio.run`s, and several loops in threads at once, of one instance."""
    model = make_model()
    assert "first" == model.invoke("first").text

    async def some(name: str) -> list[str]:
        return [answer.text for answer in await asyncio.gather(*[model.ainvoke(f"{name} {n}") for n in range(4)])]

    for turn in range(3):
        assert [f"{turn} {n}" for n in range(4)] == asyncio.run(some(str(turn)))
    answers: dict[str, list[str]] = {}
    threads = [
        threading.Thread(target=lambda name=name: answers.update({name: asyncio.run(some(name))}))  # type: ignore[misc]
        for name in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {name: [f"{name} {n}" for n in range(4)] for name in "abcd"} == answers


@pytest.mark.usefixtures("no_blocking")
async def test_m05_no_path_blocks_the_loop(make_model: MakeModel) -> None:
    """On the async paths of every animal, langplug makes no blocking call."""
    model = make_model()
    assert "one two" == (await model.ainvoke("/slow one two")).text
    assert "one two" == "".join([chunk.text async for chunk in model.astream("/slow one two")])


async def test_m06_a_model_works_after_a_cancellation(make_model: MakeModel) -> None:
    """Cancelled calls leave the instance as it was."""
    model = make_model()
    tasks = [asyncio.ensure_future(model.ainvoke("/slow one two three")) for _ in range(8)]
    await asyncio.sleep(0.005)
    for task in tasks:
        task.cancel()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {asyncio.CancelledError} == {type(one) for one in ended}
    assert "hello" == (await model.ainvoke("hello")).text


@pytest.mark.parametrize("path", ["invoke", "stream", "v3"])
async def test_m09_sync_calls_inside_a_running_loop(make_model: MakeModel, path: str) -> None:
    """Sync calls work inside a running event loop, as in a notebook."""
    assert "hello" == PATHS[path](make_model(), "hello").text


def test_a_thread_without_a_loop_is_enough(make_model: MakeModel, call: Path) -> None:
    """Every path works from a thread that never had an event loop."""
    with ThreadPoolExecutor(1) as pool:
        assert "hello" == pool.submit(lambda: call(make_model(), "hello").text).result(30)
