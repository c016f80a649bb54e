"""One event loop for all that checks ask asynchronously.

The clients of many models belong to the loop that they were first used on, and fail on the next. That is one defect,
and the business of the checks M03 and M04: with a loop for each call, every other check would find it, too.
"""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

STUCK_S = 5.0
"""Seconds after which a loop that does not stir is left to the model that blocks it."""

_lock = threading.Lock()
_loops: list[asyncio.AbstractEventLoop] = []


def run_on_shared_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine gives, on the loop that all checks share; a thread of its own runs it.

    Raises:
        RuntimeError: If it is called on that loop, which would wait for itself.
    """
    if _is_on_one():
        coroutine.close()
        raise RuntimeError("this runs on the loop that all checks share, and cannot wait for it")
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _is_on_one() -> bool:
    with suppress(RuntimeError):
        return asyncio.get_running_loop() in _loops
    return False


def _loop() -> asyncio.AbstractEventLoop:
    with _lock:
        if not _loops or not _stirs(_loops[-1]):
            _loops.append(asyncio.new_event_loop())
            threading.Thread(target=_loops[-1].run_forever, name="loop of the checks", daemon=True).start()
        return _loops[-1]


def _stirs(loop: asyncio.AbstractEventLoop) -> bool:
    stirred = threading.Event()
    loop.call_soon_threadsafe(stirred.set)
    return stirred.wait(STUCK_S)
