"""Whoever stops waiting closes the connection, at once and every time."""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import pytest
from tests.bridge.endless_models import Stalls
from tests.bridge.test_cancellation import EVERY_SHAPE, STREAMS, SYNC, cancelled
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import beta_allowed

from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault, Reply
from langplug_backend.request import ChatRequest

CALLS = 500
MEDIAN_S = 0.005
LONGEST_S = 0.05

ASYNC: dict[str, Any] = {**EVERY_SHAPE, **STREAMS}

FROM_THREADS = {way: leave for way, leave in SYNC.items() if way != "garbage-collected"}


class Pace(NamedTuple):
    """How fast the server is, and until when it may be left."""

    tokens_per_s: int
    longest_s: float


PACES = [Pace(50, 0.06), Pace(500, 0.03)]


class Asking:
    """A model that is asked one thing, by which the server tells its calls apart, whatever it is asked."""

    def __init__(self, model: ChatEndpoint, prompt: str) -> None:
        self._model = model
        self._prompt = prompt

    def ainvoke(self, _: str) -> Any:
        return self._model.ainvoke(self._prompt)

    def abatch(self, given: list[str]) -> Any:
        return self._model.abatch([f"{self._prompt} {one}" for one in given])

    def astream(self, _: str) -> Any:
        return self._model.astream(self._prompt)

    def astream_events(self, _: str, **kwargs: Any) -> Any:
        return self._model.astream_events(self._prompt, **kwargs)

    def stream(self, _: str) -> Any:
        return self._model.stream(self._prompt)


def lasting(pace: Pace) -> Callable[[ChatRequest], Reply]:
    """A stream that never ends, of words for as long as they can be looked at; a whole answer that never comes."""

    def reply(asked: ChatRequest) -> Reply:
        if not asked.streaming:
            return Reply(text="late", first=60)
        pieces = 10 + int(pace.tokens_per_s * pace.longest_s * 2)
        return Reply(pieces=("word ",) * pieces, pace=1 / pace.tokens_per_s, faults=(Fault.stall(after=pieces - 1),))

    return reply


def check_lateness(backend: Backend, left: dict[str, float], worst_stall: float) -> None:
    """Every request was seen to be left, in time."""
    assert backend.all_ended(10)
    assert {"client_gone"} == {chat.outcome for chat in backend.chats}
    late = [(chat.ended_at or 0.0) - max(left[chat.text.split()[0]], chat.at) for chat in backend.chats]
    assert len(late) > CALLS / 2  # some are left before the request has gone out
    assert median(late) < MEDIAN_S + worst_stall
    assert max(late) < LONGEST_S + 2 * worst_stall
    assert backend.all_closed()


@pytest.mark.parametrize("pace", PACES, ids=str)
async def test_every_cancel_is_seen_by_the_server(backend: Backend, make: MakeEndpoint, pace: Pace) -> None:
    """Of 500 async calls left at random moments in ten ways, the server sees every one go, most of them at once."""
    backend.reply = lasting(pace)
    model = make()
    left: dict[str, float] = {}

    async def lane(way: str, number: int) -> None:
        moments = random.Random(number)
        for call in range(CALLS // len(ASYNC)):
            name = f"{number}-{call}"
            left[name] = await ASYNC[way](Asking(model, name), moments.uniform(0, pace.longest_s))

    with Stalls() as stalls, beta_allowed():
        await asyncio.gather(*(lane(way, number) for number, way in enumerate(ASYNC)))
        await asyncio.to_thread(backend.all_ended, 10)
    check_lateness(backend, left, stalls.worst)
    assert CALLS == len(left)
    assert {asyncio.current_task()} == asyncio.all_tasks()
    backend.reply = "again"
    assert "again" == (await model.ainvoke("x")).text
    await model.aclose()


@pytest.mark.parametrize("pace", PACES, ids=str)
def test_every_sync_stream_that_is_left_is_seen(backend: Backend, make: MakeEndpoint, pace: Pace) -> None:
    """The same for 500 sync streams, closed, left by `break` or by an exception, in threads of their own."""
    backend.reply = lasting(pace)
    model = make()
    left: dict[str, float] = {}
    errors: list[BaseException] = []

    def lane(way: str, number: int) -> None:
        moments = random.Random(number)
        try:
            for call in range(number, CALLS, 2 * len(FROM_THREADS)):
                name = f"{number}-{call}"
                left[name] = FROM_THREADS[way](Asking(model, name), moments.uniform(0, pace.longest_s))  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 - the test shows it
            errors.append(error)

    with Stalls() as stalls:
        threads = [threading.Thread(target=lane, args=(way, number)) for number, way in enumerate([*FROM_THREADS] * 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        backend.all_ended(10)
    assert [] == errors
    check_lateness(backend, left, stalls.worst)
    assert CALLS == len(left)
    backend.reply = "again"
    assert "again" == model.invoke("x").text


async def test_a_call_that_waits_for_a_connection_can_be_cancelled(backend: Backend, make: MakeEndpoint) -> None:
    """A call that waits for its turn, as `max_connections` are busy, is cancelled like any other, and takes none."""
    backend.reply = lasting(PACES[0])
    model = make(max_connections=1)
    stream = model.astream("first")
    await anext(stream)
    left = await cancelled(model.ainvoke("second"), 0.05)
    assert time.monotonic() - left < 1
    await stream.aclose()  # type: ignore[attr-defined]
    backend.reply = "third"
    assert "third" == (await asyncio.wait_for(model.ainvoke("x"), 10)).text
    assert "second" not in [chat.text for chat in backend.chats]
    await model.aclose()


async def test_a_call_that_waits_to_try_again_can_be_cancelled(backend: Backend, make: MakeEndpoint) -> None:
    """A call that waits before it tries again is cancelled at once, and does not try again."""
    backend.fault = Fault.status(503, retry_after=30)
    model = make(max_retries=3)
    left = await cancelled(model.ainvoke("x"), 0.2)
    assert time.monotonic() - left < 1
    assert 1 == len(backend.requests)
    await model.aclose()


@pytest.mark.parametrize("max_connections", [1, 1024])
async def test_one_call_that_is_cancelled_leaves_the_others(
    backend: Backend, make: MakeEndpoint, max_connections: int
) -> None:
    """Cancelling one of many streams touches none of the others."""
    backend.reply = Reply(pieces=("word ",) * 10, pace=0.005)
    model = make(max_connections=max_connections)

    async def read() -> str:
        return "".join([chunk.text async for chunk in model.astream("x")])

    tasks = [asyncio.ensure_future(read()) for _ in range(8)]
    await asyncio.sleep(0.03)
    for task in tasks[::2]:
        task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {"word " * 10} == set(answers[1::2])
    await model.aclose()
