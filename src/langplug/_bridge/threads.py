"""langplug's own threads, so that a blocking model never competes for the event loop's default executor."""

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from langplug._bridge.forks import in_forked_child
from langplug._bridge.futures import settle_from_thread

T = TypeVar("T")

IDLE_S = 10.0
"""Seconds for which a thread without work waits for some before it ends."""

_DEFAULT_LIMIT = 1024


def max_threads() -> int:
    """How many blocking models may run at once in a process; more wait their turn. Set by `LANGPLUG_MAX_THREADS`.

    Raises:
        ValueError: If that is not a number of threads.
    """
    given = os.environ.get("LANGPLUG_MAX_THREADS") or str(_DEFAULT_LIMIT)
    if not given.strip().isdecimal() or not int(given):
        raise ValueError(
            f"The environment variable LANGPLUG_MAX_THREADS is {given!r}; expected a whole number of threads, 1 or "
            f"more. Unset it for {_DEFAULT_LIMIT}."
        )
    return int(given)


def usable_cores() -> int:
    """How many cores this process may use. In a container, `os.cpu_count` counts those of the whole machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ThreadPool:
    """Daemon threads, started when needed, used again, and gone when idle.

    Unlike `concurrent.futures.ThreadPoolExecutor` it neither keeps idle threads forever nor waits at exit
    for a model that hangs.

    Args:
        limit: How many threads at most. Default: `max_threads()`, read at the first job.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._lock = threading.RLock()  # what a garbage collection within it finalizes may spawn, too
        self._jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        # Each job in the queue is counted in for a thread: an idle one, one just started, or, as part of the backlog,
        # the next that is done with its own. So threads know without looking whether something is on its way to them.
        self._threads = 0
        self._idle = 0
        self._backlog = 0

    def spawn(self, job: Callable[[], None]) -> None:
        """Run `job` in a thread of the pool, now or, with all of them busy, as soon as one is free. It must not raise.

        Raises:
            RuntimeError: If the system grants no thread at all. If it only grants no more, the job waits its turn.
            ValueError: If `LANGPLUG_MAX_THREADS` is not a number of threads.
        """
        needs_thread = False
        with self._lock:
            if self._limit is None:
                self._limit = max_threads()
            if self._idle:
                self._idle -= 1
            elif self._threads >= self._limit:
                self._backlog += 1
            else:
                self._threads += 1
                needs_thread = True
        if needs_thread:
            try:  # without the lock: starting waits until the thread runs
                threading.Thread(target=self._work, name="langplug", daemon=True).start()
            except RuntimeError:
                with self._lock:  # the job is counted in anew, for a thread that there is
                    self._threads -= 1
                    if self._idle:
                        self._idle -= 1
                    elif self._threads:
                        self._backlog += 1
                    else:
                        raise
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except Empty:
                with self._lock:
                    if self._idle:
                        self._idle -= 1
                        self._threads -= 1
                        return
                job = self._jobs.get()  # it was counted in for this thread just now, and is on its way
            job()
            del job  # else an idle thread would keep the last answer alive
            with self._lock:
                if self._backlog:
                    self._backlog -= 1
                else:
                    self._idle += 1


_pool = ThreadPool()


def spawn(job: Callable[[], None]) -> None:
    """Run `job` in a thread of langplug's pool. It must not raise."""
    _pool.spawn(job)


async def in_thread(function: Callable[[], T]) -> T:
    """What `function` returns or raises, run in a thread of langplug's pool, in the caller's context.

    Cancelled, it returns at once; the thread goes on until the function does.
    """
    done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    context = contextvars.copy_context()

    def job() -> None:
        try:
            result = context.run(function)
        except BaseException as error:  # noqa: BLE001 - whoever waits must see it
            settle_from_thread(done, error=error)
        else:
            settle_from_thread(done, result)

    spawn(job)
    return await done


@in_forked_child
def _forget_threads() -> None:
    global _pool  # noqa: PLW0603 - one pool per process
    _pool = ThreadPool()
