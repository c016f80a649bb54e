"""langplug's own threads, so that a blocking model never competes for the event loop's default executor."""

import asyncio
import contextlib
import contextvars
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")

MAX_THREADS = int(os.environ.get("LANGPLUG_MAX_THREADS", "1024"))
"""How many blocking models may run at once in a process; more wait their turn. Set by `LANGPLUG_MAX_THREADS`."""

IDLE_S = 10.0
"""Seconds for which a thread without work waits for some before it ends."""


class ThreadPool:
    """Daemon threads, made when needed, used again, and gone when idle.

    Unlike `concurrent.futures.ThreadPoolExecutor` it neither keeps idle threads for ever nor waits at exit
    for a model that hangs.
    """

    def __init__(self, limit: int = MAX_THREADS) -> None:
        self._limit = limit
        self._lock = threading.RLock()
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._backlog = 0

    def spawn(self, job: Callable[[], None]) -> None:
        """Run `job` in a thread of the pool, now or, with all of them busy, as soon as one is free. It must not raise.

        Raises:
            RuntimeError: If the system grants no thread at all. If it only grants no more, the job waits its turn.
        """
        with self._lock:
            start = self._reserve()
        if start:
            try:
                threading.Thread(target=self._work, name="langplug", daemon=True).start()
            except RuntimeError:
                if not self._left_to_others():
                    raise
        self._jobs.put(job)

    def _left_to_others(self) -> bool:
        """Count the job in that got no thread of its own; return whether there is another one to do it."""
        with self._lock:
            self._threads -= 1
            if self._idle:
                self._idle -= 1
            elif self._threads:
                self._backlog += 1
            else:
                return False
            return True

    def _reserve(self) -> bool:
        """Count in one more job; return whether a new thread must be started for it."""
        if self._idle:
            self._idle -= 1
            return False
        if self._threads >= self._limit:
            self._backlog += 1
            return False
        self._threads += 1
        return True

    def _work(self) -> None:
        while (job := self._next_job()) is not None:
            job()
            del job  # else an idle thread would keep the last answer alive
            with self._lock:
                if self._backlog:
                    self._backlog -= 1
                else:
                    self._idle += 1

    def _next_job(self) -> Callable[[], None] | None:
        try:
            return self._jobs.get(timeout=IDLE_S)
        except Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    self._threads -= 1
                    return None
            return self._jobs.get()  # a job is reserved for this thread and on its way


_pool = ThreadPool()


def spawn(job: Callable[[], None]) -> None:
    """Run `job` in a thread of langplug's pool. It must not raise."""
    _pool.spawn(job)


async def in_thread(function: Callable[[], T]) -> T:
    """What `function` returns or raises, run in a thread of langplug's pool, in the caller's context.

    Cancelled, it returns at once; the thread goes on until the function does.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]
        else:
            done.set_exception(error)

    def job() -> None:
        result, error = None, None
        try:
            result = context.run(function)
        except BaseException as raised:  # noqa: BLE001 - whoever waits must see it
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    spawn(job)
    return await done


def _forget_threads() -> None:
    """A forked child has none of its parent's threads."""
    global _pool  # noqa: PLW0603 - one pool per process
    _pool = ThreadPool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
