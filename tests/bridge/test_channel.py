"""The channel: everything arrives, in order, and a producer is never far ahead."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug._bridge.channel import Channel

Pauses = list[bool]
"""Whether to pause before each step, so that the other side gets ahead."""

PAUSES = st.lists(st.booleans(), max_size=30)

# --- one side each, in both colours ---


def produce(channel: Channel[int], count: int, pauses: Pauses) -> None:
    for number in range(count):
        if number < len(pauses) and pauses[number]:
            time.sleep(0.0002)
        if not channel.put(number):
            return
    channel.finish()


async def aproduce(channel: Channel[int], count: int, pauses: Pauses) -> None:
    for number in range(count):
        if number < len(pauses) and pauses[number]:
            await asyncio.sleep(0.0002)
        if not await channel.aput(number):
            return
    channel.finish()


def consume(channel: Channel[int], pauses: Pauses) -> list[int]:
    taken: list[int] = []
    step = 0
    while (batch := channel.take(timeout=20)) is not None:
        taken += batch
        if step < len(pauses) and pauses[step]:
            time.sleep(0.0002)
        step += 1
    return taken


async def aconsume(channel: Channel[int], pauses: Pauses) -> list[int]:
    taken: list[int] = []
    step = 0
    while (batch := await channel.atake()) is not None:
        taken += batch
        if step < len(pauses) and pauses[step]:
            await asyncio.sleep(0.0002)
        step += 1
    return taken


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


# --- any interleaving ---


@given(limit=st.integers(1, 5), count=st.integers(0, 30), fast=PAUSES, slow=PAUSES)
def test_from_thread_to_thread(limit: int, count: int, fast: Pauses, slow: Pauses) -> None:
    """Whatever the two threads' paces, all items arrive once and in order."""
    channel: Channel[int] = Channel(limit)
    thread = in_thread(lambda: produce(channel, count, fast))
    assert list(range(count)) == consume(channel, slow)
    thread.join()


@given(limit=st.integers(1, 5), count=st.integers(0, 30), fast=PAUSES, slow=PAUSES)
def test_from_thread_to_coroutine(limit: int, count: int, fast: Pauses, slow: Pauses) -> None:
    """Whatever the paces of a thread and a task, all items arrive once and in order."""
    channel: Channel[int] = Channel(limit)
    thread = in_thread(lambda: produce(channel, count, fast))
    assert list(range(count)) == asyncio.run(aconsume(channel, slow))
    thread.join()


@given(limit=st.integers(1, 5), count=st.integers(0, 30), fast=PAUSES, slow=PAUSES)
def test_from_coroutine_to_thread(limit: int, count: int, fast: Pauses, slow: Pauses) -> None:
    """Whatever the paces of a task and a thread, all items arrive once and in order."""
    channel: Channel[int] = Channel(limit)
    thread = in_thread(lambda: asyncio.run(aproduce(channel, count, fast)))
    assert list(range(count)) == consume(channel, slow)
    thread.join()


@given(limit=st.integers(1, 5), count=st.integers(0, 30), fast=PAUSES, slow=PAUSES)
def test_from_coroutine_to_coroutine(limit: int, count: int, fast: Pauses, slow: Pauses) -> None:
    """Whatever the paces of two tasks of one loop, all items arrive once and in order."""

    async def main() -> list[int]:
        channel: Channel[int] = Channel(limit)
        producer = asyncio.ensure_future(aproduce(channel, count, fast))
        taken = await aconsume(channel, slow)
        await producer
        return taken

    assert list(range(count)) == asyncio.run(main())


@given(limit=st.integers(1, 4), steps=st.lists(st.sampled_from(["put", "take"]), max_size=60))
def test_behaves_as_a_bounded_queue(limit: int, steps: list[str]) -> None:
    """Step by step in one thread: what is put comes out in order, all at a time, and no more is in than may be."""
    channel: Channel[int] = Channel(limit)
    inside: list[int] = []
    number = 0
    for step in steps:
        if step == "put" and len(inside) < limit:
            assert channel.put(number)
            inside.append(number)
            number += 1
        elif step == "take" and inside:
            assert inside == channel.take()
            inside = []


def test_a_long_race_loses_nothing() -> None:
    """20,000 items at full speed through a channel of two places arrive once and in order."""
    channel: Channel[int] = Channel(2)
    thread = in_thread(lambda: produce(channel, 20_000, []))
    assert list(range(20_000)) == consume(channel, [])
    thread.join()


# --- back-pressure ---


def test_a_producer_waits_for_room() -> None:
    """Without a reader, a producer stops at the limit."""
    channel: Channel[int] = Channel(3)
    put: list[int] = []

    def work() -> None:
        for number in range(10):
            channel.put(number)
            put.append(number)

    thread = in_thread(work)
    time.sleep(0.05)
    assert [0, 1, 2] == put
    assert [0, 1, 2] == channel.take()
    while len(put) < 6:
        time.sleep(0.001)
    channel.close()
    thread.join(5)
    assert not thread.is_alive()


def test_a_producer_does_not_wait_for_a_loop_that_is_gone() -> None:
    """If the consumer's event loop was closed under it, a producer that waits for room learns of it."""
    channel: Channel[int] = Channel(1)
    answers: list[bool] = []
    thread = in_thread(lambda: answers.extend(channel.put(number) for number in range(4)))

    async def read_once() -> None:
        await channel.atake()

    loop = asyncio.new_event_loop()
    loop.run_until_complete(read_once())
    loop.close()
    thread.join(10)
    assert not thread.is_alive()
    assert answers[-1] is False


# --- the end ---


def test_the_end_comes_after_what_was_put() -> None:
    """What was put before the end is taken first; then None, again and again."""
    channel: Channel[str] = Channel()
    channel.put("last")
    channel.finish()
    assert [["last"], None, None] == [channel.take() for _ in range(3)]


def test_an_error_comes_after_what_was_put() -> None:
    """An error is raised once, after the items that came before it."""
    channel: Channel[str] = Channel()
    channel.put("last")
    channel.finish(KeyError("broken"))
    assert ["last"] == channel.take()
    with pytest.raises(KeyError, match="broken"):
        channel.take()
    assert channel.take() is None


async def test_an_error_wakes_a_task_that_waits() -> None:
    """A task that already waits gets the error."""
    channel: Channel[str] = Channel()
    waiting = asyncio.ensure_future(channel.atake())
    await asyncio.sleep(0.01)
    in_thread(lambda: channel.finish(KeyError("broken"))).join()
    with pytest.raises(KeyError, match="broken"):
        await waiting


def test_waits_no_longer_than_asked() -> None:
    """With a timeout, `take` raises `Empty` when it has passed, and what comes later is not lost."""
    channel: Channel[int] = Channel()
    started = time.monotonic()
    with pytest.raises(Empty):
        channel.take(timeout=0.05)
    assert time.monotonic() - started >= 0.04
    channel.put(1)
    channel.put(2)
    assert [1, 2] == channel.take(timeout=0)


# --- leaving ---


def test_what_comes_after_leaving_is_dropped() -> None:
    """Once the consumer has gone, `put` says so and keeps nothing."""
    channel: Channel[int] = Channel()
    assert channel.put(1)
    channel.close()
    assert not channel.put(2)
    channel.finish()
    assert channel.take() is None


@pytest.mark.parametrize("waiting", ["thread", "task"])
def test_leaving_frees_a_producer_that_waits(waiting: str) -> None:
    """A producer that waits for room goes on at once when the consumer leaves."""
    channel: Channel[int] = Channel(1)
    channel.put(0)
    answers: list[bool] = []

    async def put() -> None:
        answers.append(await channel.aput(1))

    thread = in_thread((lambda: answers.append(channel.put(1))) if waiting == "thread" else lambda: asyncio.run(put()))
    time.sleep(0.02)
    channel.close()
    thread.join(20)
    assert [False] == answers


class Clingy:
    """An item that closes its channel when it goes, as the last reference to a stream may."""

    def __init__(self, channel: Channel[Any]) -> None:
        self.channel = channel

    def __del__(self) -> None:
        self.channel.close()


def test_leaving_while_leaving_is_no_deadlock() -> None:
    """What is dropped may, when it is freed, close the same channel in the same thread."""
    channel: Channel[Any] = Channel()
    channel.put(Clingy(channel))
    thread = threading.Thread(target=channel.close, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


class Phoenix:
    """Garbage that, whenever it is collected, uses the channel and leaves new garbage."""

    def __init__(self, channel: Channel[Any]) -> None:
        self.channel = channel
        self.cycle = self

    def __del__(self) -> None:
        self.channel.finish()
        if not self.channel.closed:
            Phoenix(self.channel)


def test_a_garbage_collection_in_the_middle_is_no_deadlock() -> None:
    """A collection may run at any moment in a thread that uses the channel, and close a reader of that very one."""
    channel: Channel[int] = Channel()

    def work() -> None:
        Phoenix(channel)
        for number in range(100):
            channel.put(number)
            channel.take()
        channel.close()

    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    thread = threading.Thread(target=work, daemon=True)
    try:
        gc.set_threshold(1, 1, 1)
        thread.start()
        thread.join(20)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    assert not thread.is_alive()


def test_a_dropped_item_is_freed() -> None:
    """After leaving, the channel holds on to nothing that was in it."""

    class Item:
        pass

    channel: Channel[Item] = Channel()
    item = Item()
    freed = weakref.ref(item)
    channel.put(item)
    del item
    channel.close()
    gc.collect()
    assert freed() is None


# --- the loop ---


async def test_a_full_channel_leaves_other_tasks_their_turns() -> None:
    """Though a batch is always there already, reading lets other tasks run between two batches."""
    channel: Channel[int] = Channel()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(other())
    for number in range(50):
        channel.put(number)
        await channel.atake()
    task.cancel()
    assert turns >= 50


async def test_a_task_cancelled_while_it_waits_leaves_the_channel_usable() -> None:
    """Cancelling `atake` loses nothing: the next one takes what came meanwhile."""
    channel: Channel[int] = Channel()
    waiting = asyncio.ensure_future(channel.atake())
    await asyncio.sleep(0.01)
    waiting.cancel()
    channel.put(1)
    channel.put(2)
    assert [1, 2] == await channel.atake()


@pytest.mark.usefixtures("no_blocking")
async def test_no_side_blocks_the_loop() -> None:
    """Taking and putting in coroutines never blocks their event loop."""
    channel: Channel[int] = Channel(2)
    producer = asyncio.ensure_future(aproduce(channel, 100, []))
    assert list(range(100)) == await aconsume(channel, [])
    await producer
