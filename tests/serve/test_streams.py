"""How a streamed answer is sent: in order, at once, and no faster than its client reads."""

import asyncio
import contextvars
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.serve.client import ask
from tests.serve.served_models import serving

from langplug import ChatModel, Request
from langplug.serve.deltas import Delta, Ending
from langplug.serve.metrics import Metrics
from langplug.serve.streams import Stream
from langplug.serve.wires.chat import WIRE

VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=0)


class Client:
    """Where a stream goes: keeps what is written; `reads` lets it go on when it has enough."""

    def __init__(self, most: int) -> None:
        self.written: list[bytes] = []
        self.most = most
        self.unread = 0
        self.is_given_up = False
        self.reads = asyncio.Event()

    async def open(self, first: bytes) -> "Client":
        """Take the head's bytes."""
        self.written.append(first)
        return self

    @property
    def has_room(self) -> bool:
        """Whether it has read enough."""
        return self.unread < self.most

    @property
    def unsent(self) -> int:
        """What it has not read."""
        return self.unread

    def abort(self) -> None:
        """Be given up."""
        self.is_given_up = True

    def write(self, data: bytes) -> None:
        """Take bytes."""
        self.written.append(data)
        self.unread += 1

    async def drain(self) -> None:
        """Wait until it reads."""
        self.reads.clear()
        await self.reads.wait()

    async def read_on(self) -> None:
        """Read whenever there is anything, for ever."""
        while True:
            await asyncio.sleep(0)
            self.unread = 0
            self.reads.set()


def send(client: Client, deltas: AsyncGenerator[Delta | Ending], ping_interval: float | None = None) -> Any:
    """The sending of a stream on the chat wire."""
    writer = WIRE.writer(WIRE.read(ask(stream=True), {}), "chatcmpl-1", 1)
    stream = Stream(writer, Metrics().watch("chat"), client.open, ping_interval=ping_interval)
    return stream.send(deltas, nullcontext(), "req_1")


def texts_of(client: Client) -> list[str]:
    """The texts of all chunks that were written, in order."""
    events = b"".join(client.written).decode().split("\n\n")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]
    return [text for chunk in chunks if (text := chunk["choices"][0]["delta"].get("content"))]


@given(st.lists(st.integers(0, 3), max_size=600), st.integers(1, 5))
def test_a_stream_keeps_order_and_loses_nothing(rests: list[int], most: int) -> None:
    """Whatever the rhythm of the model and of its client, all pieces are sent in order, and the end last."""

    async def deltas() -> AsyncGenerator[Delta | Ending]:
        for number, rest in enumerate(rests):
            for _ in range(rest):
                await asyncio.sleep(0)
            yield f"{number} "
        yield Ending(finish_reason="stop")

    async def run() -> Client:
        client = Client(most)
        reading = asyncio.create_task(client.read_on())
        await send(client, deltas())
        reading.cancel()
        return client

    client = asyncio.run(run())
    assert texts_of(client) == [f"{number} " for number in range(len(rests))]
    assert client.written[-1].endswith(b"data: [DONE]\n\n")


async def test_what_comes_at_once_is_sent_at_once() -> None:
    """Pieces between which the model does not wait are one write, which goes out before the model's next piece."""
    client = Client(most=10**9)
    seen: list[int] = []

    async def deltas() -> AsyncGenerator[Delta | Ending]:
        yield "first"
        for _ in range(3):
            for word in "abcde":
                yield word
            await asyncio.sleep(0)
            seen.append(len(client.written))
        yield Ending()

    await send(client, deltas())
    assert seen == [2, 3, 4]
    assert texts_of(client) == ["first", *"abcde" * 3]


async def test_a_client_that_does_not_read_makes_the_model_wait() -> None:
    """Of an endless answer that nobody reads only so much is kept; the model goes on when it is read."""
    client = Client(most=1)
    given_so_far: list[int] = []

    async def deltas() -> AsyncGenerator[Delta | Ending]:
        number = 0
        while True:
            given_so_far.append(number)
            yield "x"
            number += 1

    sending = asyncio.ensure_future(send(client, deltas()))
    counts: list[int] = []
    for _ in range(3):
        for _ in range(50):
            await asyncio.sleep(0)
        counts.append(len(given_so_far))
        client.unread = 0
        client.reads.set()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert counts[0] < 1000
    assert counts[0] < counts[1] < counts[2] < 3000


async def test_a_model_that_never_waits_lets_others_run() -> None:
    """However much a model gives without waiting, other requests have their turn."""
    client = Client(most=10**9)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def deltas() -> AsyncGenerator[Delta | Ending]:
        for _ in range(10_000):
            yield "x"
        yield Ending()

    running = asyncio.create_task(others())
    await send(client, deltas())
    running.cancel()
    assert turns > 10


async def test_a_model_runs_in_one_task_and_context_with_pings_around_it() -> None:
    """From its first piece to its last a model is in one task and one context, whatever pings are sent meanwhile."""
    client = Client(most=10**9)
    tasks: list[Any] = []

    async def deltas() -> AsyncGenerator[Delta | Ending]:
        for number in range(1, 4):
            assert VARIABLE.get() == number - 1
            VARIABLE.set(number)
            tasks.append(asyncio.current_task())
            while b"".join(client.written).count(b": ping") < number:  # noqa: ASYNC110 - of what is written
                await asyncio.sleep(0.001)
            yield str(number)
        yield Ending()

    await send(client, deltas(), ping_interval=0.005)
    assert tasks == [asyncio.current_task()] * 3
    assert texts_of(client) == ["1", "2", "3"]


@pytest.mark.parametrize("first", [[], ["said "]])
async def test_a_cancelled_stream_closes_its_model(first: list[str]) -> None:
    """Cancelled before or after its first piece, a stream ends when its model has cleaned up, and says no more."""
    client = Client(most=10**9)
    waits, is_closed = asyncio.Event(), asyncio.Event()

    async def deltas() -> AsyncGenerator[Delta | Ending]:
        try:
            for piece in first:
                yield piece
            waits.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            is_closed.set()

    sending = asyncio.ensure_future(send(client, deltas(), ping_interval=30))
    await waits.wait()
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert is_closed.is_set()
    assert texts_of(client) == first
    assert b"[DONE]" not in b"".join(client.written)


class Verbose(ChatModel):
    """Gives more than any buffer on the way holds, and says how far it has got."""

    given: Any = None

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """A mebibyte at a time, 64 times."""
        for number in range(64):
            self.given.append(number)
            yield "x" * 2**20


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_real_client_that_reads_late_gets_everything(version: str) -> None:
    """Over a socket, in HTTP/1.0 or 1.1: the model waits for a client that reads nothing, which then gets all of it."""
    given_so_far: list[int] = []

    async def read_late(port: int) -> tuple[int, int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        data = json.dumps(ask(stream=True)).encode()
        head = f"POST /v1/chat/completions HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        begun = await reader.readuntil(b"x" * 1000)
        await until_still(lambda: len(given_so_far))
        at_rest = len(given_so_far)
        rest = await reader.read()
        writer.close()
        return at_rest, begun.count(b"x") + rest.count(b"x")

    with serving({"m": Verbose(given=given_so_far)}) as base:
        at_rest, got = asyncio.run(read_late(int(base.rpartition(":")[2])))
    assert at_rest < 60
    assert got >= 64 * 2**20


async def until_still(count: Callable[[], int]) -> None:
    """Wait until `count` has not changed for a while."""
    before = -1
    while before != count():
        before = count()
        await asyncio.sleep(0.3)
