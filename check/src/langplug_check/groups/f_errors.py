"""Group F: errors. What a caller gets when the backend is in trouble."""

import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from langplug_check.drivers import WireDriver
from langplug_check.groups._runs import FOUR, own_events, own_kinds
from langplug_check.paths import Outcome, PathName, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotObserved

_ONE_OF_EACH: Sequence[PathName] = ("invoke", "astream")
"""A whole answer and a stream, synchronous and asynchronous: F04 compares all paths."""

_ERRORS = "https://reference.langchain.com/python/langchain-core/exceptions"


def _try_once(subject: Subject) -> dict[str, Any]:
    """Constructor arguments that turn retries off, as far as the class has them: M08 is about retries."""
    return {"max_retries": 0} if subject.takes("max_retries") else {}


def _outcomes(subject: Subject, fault: Fault, paths: Iterable[PathName]) -> Iterator[Outcome]:
    """The outcome of the fault by each path; fail if one is not an error."""
    for path in paths:
        outcome = subject.ask(subject.suffers(fault, **_try_once(subject)), None, path)
        if outcome.error is None:
            reply = f"status {fault.code}" if fault.kind == "status" else repr(fault.kind)
            raise Failed(f"{path} gave {outcome.text!r}, though the backend's reply was {reply}", "an error")
        yield outcome


@statement(
    "F04",
    "An error of the backend has the same type on every path; `on_llm_error` is called once, and `on_llm_end` never.",
    rank="must",
    why="`with_retry(retry_if_exception_type=...)` and `with_fallbacks` go by the type, and traces by the callback.",
    hint="""
    # all four hooks call the backend through one function, which translates its errors:
    try:
        return self._client.send(body)
    except AcmeServerError as error:
        raise AcmeAPIError(str(error)) from error     # class AcmeAPIError(ModelAPIError, AcmeServerError)
    # and let it out of `_generate` and `_stream`: langchain-core calls handlers
    """,
    link=_ERRORS,
    needs=("faults",),
    limit_s=30.0,
)
def one_error_for_all(subject: Subject) -> str:
    """Have the backend reply with status 500, by each path; compare the types, and the errors that handlers get."""
    types: dict[PathName, type[BaseException]] = {}
    for outcome in _outcomes(subject, Fault.status(500), subject.paths):
        kinds = own_kinds(outcome.recorder)
        if kinds != ["start", "error"]:
            raise Failed(f"{outcome.path}: handlers were called with {kinds}", "['start', 'error']")
        types[outcome.path] = type(cast("BaseException", outcome.error))
        reported = own_events(outcome.recorder)[-1].value
        if type(reported) is not type(outcome.error):
            raise Failed(
                f"{outcome.path} raised {error_text(outcome.error)}, and on_llm_error got {error_text(reported)}"
            )
    if len(set(types.values())) > 1:
        raise Failed(f"status 500 raises {_types_text(types)}", "the same type on every path")
    return f"{types['invoke'].__name__} on every path"


def _types_text(types: Mapping[PathName, type[BaseException]], tried: int = len(FOUR)) -> str:
    """Such as `"openai.APIError on invoke, RuntimeError on stream"`; without the path if all that were tried agree."""
    paths: dict[str, list[PathName]] = {}
    for path, kind in types.items():
        # With its package: every client has an `APIError` or a `RateLimitError` of its own.
        package = kind.__module__.partition(".")[0]
        name = kind.__qualname__ if package == "builtins" else f"{package}.{kind.__qualname__}"
        paths.setdefault(name, []).append(path)
    return ", ".join(name if len(where) == tried else f"{name} on {', '.join(where)}" for name, where in paths.items())


_TYPES: Mapping[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    429: ModelRateLimitError,
    500: ModelAPIError,
    503: ModelAPIError,
}
"""The types for these statuses, as the docstrings of langchain-core's error classes have them."""


@statement(
    "F05",
    "Status 401 is a `ModelAuthenticationError`, 429 a `ModelRateLimitError`, 500 and 503 are `ModelAPIError`s, with "
    "the right `is_retryable`.",
    why="An agent's retries and fallbacks go by these: otherwise a wrong key is tried again and again, and a server "
    "that is busy for a moment is not.",
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
    """Have the backend reply with each status, to `invoke` and `astream`; look at the errors' types."""
    problems = []
    for code, expected in _TYPES.items():
        wrong: dict[PathName, type[BaseException]] = {}
        for outcome in _outcomes(subject, Fault.status(code), _ONE_OF_EACH):
            error = cast("BaseException", outcome.error)
            # langchain's retry middleware asks a ModelError for `is_retryable`, and retries any other error.
            fits = isinstance(error, expected) and bool(error.is_retryable) is expected.is_retryable
            if not fits:
                wrong[outcome.path] = type(error)
        if wrong:
            wanted = f"{'' if expected.is_retryable else 'non-'}retryable {expected.__name__}"
            problems.append(f"{code} raises {_types_text(wrong, len(_ONE_OF_EACH))} instead of a {wanted}")
    if problems:
        raise Failed("; ".join(problems))


@statement(
    "F06",
    "A prompt that is too long for the model raises `ContextOverflowError`, and no other refusal does.",
    why="Middleware that summarises a long history, or falls back to a larger model, catches this type.",
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
    """Have the backend refuse a prompt as too long, by each of four paths, and then one as wrong in another way."""
    outcomes = _outcomes(subject, Fault(kind="context_overflow"), FOUR)
    wrong = [outcome for outcome in outcomes if not isinstance(outcome.error, ContextOverflowError)]
    if wrong:
        types: dict[PathName, type[BaseException]] = {
            outcome.path: type(cast("BaseException", outcome.error)) for outcome in wrong
        }
        raise Failed(f"a prompt that is too long raises {_types_text(types)}: {error_text(wrong[0].error)}")
    # Both are status 400: a class that goes by the status alone makes agents summarise for every mistake.
    for outcome in _outcomes(subject, Fault(kind="invalid_request"), _ONE_OF_EACH):
        if isinstance(outcome.error, ContextOverflowError):
            raise Failed(f"{outcome.path}: a request that is wrong in another way raised {error_text(outcome.error)}")


FAST_S = 4.0
"""Seconds within which a refused connection must be an error. It is refused at once; the rest is for busy machines."""


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
    subject.ask(subject.model()).answer  # noqa: B018 - the first call imports the client, which must not be timed
    wrong: dict[PathName, type[BaseException]] = {}
    error: BaseException | None = None
    voice = subject.driver
    assert isinstance(voice, WireDriver)
    # Bound, and not listening: a port that was merely free might be taken by another process meanwhile.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        addresses = voice.recipe.point_at(cast("Backend", _Nowhere(taken.getsockname()[1])))
        for path in FOUR:
            outcome = subject.ask(subject.model(**addresses, **_try_once(subject)), None, path)
            if outcome.error is None:
                raise NotObserved("it cannot be pointed at another server: it got an answer all the same")
            if outcome.seconds > FAST_S:
                raise Failed(
                    f"{path} raised {error_text(outcome.error)} after {outcome.seconds:.1f} s", "an error at once"
                )
            if not isinstance(outcome.error, ModelConnectionError):
                wrong[path], error = type(outcome.error), outcome.error
    if wrong:
        raise Failed(f"a closed port raises {_types_text(wrong)}: {error_text(error)}", "ModelConnectionError")


class _Nowhere(Urls):
    """The addresses of a backend on a port where nobody listens."""

    def __init__(self, port: int) -> None:
        self._port = port
