"""Group M: concurrency. One instance in many threads, tasks and loops. What takes its time is in `m_limits`."""

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from langplug_backend import ChatRequest, Reply
from langplug_check.groups._streams import first_text_async
from langplug_check.paths import PATHS, PathName, beta_allowed, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

LOOPS_ISSUE = "https://github.com/langchain-ai/langchain/issues/35783"

THREADS = 16

WAIT_S = 10.0
"""Seconds in which an answer comes that takes milliseconds, however busy the machine is."""

SLOW_S = 0.2
"""An answer that takes longer makes it worth while to ask for fewer of them."""


# --- who is asked what ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crowd:
    """One model, and what it is asked at once.

    Attributes:
        model: The model.
        expected: Prompts, and the text that each has to be answered with: for each its own, where that can be had.
        prompts: What is asked, so many times as is to be asked at once.
        limit_s: Seconds within which all of it is answered, even one by one, however busy the machine is.
    """

    model: Any
    expected: Mapping[str, str]
    prompts: Sequence[str]
    limit_s: float = WAIT_S

    @property
    def seen(self) -> str:
        """What could be seen of it that answers are mixed up."""
        several = len(self.expected) > 1
        return "" if several else "no crash; its answers are all the same, so that none can be mixed up"

    def check(self, told: str, got: str | BaseException | None, prompt: str) -> None:
        """Fail unless `got` is the text for this prompt; None stands for no answer at all."""
        expected = self.expected[prompt]
        if got is None:
            raise Failed(f"{told}: no answer within {self.limit_s:.3g} seconds", "an answer")
        if isinstance(got, BaseException):
            raise Failed(f"{told}: {why(got)}", "an answer")
        if got != expected:
            raise Failed(f"{told}: the answer was {got[:80]!r}", repr(expected[:80]))


def _crowd(subject: Subject, count: int) -> _Crowd:
    texts = [f"This is text number {number}." for number in range(count)]
    own = {text: text for text in texts}
    if not subject.lacks("replies"):
        return _Crowd(model=subject.says(_repeated), expected=own, prompts=texts)
    model = subject.real()
    if subject.voice.name == "echo":
        return _Crowd(model=model, expected=own, prompts=texts)
    expected = {subject.prompt: subject.answer()}
    seconds = subject.ask(model).seconds
    size = count if seconds < SLOW_S else min(count, 4)
    return _Crowd(model=model, expected=expected, prompts=[subject.prompt] * size, limit_s=WAIT_S + 2 * size * seconds)


def _repeated(asked: ChatRequest) -> Reply:
    """What was asked, with pauses in which others have their turn."""
    return Reply(text=asked.text, first=0.01, pace=0.002)


def why(error: BaseException) -> str:
    """An error in a line, with the one that it came from."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)  # some clients raise an error from itself
    root = chain[-1]
    told, came_from = nameless(shown(error)), nameless(shown(root))
    return told if told == came_from else f"{told} <- {came_from}"


def nameless(text: str) -> str:
    """Without addresses in memory, which are others each time."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _text(model: Any, path: PathName, prompt: str) -> str:
    """The answer by a synchronous path."""
    with beta_allowed():
        return PATHS[path](model, prompt, {}, {})[0]


async def _asked(model: Any, prompt: str) -> str:
    return str((await model.ainvoke(prompt)).text)


async def _read(model: Any, prompt: str) -> str:
    return "".join([str(chunk.text) async for chunk in model.astream(prompt)])


# --- threads ---


def in_threads(jobs: Sequence[Callable[[], str]], limit_s: float) -> list[str | BaseException | None]:
    """What each job gives or raises, all at once, each in a thread of its own; None where it has no end.

    A thread that hangs is left behind.
    """
    results: list[str | BaseException | None] = [None] * len(jobs)
    together = threading.Barrier(len(jobs))

    def work(number: int) -> None:
        try:
            together.wait(limit_s)
            results[number] = jobs[number]()
        except BaseException as error:  # noqa: BLE001 - it is what comes of the job
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit_s
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return results


@statement(
    "M01",
    "Threads that share one instance each get the answer to their own question.",
    why="`batch()` and every web server call one instance from many threads: users must not read each other's answers.",
    hint="""
    # keep what belongs to a call in local variables, not on `self`; guard an engine that can do one thing at a time:
    _lock: threading.Lock = PrivateAttr(default_factory=threading.Lock)

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        with self._lock:
            return self._engine.run(...)
    """,
    needs=("answer",),
    risky=True,
    limit_s=45.0,
)
def many_threads(subject: Subject) -> str:
    """Ask one instance from 16 threads at once, another question in each, then let them stream; compare the texts."""
    crowd = _crowd(subject, THREADS)
    ways: Sequence[PathName] = ("invoke", "stream")
    for path in ways:
        jobs = [partial(_text, crowd.model, path, prompt) for prompt in crowd.prompts]
        for prompt, got in zip(crowd.prompts, in_threads(jobs, crowd.limit_s), strict=True):
            crowd.check(f"{path} of {prompt!r} in one of {len(jobs)} threads", got, prompt)
    return crowd.seen


# --- tasks ---


@statement(
    "M02",
    "Concurrent `ainvoke`s and streams read in turns, on one instance, each give the answer to their own question.",
    why="An asynchronous server has hundreds of them under way at once.",
    hint="""
    # keep what belongs to a call in local variables of `_agenerate` and `_astream`: whatever is on `self` is another
    # call's after the next `await`
    """,
    needs=("answer",),
    limit_s=30.0,
)
async def many_tasks(subject: Subject) -> str:
    """Gather 16 `ainvoke`s of different questions, then read 8 streams a chunk at a time; compare the texts."""
    crowd = await asyncio.to_thread(_crowd, subject, THREADS)
    calls = [_asked(crowd.model, prompt) for prompt in crowd.prompts]
    for prompt, got in zip(crowd.prompts, await asyncio.gather(*calls, return_exceptions=True), strict=True):
        crowd.check(f"ainvoke of {prompt!r}, one of {len(calls)} at once", got, prompt)
    prompts = crowd.prompts[: len(crowd.prompts) // 2]
    texts = await _in_turns([crowd.model.astream(prompt) for prompt in prompts])
    for prompt, text in zip(prompts, texts, strict=True):
        crowd.check(f"astream of {prompt!r}, one of {len(prompts)} read in turns", text, prompt)
    return crowd.seen


async def _in_turns(streams: Sequence[AsyncIterator[Any]]) -> list[str]:
    """The texts of streams that are read a chunk at a time, one after the other."""
    texts, left = [""] * len(streams), dict(enumerate(streams))
    while left:
        for number, stream in [*left.items()]:
            chunk = await anext(stream, None)
            if chunk is None:
                del left[number]
            else:
                texts[number] += str(chunk.text)
    return texts


# --- loops ---

_LOOP_HINT = """
# an asynchronous client, lock or queue belongs to the loop that it was first used on: keep one for each loop
_clients: WeakKeyDictionary = PrivateAttr(default_factory=WeakKeyDictionary)

def _client(self):
    loop = asyncio.get_running_loop()
    if loop not in self._clients:
        self._clients[loop] = httpx.AsyncClient(base_url=self.base_url)
    return self._clients[loop]
"""

_TURNS = 3


@statement(
    "M03",
    "One instance works in one `asyncio.run` after another, also where a stream was left unread before.",
    why="Scripts, notebooks, Celery tasks and pytest start a loop for each piece of work, and keep the model.",
    hint=_LOOP_HINT,
    link=LOOPS_ISSUE,
    needs=("answer",),
    limit_s=60.0,
)
def loop_after_loop(subject: Subject) -> str:
    """Ask one instance in loops one after the other; in every second one, leave a stream behind its first chunk."""
    with subject.apart() as place:
        crowd, number = _crowd(place, _TURNS), 0
        for prompt in crowd.prompts:
            for name, ask in _uses(place, crowd.model, prompt).items():
                number += 1
                told = f"loop {number}, {name}{_without_retries(place)}"
                crowd.check(told, _on_new_loop(ask, crowd.limit_s), prompt)
    return f"{number} loops"


def _uses(subject: Subject, model: Any, prompt: str) -> Mapping[str, Callable[[], Coroutine[Any, Any, str]]]:
    """What is done in a loop, turn by turn."""

    async def leaves() -> str:
        text = await _asked(model, prompt)
        await first_text_async(model.astream(prompt))
        return text

    if subject.lacks("streaming"):
        return {"ainvoke": partial(_asked, model, prompt)}
    return {
        "ainvoke": partial(_asked, model, prompt),
        "ainvoke, with a stream left behind": leaves,
        "astream": partial(_read, model, prompt),
    }


def _on_new_loop(ask: Callable[[], Coroutine[Any, Any, str]], limit_s: float) -> str | BaseException | None:
    """What comes of it in an `asyncio.run`; None where that has no end: then its thread is left behind."""
    (got,) = in_threads([lambda: asyncio.run(ask())], limit_s)
    return got


def _without_retries(subject: Subject) -> str:
    """Retries hide what is wrong here: to be told where the recipe turned them off."""
    return " (max_retries=0)" if subject.arguments.get("max_retries") == 0 else ""


_LOOPS = 4


@statement(
    "M04",
    "One instance works on several loops in several threads at once, also after synchronous use.",
    why="Web servers and test runners have a loop in each thread; a model at module level is used on all of them.",
    hint=_LOOP_HINT,
    link=LOOPS_ISSUE,
    needs=("answer",),
    risky=True,
    limit_s=60.0,
)
def loops_at_once(subject: Subject) -> None:
    """Ask one instance synchronously, then on four loops that all go on: in turns, at once, and in turns again."""
    with subject.apart() as place, _loops(_LOOPS) as loops:
        crowd, hint = _crowd(place, _LOOPS), _without_retries(place)
        for prompt in crowd.expected:
            crowd.check("invoke", _text(crowd.model, "invoke", prompt), prompt)
        for told in ("in turns", "in turns for the second time"):
            for number, (loop, prompt) in enumerate(zip(loops, crowd.prompts, strict=True), start=1):
                got = _result(_sent(loop, _asked(crowd.model, prompt)), crowd.limit_s)
                crowd.check(f"loop {number} of {_LOOPS}, {told}{hint}", got, prompt)
        pairs = [(loop, prompt) for loop in loops for prompt in crowd.expected]
        sent = [_sent(loop, _asked(crowd.model, prompt)) for loop, prompt in pairs]
        for (_, prompt), future in zip(pairs, sent, strict=True):
            crowd.check(f"{_LOOPS} loops at once{hint}", _result(future, crowd.limit_s), prompt)


@contextmanager
def _loops(count: int) -> Generator[Sequence[asyncio.AbstractEventLoop], None, None]:
    """Loops that run, each in a thread of its own."""
    loops = [asyncio.new_event_loop() for _ in range(count)]
    threads = [threading.Thread(target=_serve, args=(loop,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield loops
    finally:
        for loop in loops:
            loop.call_soon_threadsafe(loop.stop)
        for thread in threads:
            thread.join(1)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    loop.run_forever()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    with suppress(Exception):
        loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), 1))
    loop.close()


def _sent(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, str]) -> Any:
    return asyncio.run_coroutine_threadsafe(coroutine, loop)


def _result(future: Any, limit_s: float) -> str | BaseException | None:
    try:
        return str(future.result(limit_s))
    except TimeoutError as error:
        return error if future.done() else None
    except Exception as error:  # noqa: BLE001 - it is what came of it
        return error


@statement(
    "M09",
    "Synchronous calls work where a loop is running.",
    why="Every cell of a notebook runs inside of a loop, and so does a tool that an asynchronous agent calls.",
    hint="""
    # `asyncio.run()` and `loop.run_until_complete()` raise inside of a running loop: write `_generate` with a
    # synchronous client, or have the coroutine run in another thread
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(asyncio.run, self._agenerate(messages, stop, **kwargs)).result()
    """,
    needs=("answer",),
    limit_s=45.0,
)
def inside_a_loop(subject: Subject) -> None:
    """Call `invoke`, `stream` and `batch` from a coroutine; compare the texts."""
    crowd = _crowd(subject, 1)
    (prompt,) = crowd.prompts
    for name, call in _sync_calls(crowd.model, prompt):
        (got,) = in_threads([partial(_from_a_coroutine, call)], crowd.limit_s)
        crowd.check(f"{name} inside of a running loop", got, prompt)


def _sync_calls(model: Any, prompt: str) -> Iterator[tuple[str, Callable[[], str]]]:
    yield "invoke", lambda: _text(model, "invoke", prompt)
    yield "stream", lambda: _text(model, "stream", prompt)
    yield "batch", lambda: str(model.batch([prompt])[0].text)


def _from_a_coroutine(call: Callable[[], str]) -> str:
    async def cell() -> str:
        return call()

    return asyncio.run(cell())
