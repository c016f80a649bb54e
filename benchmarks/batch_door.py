"""The batch door against arithmetic, and against what people write by hand: a batcher with a timer.

    python benchmarks/batch_door.py [--rounds 5]

The model is a function that takes 50 ms and 2 ms more for each request (it sleeps, so that the machine's speed plays no
part). Printed are medians of `rounds` rounds, in which the contestants take turns, with the lowest and the highest:

* burst: 64 `ainvoke`s at once, until the last has its answer. With no timer the first is asked alone, and the 63 others
  are the next batch: 52 + 176 ms. The best that anything could do is one batch of 64: 178 ms.
* idle: one `ainvoke` alone. The function takes 52 ms.
* saturated: answers a second with 256 callers who ask again at once and batches of up to 64, so that a full one always
  waits, as a share of the function called in a loop with 64 requests. It is read off the function, from the beginning
  of its fourth call to that of its last but five: neither the first call, which is of one request, nor the last ones,
  when callers have ended, belong to it.
* lockstep: the same with 64 callers, who are all in the batch that runs, and come back one by one when it ends.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from langplug import ChatModel, Request

FIXED_S, EACH_S = 0.050, 0.002
LARGEST = 64
CALLERS = 64
SATURATED_S = 4.0

Ask = Callable[[str], Awaitable[Any]]


calls: list[tuple[float, int]] = []
"""When the function was called, and with how many requests."""


def answer_all(texts: Sequence[str]) -> list[str]:
    """The function: the more at once, the cheaper each."""
    calls.append((time.perf_counter(), len(texts)))
    time.sleep(FIXED_S + EACH_S * len(texts))
    return [text.upper() for text in texts]


class Door(ChatModel):
    """The function behind the batch door."""

    max_batch = LARGEST

    def respond_batch(self, requests: Sequence[Request]) -> list[str]:
        """Answer all."""
        return answer_all([request.text for request in requests])


class WaitingDoor(Door):
    """The same with a timer."""

    max_wait = 0.010


class TimerBatcher:
    """What is usually written by hand: collect for 10 ms after the first request, then ask."""

    def __init__(self, wait_s: float = 0.010) -> None:
        self._wait_s = wait_s
        self._queue: asyncio.Queue[tuple[str, asyncio.Future[str]]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    async def ask(self, text: str) -> str:
        """The answer to one text."""
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        await self._queue.put((text, answer))
        return await answer

    async def _work(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(self._wait_s)
            while len(batch) < LARGEST and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            answers = await asyncio.to_thread(answer_all, [text for text, _ in batch])
            for (_, waiting), answer in zip(batch, answers, strict=True):
                waiting.set_result(answer)


def door() -> Ask:
    """The batch door."""
    return Door().ainvoke


def waiting_door() -> Ask:
    """The batch door with `max_wait`."""
    return WaitingDoor().ainvoke


def timer() -> Ask:
    """The batcher with a timer."""
    return TimerBatcher().ask


async def burst(ask: Ask) -> float:
    """Milliseconds until 64 callers who came at once have their answers."""
    began = time.perf_counter()
    await asyncio.gather(*(ask(str(number)) for number in range(CALLERS)))
    return (time.perf_counter() - began) * 1e3


async def idle(ask: Ask) -> float:
    """Milliseconds of a lone call, the median of ten."""
    took: list[float] = []
    for _ in range(10):
        began = time.perf_counter()
        await ask("alone")
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)


async def lockstep(ask: Ask) -> float:
    """Answers a second with as many callers as a batch holds."""
    return await saturated(ask, LARGEST)


async def saturated(ask: Ask, callers: int = 4 * LARGEST) -> float:
    """Answers a second, of callers who ask again at once."""
    calls.clear()
    end = time.perf_counter() + SATURATED_S

    async def caller() -> None:
        while time.perf_counter() < end:
            await ask("again")

    await asyncio.gather(*(caller() for _ in range(callers)))
    steady = calls[3:-5]
    return sum(size for _, size in steady) / (calls[-5][0] - steady[0][0])


def by_itself() -> float:
    """Answers a second of the function, called in a loop with 64 requests."""
    began = time.perf_counter()
    answered = 0
    while time.perf_counter() < began + SATURATED_S:
        answered += len(answer_all(["again"] * LARGEST))
    return answered / (time.perf_counter() - began)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    rounds = parser.parse_args().rounds
    measures = {"burst": burst, "idle": idle, "saturated": saturated, "lockstep": lockstep}
    contestants = {"batch door": door, "with max_wait": waiting_door, "10 ms timer": timer}
    figures: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds + 1):  # the first warms up
        took = {(which, name): asyncio.run(measure(make())) for which, measure in measures.items()
                for name, make in contestants.items()}  # fmt: skip
        took["saturated", "the function"] = by_itself()
        for key, figure in took.items():
            figures.setdefault(key, []).extend([figure] if number else [])
    one, first, others = (FIXED_S + EACH_S * count for count in (CALLERS, 1, CALLERS - 1))
    expected = {
        "burst": f"arithmetic: {(first + others) * 1e3:.0f} ms with no timer, {one * 1e3:.0f} ms in one batch",
        "idle": f"the function: {first * 1e3:.0f} ms",
        **dict.fromkeys(("saturated", "lockstep"), f"arithmetic: {LARGEST / one:.0f} a second"),
    }
    whole = statistics.median(figures["saturated", "the function"])
    for (which, name), measured in sorted(figures.items()):
        middle = statistics.median(measured)
        spread = f"({min(measured):.1f} to {max(measured):.1f})"
        unit, share = (
            ("/s", f"{middle / whole:7.1%} of the function") if which in ("saturated", "lockstep") else ("ms", "")
        )
        print(f"{which:10} {name:13} {middle:7.1f} {unit:3} {spread:18} {expected[which]} {share}")


if __name__ == "__main__":
    main()
