"""The thread pool: a thread for every job that blocks, and idle threads end soon."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from langplug import chat_model
from langplug._bridge import threads
from langplug._bridge.threads import ThreadPool


def wait_until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def append_slowly(done: list[int], number: int) -> None:
    time.sleep(0.002)
    done.append(number)


class Threads:
    """The pool's threads, told from others by being new."""

    def __init__(self) -> None:
        self.before = set(threading.enumerate())

    def __len__(self) -> int:
        return len(set(threading.enumerate()) - self.before)


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Threads]:
    """Threads that end soon after their work does."""
    monkeypatch.setattr(threads, "IDLE_S", 0.1)
    started = Threads()
    yield started
    assert wait_until(lambda: not len(started))


def test_jobs_that_block_do_not_wait_for_each_other(alive: Threads) -> None:
    """As many jobs run at once as there are, up to the limit: even if each waits for all the others."""
    pool, everybody = ThreadPool(), threading.Barrier(50)
    for _ in range(49):
        pool.spawn(lambda: (everybody.wait(20), None)[1])
    everybody.wait(20)
    assert not everybody.broken


def test_an_idle_thread_is_used_again(alive: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs one after the other need one thread."""
    monkeypatch.setattr(threads, "IDLE_S", 1)
    pool, used = ThreadPool(), set[int]()
    for _ in range(20):
        done = threading.Event()

        def job(done: threading.Event = done) -> None:
            used.add(threading.get_ident())
            done.set()

        pool.spawn(job)
        assert done.wait(20)
        time.sleep(0.002)
    assert len(used) <= 2


def test_threads_go_away(alive: Threads) -> None:
    """A thread without work ends, and a later job gets a new one."""
    pool = ThreadPool()
    for _ in range(2):
        done = threading.Event()
        pool.spawn(done.set)
        assert done.wait(20)
        assert wait_until(lambda: not len(alive))


def test_jobs_beyond_the_limit_wait_their_turn(alive: Threads) -> None:
    """With all threads busy, jobs wait, and all are done in the end, in the order in which they came."""
    pool, done = ThreadPool(limit=2), list[int]()
    most = 0
    for number in range(20):
        pool.spawn(partial(append_slowly, done, number))
        most = max(most, len(alive))
    assert wait_until(lambda: len(done) == 20)
    assert most <= 2
    assert sorted(done) == list(range(20))


def test_a_job_given_to_a_thread_that_was_about_to_end_is_done(alive: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that come just when idle threads end are neither lost nor done twice."""
    monkeypatch.setattr(threads, "IDLE_S", 0.001)
    pool, done = ThreadPool(), list[int]()
    for number in range(300):
        pool.spawn(partial(done.append, number))
        time.sleep(0.001)
    assert wait_until(lambda: len(done) == 300)
    assert sorted(done) == list(range(300))


def test_many_threads_may_spawn_at_once(alive: Threads) -> None:
    """Jobs spawned from many threads are each done once."""
    pool, done = ThreadPool(limit=5), list[int]()

    def spawn_some(start: int) -> None:
        for number in range(start, start + 50):
            pool.spawn(partial(done.append, number))

    spawners = [threading.Thread(target=spawn_some, args=(start,)) for start in range(0, 500, 50)]
    for spawner in spawners:
        spawner.start()
    for spawner in spawners:
        spawner.join()
    assert wait_until(lambda: len(done) == 500)
    assert sorted(done) == list(range(500))


class Scarce:
    """Threads that the system grants only a few of."""

    def __init__(self, granted: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.granted = granted
        self.start = threading.Thread.start
        monkeypatch.setattr(threading.Thread, "start", lambda thread: self.start_if_granted(thread))  # noqa: PLW0108 - a method

    def start_if_granted(self, thread: threading.Thread) -> None:
        if not self.granted:
            raise RuntimeError("can't start new thread")
        self.granted -= 1
        self.start(thread)


def test_where_no_more_threads_are_granted_jobs_wait(alive: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system grants no more threads, jobs wait for those that there are."""
    Scarce(1, monkeypatch)
    pool, done = ThreadPool(), list[int]()
    for number in range(5):
        pool.spawn(partial(append_slowly, done, number))
    assert wait_until(lambda: done == list(range(5)))


def test_when_threads_are_granted_again_they_are_used(alive: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that had to wait for another's thread does not keep later ones from getting their own."""
    scarce, pool = Scarce(1, monkeypatch), ThreadPool()
    first, second, done = threading.Event(), threading.Event(), threading.Event()

    def wait_for_second() -> None:
        second.wait(20)
        done.set()

    pool.spawn(lambda: (first.wait(20), None)[1])
    pool.spawn(wait_for_second)
    first.set()
    time.sleep(0.05)
    scarce.granted = 1
    pool.spawn(second.set)
    assert done.wait(5)


def test_where_no_thread_is_granted_the_caller_hears_of_it(alive: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the system grants no thread at all, `spawn` raises, the job is not kept, and a later one is done."""
    scarce, pool, done = Scarce(0, monkeypatch), ThreadPool(), list[str]()
    with pytest.raises(RuntimeError, match="can't start new thread"):
        pool.spawn(lambda: done.append("first"))
    scarce.granted = 1
    pool.spawn(lambda: done.append("second"))
    assert wait_until(lambda: done == ["second"])


# --- the limit that is set ---


@pytest.mark.parametrize("given", ["many", "0", "-1", "1.5", "²"])
async def test_a_limit_that_is_no_number_is_said_at_the_call(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong `LANGPLUG_MAX_THREADS` is an error of the first call that needs a thread; it says what is expected."""
    monkeypatch.setenv("LANGPLUG_MAX_THREADS", given)
    monkeypatch.setattr(threads, "_pool", ThreadPool())
    model = chat_model(lambda request: "said")()
    with pytest.raises(ValueError, match=rf"LANGPLUG_MAX_THREADS is {given!r}; expected a whole number of threads"):
        await model.ainvoke("x")
    assert "said" == model.invoke("x").text


@pytest.mark.parametrize(("given", "limit"), [("", 1024), ("3", 3), (" 3 ", 3)])
def test_the_limit_is_the_environments(given: str, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`LANGPLUG_MAX_THREADS` says how many threads there may be; empty, it counts as not set."""
    monkeypatch.setenv("LANGPLUG_MAX_THREADS", given)
    assert limit == threads.max_threads()


def test_a_wrong_limit_does_not_keep_langplug_from_being_imported() -> None:
    """A model that needs no thread works all the same."""
    code = "from langplug.models import ChatScripted; print(ChatScripted(replies=['said']).invoke('x').text)"
    environment = {**os.environ, "LANGPLUG_MAX_THREADS": "many"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False, env=environment
    )
    assert (0, "said\n", "") == (done.returncode, done.stdout, done.stderr)


HANGING = """
import time
from langplug import ChatModel

class ChatHanging(ChatModel):
    def respond(self, request):
        yield "said"
        time.sleep(3600)

async def main():
    async for chunk in ChatHanging().astream("x"):
        print(chunk.text, flush=True)
        break

import asyncio
asyncio.run(main())
"""


def test_a_model_that_hangs_does_not_keep_the_interpreter() -> None:
    """The interpreter ends though a blocking model never does."""
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, timeout=50, check=False)
    assert (0, "said\n", "") == (done.returncode, done.stdout, done.stderr)
