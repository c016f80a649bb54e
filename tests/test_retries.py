"""`max_retries` of any model: when its author's function is called again, and what is said of it."""

import asyncio
import logging
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from tests.paths import PATHS, STREAMED, Path

from langplug import ChatModel, Request, Usage, chat_model
from langplug._model.backoff import Backoff
from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault

SHAPES = ("function", "generator", "coroutine", "async generator")


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    return PATHS[request.param]


class Failing:
    """Fails a number of times, then answers; counts how often it was asked."""

    def __init__(self, times: int, error: Callable[[], Exception] = lambda: ModelAPIError("busy")) -> None:
        self.times = times
        self.error = error
        self.asked = 0
        self.requests: list[Request] = []

    def ask(self, request: Request) -> str:
        assert not request.cancelled
        self.asked += 1
        self.requests.append(request)
        if self.asked <= self.times:
            raise self.error()
        return "one two"


class ChatFailing(ChatModel):
    """Asks something that fails at first."""

    source: Any = None

    def __langplug_backoff__(self) -> Backoff:
        return replace(super().__langplug_backoff__(), first_s=0.001)


class ChatFunction(ChatFailing):
    """Returns."""

    def respond(self, request: Request, /) -> str:
        return self.source.ask(request)  # type: ignore[no-any-return]


class ChatGenerator(ChatFailing):
    """Yields. Usage and empty text are no part of an answer."""

    def respond(self, request: Request, /) -> Iterator[Any]:
        yield Usage(input_tokens=1)
        yield ""
        yield self.source.ask(request)


class ChatCoroutine(ChatFailing):
    """Returns, async."""

    async def respond(self, request: Request, /) -> str:
        return self.source.ask(request)  # type: ignore[no-any-return]


class ChatAsyncGenerator(ChatFailing):
    """Yields, async."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        yield self.source.ask(request)


MODELS: dict[str, type[ChatFailing]] = dict(
    zip(SHAPES, (ChatFunction, ChatGenerator, ChatCoroutine, ChatAsyncGenerator), strict=True)
)


@pytest.mark.parametrize("shape", SHAPES)
def test_what_may_pass_is_tried_again(call: Path, shape: str) -> None:
    """A retryable error before the first part is tried again up to `max_retries` times, whatever the shape."""
    source = Failing(2)
    answered = call(MODELS[shape](source=source, max_retries=2), "x")
    assert ("one two", 3) == (answered.text, source.asked)


@pytest.mark.parametrize("max_retries", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_stays_is_the_last_error(call: Path, shape: str, max_retries: int) -> None:
    """It is tried once more than `max_retries`; the error says how often and how long, if that was more than once."""
    source = Failing(99)
    with pytest.raises(ModelAPIError, match=r"^busy") as caught:
        call(MODELS[shape](source=source, max_retries=max_retries), "x")
    assert max_retries + 1 == source.asked
    assert (f"(tried {max_retries + 1} times in 0." in str(caught.value)) is (max_retries > 0)


def test_nothing_is_tried_again_unless_it_is_asked_for(call: Path) -> None:
    """The default is 0: an author's client mostly tries again by itself."""
    source = Failing(1)
    with pytest.raises(ModelAPIError, match=r"^busy$"):
        call(ChatFunction(source=source), "x")
    assert 1 == source.asked


@pytest.mark.parametrize(
    "error", [ModelAuthenticationError("no"), ValueError("no"), KeyboardInterrupt(), TimeoutError("mine")]
)
def test_what_cannot_pass_is_tried_once(call: Path, error: BaseException) -> None:
    """An error that is not retryable, or not a `ModelError`, is raised as it is."""
    source = Failing(9, lambda: error)  # type: ignore[arg-type, return-value]
    if isinstance(error, KeyboardInterrupt) and call not in (PATHS["invoke"], PATHS["stream"]):
        pytest.skip("event loops and threads have their own ways with it")
    with pytest.raises(type(error)) as caught:
        call(ChatFunction(source=source, max_retries=3), "x")
    assert caught.value is error
    assert 1 == source.asked


def test_a_call_may_have_its_own(call: Path) -> None:
    """`max_retries` of one call counts for that call alone, and is validated."""
    source = Failing(5)
    model = ChatGenerator(source=source)
    assert "one two" == call(model, "x", max_retries=5).text
    source.asked = 0
    with pytest.raises(ModelAPIError):
        call(model, "x")
    assert 1 == source.asked
    with pytest.raises(ValueError, match="max_retries"):
        model.invoke("x", max_retries=-1)


@pytest.mark.parametrize("path", STREAMED)
def test_after_the_first_part_nothing_is_tried_again(path: str) -> None:
    """What was shown cannot be taken back: the error comes at once, with what had come."""

    class ChatBreaks(ChatFailing):
        """Breaks off."""

        def respond(self, request: Request, /) -> Iterator[str]:
            yield "one"
            self.source.ask(request)

    source = Failing(9)
    with pytest.raises(ModelAPIError, match=r"^busy$") as caught:
        STREAMED[path](ChatBreaks(source=source, max_retries=3), "x")
    assert 1 == source.asked
    assert caught.value.partial.text == "one"  # type: ignore[attr-defined]


def test_half_a_tag_is_a_part(call: Path) -> None:
    """Text that langplug still holds back (half a tag, the beginning of a stop string) was given all the same."""

    class ChatHolds(ChatFailing):
        """Breaks off in a tag."""

        def respond(self, request: Request, /) -> Iterator[str]:
            yield "<thi"
            self.source.ask(request)

    source = Failing(9)
    with pytest.raises(ModelAPIError):
        call(ChatHolds(source=source, max_retries=3), "x")
    assert 1 == source.asked


def test_a_second_try_may_fail_otherwise(call: Path) -> None:
    """The error is the last one's, whichever it is, and says that there were others before."""
    errors = iter([ModelAPIError("busy"), ModelAuthenticationError("no key")])
    with pytest.raises(ModelAuthenticationError, match=r"^no key \(tried 2 times in 0\.\d s\)$"):
        call(ChatFunction(source=Failing(9, lambda: next(errors)), max_retries=3), "x")
    others = iter([ModelAPIError("busy"), ValueError("no key")])
    with pytest.raises(ValueError, match=r"^no key") as caught:
        call(ChatFunction(source=Failing(9, lambda: next(others)), max_retries=3), "x")
    assert caught.value.__notes__[0].startswith("(tried 2 times in ")


def test_an_error_that_is_raised_again_says_it_once() -> None:
    """One exception object for all tries and calls does not grow."""
    error = ModelAPIError("busy")
    model = ChatFunction(source=Failing(99, lambda: error), max_retries=1)
    for _ in range(3):
        with pytest.raises(ModelAPIError) as caught:
            model.invoke("x")
    assert 1 == str(caught.value).count("tried")


def test_a_re_ask_counts_anew() -> None:
    """Each question of a forced call may be tried again; the answer is checked as ever."""

    class ChatForced(ChatFailing):
        """Calls no tool at first."""

        def respond(self, request: Request, /) -> str:
            self.source.ask(request)
            asked = len(request.messages)
            return "no" if asked < 4 else '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'

    def add(a: int) -> int:
        """Add."""
        return a

    errors: list[Exception | None] = [ModelAPIError("busy"), None, ModelAPIError("busy"), None]

    class Alternating(Failing):
        def ask(self, request: Request) -> str:
            self.asked += 1
            if (error := errors.pop(0)) is not None:
                raise error
            return ""

    source = Alternating(0)
    answer = ChatForced(source=source, max_retries=1).bind_tools([add], tool_choice="any").invoke("x")
    assert {"a": 1} == answer.tool_calls[0]["args"]
    assert 4 == source.asked


def test_several_answers_at_once_are_tried_again() -> None:
    """A model that gives several answers to a call keeps `max_retries`, too."""

    class ChatSeveral(ChatFailing):
        """Two answers."""

        @property
        def answers_per_call(self) -> int:
            return 2

        def respond(self, request: Request, /) -> Any:
            self.source.ask(request)
            return {"choices": [{"index": i, "message": {"content": str(i)}, "finish_reason": "stop"} for i in (0, 1)]}

    source = Failing(2)
    result = ChatSeveral(source=source, max_retries=2).generate([[HumanMessage("x")]])
    assert ["0", "1"] == [one.text for one in result.generations[0]]
    assert 3 == source.asked
    with pytest.raises(ModelAPIError, match="tried 2 times"):
        asyncio.run(ChatSeveral(source=Failing(9), max_retries=1).agenerate([[HumanMessage("x")]]))
    asyncio.run(ChatSeveral(source=Failing(1), max_retries=1).agenerate([[HumanMessage("x")]]))


# --- how long ---


def test_the_wait_is_what_the_error_asks_for(call: Path) -> None:
    """`retry_after` of an author's own error is waited for."""

    def limited() -> Exception:
        error = ModelRateLimitError("slow")
        error.retry_after = 0.3  # type: ignore[attr-defined]
        return error

    began = time.monotonic()
    call(ChatFunction(source=Failing(1, limited), max_retries=1), "x")
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("asked", ["soon", None, float("nan"), float("inf"), -3, True])
def test_a_wait_that_is_none_is_not_waited_for(asked: Any) -> None:
    """A `retry_after` that is not a number of seconds is no reason to wait, or to fail."""

    def limited() -> Exception:
        error = ModelRateLimitError("slow")
        error.retry_after = asked  # type: ignore[attr-defined]
        return error

    assert "one two" == ChatFunction(source=Failing(1, limited), max_retries=1).invoke("x").text


def test_a_wait_of_minutes_is_the_callers() -> None:
    """An error that asks for more than a minute is raised at once."""

    def limited() -> Exception:
        error = ModelRateLimitError("slow")
        error.retry_after = 61  # type: ignore[attr-defined]
        return error

    source = Failing(9, limited)
    with pytest.raises(ModelRateLimitError):
        ChatFunction(source=source, max_retries=3).invoke("x")
    assert 1 == source.asked


class ChatPatient(ChatModel):
    """Fails for good, and asks for a second's wait each time."""

    asked: Any = None

    def respond(self, request: Request, /) -> str:
        self.asked.append(time.monotonic())
        error = ModelRateLimitError("slow")
        error.retry_after = 1.0  # type: ignore[attr-defined]
        raise error


def test_the_timeout_covers_all_tries(call: Path) -> None:
    """A wait that would take longer than what is left of `timeout` is not begun: the last error is raised instead."""
    asked: list[float] = []
    began = time.monotonic()
    with pytest.raises(ModelRateLimitError):
        call(ChatPatient(asked=asked, max_retries=9, timeout=0.5), "x")
    assert time.monotonic() - began < 1
    assert 1 == len(asked)


def test_a_later_try_has_what_is_left() -> None:
    """A try that hangs ends with the `timeout` of the call, counted from its beginning."""

    class ChatHangs(ChatFailing):
        """Fails, then hangs."""

        async def respond(self, request: Request, /) -> str:
            self.source.ask(request)
            await asyncio.sleep(60)
            return ""

    began = time.monotonic()
    with pytest.raises(ModelTimeoutError, match=r"timeout=0\.4 .*\(tried 2 times in 0\.\d s\)"):
        ChatHangs(source=Failing(1), max_retries=5, timeout=0.4).invoke("x")
    assert time.monotonic() - began < 1


async def test_a_wait_can_be_cancelled() -> None:
    """A cancelled `ainvoke` ends while it waits, and asks no more."""
    asked: list[float] = []
    task = asyncio.create_task(ChatPatient(asked=asked, max_retries=9).ainvoke("x"))
    await asyncio.sleep(0.3)
    assert 1 == len(asked)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(1.2)
    assert 1 == len(asked)


def test_a_wait_can_be_interrupted() -> None:
    """Ctrl-C ends a sync wait."""
    asked: list[float] = []
    began = time.monotonic()
    threading.Timer(0.2, signal.pthread_kill, [threading.get_ident(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        ChatPatient(asked=asked, max_retries=9).invoke("x")
    assert time.monotonic() - began < 0.9
    assert 1 == len(asked)


class Counting(InMemoryRateLimiter):
    """Counts how often it is asked."""

    def __init__(self) -> None:
        super().__init__(requests_per_second=1000, max_bucket_size=1000, check_every_n_seconds=0.001)
        self.asked = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.asked += 1
        return True


def test_the_rate_limiter_is_asked_again(call: Path) -> None:
    """Each try is a request, of which the rate limiter knows."""
    limiter = Counting()
    call(ChatFunction(source=Failing(2), max_retries=2, rate_limiter=limiter), "x")
    assert 3 == limiter.asked


# --- whose `max_retries` it is ---


def test_an_authors_own_is_not_doubled(call: Path) -> None:
    """A model that declares `max_retries` keeps it: langplug does not try again as well."""

    class ChatOwn(ChatFailing):
        """Tries again by itself."""

        max_retries: int = 2

        def respond(self, request: Request, /) -> str:
            for left in reversed(range(self.max_retries + 1)):
                try:
                    return str(self.source.ask(request))
                except ModelError:
                    if not left:
                        raise
            return ""

    source = Failing(99)
    with pytest.raises(ModelAPIError):
        call(ChatOwn(source=source), "x")
    assert 3 == source.asked
    source = Failing(99)
    with pytest.raises(ModelAPIError):
        call(ChatOwn(source=source), "x", max_retries=4)
    assert 5 == source.asked


def test_a_subclass_of_one_that_keeps_it_keeps_it_too() -> None:
    """What an ancestor's author has declared stays theirs, also where a subclass sets another default."""

    class ChatOwn(ChatFailing):
        """Has its own."""

        max_retries: int | None = None  # type: ignore[assignment]  # as an author may write it

        def respond(self, request: Request, /) -> str:
            return str(self.source.ask(request))

    class ChatChild(ChatOwn):
        """Sets another."""

        max_retries = 7

    source = Failing(99)
    with pytest.raises(ModelAPIError):
        ChatChild(source=source).invoke("x")
    assert 1 == source.asked
    assert ChatOwn().max_retries is None
    assert ChatOwn(max_retries=None).max_retries is None


def test_a_decorated_functions_own_is_its_own() -> None:
    """A keyword of that name is the function's, and langplug does not try again."""
    seen: list[int] = []

    @chat_model
    def own(request: Request, *, max_retries: int = 4) -> str:
        seen.append(max_retries)
        raise ModelAPIError("busy")

    with pytest.raises(ModelAPIError):
        own(max_retries=6).invoke("x")
    assert [6] == seen


def test_the_class_may_set_the_default() -> None:
    """`max_retries = 3` in a class, or for the decorator, is langplug's setting, with another default."""

    class ChatSets(ChatFailing):
        """Sets it."""

        max_retries = 2

        def respond(self, request: Request, /) -> str:
            return str(self.source.ask(request))

    source = Failing(2)
    assert "one two" == ChatSets(source=source).invoke("x").text
    assert 3 == source.asked
    asked: list[int] = []

    @chat_model(max_retries=1)
    def sets(request: Request) -> str:
        asked.append(1)
        raise ModelRateLimitError("slow")

    with pytest.raises(ModelRateLimitError):
        sets().invoke("x")
    assert 2 == len(asked)
    with pytest.raises(ValueError, match="max_retries"):
        ChatSets(max_retries=-1)
    assert (2, 0) == (ChatSets(max_retries=None).max_retries, ChatFunction(max_retries=None).max_retries)


@pytest.mark.parametrize("subclass", ["none", "annotated", "not annotated", "responds"])
def test_one_loop_for_an_endpoint(subclass: str) -> None:
    """A ready-made model's `max_retries` is langplug's, also in a subclass: requests are never multiplied."""

    class ChatAnnotated(ChatEndpoint):
        """Another default."""

        max_retries: int = 1

    class ChatPlain(ChatEndpoint):
        """The same."""

        max_retries = 1

    class ChatResponds(ChatEndpoint):
        """Adds to the answer."""

        max_retries: int = 1

        async def respond(self, request: Request, /) -> AsyncIterator[Any]:
            async for part in super().respond(request):
                yield part

    cls = {"none": ChatEndpoint, "annotated": ChatAnnotated, "not annotated": ChatPlain, "responds": ChatResponds}[
        subclass
    ]
    with Backend() as backend:
        backend.fault = Fault.status(503, retry_after=0.01)
        model = cls(model="m", base_url=backend.openai_url, **({"max_retries": 1} if subclass == "none" else {}))
        with pytest.raises(ModelAPIError, match=r"HTTP 503.*\(tried 2 times in [\d.]+ s\)$"):
            model.invoke("x")
        assert 2 == len(backend.requests)
        backend.forget()
        backend.fault = Fault.status(503, retry_after=0.01, times=1)
        assert ["backend-1"] == [one["id"] for one in model.served_models()]
        model.close()


# --- what is logged ---


def test_a_retry_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Each retry is a warning of the logger `langplug`: which of how many, after what, and when."""
    with caplog.at_level(logging.INFO, logger="langplug"):
        ChatFunction(source=Failing(2), max_retries=3).invoke("x")
    first, second = [record for record in caplog.records if record.name == "langplug"]
    assert logging.WARNING == first.levelno
    assert "ChatFunction: retry 1 of 3 in 0.00 s, after ModelAPIError: busy" == first.getMessage()
    assert "retry 2 of 3" in second.getMessage()


@pytest.mark.parametrize(("outer", "inner"), [(0, 1), (1, 0), (1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("kept", [False, True])
def test_tries_of_a_nested_model_count(call: Path, outer: int, inner: int, kept: bool) -> None:
    """The error says how many requests were sent, those of a model that another asks included, and says it once."""
    asked: list[int] = []
    error = ModelConnectionError("down")

    class ChatQuick(ChatModel):
        """Waits for milliseconds."""

        def __langplug_backoff__(self) -> Backoff:
            return replace(super().__langplug_backoff__(), first_s=0.001)

    class ChatInner(ChatQuick):
        """Fails."""

        async def respond(self, request: Request, /) -> str:
            asked.append(1)
            raise error if kept else ModelConnectionError("down")

    class ChatOuter(ChatQuick):
        """Asks it."""

        async def respond(self, request: Request, /) -> str:
            return str((await ChatInner(max_retries=inner).ainvoke(request.messages)).text)

    for _ in range(2):
        asked.clear()
        with pytest.raises(ModelConnectionError) as caught:
            call(ChatOuter(max_retries=outer), "x")
        assert (outer + 1) * (inner + 1) == len(asked)
        assert re.fullmatch(rf"down \(tried {len(asked)} times in [\d.]+ s\)", str(caught.value))
