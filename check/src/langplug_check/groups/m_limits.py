"""Group M: async and limits. What happens while an answer takes its time, and when nobody waits for it any more."""

import asyncio
import gc
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from langchain_core.exceptions import ModelTimeoutError
from langchain_core.rate_limiters import BaseRateLimiter

from langplug_backend import ChatRequest, Fault, Reply
from langplug_check.drivers import SAID
from langplug_check.groups._streams import first_text_async
from langplug_check.groups.m_concurrency import WAIT_S, nameless, why
from langplug_check.paths import Outcome, PathName, shown
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

SEEN_S = 0.2
"""Seconds that an answer has to take at least, so that it can be seen what happens meanwhile."""


async def _ainvoked(model: Any, prompt: str, config: Any = None) -> str:
    return str((await model.ainvoke(prompt, config)).text)


async def _streamed(model: Any, prompt: str, config: Any = None) -> str:
    return "".join([str(chunk.text) async for chunk in model.astream(prompt, config)])


_ASYNC: Mapping[str, Callable[..., Coroutine[Any, Any, str]]] = {"ainvoke": _ainvoked, "astream": _streamed}


def _slow(subject: Subject, seconds: float) -> tuple[Any, float]:
    """A model that answers after so many seconds or, where it cannot be made to, after its own; and how many.

    Raises:
        NotObserved: If it answers too soon for anything to be seen.
    """
    if not subject.lacks("pace"):
        return subject.says(Reply(text=SAID, first=seconds)), seconds
    model = subject.real()
    own_s = subject.ask(model).seconds
    if own_s < SEEN_S:
        raise NotObserved(f"it answers within {own_s:.2f} seconds, and cannot be made to take its time")
    return model, own_s


# --- M05 ---

_BLOCKED = 0.67
"""The share of an answer's time that the loop must have stood still for, to be called blocked."""

_ATTEMPTS = 5
"""A machine may be so busy that a loop stands still by itself: not so often in a row."""


@statement(
    "M05",
    "Asynchronous calls do not block the event loop while they wait for the answer.",
    why="One blocking call stops a whole server: every other user waits for this answer, too.",
    hint="""
    # in `_agenerate` and `_astream`, await everything that waits: httpx.AsyncClient, aiohttp, asyncio.sleep.
    # What can only block goes to a thread:
    answer = await asyncio.to_thread(self._engine.run, prompt)
    # or leave `_agenerate` and `_astream` out: langchain-core then runs `_generate` and `_stream` in a thread
    """,
    needs=("answer",),
    limit_s=60.0,
)
async def loop_goes_on(subject: Subject) -> str:
    """Have the answer take its time, by both paths; look how long the loop stands still meanwhile."""
    model, seconds = await asyncio.to_thread(_slow, subject, 0.3)
    stood = 0.0
    for path, ask in _ASYNC.items():
        least = await _least_gap(partial(ask, model, subject.prompt), seconds * _BLOCKED)
        if least >= seconds * _BLOCKED:
            raise Failed(
                f"{path}: of the {seconds:.2g} s until the answer came, the loop stood still for {least:.2f} s",
                "the loop goes on",
            )
        stood = max(stood, least)
    return f"for an answer of {seconds:.2g} s, the loop stood still for {stood:.3f} s at most"


async def _least_gap(ask: Callable[[], Coroutine[Any, Any, str]], limit_s: float) -> float:
    """The least of the longest stops of several attempts; one below the limit is enough."""
    least = float("inf")
    for _ in range(_ATTEMPTS):
        least = min(least, await _longest_gap(ask()))
        if least < limit_s:
            break
    return least


async def _longest_gap(work: Coroutine[Any, Any, str]) -> float:
    """The longest time, in seconds, in which this loop did nothing else while `work` ran."""
    task, longest, last = asyncio.ensure_future(work), 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    await task
    return longest


# --- M06 ---

_HELD_S = 5.0
"""Seconds that an answer takes which nobody waits for."""

_PROMPT_S = 2.0
"""Seconds that may pass until a cancelled call is over: much less than the answer takes, for a machine may be busy."""

_HOLD = "Take your time."

_CANCEL_HINT = """
# let CancelledError through: no `except BaseException`, no bare `except:`, no `asyncio.shield` around the call
async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
    response = await self._client.send(...)
    try:
        ...
    finally:                  # runs on cancellation, too
        await response.aclose()
"""


def _held(asked: ChatRequest) -> Reply:
    """A slow answer to one prompt, and a quick one to every other. In a stream the first word comes at once."""
    if asked.text != _HOLD:
        return Reply(text=SAID)
    if asked.streaming:
        return Reply(text=" ".join(["word"] * 50), pace=_HELD_S / 50)
    return Reply(text="word", first=_HELD_S)


@statement(
    "M06",
    "A cancelled `ainvoke` or `astream` ends promptly, the stream's run is closed, and the instance works after it.",
    why="When a client disconnects, a server cancels: a call that goes on costs money, and a broken model is worse.",
    hint=_CANCEL_HINT,
    needs=("answer",),
    risky=True,
    limit_s=40.0,
)
async def cancels(subject: Subject) -> None:
    """Cancel either while a slow answer is under way; look at the clock and at callbacks, and ask once more."""
    for path, ask in _ASYNC.items():
        model, prompt, text, until = await asyncio.to_thread(_holding, subject)
        recorder = Recorder()
        task = asyncio.ensure_future(ask(model, prompt, {"callbacks": [recorder]}))
        await until()
        await _check_cancelled(path, task)
        if path == "astream" and not subject.lacks("streaming"):  # else it is an `ainvoke`: see M06b
            await _check_closed("astream", recorder)
        await _check_works(path, model, subject.prompt, text)


def _holding(subject: Subject) -> tuple[Any, str, str, Callable[[], Awaitable[Any]]]:
    """A model, the prompt by which it is slow, the text that it gives otherwise, and what waits until it is at work."""
    if subject.lacks("pace") or subject.lacks("requests"):
        model, seconds = _slow(subject, _HELD_S)
        return model, subject.prompt, subject.answer(), partial(asyncio.sleep, seconds / 3)
    model = subject.says(_held)
    begun = partial(subject.wait_for, lambda: subject.exchanges, WAIT_S)

    async def until() -> None:
        await asyncio.to_thread(begun)
        await asyncio.sleep(0.05)  # for the first word to be on its way

    return model, _HOLD, SAID, until


async def _check_cancelled(path: str, task: "asyncio.Task[str]") -> None:
    if task.done():
        raise NotObserved(f"{path} was over before it could be cancelled") from task.exception()
    began = time.monotonic()
    task.cancel()
    await asyncio.wait([task], timeout=_PROMPT_S)
    seconds = time.monotonic() - began
    if not task.done():
        raise Failed(f"{path} was still under way {seconds:.1f} s after it was cancelled", "an end at once")
    if not task.cancelled():
        error = task.exception()
        came = f"raised {shown(error)}" if error else f"gave {task.result()[:80]!r}"
        raise Failed(f"a cancelled {path} {came}", "asyncio.CancelledError")


async def _check_closed(path: str, recorder: Recorder) -> None:
    """A start and one end are to be seen soon."""
    await _until(lambda: len(recorder.kinds) >= 2, _PROMPT_S / 2)
    if len(recorder.kinds) != 2:
        seen = ", ".join(recorder.kinds) or "nothing"
        raise Failed(f"of a cancelled {path}, callbacks heard: {seen}", "start, and one error or end")


async def _until(predicate: Callable[[], Any], limit_s: float) -> None:
    """Wait until something is true of what tells nobody, or for so many seconds."""
    deadline = time.monotonic() + limit_s
    while not predicate() and time.monotonic() < deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.01)


async def _check_works(path: str, model: Any, prompt: str, text: str) -> None:
    try:
        got = await asyncio.wait_for(_ainvoked(model, prompt), WAIT_S)
    except TimeoutError:
        raise Failed(f"after a cancelled {path}, ainvoke did not answer within {WAIT_S:g} seconds") from None
    except Exception as error:
        raise Failed(f"after a cancelled {path}, ainvoke raised {why(error)}", "an answer") from error
    if got != text:
        raise Failed(f"after a cancelled {path}, ainvoke gave {got[:80]!r}", repr(text[:80]))


class _Waits(BaseRateLimiter):
    """Holds a call up: langchain-core asks it within the run."""

    def acquire(self, *, blocking: bool = True) -> bool:
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        await asyncio.sleep(_HELD_S)
        return True


@statement(
    "M06b",
    "A cancelled `ainvoke` closes its run in callbacks.",
    why="Traces show a run that is pending for ever, and whoever counts what is under way counts it for good.",
    hint="""
    # langchain-core's `agenerate` tells nobody when it is cancelled. A subclass can:
    async def agenerate(self, messages, stop=None, callbacks=None, **kwargs):
        # as core's, but around the `gather` of the calls:
        #     except asyncio.CancelledError as error:
        #         await asyncio.gather(*(run.on_llm_error(error) for run in run_managers)); raise
        ...
    """,
    link="https://github.com/langchain-ai/langchain/issues/38469",
    needs=("answer",),
    blame="langchain-core",
    limit_s=30.0,
)
async def cancelled_run_ends(subject: Subject) -> None:
    """Cancel `ainvoke` while the model, or its rate limiter, has it wait; look at callbacks."""
    recorder = Recorder()
    if subject.lacks("pace"):
        model = await asyncio.to_thread(partial(subject.model, rate_limiter=_Waits()))
    else:
        model = await asyncio.to_thread(subject.says, Reply(text=SAID, first=_HELD_S))
    task = asyncio.ensure_future(_ainvoked(model, subject.prompt, {"callbacks": [recorder]}))
    await _until(lambda: recorder.events or task.done(), WAIT_S)
    await asyncio.sleep(0.05)  # for the call to be where it waits
    await _check_cancelled("ainvoke", task)
    try:
        await _check_closed("ainvoke", recorder)
    except Failed as failed:
        if subject.overrides("agenerate"):
            raise Failed(failed.observed, failed.expected, blame="model") from None
        raise


# --- M07 ---

_TIMEOUT_S = 0.25

_LATE_S = 3.0
"""Seconds after which a slow answer comes. A timeout that is honoured comes long before."""


@statement(
    "M07",
    "A fraction of a second as `timeout` is honoured, and raises `ModelTimeoutError`.",
    why="A server that hangs must not hang its clients; retries and fallbacks wait for this type.",
    hint="""
    timeout: float | None = None

    try:
        return self._client.send(body, timeout=self.timeout)
    except httpx.TimeoutException as error:      # class AcmeTimeoutError(ModelTimeoutError, httpx.TimeoutException)
        raise AcmeTimeoutError(f"no answer within {self.timeout} seconds") from error
    """,
    needs=("pace",),
    limit_s=40.0,
)
def timeout_is_honoured(subject: Subject) -> None:
    """With `timeout=0.25`, ask for an answer that takes three seconds, by three paths; look at the error."""
    arguments = _arguments(subject, timeout=_TIMEOUT_S, max_retries=0)
    paths: tuple[PathName, ...] = ("invoke", "ainvoke", "astream")
    for path in paths:
        outcome = subject.ask(_timed(subject, arguments), None, path)
        if outcome.error is None:
            told = "" if subject.takes("timeout") else ", a parameter that it does not have and silently drops"
            raise Failed(
                f"{path} with timeout={_TIMEOUT_S}{told} gave its answer after {outcome.seconds:.1f} s",
                "ModelTimeoutError",
            )
        if not isinstance(outcome.error, ModelTimeoutError):
            raise Failed(f"{path} with timeout={_TIMEOUT_S} raised {_named(outcome)}", "ModelTimeoutError")


def _arguments(subject: Subject, **wanted: Any) -> dict[str, Any]:
    """What is wanted, without what the class has no parameter for; `timeout` is always given: users would."""
    return {name: value for name, value in wanted.items() if name == "timeout" or subject.takes(name)}


def _timed(subject: Subject, arguments: Mapping[str, Any]) -> Any:
    try:
        return subject.says(Reply(text=SAID, first=_LATE_S), **arguments)
    except NotObserved:
        raise
    except Exception as error:
        if not subject.takes("timeout"):
            raise NotApplicable(f"it has no `timeout`, and says so: {shown(error)}") from error
        raise Failed(f"timeout={_TIMEOUT_S} is refused: {shown(error)}", "seconds as a float") from error


def _named(outcome: Outcome) -> str:
    """The error with the package of its class: classes of errors are called alike everywhere."""
    package = type(outcome.error).__module__.partition(".")[0]
    return f"{'' if package == 'builtins' else f'{package}.'}{shown(outcome.error)} after {outcome.seconds:.1f} s"


# --- M08 ---


@statement(
    "M08",
    "`max_retries` says how often a request that met status 429 is sent again, and nothing beneath multiplies it.",
    why="Retries of retries hit a server that is busy with many times the load, and keep the user waiting.",
    hint="""
    # one place retries: turn the client's own retries off where you count yourself, or hand it the number
    self._client = acme.Client(max_retries=self.max_retries)
    """,
    needs=("faults", "requests"),
    limit_s=90.0,
)
def retries_are_counted(subject: Subject) -> str:
    """Answer with 429 and "retry at once", and count the requests for `max_retries=0` and `2`."""
    if not subject.takes("max_retries"):
        raise NotApplicable("it has no parameter `max_retries` (see A02)")
    for path in ("invoke", "astream"):
        _check_count(path, 0, _requests(subject, path, 0))
    seen = {}
    for path in ("invoke", "ainvoke"):
        seen[path] = _requests(subject, path, 2)
        _check_count(path, 2, seen[path])
    counts = sorted(set(seen.values()))
    return f"max_retries=0: 1 request; max_retries=2: {' or '.join(map(str, counts))} requests"


def _check_count(path: str, retries: int, count: int) -> None:
    """Some count the first try, some do not."""
    allowed = {1, retries + 1} if not retries else {retries, retries + 1}
    if count not in allowed:
        more = " or more" if count > max(allowed) else ""
        raise Failed(
            f"{path} with max_retries={retries} sent {count}{more} request{'s' if count != 1 or more else ''}",
            f"{retries + 1}",
        )


def _requests(subject: Subject, path: Any, retries: int) -> int:
    """How many requests a call sends that is always refused. One that does not end is given an answer at last."""
    model = subject.suffers(Fault.status(429, retry_after=0.05), max_retries=retries)
    over = threading.Event()

    def call() -> None:
        subject.ask(model, None, path)
        over.set()

    threading.Thread(target=call, daemon=True).start()
    deadline = time.monotonic() + 2 * WAIT_S
    while not over.wait(0.02) and len(subject.exchanges) <= retries + 1 and time.monotonic() < deadline:
        pass
    count = len(subject.exchanges)
    if not over.is_set():
        subject.model()  # from now on it is answered
        over.wait(WAIT_S)
    return count


# --- M10 ---


@statement(
    "M10",
    "An asynchronous stream that is dropped leaves no noise: no pending task, no error that was never retrieved.",
    why="Such lines fill the logs of every service whose clients disconnect, and hide what matters.",
    hint="""
    # in `_astream`: no `yield` in a `finally`, and no task that outlives the generator
    task = asyncio.create_task(self._read())
    try:
        ...
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    """,
    needs=("answer", "streaming"),
    limit_s=40.0,
)
def dropped_in_silence(subject: Subject) -> None:
    """Drop a stream behind its first chunk, on a loop that goes on, and listen; compare with one read to its end."""
    dropped = _noise(subject, _drop)
    if not dropped:
        return
    anyway = _noise(subject, _read)
    if new := [line for line in dropped if line not in anyway]:
        raise Failed(f"a dropped stream said: {new[0]}", "silence")


def _noise(subject: Subject, use: Callable[[Any, str], Awaitable[Any]]) -> list[str]:
    """What is said when a stream is used so: by the loop, by finalizers, and in warnings of what was never awaited."""

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(_line(context)))
        before = asyncio.all_tasks()
        model = place.says(_TALK) if not place.lacks("pace") else place.model()
        await use(model, place.prompt)
        await asyncio.sleep(0.02)
        gc.collect()
        # a loop that ends meanwhile closes nested generators all at once, and complains of models that do it in order
        await _until(lambda: asyncio.all_tasks() <= before, _PROMPT_S)
        await asyncio.sleep(0.02)

    with _listening() as said, subject.apart() as place:
        run(main(), 2 * WAIT_S)
        gc.collect()
    return said


_TALK = Reply(text=" ".join(["word"] * 20), pace=0.02)


async def _drop(model: Any, prompt: str) -> None:
    await first_text_async(model.astream(prompt))


async def _read(model: Any, prompt: str) -> None:
    await _streamed(model, prompt)


def _line(context: Mapping[str, Any]) -> str:
    error = context.get("exception")
    return nameless(f"{context.get('message')}{f' ({shown(error)})' if error else ''}")


@contextmanager
def _listening() -> Generator[list[str], None, None]:
    said: list[str] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda told: said.append(f"{told.err_msg or 'Exception ignored in'}: {shown(told.exc_value)}")
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", RuntimeWarning)
            yield said
            said += [str(one.message) for one in warned if "never awaited" in str(one.message)]
    finally:
        sys.unraisablehook = hook
