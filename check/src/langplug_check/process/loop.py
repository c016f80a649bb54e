"""One event loop for all that checks ask asynchronously.

The clients of many models belong to the loop that they were first used on, and fail on the next. That is one defect,
and the checks M03 and M04 are about it: with a loop for each call, every other check would find it too.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

STUCK_S = 5.0
"""Seconds after which a loop that does nothing is left to the model that blocks it."""

_lock = threading.Lock()
_loops: list[asyncio.AbstractEventLoop] = []


def run_on_shared_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives, on the loop that all checks share; a thread of its own runs it.

    Raises:
        RuntimeError: If it is called on that loop, which would wait for itself.
    """
    running = None
    with suppress(RuntimeError):  # none runs in this thread
        running = asyncio.get_running_loop()
    if running in _loops:
        coroutine.close()
        raise RuntimeError("this runs on the loop that all checks share, and cannot wait for it")
    with _lock:
        # A model that blocks the loop keeps it. Every check after this one would fail for that: they get a new one.
        responds = threading.Event()
        if _loops:
            _loops[-1].call_soon_threadsafe(responds.set)
        if not _loops or not responds.wait(STUCK_S):
            _loops.append(asyncio.new_event_loop())
            threading.Thread(target=_loops[-1].run_forever, name="loop of the checks", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(coroutine, _loops[-1])
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
