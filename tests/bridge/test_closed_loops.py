"""Event loops that are closed without `shutdown_asyncgens`, as Streamlit's way is, leave nothing and print nothing."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from langplug import ChatModel, Request, resource
from langplug_backend import Backend

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="this system does not list descriptors")

SCRIPT = Path(__file__).with_name("closed_loops.py")


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """A server in this process, so that the other's descriptors are langplug's alone."""
    with Backend() as backend:
        yield f"{backend.url}/v1"


@pytest.mark.parametrize(
    ("kind", "way", "most"),
    [
        ("pipes", "whole", 2),  # those of the last loop, until the next one or the model's end
        ("pipes", "half", 2),
        ("pipes", "new", 0),
        ("blocks", "half", 0),
        ("endpoint", "whole", 4),
        ("endpoint", "half", 4),
        ("endpoint", "new", 4),
    ],
)
def test_closed_loops_leave_nothing(kind: str, way: str, most: int, base_url: str) -> None:
    """After many loops there are no more descriptors than after one, everything is torn down, and nothing is said."""
    command = [sys.executable, str(SCRIPT), kind, way, "60"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=True, env={**os.environ, "BASE_URL": base_url}
    )
    assert not done.stderr
    left, left_in_the_end, threads, torn_down, times = done.stdout.split(" ")
    assert int(left) <= most
    assert 0 == int(left_in_the_end)
    assert int(threads) <= 8
    expected = {"pipes": ("answer,pipe,reader", 180), "blocks": ("thread", 60), "endpoint": ("", 0)}[kind]
    assert expected == (torn_down, int(times))


@pytest.mark.parametrize("kind", ["pipes", "blocks", "endpoint"])
@pytest.mark.parametrize("way", ["kept", "open"])
def test_what_is_left_when_the_interpreter_ends_is_silent(kind: str, way: str, base_url: str) -> None:
    """Streams that are still held, and loops that were never closed, print nothing at exit."""
    if (kind, way) == ("blocks", "open"):
        pytest.skip("its whole answer has no end")
    command = [sys.executable, str(SCRIPT), kind, way, "5"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=True, env={**os.environ, "BASE_URL": base_url}
    )
    assert not done.stderr


class ChatSession(ChatModel):
    """Its resource says when it is torn down, and in which loop."""

    @resource
    async def session(self) -> AsyncIterator[str]:
        """A session."""
        yield "session"
        await asyncio.sleep(0.001)
        LOG.append(asyncio.get_running_loop())

    async def respond(self, request: Request, /) -> str:
        return await self.session


LOG: list[asyncio.AbstractEventLoop] = []


def test_the_next_loop_finds_all_torn_down() -> None:
    """What a closed loop left is torn down once, before a value is made for the next."""
    LOG.clear()
    model = ChatSession()
    for count in range(3):
        loop = asyncio.new_event_loop()
        assert "session" == loop.run_until_complete(model.ainvoke("x")).text
        assert count == len(LOG)
        loop.close()
        assert loop not in LOG
    model.close()
    model.close()
    assert 3 == len(LOG)

    async def use() -> asyncio.AbstractEventLoop:
        await model.ainvoke("x")
        return asyncio.get_running_loop()

    assert asyncio.run(use()) is LOG[-1]
    model.close()
    assert 4 == len(LOG)


def test_a_clean_up_that_hangs_or_fails_stops_nobody() -> None:
    """Whatever a clean-up without its loop does, the next call gets its answer."""

    class ChatHangs(ChatModel):
        @resource
        async def session(self) -> AsyncIterator[str]:
            yield "session"
            if len(LOG) % 2:
                raise RuntimeError("cannot be closed")
            await asyncio.Event().wait()

        async def respond(self, request: Request, /) -> str:
            LOG.append(asyncio.get_running_loop())
            return await self.session

    LOG.clear()
    model = ChatHangs()
    for _ in range(3):
        loop = asyncio.new_event_loop()
        assert "session" == loop.run_until_complete(asyncio.wait_for(model.ainvoke("x"), 20)).text
        loop.close()
    with suppress(RuntimeError):
        model.close()
