"""The model as it is, before any script takes its place: a few short calls, and what came of each.

All statements of group O look at the same calls, so that they are at most `MOST_CALLS` in all: they may cost money.
"""

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial, reduce
from inspect import unwrap
from operator import add
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.messages import HumanMessage

from langplug import ChatModel
from langplug_backend import ChatRequest, Reply
from langplug_check.drivers import Driver
from langplug_check.paths import error_text, is_from_keyboard
from langplug_check.process.loop import run_on_shared_loop
from langplug_check.process.offline import allow_network
from langplug_check.verdicts import NotObserved

T = TypeVar("T")

MOST_CALLS: Final = 20

MARKERS: Final = ("walrus", "teapot", "violin", "cactus")
"""A word for each prompt, which no answer to another one has by chance."""

WHOLE_PATHS: Final = ("invoke", "ainvoke", "batch")
STREAM_PATHS: Final = ("stream", "astream")

_HOOKS = ("respond", "_generate", "_agenerate", "_stream", "_astream", "_call", "_acall")

_TICK_S = 0.005
"""Seconds from one look at the event loop to the next."""

_SHORT_TICKS = 6
"""Ticks for which a loop may stand still: a short function is no harm."""

_POLL_S = 0.02


def prompt_of(marker: str) -> str:
    """The prompt that asks for a marker."""
    return f"Say only the word {marker}."


@dataclass(slots=True, kw_only=True)
class Attempt:
    """What came of one call.

    Attributes:
        path: How the model was called.
        text: The text of the answer.
        error: What was raised.
        seconds: How long it took.
        kinds: The types of what was returned, or yielded.
        changed: How the caller's messages differ afterwards; empty if they do not.
        loop: How the event loop fared meanwhile, if the call was on one.
    """

    path: str
    text: str = ""
    error: BaseException | None = None
    seconds: float = 0.0
    kinds: frozenset[str] = frozenset()
    changed: str = ""
    loop: "Stillness | None" = None


@dataclass(frozen=True, slots=True)
class Stillness:
    """How long an event loop stood still, measured by the ticks of another thread.

    On a busy machine, that thread gets no turn either, and counts nothing: so this is not the machine's fault.

    Attributes:
        total: Ticks while the call lasted.
        blocked: Those in which the loop stood still, short stops left out.
        longest: The longest stop.
    """

    total: int
    blocked: int
    longest: int

    @property
    def is_blocked(self) -> bool:
        """Whether the loop stood still for most of the call, or for a quarter of a second at a time."""
        mostly = self.blocked >= 8 and self.blocked * 2 >= self.total
        return mostly or self.longest * _TICK_S >= 0.25

    @property
    def seconds(self) -> float:
        """For how long it stood still."""
        return self.blocked * _TICK_S


class Trial:
    """The calls of a model as it is. Each is made once, when a statement first wants to see it.

    Args:
        driver: What makes the model. One that speaks to a server speaks to the test kit's, which repeats the prompt.
    """

    def __init__(self, driver: Driver) -> None:
        self._is_local = driver.name == "wire"
        if self._is_local:
            self.model: Any = driver.make_saying([_repeat], {})
        else:
            self.model = driver.make({})
        self.calls = 0
        self._known: dict[Any, Any] = {}
        cls = driver.factory.cls
        hooks = [unwrap(hook) for name in _HOOKS if callable(hook := getattr(cls, name, None))]
        files = {getattr(getattr(hook, "__code__", None), "co_filename", "") for hook in hooks}
        files.add(getattr(sys.modules.get(cls.__module__), "__file__", None) or "")
        base = Path(sys.modules[BaseChatModel.__module__].__file__ or "").parent
        ours = Path(sys.modules[ChatModel.__module__].__file__ or "").parent
        self._files = {file for file in files if file and Path(file).parent not in (base, ours)}
        """The files of the author's own code."""

    # --- calls ---

    def alone(self, marker: str = MARKERS[0]) -> Attempt:
        """`invoke` of the prompt for a marker, with nothing else under way."""
        return self._once(("alone", marker), lambda: self._ask("invoke", marker))

    def answer(self) -> Attempt:
        """As `alone`, of a model that must answer for anything to be seen.

        Raises:
            NotObserved: If it does not.
        """
        attempt = self.alone()
        if attempt.error is not None:
            raise NotObserved(f"it did not answer ({error_text(attempt.error)})")
        return attempt

    def on_path(self, path: str) -> Attempt:
        """The first prompt, by one path."""
        return self.alone() if path == "invoke" else self._once(path, lambda: self._ask(path, MARKERS[0]))

    def again(self, path: str, marker: str) -> Attempt:
        """One more call, to confirm what another showed."""
        return self._ask(path, marker)

    def everything(self) -> list[Attempt]:
        """What came of the calls by all paths."""
        return [self.on_path(path) for path in ("invoke", "ainvoke", "stream", "astream", "batch")]

    def one_by_one(self) -> dict[str, Attempt]:
        """All prompts, one after the other, by their markers."""
        first, *rest = MARKERS
        alone = {first: self.alone(first)}
        self.everything()  # what is made once has been made then
        before = self._once("before", belongings)
        alone |= {marker: self.alone(marker) for marker in rest}
        self._once("after", lambda: _grown(before, len(rest)))
        return alone

    def left_behind(self) -> dict[str, int]:
        """What three calls left that was not there before, by its kind."""
        self.one_by_one()
        return self._once("after", dict)

    def in_threads(self) -> list[Attempt]:
        """All prompts at once, each from a thread of its own."""
        calls = [partial(self._ask, "invoke", marker) for marker in MARKERS]
        return self._once("threads", lambda: _at_once(calls))

    def in_tasks(self) -> list[Attempt]:
        """Three prompts at once, each in a task of its own."""

        async def gather() -> list[Attempt]:
            return list(await asyncio.gather(*(self._ask_async("ainvoke", marker) for marker in MARKERS[:3])))

        return self._once("tasks", lambda: self._with_network(lambda: run_on_shared_loop(gather())))

    def _once(self, key: Any, make: Callable[[], T]) -> T:
        if key not in self._known:
            self._known[key] = make()
        made: T = self._known[key]
        return made

    def _with_network(self, work: Callable[[], T]) -> T:
        if self._is_local:
            return work()
        with allow_network():
            return work()

    def count_call(self) -> None:
        """Count a call.

        Raises:
            NotObserved: If there were enough.
        """
        if self.calls >= MOST_CALLS:
            raise NotObserved(f"the {MOST_CALLS} calls that may be made of it are spent")
        self.calls += 1

    def _ask(self, path: str, marker: str) -> Attempt:
        return self._with_network(lambda: self._ask_here(path, marker))

    def _ask_here(self, path: str, marker: str) -> Attempt:
        if path in ("ainvoke", "astream"):
            return run_on_shared_loop(self._ask_async(path, marker))
        self.count_call()
        messages, attempt = [HumanMessage(prompt_of(marker))], Attempt(path=path)
        before, began = dumps(messages), time.perf_counter()
        try:
            if path == "stream":
                _read(attempt, list(self.model.stream(messages)))
            else:
                _read(attempt, self.model.batch([messages]) if path == "batch" else [self.model.invoke(messages)])
        except BaseException as error:
            if is_from_keyboard(error):
                raise
            attempt.error = error
        attempt.seconds = time.perf_counter() - began
        attempt.changed = _difference(before, messages)
        return attempt

    async def _ask_async(self, path: str, marker: str) -> Attempt:
        self.count_call()
        messages, attempt = [HumanMessage(prompt_of(marker))], Attempt(path=path)
        before, began = dumps(messages), time.perf_counter()

        async def call() -> list[Any]:
            if path == "astream":
                return [chunk async for chunk in self.model.astream(messages)]
            return [await self.model.ainvoke(messages)]

        try:
            answer, attempt.loop = await _watch_loop(call())
            _read(attempt, answer)
        except BaseException as error:
            if is_from_keyboard(error):
                raise
            attempt.error = error
        attempt.seconds = time.perf_counter() - began
        attempt.changed = _difference(before, messages)
        return attempt

    # --- leaving it ---

    def leave(self, path: str) -> str:
        """Take the first chunk of a stream, and leave. Returns what is wrong afterwards; empty if nothing is."""
        self.answer()
        seconds = self.on_path(path).seconds  # and all that is made at the first call is there
        self.count_call()
        before = self.running()
        messages = [HumanMessage(prompt_of(MARKERS[0]))]

        def leave_here() -> None:
            stream: Iterator[Any] = self.model.stream(messages)
            next(stream, None)
            stream.close()  # type: ignore[attr-defined] # core's are generators

        async def leave_async() -> None:
            stream: AsyncIterator[Any] = self.model.astream(messages)
            await anext(stream, None)
            await stream.aclose()  # type: ignore[attr-defined] # as above

        try:
            work = leave_here if path == "stream" else lambda: run_on_shared_loop(leave_async())
            self._with_network(work)
        except BaseException as error:
            if is_from_keyboard(error):
                raise
            return f"closing the stream raised {error_text(error)}"
        return self.wait_for_end(before, seconds)

    def cancel(self) -> str:
        """Cancel an `ainvoke` while it waits. Returns what is wrong afterwards; empty if nothing is.

        Raises:
            NotObserved: If it answers too soon.
        """
        self.answer()
        seconds = self.on_path("ainvoke").seconds
        if seconds < 0.1:
            raise NotObserved(f"it answers within {seconds:.3f} seconds, too soon to be cancelled")
        self.count_call()
        before = self.running()

        async def cancel() -> str:
            task = asyncio.ensure_future(self.model.ainvoke([HumanMessage(prompt_of(MARKERS[0]))]))
            await asyncio.wait({task}, timeout=seconds * 0.3)
            if task.done():
                raise NotObserved("its answer came too soon to be cancelled")
            task.cancel()
            await asyncio.wait({task}, timeout=seconds + 5)
            if not task.done():
                return "the cancelled call went on, and did not end"
            if task.cancelled():
                return ""
            error = task.exception()
            return "the cancelled call went on to its answer" if error is None else f"it raised {error_text(error)}"

        wrong = self._with_network(lambda: run_on_shared_loop(cancel()))
        return wrong or self.wait_for_end(before, seconds)

    def running(self) -> dict[int, str]:
        """What of the author's own code is under way: generators, coroutines, threads; by what tells them apart."""
        found: dict[int, str] = {}
        for one in gc.get_objects():
            frame: FrameType | None = None
            if isinstance(one, GeneratorType):
                frame = one.gi_frame
            elif isinstance(one, AsyncGeneratorType):
                frame = one.ag_frame
            elif isinstance(one, CoroutineType):
                frame = one.cr_frame
            if frame is not None and frame.f_code.co_filename in self._files:
                found[id(one)] = f"`{frame.f_code.co_name}` is still open at line {frame.f_lineno}"
        threads = {thread.ident: thread for thread in threading.enumerate()}
        here = threading.get_ident()
        for ident, top in sys._current_frames().items():  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the only way
            if ident != here and ident in threads and (where := self._foreign_frame(top)):
                found[ident] = f"the thread {threads[ident].name!r} still runs ({where})"
        return found

    def _foreign_frame(self, frame: FrameType | None) -> str:
        """The innermost function of a thread that is neither Python's, langplug's nor LangChain's; empty if none is."""
        while frame is not None:
            file = frame.f_code.co_filename
            if file in self._files or not file.startswith(_KNOWN):
                return f"in `{frame.f_code.co_name}`"
            if "-packages" in file and not file.startswith(_KNOWN_PACKAGES):
                return f"in `{frame.f_code.co_name}`"
            frame = frame.f_back
        return ""

    def wait_for_end(self, before: dict[int, str], seconds: float) -> str:
        """Wait until only `before` runs. Returns what else does.

        What waits ends at once. A function that blocks cannot be stopped: it may take as long as a whole answer does.
        """
        began = time.monotonic()
        while left := [what for key, what in self.running().items() if key not in before]:
            grace_s = 2 + (min(seconds, 30) if any("thread" in what for what in left) else 0)
            if time.monotonic() - began > grace_s:
                return left[0]
            time.sleep(_POLL_S)
        return ""


def _folder(name: str) -> str:
    return str(Path(str(sys.modules[name].__file__)).parent)


_STDLIB = Path(os.__file__).parent
_KNOWN_PACKAGES = (
    _folder("langplug"),
    _folder("langchain_core"),
    _folder("langplug_backend"),
    str(Path(__file__).parent),
)
_KNOWN = (str(_STDLIB), str(_STDLIB.resolve()), "<frozen", "<string>", *_KNOWN_PACKAGES)


def belongings() -> dict[str, set[Any]]:
    """The threads, descriptors and child processes that there are, as far as the system tells."""
    # threads themselves, for an `ident` is given again as soon as its thread has ended
    found: dict[str, set[Any]] = {"threads": {*threading.enumerate()}}
    with suppress(OSError):
        found["descriptors"] = set(Path("/proc/self/fd").iterdir())
    with suppress(OSError):
        children = [path.read_text().split() for path in Path("/proc/self/task").glob("*/children")]
        found["processes"] = {pid for pids in children for pid in pids}
    return found


def _grown(before: dict[str, set[Any]], calls: int) -> dict[str, int]:
    """What there is more of: by one for each call at least, for less may be anybody's."""
    gc.collect()
    deadline = time.monotonic() + 1
    while True:
        new = {name: len(there - before[name]) for name, there in belongings().items()}
        grown = {name: count for name, count in new.items() if count >= calls}
        if not grown or time.monotonic() > deadline:
            return grown
        time.sleep(_POLL_S)


def _repeat(asked: ChatRequest) -> Reply:
    # With a pause, so that calls overlap and can be left; short, for there are many of them.
    return Reply(text=asked.text, first=0.15, pace=0.002)


def _read(attempt: Attempt, answer: Sequence[Any]) -> None:
    attempt.kinds = frozenset(type(one).__name__ for one in answer)
    if answer:
        attempt.text = str(reduce(add, answer).text)


def _difference(before: str, messages: Sequence[Any]) -> str:
    after = dumps(messages)
    return "" if before == after else f"{messages[0].content!r}" if len(messages) == 1 else f"{len(messages)} messages"


def _at_once(calls: Sequence[Callable[[], Attempt]]) -> list[Attempt]:
    """What each call gives, all at once."""
    results: list[Any] = [None] * len(calls)
    together = threading.Barrier(len(calls))

    def work(number: int) -> None:
        with suppress(threading.BrokenBarrierError):
            together.wait(10)
        results[number] = calls[number]()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if None in results:
        raise NotObserved(f"the {MOST_CALLS} calls that may be made of it are spent")
    return results


async def _watch_loop(work: Coroutine[Any, Any, T]) -> tuple[T, Stillness]:
    """What `work` gives, and how long this loop stood still meanwhile."""
    ticks, over = [0], threading.Event()

    def count() -> None:
        while not over.wait(_TICK_S):
            ticks[0] += 1

    counter = threading.Thread(target=count, daemon=True, name="clock of the checks")
    counter.start()
    task, last, blocked, longest = asyncio.ensure_future(work), 0, 0, 0
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=_TICK_S / 2)
            stood, last = ticks[0] - last, ticks[0]
            longest = max(longest, stood)
            blocked += stood if stood >= _SHORT_TICKS else 0
        return await task, Stillness(last, blocked, longest)
    finally:
        over.set()
