"""Group M: concurrency. One instance in many threads, tasks and loops. `m_limits` is about what takes its time."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from langplug_backend import ChatRequest, Reply
from langplug_check.groups._concurrency import WAIT_S, error_chain
from langplug_check.groups._streams import first_text_async
from langplug_check.paths import PathName, allow_beta, call_model
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed

LOOPS_ISSUE = "https://github.com/langchain-ai/langchain/issues/35783"

THREADS = 16

SLOW_S = 0.2
"""A model whose answer takes longer than this is asked fewer times."""


# --- who is asked what ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Crowd:
    """One model, and the prompts that it is asked at once.

    Attributes:
        model: The model.
        expected: The right answer to each prompt: another one for each prompt, where that can be chosen.
        prompts: The prompts; the same one several times, if there is only one.
        limit_s: Seconds within which all are answered, even one by one, however busy the machine is.
    """

    model: Any
    expected: Mapping[str, str]
    prompts: Sequence[str]
    limit_s: float = WAIT_S

    @property
    def remark(self) -> str:
        """What could not be seen; empty if answers that are mixed up would show."""
        return "" if len(self.expected) > 1 else "no crash; its answers are all the same, so none can be mixed up"

    def check(self, which: str, got: str | BaseException | None, prompt: str) -> None:
        """Fail unless `got` is the right answer to this prompt; None stands for no answer at all."""
        expected = self.expected[prompt]
        if got is None:
            raise Failed(f"{which}: no answer within {self.limit_s:.3g} seconds", "an answer")
        if isinstance(got, BaseException):
            raise Failed(f"{which}: {error_chain(got)}", "an answer")
        if got != expected:
            raise Failed(f"{which}: the answer was {got[:80]!r}", repr(expected[:80]))


def _crowd(subject: Subject, count: int) -> _Crowd:
    texts = [f"This is text number {number}." for number in range(count)]

    def repeat(request: ChatRequest) -> Reply:
        # With pauses, in which other calls have their turn: an answer at once would never overlap with another.
        return Reply(text=request.text, first=0.01, pace=0.002)

    if not subject.lacks("replies"):
        return _Crowd(model=subject.says(repeat), expected={text: text for text in texts}, prompts=texts)
    model = subject.real()
    if subject.driver.name == "echo":
        return _Crowd(model=model, expected={text: text for text in texts}, prompts=texts)
    expected = {subject.prompt: subject.answer()}
    seconds = subject.ask(model).seconds
    size = count if seconds < SLOW_S else min(count, 4)
    return _Crowd(model=model, expected=expected, prompts=[subject.prompt] * size, limit_s=WAIT_S + 2 * size * seconds)


def _answer(model: Any, path: PathName, prompt: str) -> str:
    """The text of the answer by a synchronous path."""
    with allow_beta():
        return call_model(path, model, prompt)[0]


async def _ainvoke(model: Any, prompt: str) -> str:
    return str((await model.ainvoke(prompt)).text)


# --- threads ---


def in_threads(jobs: Sequence[Callable[[], str]], limit_s: float) -> list[str | BaseException | None]:
    """What each job returns or raises, all at once, each in a thread of its own; None if it does not end in time.

    A thread that hangs is left behind: nothing can stop it.
    """
    results: list[str | BaseException | None] = [None] * len(jobs)
    together = threading.Barrier(len(jobs))

    def work(number: int) -> None:
        try:
            together.wait(limit_s)
            results[number] = jobs[number]()
        except BaseException as error:  # noqa: BLE001 - it is the job's result
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
    rank="must",
    why="`batch()` and every web server call one instance from many threads: users must not read each other's answers.",
    hint="""
    # keep the state of a call in local variables, not on `self`; guard an engine that can do one thing at a time:
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
    # Local engines are the usual victims: two threads in one llama.cpp context give gibberish (lc#9747), or abort the
    # process: hence `risky`.
    crowd = _crowd(subject, THREADS)
    paths: Sequence[PathName] = ("invoke", "stream")
    for path in paths:
        jobs = [partial(_answer, crowd.model, path, prompt) for prompt in crowd.prompts]
        for prompt, got in zip(crowd.prompts, in_threads(jobs, crowd.limit_s), strict=True):
            crowd.check(f"{path} of {prompt!r} in one of {len(jobs)} threads", got, prompt)
    return crowd.remark


# --- tasks ---


@statement(
    "M02",
    "On one instance, concurrent `ainvoke`s and interleaved streams each give the answer to their own question.",
    rank="must",
    why="An asynchronous server has hundreds of them under way at once.",
    hint="""
    # keep the state of a call in local variables of `_agenerate` and `_astream`: after an `await`, `self` may hold that
    # of another call
    """,
    needs=("answer",),
    limit_s=30.0,
)
async def many_tasks(subject: Subject) -> str:
    """Gather 16 `ainvoke`s of different questions, then read 8 streams a chunk at a time; compare the texts."""
    crowd = await asyncio.to_thread(_crowd, subject, THREADS)
    calls = [_ainvoke(crowd.model, prompt) for prompt in crowd.prompts]
    for prompt, got in zip(crowd.prompts, await asyncio.gather(*calls, return_exceptions=True), strict=True):
        crowd.check(f"ainvoke of {prompt!r}, one of {len(calls)} at once", got, prompt)
    prompts = crowd.prompts[: len(crowd.prompts) // 2]
    streams = [crowd.model.astream(prompt) for prompt in prompts]
    texts, open_streams = [""] * len(streams), dict(enumerate(streams))
    # One task reads all of them: what a model keeps by task or in a context variable is shared here.
    while open_streams:
        for number, stream in [*open_streams.items()]:
            chunk = await anext(stream, None)
            if chunk is None:
                del open_streams[number]
            else:
                texts[number] += str(chunk.text)
    for prompt, text in zip(prompts, texts, strict=True):
        crowd.check(f"astream of {prompt!r}, one of {len(prompts)} read in turns", text, prompt)
    return crowd.remark


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
    "One instance works in one `asyncio.run` after another, even if a stream was left unread before.",
    rank="must",
    why="Scripts, notebooks, Celery tasks and pytest start a loop for each piece of work, and keep the model.",
    hint=_LOOP_HINT,
    link=LOOPS_ISSUE,
    needs=("answer",),
    limit_s=60.0,
)
def loop_after_loop(subject: Subject) -> str:
    """Ask one instance in one loop after another; in every third one, leave a stream after its first chunk."""

    async def read(model: Any, prompt: str) -> str:
        return "".join([str(chunk.text) async for chunk in model.astream(prompt)])

    async def leave(model: Any, prompt: str) -> str:
        text = await _ainvoke(model, prompt)
        await first_text_async(model.astream(prompt))
        return text

    uses: dict[str, Callable[[Any, str], Coroutine[Any, Any, str]]] = {"ainvoke": _ainvoke}
    if not subject.lacks("streaming"):
        uses |= {"ainvoke, with a stream left behind": leave, "astream": read}
    # A keep-alive connection belongs to a loop that is closed by the next call: at their default settings, ChatOllama,
    # ChatMistralAI and ChatHuggingFace fail at every second call, and others hide it behind a retry. langchain-tests
    # makes a fresh model for each test.
    with subject.with_own_backend() as place:
        crowd, number = _crowd(place, _TURNS), 0
        for prompt in crowd.prompts:
            for name, use in uses.items():
                number += 1
                (got,) = in_threads([partial(asyncio.run, use(crowd.model, prompt))], crowd.limit_s)
                crowd.check(f"loop {number}, {name}{_without_retries(place)}", got, prompt)
    return f"{number} loops"


def _without_retries(subject: Subject) -> str:
    """A note that the recipe turned retries off: these would hide the failure."""
    return " (max_retries=0)" if subject.arguments.get("max_retries") == 0 else ""


_LOOPS = 4


@statement(
    "M04",
    "One instance works on several loops in several threads at once, even after synchronous use.",
    why="Web servers and test runners have a loop in each thread; a model at module level is used on all of them.",
    hint=_LOOP_HINT,
    link=LOOPS_ISSUE,
    needs=("answer",),
    risky=True,
    limit_s=60.0,
)
def loops_at_once(subject: Subject) -> None:
    """Ask one instance synchronously, then on four running loops: in turns, all at once, and in turns again."""

    def send(loop: asyncio.AbstractEventLoop, prompt: str) -> Any:
        return asyncio.run_coroutine_threadsafe(_ainvoke(crowd.model, prompt), loop)

    # Four threads that shared a ChatOpenAI hung or raised in four runs of five, a ChatOllama in all of them. Others
    # fail now and then: hence several rounds.
    with subject.with_own_backend() as place, _running_loops(_LOOPS) as loops:
        crowd, note = _crowd(place, _LOOPS), _without_retries(place)
        for prompt in crowd.expected:
            crowd.check("invoke", _answer(crowd.model, "invoke", prompt), prompt)
        for order in ("in turns", "in turns for the second time"):
            for number, (loop, prompt) in enumerate(zip(loops, crowd.prompts, strict=True), start=1):
                got = _result(send(loop, prompt), crowd.limit_s)
                crowd.check(f"loop {number} of {_LOOPS}, {order}{note}", got, prompt)
        sent = [(prompt, send(loop, prompt)) for loop in loops for prompt in crowd.expected]
        for prompt, future in sent:
            crowd.check(f"{_LOOPS} loops at once{note}", _result(future, crowd.limit_s), prompt)


@contextmanager
def _running_loops(count: int) -> Generator[Sequence[asyncio.AbstractEventLoop], None, None]:
    """Loops that run, each in a thread of its own."""

    def serve(loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        # As `asyncio.run` does it: otherwise what the model leaves behind complains into the next check.
        for task in asyncio.all_tasks(loop):
            task.cancel()
        with suppress(Exception):
            loop.run_until_complete(asyncio.wait_for(loop.shutdown_asyncgens(), 1))
        loop.close()

    loops = [asyncio.new_event_loop() for _ in range(count)]
    threads = [threading.Thread(target=serve, args=(loop,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield loops
    finally:
        for loop in loops:
            loop.call_soon_threadsafe(loop.stop)
        for thread in threads:
            thread.join(1)


def _result(future: Any, limit_s: float) -> str | BaseException | None:
    """What a call on another loop returns or raises; None if it does not end in time."""
    try:
        return str(future.result(limit_s))
    except TimeoutError as error:
        # The model's own TimeoutError is of the same type.
        return error if future.done() else None
    except Exception as error:  # noqa: BLE001 - it is the call's result
        return error


@statement(
    "M09",
    "Synchronous calls work inside a running loop.",
    why="Every cell of a notebook runs inside a loop, and so does a tool that an asynchronous agent calls.",
    hint="""
    # `asyncio.run()` and `loop.run_until_complete()` raise inside a running loop: write `_generate` with a synchronous
    # client, or run the coroutine in another thread
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
    calls: dict[str, Callable[[], str]] = {
        "invoke": lambda: _answer(crowd.model, "invoke", prompt),
        "stream": lambda: _answer(crowd.model, "stream", prompt),
        "batch": lambda: str(crowd.model.batch([prompt])[0].text),
    }

    async def cell(call: Callable[[], str]) -> str:
        return call()

    for name, call in calls.items():
        # In a thread: a model that waits for its own loop hangs for good.
        (got,) = in_threads([partial(asyncio.run, cell(call))], crowd.limit_s)
        crowd.check(f"{name} inside a running loop", got, prompt)
