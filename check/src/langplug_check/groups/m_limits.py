"""Group M: async and limits. What happens while an answer takes its time, and when nobody waits for it any more."""

import asyncio
import gc
import sys
import threading
import time
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from langchain_core.exceptions import ModelTimeoutError
from langchain_core.rate_limiters import BaseRateLimiter

from langplug_backend import ChatRequest, Fault, Reply
from langplug_check.drivers import SAID
from langplug_check.groups._addresses import without_addresses
from langplug_check.groups._concurrency import WAIT_S, error_chain
from langplug_check.groups._streams import first_text_async
from langplug_check.paths import PathName, error_text
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

SEEN_S = 0.2
"""Seconds that an answer must take at least, for anything to be seen meanwhile."""


async def _ainvoke(model: Any, prompt: str, config: Any = None) -> str:
    return str((await model.ainvoke(prompt, config)).text)


async def _astream(model: Any, prompt: str, config: Any = None) -> str:
    return "".join([str(chunk.text) async for chunk in model.astream(prompt, config)])


_ASYNC: Mapping[str, Callable[..., Coroutine[Any, Any, str]]] = {"ainvoke": _ainvoke, "astream": _astream}


def _slow_model(subject: Subject, seconds: float) -> tuple[Any, float]:
    """A model, and how many seconds its answer takes: these, if that can be chosen; otherwise its own time.

    Raises:
        NotObserved: If it answers too soon for anything to be seen.
    """
    if not subject.lacks("pace"):
        return subject.says(Reply(text=SAID, first=seconds)), seconds
    model = subject.real()
    own_s = subject.ask(model).seconds
    if own_s < SEEN_S:
        raise NotObserved(f"it answers within {own_s:.2f} seconds, and cannot be slowed down")
    return model, own_s


# --- M05 ---

_BLOCKED = 0.67
"""The share of an answer's time for which the loop must stand still, to be called blocked."""

_ATTEMPTS = 5
"""A busy machine holds up a loop now and then, but not this many times in a row."""


@statement(
    "M05",
    "Asynchronous calls do not block the event loop while they wait for the answer.",
    rank="must",
    why="One blocking call stops a whole server: every other user waits for this answer, too.",
    hint="""
    # in `_agenerate` and `_astream`, await everything that waits: httpx.AsyncClient, aiohttp, asyncio.sleep.
    # Run what can only block in a thread:
    answer = await asyncio.to_thread(self._engine.run, prompt)
    # or leave `_agenerate` and `_astream` out: langchain-core then runs `_generate` and `_stream` in a thread
    """,
    needs=("answer",),
    limit_s=60.0,
)
async def loop_goes_on(subject: Subject) -> str:
    """Have the answer take its time, by both paths; measure how long the loop stands still meanwhile."""
    model, seconds = await asyncio.to_thread(_slow_model, subject, 0.3)
    worst, limit_s = 0.0, seconds * _BLOCKED
    for path, ask in _ASYNC.items():
        # The least of several attempts: one in which the loop went on shows that the model does not block it.
        least = float("inf")
        for _ in range(_ATTEMPTS):
            least = min(least, await _longest_gap(ask(model, subject.prompt)))
            if least < limit_s:
                break
        else:
            raise Failed(
                f"{path}: of the {seconds:.2g} s until the answer came, the loop stood still for {least:.2f} s",
                "the loop goes on",
            )
        worst = max(worst, least)
    return f"for an answer of {seconds:.2g} s, the loop stood still for {worst:.3f} s at most"


async def _longest_gap(work: Coroutine[Any, Any, str]) -> float:
    """The longest time, in seconds, for which this loop did nothing else while `work` ran."""
    task, longest, last = asyncio.ensure_future(work), 0.0, time.monotonic()
    while not task.done():
        await asyncio.sleep(0.005)
        now = time.monotonic()
        longest, last = max(longest, now - last), now
    await task
    return longest


# --- M06 ---

_HELD_S = 5.0
"""Seconds that an answer takes which is cancelled."""

_PROMPT_S = 2.0
"""Seconds within which a cancelled call must be over: far less than the answer takes, since the machine may be busy."""

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


@statement(
    "M06",
    "A cancelled `ainvoke` or `astream` ends promptly, the stream's run is closed, and the instance works afterwards.",
    rank="must",
    why="When a client disconnects, a server cancels: a call that goes on costs money, and a broken model is worse.",
    hint=_CANCEL_HINT,
    needs=("answer",),
    risky=True,
    limit_s=40.0,
)
async def cancels(subject: Subject) -> None:
    """Cancel either while a slow answer is under way; look at the clock and at callbacks, and ask once more."""
    for path, ask in _ASYNC.items():
        model, prompt, text, wait_until_busy = await asyncio.to_thread(_held_model, subject)
        recorder = Recorder()
        task = asyncio.ensure_future(ask(model, prompt, {"callbacks": [recorder]}))
        await wait_until_busy()
        await _check_cancelled(path, task)
        # Without a stream of its own, `astream` is an `ainvoke`, whose run M06b is about.
        if path == "astream" and not subject.lacks("streaming"):
            await _check_run_closed("astream", recorder)
        # Once more on the same instance: a lock or a connection may still be taken. ChatLlamaCpp aborts here.
        try:
            got = await asyncio.wait_for(_ainvoke(model, subject.prompt), WAIT_S)
        except TimeoutError:
            raise Failed(f"after a cancelled {path}, ainvoke did not answer within {WAIT_S:g} seconds") from None
        except Exception as error:
            raise Failed(f"after a cancelled {path}, ainvoke raised {error_chain(error)}", "an answer") from error
        if got != text:
            raise Failed(f"after a cancelled {path}, ainvoke gave {got[:80]!r}", repr(text[:80]))


def _held_model(subject: Subject) -> tuple[Any, str, str, Callable[[], Awaitable[Any]]]:
    """A model, a prompt to which it is slow, its answer to the usual prompt, and a wait until the slow one is begun."""
    if subject.lacks("pace") or subject.lacks("requests"):
        model, seconds = _slow_model(subject, _HELD_S)
        return model, subject.prompt, subject.answer(), partial(asyncio.sleep, seconds / 3)

    def hold(request: ChatRequest) -> Reply:
        if request.text != _HOLD:
            return Reply(text=SAID)
        # In a stream the first word comes at once: the hard case is to be cancelled between two chunks.
        if request.streaming:
            return Reply(text=" ".join(["word"] * 50), pace=_HELD_S / 50)
        return Reply(text="word", first=_HELD_S)

    async def wait_until_busy() -> None:
        await asyncio.to_thread(subject.wait_for, lambda: subject.exchanges, WAIT_S)
        await asyncio.sleep(0.05)  # for the first word to be under way

    return subject.says(hold), _HOLD, SAID, wait_until_busy


async def _check_cancelled(path: str, task: "asyncio.Task[str]") -> None:
    """Cancel the task; fail unless it ends soon, and by the cancellation."""
    if task.done():
        raise NotObserved(f"{path} was over before it could be cancelled") from task.exception()
    began = time.monotonic()
    task.cancel()
    await asyncio.wait([task], timeout=_PROMPT_S)
    seconds = time.monotonic() - began
    if not task.done():
        raise Failed(f"{path} was still running {seconds:.1f} s after it was cancelled", "an end at once")
    if not task.cancelled():
        error = task.exception()
        result = f"raised {error_text(error)}" if error else f"gave {task.result()[:80]!r}"
        raise Failed(f"a cancelled {path} {result}", "asyncio.CancelledError")


async def _check_run_closed(path: str, recorder: Recorder) -> None:
    """Fail unless handlers soon have a start and one end."""
    await _until(lambda: len(recorder.kinds) >= 2, _PROMPT_S / 2)
    if len(recorder.kinds) != 2:
        seen = ", ".join(recorder.kinds) or "nothing"
        raise Failed(f"of a cancelled {path}, callbacks saw: {seen}", "start, and one error or end")


async def _until(predicate: Callable[[], Any], limit_s: float) -> None:
    """Wait until the predicate is true, or for this many seconds; by polling, since nothing announces the change."""
    deadline = time.monotonic() + limit_s
    while not predicate() and time.monotonic() < deadline:  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.01)


class _SlowLimiter(BaseRateLimiter):
    """Holds up an asynchronous call."""

    def acquire(self, *, blocking: bool = True) -> bool:
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        await asyncio.sleep(_HELD_S)
        return True


@statement(
    "M06b",
    "A cancelled `ainvoke` closes its run in callbacks.",
    rank="could",
    why="Traces show a run that stays pending forever, and code that counts the calls under way never counts it out.",
    hint="""
    # langchain-core's `agenerate` calls no handler when it is cancelled. A subclass can:
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
    """Cancel `ainvoke` while the model, or its rate limiter, keeps it waiting; look at callbacks."""
    recorder = Recorder()
    if subject.lacks("pace"):
        # Any model can be held up by its rate limiter: langchain-core acquires it within the run.
        model = await asyncio.to_thread(partial(subject.model, rate_limiter=_SlowLimiter()))
    else:
        model = await asyncio.to_thread(subject.says, Reply(text=SAID, first=_HELD_S))
    task = asyncio.ensure_future(_ainvoke(model, subject.prompt, {"callbacks": [recorder]}))
    await _until(lambda: recorder.events or task.done(), WAIT_S)
    await asyncio.sleep(0.05)  # for the call to be where it waits
    await _check_cancelled("ainvoke", task)
    try:
        await _check_run_closed("ainvoke", recorder)
    except Failed as failed:
        # A class with its own `agenerate` has taken the matter into its hands.
        if subject.overrides("agenerate"):
            raise Failed(failed.observed, failed.expected, blame="model") from None
        raise


# --- M07 ---

_TIMEOUT_S = 0.25

_LATE_S = 3.0
"""Seconds after which a slow answer comes: long after a timeout that is honoured."""


@statement(
    "M07",
    "A `timeout` of a fraction of a second is honoured, and raises `ModelTimeoutError`.",
    why="A server that hangs must not hang its clients; retries and fallbacks catch this type.",
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
    # A float: ChatMistralAI takes only an int. Without retries, which each take another timeout. `timeout` is passed
    # even to a class that does not have it, as a user would.
    arguments = {"timeout": _TIMEOUT_S, **({"max_retries": 0} if subject.takes("max_retries") else {})}
    paths: Sequence[PathName] = ("invoke", "ainvoke", "astream")
    for path in paths:
        try:
            model: Any = subject.says(Reply(text=SAID, first=_LATE_S), **arguments)
        except NotObserved:
            raise
        except Exception as error:
            if not subject.takes("timeout"):
                raise NotApplicable(f"it has no `timeout`, and says so: {error_text(error)}") from error
            raise Failed(f"timeout={_TIMEOUT_S} is refused: {error_text(error)}", "seconds as a float") from error
        outcome = subject.ask(model, None, path)
        if outcome.error is None:
            dropped = "" if subject.takes("timeout") else ", a parameter that it does not have and silently drops"
            raise Failed(
                f"{path} with timeout={_TIMEOUT_S}{dropped} gave its answer after {outcome.seconds:.1f} s",
                "ModelTimeoutError",
            )
        if not isinstance(outcome.error, ModelTimeoutError):
            # With its package: every client has a `TimeoutError` or `ReadTimeout` of its own.
            package = type(outcome.error).__module__.partition(".")[0]
            described = f"{'' if package == 'builtins' else f'{package}.'}{error_text(outcome.error)}"
            raise Failed(
                f"{path} with timeout={_TIMEOUT_S} raised {described} after {outcome.seconds:.1f} s",
                "ModelTimeoutError",
            )


# --- M08 ---


@statement(
    "M08",
    "`max_retries` limits how often a request that met status 429 is sent again, and no inner client multiplies it.",
    why="Retries of retries hit a busy server with many times the load, and keep the user waiting.",
    hint="""
    # one place retries: turn the client's own retries off where you count yourself, or pass it the number
    self._client = acme.Client(max_retries=self.max_retries)
    """,
    needs=("faults", "requests"),
    limit_s=90.0,
)
def retries_are_counted(subject: Subject) -> str:
    """Reply with 429 and "retry at once", and count the requests for `max_retries=0` and `2`."""
    if not subject.takes("max_retries"):
        raise NotApplicable("it has no parameter `max_retries` (see A02)")
    # ChatLiteLLM makes 6 requests for 2 retries; ChatOpenRouter goes on for an hour in spite of max_retries=0.
    calls: Sequence[tuple[PathName, int]] = (("invoke", 0), ("astream", 0), ("invoke", 2), ("ainvoke", 2))
    seen = set[int]()
    for path, retries in calls:
        count = _count_requests(subject, path, retries)
        # Some count the first try, some do not: for 2, 2 requests or 3.
        allowed = {retries, retries + 1} if retries else {1}
        if count not in allowed:
            more = " or more" if count > max(allowed) else ""
            plural = "s" if count != 1 or more else ""
            raise Failed(f"{path} with max_retries={retries} sent {count}{more} request{plural}", f"{retries + 1}")
        seen |= {count} if retries else set()
    return f"max_retries=0: 1 request; max_retries=2: {' or '.join(map(str, sorted(seen)))} requests"


def _count_requests(subject: Subject, path: PathName, retries: int) -> int:
    """How many requests a call sends if all are refused; one too many is as far as it counts."""
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
        # Making another model has the backend answer from now on: the call that retries without end ends, too.
        subject.model()
        over.wait(WAIT_S)
    return count


# --- M10 ---

_TALK = Reply(text=" ".join(["word"] * 20), pace=0.02)


@statement(
    "M10",
    "An asynchronous stream that is dropped leaves no noise: no pending task, no error that was never retrieved.",
    rank="could",
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
    """Drop a stream after its first chunk, on a loop that goes on, and listen; compare with one that is read whole."""

    async def drop(model: Any, prompt: str) -> Any:
        return await first_text_async(model.astream(prompt))

    dropped = _noise(subject, drop)
    if not dropped:
        return
    # What the model says of a stream that is read whole is not due to the drop.
    anyway = _noise(subject, _astream)
    if new := [line for line in dropped if line not in anyway]:
        raise Failed(f"a dropped stream said: {new[0]}", "silence")


def _noise(subject: Subject, use: Callable[[Any, str], Awaitable[Any]]) -> list[str]:
    """What the loop, finalizers and warnings of coroutines never awaited say when a stream is used so."""

    def keep(_: Any, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        said.append(without_addresses(f"{context.get('message')}{f' ({error_text(error)})' if error else ''}"))

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(keep)
        before = asyncio.all_tasks()
        model = place.model() if place.lacks("pace") else place.says(_TALK)
        await use(model, place.prompt)
        await asyncio.sleep(0.02)
        gc.collect()
        # A loop that ends meanwhile closes nested generators all at once, and complains of models that do it in order.
        await _until(lambda: asyncio.all_tasks() <= before, _PROMPT_S)
        await asyncio.sleep(0.02)

    with _unraisable_errors() as said, subject.with_own_backend() as place:
        run(main(), 2 * WAIT_S)
        gc.collect()
    return said


@contextmanager
def _unraisable_errors() -> Generator[list[str], None, None]:
    """What Python reports because nobody can catch it: errors in finalizers, and coroutines that were never awaited."""
    said: list[str] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda args: said.append(
        f"{args.err_msg or 'Exception ignored in'}: {error_text(args.exc_value)}"
    )
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always", RuntimeWarning)
            yield said
            said += [str(one.message) for one in warned if "never awaited" in str(one.message)]
    finally:
        sys.unraisablehook = hook
