"""Group F: errors. What a caller gets of a backend's trouble."""

import socket
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelRateLimitError,
)

from langplug_backend import Backend, Fault
from langplug_backend.server import Urls
from langplug_check.drivers import WireVoice
from langplug_check.groups.f_callbacks import FOUR, own, own_kinds, ways
from langplug_check.paths import Outcome, PathName, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

_ONE_OF_EACH: Sequence[PathName] = ("invoke", "astream")
"""A whole answer and a stream, synchronous and asynchronous: F04 compares all paths."""

_ERRORS = "https://reference.langchain.com/python/langchain-core/exceptions"


def _at_once(subject: Subject) -> dict[str, Any]:
    """Arguments by which a model tries but once, as far as it has them: how often it tries is another statement."""
    return {"max_retries": 0} if subject.takes("max_retries") else {}


def _suffering(subject: Subject, fault: Fault, paths: Iterable[PathName]) -> Iterator[Outcome]:
    """What comes of the fault by each path, and that something does."""
    for path in paths:
        outcome = subject.ask(subject.suffers(fault, **_at_once(subject)), None, path)
        if outcome.error is None:
            raise Failed(f"{path} gave {outcome.text!r}, though {_told(fault)}", "an error")
        yield outcome


def _type_of(outcome: Outcome) -> type[BaseException]:
    assert outcome.error is not None
    return type(outcome.error)


def _told(fault: Fault) -> str:
    return f"the answer was status {fault.code}" if fault.kind == "status" else f"it met {fault.kind!r}"


@statement(
    "F04",
    "An error of the backend has the same type on every path, and `on_llm_error` is told of it once, and of no end.",
    why="`with_retry(retry_if_exception_type=...)` and `with_fallbacks` go by the type, and traces by the callback.",
    hint="""
    # one place through which all four doors call the backend, and which translates:
    try:
        return self._client.send(body)
    except AcmeServerError as error:
        raise AcmeAPIError(str(error)) from error     # class AcmeAPIError(ModelAPIError, AcmeServerError)
    # and let it out of `_generate` and `_stream`: langchain-core tells handlers
    """,
    link=_ERRORS,
    needs=("faults",),
    limit_s=30.0,
)
def one_error_for_all(subject: Subject) -> str:
    """Have the backend answer with status 500, by each path; compare types, and what a handler was told."""
    types: dict[PathName, type[BaseException]] = {}
    for outcome in _suffering(subject, Fault.status(500), ways(subject)):
        kinds = own_kinds(outcome.recorder)
        if kinds != ["start", "error"]:
            raise Failed(f"{outcome.path}: handlers were told {kinds}", "['start', 'error']")
        told = own(outcome.recorder)[-1].value
        types[outcome.path] = _type_of(outcome)
        if type(told) is not type(outcome.error):
            raise Failed(f"{outcome.path} raised {shown(outcome.error)}, and on_llm_error was told {shown(told)}")
    if len(set(types.values())) > 1:
        raise Failed(f"status 500 raises {_by_type(types)}", "the same type on every path")
    return f"{types['invoke'].__name__} on every path"


def _by_type(types: Mapping[PathName, type[BaseException]], tried: int = len(FOUR)) -> str:
    """Such as `"openai.APIError on invoke, RuntimeError on stream"`; no path where all that were tried have it."""
    paths: dict[str, list[PathName]] = {}
    for path, kind in types.items():
        paths.setdefault(_full(kind), []).append(path)
    return ", ".join(name if len(where) == tried else f"{name} on {', '.join(where)}" for name, where in paths.items())


def _full(kind: type[BaseException]) -> str:
    """Its name behind that of its package: classes of errors are called alike everywhere."""
    package = kind.__module__.partition(".")[0]
    return kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"


_MEANS: Mapping[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    429: ModelRateLimitError,
    500: ModelAPIError,
    503: ModelAPIError,
}
"""What langchain-core says of its error classes."""


@statement(
    "F05",
    "Status 401 is a `ModelAuthenticationError`, 429 a `ModelRateLimitError`, 500 and 503 are `ModelAPIError`s, with "
    "the `is_retryable` that belongs to them.",
    why="An agent's retries and fallbacks go by these: else a wrong key is tried again and again, and a server that is "
    "busy for a moment is not.",
    hint="""
    class AcmeRateLimitError(ModelRateLimitError, acme.RateLimitError): ...   # code that catches either works

    _ERRORS = {401: AcmeAuthenticationError, 429: AcmeRateLimitError}

    except acme.StatusError as error:
        kind = _ERRORS.get(error.status, AcmeAPIError if error.status >= 500 else AcmeInvalidRequestError)
        raise kind(str(error)) from error
    """,
    link=_ERRORS,
    needs=("faults",),
    limit_s=30.0,
)
def typed_errors(subject: Subject) -> None:
    """Have the backend answer with each status, to `invoke` and `astream`; look at the errors' types."""
    problems = []
    for code, expected in _MEANS.items():
        wrong: dict[PathName, type[BaseException]] = {
            outcome.path: _type_of(outcome)
            for outcome in _suffering(subject, Fault.status(code), _ONE_OF_EACH)
            if outcome.error is not None and not _fits(outcome.error, expected)
        }
        if wrong:
            problems.append(f"{code} raises {_by_type(wrong, len(_ONE_OF_EACH))}, no {_wanted(expected)}")
    if problems:
        raise Failed("; ".join(problems))


def _fits(error: BaseException, expected: type[ModelError]) -> bool:
    return isinstance(error, expected) and bool(error.is_retryable) is expected.is_retryable


def _wanted(expected: type[ModelError]) -> str:
    return f"{expected.__name__} {'that may be tried again' if expected.is_retryable else 'that is final'}"


@statement(
    "F06",
    "A prompt that is too long for the model raises `ContextOverflowError`, and no other refusal does.",
    why="Middleware that sums up a long history, or falls back to a larger model, waits for this type.",
    hint="""
    class AcmeContextOverflowError(ContextOverflowError, AcmeBadRequestError): ...

    except AcmeBadRequestError as error:
        if error.code == "context_length_exceeded" or "maximum context length" in str(error):
            raise AcmeContextOverflowError(str(error)) from error
        raise
    """,
    link=_ERRORS,
    needs=("faults",),
    limit_s=30.0,
)
def overflow_is_typed(subject: Subject) -> None:
    """Have the backend refuse a prompt as too long, and then another as wrong, by each of four paths."""
    outcomes = _suffering(subject, Fault(kind="context_overflow"), FOUR)
    wrong = [outcome for outcome in outcomes if not isinstance(outcome.error, ContextOverflowError)]
    if wrong:
        types: dict[PathName, type[BaseException]] = {outcome.path: _type_of(outcome) for outcome in wrong}
        raise Failed(f"a prompt that is too long raises {_by_type(types)}: {shown(wrong[0].error)}")
    for outcome in _suffering(subject, Fault(kind="invalid_request"), _ONE_OF_EACH):
        if isinstance(outcome.error, ContextOverflowError):
            raise Failed(f"{outcome.path}: a request that is wrong otherwise raised {shown(outcome.error)}")


FAST_S = 4.0
"""Seconds within which a refused connection has to be an error. It is refused at once; the rest is a busy machine."""


@statement(
    "F07",
    "A backend that cannot be reached is a `ModelConnectionError`, soon.",
    why="Fallbacks to another provider wait for it, and so does the user.",
    hint="""
    class AcmeConnectionError(ModelConnectionError, httpx.ConnectError): ...

    except httpx.ConnectError as error:
        raise AcmeConnectionError(f"cannot reach {self.base_url}: {error}") from error
    """,
    link=_ERRORS,
    needs=("backend",),
    limit_s=30.0,
)
def unreachable_backend(subject: Subject) -> None:
    """Point it at a port where nobody listens, by each of four paths; look at the error and the clock."""
    subject.ask(subject.model()).answer  # noqa: B018 - what is imported at the first call is not what is timed
    wrong: dict[PathName, type[BaseException]] = {}
    error: BaseException | None = None
    with _nowhere() as urls:
        voice = subject.voice
        assert isinstance(voice, WireVoice)
        addresses = voice.recipe.pointed_at(cast("Backend", urls))
        for path in FOUR:
            outcome = subject.ask(subject.model(**addresses, **_at_once(subject)), None, path)
            if outcome.error is None:
                raise NotObserved("it cannot be pointed at another server: it got an answer all the same")
            if outcome.seconds > FAST_S:
                raise Failed(f"{path} raised {shown(outcome.error)} after {outcome.seconds:.1f} s", "an error at once")
            if not isinstance(outcome.error, ModelConnectionError):
                wrong[path], error = type(outcome.error), outcome.error
    if wrong:
        raise Failed(f"a closed port raises {_by_type(wrong)}: {shown(error)}", "ModelConnectionError")


class _Nowhere(Urls):
    """Where nobody listens."""

    def __init__(self, port: int) -> None:
        self._port = port


@contextmanager
def _nowhere() -> Generator[_Nowhere, None, None]:
    """A port of the loopback that is taken, so that nobody comes to listen at it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield _Nowhere(taken.getsockname()[1])
