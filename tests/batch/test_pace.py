"""How many calls run at once, and how fast they begin, against servers that are played on a clock of their own."""

import asyncio
import random
import re
import selectors
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from langchain_core.exceptions import ModelRateLimitError
from pydantic import PrivateAttr

from langplug import ChatModel, Request, batch
from langplug.batch.pace import Pace
from langplug.batch.summary import Summary


class Hurried(selectors.DefaultSelector):
    """Waits for nothing: the time that it was to wait has passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """Whatever is ready."""
        assert timeout is not None, "all wait for ever"
        self.now += max(0.0, timeout)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes when nothing is to be done."""

    def __init__(self) -> None:
        self.hurried = Hurried()
        super().__init__(self.hurried)

    def time(self) -> float:
        """Seconds since the loop began."""
        return self.hurried.now


Answering: TypeAlias = "Callable[[Run], Awaitable[bool]]"
"""What a server does with a call: whether it takes it."""


class Run:
    """A job of endless rows: when calls were taken, and when they were refused."""

    def __init__(self, ask: Answering, seconds: float, **limits: Any) -> None:
        self.taken: list[float] = []
        self.refused: list[float] = []
        self.began: list[float] = []
        self.running = 0
        self.tokens = limits.pop("tokens", 0)
        self.now: Callable[[], float] = lambda: 0.0
        with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
            runner.run(self._run(ask, seconds, limits))

    async def _run(self, ask: Answering, seconds: float, limits: dict[str, Any]) -> None:
        self.now = asyncio.get_running_loop().time
        pace = Pace(**limits, clock=self.now)

        async def call() -> None:
            self.began.append(self.now())
            self.running += 1
            is_taken = await ask(self)
            self.running -= 1
            (self.taken if is_taken else self.refused).append(self.now())
            if is_taken:
                pace.end(tokens=self.tokens)
            else:
                pace.refuse()

        async with asyncio.TaskGroup() as group:
            while self.now() < seconds:
                await pace.turn()
                group.create_task(call())

    def rate(self, since: float, until: float) -> float:
        """Calls taken a second, in between."""
        return sum(since <= at < until for at in self.taken) / (until - since)


def taking(seconds: Callable[[float], float], spread: float = 0.0) -> Answering:
    """A server whose calls take so long, as a function of the time, give or take a part of it."""
    chance = random.Random(1)

    async def ask(run: Run) -> bool:
        await asyncio.sleep(seconds(run.now()) * chance.uniform(1 - spread, 1 + spread))
        return True

    return ask


def slotted(slots: int, seconds: float, harm: float = 0.0) -> Answering:
    """A server that answers so many at once, each in so many seconds, slowed by a part for each one beyond."""
    free = asyncio.Semaphore(slots)

    async def ask(run: Run) -> bool:
        async with free:
            await asyncio.sleep(seconds * (1 + harm * max(0, run.running - slots)))
        return True

    return ask


def limited(rate: Callable[[float], float], seconds: float = 0.05) -> Answering:
    """A server that takes so many calls a second, and refuses others at once, with a bucket of a tenth of a second."""
    room, at = 0.0, 0.0

    async def ask(run: Run) -> bool:
        nonlocal room, at
        now = run.now()
        room, at = min(max(1, rate(now) / 10), room + (now - at) * rate(now)), now
        if room < 1:
            await asyncio.sleep(0.001)
            return False
        room -= 1
        await asyncio.sleep(seconds)
        return True

    return ask


@pytest.mark.parametrize("spread", [0.0, 0.5])
@pytest.mark.parametrize("latency", [0.1, 1.0, 10.0])
def test_a_server_without_a_limit(latency: float, spread: float) -> None:
    """As many calls run at once as may, soon, and this stays so: nothing is refused, and more are faster."""
    unit = max(latency, 0.25)
    run = Run(taking(lambda _: latency, spread), 200 * unit)
    possible = 64 / latency
    assert run.rate(12 * unit, 200 * unit) > 0.9 * possible
    assert min(run.rate(at * unit, (at + 10) * unit) for at in range(20, 190, 10)) > 0.75 * possible


@pytest.mark.parametrize("slots", [1, 2, 6, 20])
@pytest.mark.parametrize("harm", [0.0, 0.05])
def test_a_server_of_few_slots(slots: int, harm: float) -> None:
    """Beyond what a server works at, more calls only queue there: few more run than help."""
    counts: list[int] = []
    ask = slotted(slots, 0.1, harm)

    async def counted(run: Run) -> bool:
        counts.append(run.running)
        return await ask(run)

    run = Run(counted, 120)
    assert run.rate(20, 120) > 0.85 * slots / 0.1
    late = counts[len(counts) // 4 :]
    assert sum(late) / len(late) < 1.4 * slots + 1


def test_a_slow_spell() -> None:
    """A server that is slow for a while is as fast afterwards as before."""
    run = Run(taking(lambda now: 1.0 if 30 <= now < 60 else 0.2, 0.3), 120)
    assert run.rate(15, 30) > 0.85 * 320
    assert run.rate(35, 60) > 0.85 * 64
    assert run.rate(65, 120) > 0.85 * 320


def test_slots_that_come_and_go() -> None:
    """More calls are tried again and again: a server that grows is used."""
    small, large = slotted(4, 0.2), slotted(40, 0.2)
    run = Run(lambda run: (small if run.now() < 40 else large)(run), 160)
    assert run.rate(10, 40) > 0.85 * 20
    assert run.rate(80, 160) > 0.85 * 200


@pytest.mark.parametrize("latency", [0.02, 0.2, 1.0])
def test_one_early_refusal(latency: float) -> None:
    """One refusal at the beginning costs seconds, and no rate is made up from the few calls before it."""
    plain = taking(lambda _: latency)

    async def ask(run: Run) -> bool:
        return len(run.began) != 3 and await plain(run)

    run = Run(ask, 40)
    assert len(run.refused) == 1
    assert run.rate(1, 4) > 4 / latency
    assert run.rate(20, 40) > 0.85 * 64 / latency


@pytest.mark.parametrize("latency", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("rate", [20, 50])
def test_storm(rate: int, latency: float) -> None:
    """Of a server that takes so many calls a second most is had, and hardly a call refused after five seconds."""
    run = Run(limited(lambda _: rate, latency), 60)
    taken, refused = (sum(at > 5 for at in times) for times in (run.taken, run.refused))
    assert refused <= 0.02 * (taken + refused)
    assert run.rate(25, 60) > 0.7 * rate


def test_a_limit_that_grows() -> None:
    """A server that takes twice as much from some time on is soon asked for that."""
    run = Run(limited(lambda now: 50 if now < 60 else 100), 150)
    assert run.rate(20, 60) > 0.85 * 50
    assert run.rate(90, 150) > 0.8 * 100


def test_limits_of_ones_own() -> None:
    """No more calls begin in a minute than were asked for, and no more tokens are used."""
    run = Run(taking(lambda _: 0.2), 180, rpm=120)
    assert 350 <= len(run.began) <= 361
    run = Run(taking(lambda _: 0.2), 180, tpm=6_000, tokens=100)
    assert all(sum(at <= other < at + 60 for other in run.taken) <= 68 for at in run.taken)
    assert len(run.taken) > 150


class Busy(ChatModel):
    """A server that refuses its first caller, and asks to wait."""

    wait_s: float
    _asked: list[str] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[str]:
        """What was asked, in order."""
        return self._asked

    async def respond(self, request: Request) -> str:
        self._asked.append(request.text)
        if len(self._asked) == 1:
            error = ModelRateLimitError("too many")
            error.retry_after = self.wait_s  # type: ignore[attr-defined]
            raise error
        return "taken"


async def test_a_server_that_asks_for_minutes(tmp_path: Path) -> None:
    """The progress says until when the server asks to wait; nothing is asked before."""
    model, told = Busy(wait_s=300), asyncio.get_running_loop().create_future()

    def progress(summary: Summary) -> None:
        if summary.waits_for and not told.done():
            told.set_result(str(summary))

    running = asyncio.create_task(
        batch.arun(model, ["a", "b"], tmp_path / "out.jsonl", max_concurrency=1, progress=progress)
    )
    assert re.fullmatch(r"the server asks to wait until [\d -]*\d\d:\d\d:\d\d", await told)
    assert model.asked == ["a"]
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_server_that_asks_for_an_hour(tmp_path: Path) -> None:
    """Beyond ten minutes the run ends and says until when to wait; then the same call asks what is not answered."""
    model = Busy(wait_s=3600)
    with pytest.raises(ModelRateLimitError, match=r"asks to wait until .*\d\d:\d\d:\d\d, longer than the 10 minutes"):
        await batch.arun(model, ["a", "b"], tmp_path / "out.jsonl", max_concurrency=1)
    summary = await batch.arun(model, ["a", "b"], tmp_path / "out.jsonl")
    assert (summary.answered, summary.failed) == (2, 0)
    assert sorted(model.asked) == ["a", "a", "b"]
