"""The queue in front of a model's slots."""

import asyncio
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from langplug._bridge.slots import Slots


async def test_first_come_first_served() -> None:
    """Permits go round in the order in which they were asked for."""
    slots, order = Slots(1), list[int]()

    async def take(number: int) -> None:
        await slots.acquire()
        order.append(number)
        slots.release()

    await slots.acquire()
    waiting = [asyncio.ensure_future(take(number)) for number in range(20)]
    await asyncio.sleep(0)
    slots.release()
    await asyncio.gather(*waiting)
    assert list(range(20)) == order


async def test_who_is_cancelled_leaves_the_queue() -> None:
    """A waiting call that is cancelled is gone at once, and the next one gets its turn."""
    slots = Slots(1)
    await slots.acquire()
    first, second = (asyncio.ensure_future(slots.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    assert slots.waiting == 2
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert slots.waiting == 1
    slots.release()
    await second


async def test_a_permit_on_its_way_is_not_lost() -> None:
    """One that is cancelled in the moment in which its turn comes passes the permit on."""
    slots = Slots(1)
    await slots.acquire()
    first, second = (asyncio.ensure_future(slots.acquire()) for _ in range(2))
    await asyncio.sleep(0)
    slots.release()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()


def test_a_closed_loop_is_skipped() -> None:
    """One whose event loop has been closed does not keep a permit from the others."""
    slots = Slots(1)

    async def wait_for_ever() -> None:
        await slots.acquire()

    dead = asyncio.new_event_loop()
    abandoned = dead.create_task(wait_for_ever())
    holder = dead.create_task(wait_for_ever())
    dead.run_until_complete(asyncio.sleep(0))
    assert abandoned.done()
    dead.close()
    slots.release()
    asyncio.run(asyncio.wait_for(slots.acquire(), 1))
    assert not holder.done()
    holder.get_coro().close()  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("seed", range(5))
def test_many_loops_and_threads(seed: int) -> None:
    """With loops in many threads, and calls cancelled at random, never more run than may, and no permit is lost."""
    slots, most, running = Slots(3), 0, 0
    lock = threading.Lock()

    async def work(chance: random.Random) -> None:
        nonlocal most, running
        await slots.acquire()
        try:
            with lock:
                running += 1
                most = max(most, running)
            await asyncio.sleep(chance.random() / 500)
        finally:
            with lock:
                running -= 1
            slots.release()

    async def loop(number: int) -> None:
        chance = random.Random(seed * 100 + number)
        tasks = [asyncio.create_task(work(chance)) for _ in range(30)]
        for task in tasks:
            await asyncio.sleep(chance.random() / 1000)
            if chance.random() < 0.5:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: asyncio.run(loop(number)), range(6)))
    assert most <= 3
    assert (0, 0) == (running, slots.waiting)

    async def take_all() -> None:
        for _ in range(3):
            await asyncio.wait_for(slots.acquire(), 1)

    asyncio.run(take_all())
