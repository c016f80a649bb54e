"""Checks share one event loop, so that a model whose clients belong to a loop fails those checks alone that say so."""

import asyncio
import threading

import pytest

from langplug_check.process import loop
from langplug_check.process.loop import run_on_shared_loop


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_all_calls_share_one_loop() -> None:
    """Two calls, from whatever thread, run on the same loop."""
    found = [run_on_shared_loop(running())]
    thread = threading.Thread(target=lambda: found.append(run_on_shared_loop(running())))
    thread.start()
    thread.join(10)
    assert found[0] is found[1]


def test_what_is_raised_there_is_raised_here() -> None:
    """An error of the coroutine comes to the caller."""

    async def fails() -> None:
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        run_on_shared_loop(fails())


def test_it_does_not_wait_for_itself() -> None:
    """A call on that very loop is an error, and not a wait for ever."""

    async def waits() -> None:
        run_on_shared_loop(running())

    with pytest.raises(RuntimeError, match="cannot wait for it"):
        run_on_shared_loop(waits())


def test_a_blocked_loop_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that blocks the loop keeps it, and the next call gets a new one."""
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(loop, "STUCK_S", 0.2)

    async def blocks() -> asyncio.AbstractEventLoop:
        begun.set()
        go_on.wait(10)
        return asyncio.get_running_loop()

    first = run_on_shared_loop(running())
    asyncio.run_coroutine_threadsafe(blocks(), first)
    try:
        assert begun.wait(10)
        assert run_on_shared_loop(running()) is not first
    finally:
        go_on.set()
