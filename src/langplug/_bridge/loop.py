"""One long-lived event loop in a thread, on which async models answer sync callers.

A loop per call would tear down an async client's connections with every answer; one that stays keeps them.
"""

import asyncio
import atexit
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

from langplug._bridge.forks import in_forked_child

T = TypeVar("T")

_EXIT_S = 1.0
"""Seconds that models on the loop get to clean up when the interpreter ends."""

_depth: contextvars.ContextVar[int] = contextvars.ContextVar("langplug_loop_depth", default=0)
"""How many loop threads may be waiting for what runs in this context."""

_local = threading.local()


class LoopThread:
    """An event loop in a daemon thread of its own, started when first used."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def submit(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context) -> "Submitted[T]":
        """Run `coroutine` on the loop, within `context`, which is the caller's copy to give away."""
        context.run(_depth.set, self._depth + 1)
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = f"langplug-loop-{self._depth}"
                self._thread = threading.Thread(target=self._run, args=(self._loop,), name=name, daemon=True)
                self._thread.start()
            return Submitted(self._loop, coroutine, context)

    def stop(self) -> None:
        """Cancel what runs, let it clean up for a moment, and end the thread."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None

        async def cancel_all() -> None:
            await asyncio.sleep(0)  # what has been submitted gets to its first step, and so hears of it
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            asyncio.get_running_loop().stop()

        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(cancel_all(), loop)
            thread.join(_EXIT_S)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        _depth.set(self._depth + 1)
        _local.loop = loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()


class Submitted(Generic[T]):
    """A coroutine that runs on a `LoopThread`; done when it has ended, its clean-up included.

    Not `asyncio.run_coroutine_threadsafe`: its future is done as soon as it is cancelled, while the coroutine still
    cleans up, and it cannot run a coroutine in a context that is given. And not a `Future` at all: with its condition
    and its callbacks, which take the loop one more turn, it costs more than the way to the other thread and back.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], context: contextvars.Context
    ) -> None:
        self._target = loop
        self._coroutine = coroutine
        self._task: asyncio.Task[None] | None = None
        self._result: T | None = None
        self._error: BaseException | None = None
        self._is_done = self._is_stopped = False
        self._running = threading.Lock()
        self._running.acquire()

        def start() -> None:
            self._task = loop.create_task(self._run(), context=context)

        loop.call_soon_threadsafe(start)

    async def _run(self) -> None:
        try:
            if self._is_stopped:  # before it began
                self._coroutine.close()
                self._error = asyncio.CancelledError()
            else:
                self._result = await self._coroutine
        except BaseException as error:  # noqa: BLE001 - whoever waits must see it; some would end the loop of all others
            self._error = error
        self._is_done = True
        self._running.release()

    def result(self, timeout: float | None = None) -> T:
        """What the coroutine returns or raises, once it has.

        Raises:
            TimeoutError: If it has not within `timeout` seconds (None: no limit).
        """
        if not self._running.acquire(timeout=-1 if timeout is None else timeout):
            raise TimeoutError
        self._running.release()
        if self._error is not None:
            try:
                raise self._error
            finally:
                del self  # the error's traceback holds this frame, and this the error
        return cast("T", self._result)

    @property
    def is_done(self) -> bool:
        """Whether it has ended, its clean-up included."""
        return self._is_done

    def cancel(self) -> None:
        """Cancel the task from any thread."""
        loop = self._target
        if self._is_done or loop.is_closed():
            return
        self._is_stopped = True

        def cancel() -> None:
            # In the loop's next turn: a task that is cancelled before its first step would never get to say so.
            loop.call_soon(lambda: self._task and self._task.cancel())

        with contextlib.suppress(RuntimeError):  # closed in this very moment
            loop.call_soon_threadsafe(cancel)

    def stop(self) -> None:
        """Cancel it and wait, except on its own loop, until it has cleaned up (1 s at most)."""
        loop = self._target
        if self._is_done or loop.is_closed():
            return
        self.cancel()
        if getattr(_local, "loop", None) is not loop and self._running.acquire(timeout=_EXIT_S):
            self._running.release()


def waiting_loops() -> int:
    """How many loop threads may be waiting for what runs here."""
    return _depth.get()


def run_for(waiting: int, function: Callable[[], T]) -> T:
    """What `function` gives, in a context that holds nothing but how many loop threads may be waiting for it."""
    context = contextvars.Context()
    context.run(_depth.set, waiting)
    return context.run(function)


_lock = threading.RLock()
_loops: list[LoopThread] = []


def long_lived_loop() -> LoopThread:
    """The loop thread to wait on from here.

    It is the same one for all, except for code that itself runs on one, or in a thread that one started and may be
    waiting for (their contexts tell): waiting for itself would never end, so it gets the next.
    """
    depth = _depth.get()
    with _lock:
        while len(_loops) <= depth:
            _loops.append(LoopThread(len(_loops)))
        return _loops[depth]


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """What `coroutine` returns or raises, run on the long-lived loop in the caller's context; left, it is cancelled."""
    running = long_lived_loop().submit(coroutine, contextvars.copy_context())
    try:
        return running.result()
    finally:
        running.stop()


def run_elsewhere(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a clean-up whose own event loop is closed, for 1 s at most, on another. It never raises."""

    async def limited() -> None:
        with contextlib.suppress(Exception, asyncio.CancelledError):  # most of it: "Event loop is closed"
            await asyncio.wait_for(coroutine, _EXIT_S)

    def run() -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        try:
            loop.run_until_complete(limited())
        finally:
            loop.close()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        run()
        return
    # A thread can run one loop at a time. The running one waits, for milliseconds, so that what asks next finds all
    # in order; a program that discards its loops has little else for this one to do.
    thread = threading.Thread(target=run, name="langplug-cleanup", daemon=True)
    thread.start()
    thread.join(_EXIT_S)


def refuse_running_loop(name: str, awaited: str) -> None:
    """Do nothing where no event loop runs, so that a function for sync callers may start one.

    Args:
        name: The function.
        awaited: What callers in a loop await in its place.

    Raises:
        RuntimeError: If a loop runs, as in a notebook. It says what to await.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        f"an event loop runs here already, as in a notebook, and `{name}` starts its own: write "
        f"`await {awaited}(...)`, with the same arguments"
    )


@atexit.register
def _stop_loops() -> None:
    for loop_thread in _loops:
        loop_thread.stop()


@in_forked_child
def _forget_loops() -> None:
    global _loops, _lock
    _loops, _lock = [], threading.RLock()
