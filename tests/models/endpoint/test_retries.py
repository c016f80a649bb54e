"""When a request is sent again, how often, and after what wait."""

import time
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from langchain_core.exceptions import ModelAPIError, ModelConnectionError, ModelError, ModelRateLimitError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.endpoint.test_faults import ERRORS, fault
from tests.paths import PATHS, Path

from langplug._model.backoff import Backoff
from langplug.models import ChatEndpoint
from langplug_backend import Backend, Fault, Reply

ONCE = {
    "auth",
    "auth_echo",
    "auth_until",
    "content_policy",
    "context_overflow",
    "invalid_request",
    "not_found",
    "permission",
    "quota",
    "refuse_field",
}
"""What trying again cannot cure."""

AT_ACCEPT = {"close_at_accept", "reset_at_accept"}
"""Of these there is no request that could be counted."""

WORTH_RETRYING = sorted(ERRORS.keys() - ONCE - AT_ACCEPT - {"no_finish"})


class ChatImpatient(ChatEndpoint):
    """Waits as long as the server asks, and else hardly at all."""

    def __langplug_backoff__(self) -> Backoff:
        return replace(super().__langplug_backoff__(), first_s=0.001)


MakeImpatient = Callable[..., ChatImpatient]


@pytest.fixture
def impatient(backend: Backend, request: pytest.FixtureRequest) -> MakeImpatient:
    """Makes models that hardly wait; they are closed in the end."""

    def make(**settings: Any) -> ChatImpatient:
        base: dict[str, Any] = {"model": "m-1", "base_url": backend.openai_url, "first_token_timeout": 0.2}
        model = ChatImpatient(**{**base, **settings})
        request.addfinalizer(model.close)
        return model

    return make


@pytest.mark.parametrize("kind", WORTH_RETRYING)
def test_what_may_pass_is_tried_again(backend: Backend, impatient: MakeImpatient, kind: str) -> None:
    """A failure before the first part that may pass is tried again, and the answer is as if it had not been."""
    for path in PATHS.values():
        backend.forget()
        backend.fault = fault(kind, times=2 if "stall" not in kind else 1)
        answered = path(impatient(max_retries=2), "one two")
        assert ("one two", "stop") == (answered.text, answered.message.response_metadata["finish_reason"])
        assert (2 if "stall" in kind else 3) == len(backend.requests)


@pytest.mark.parametrize("kind", sorted(ONCE))
def test_what_cannot_pass_is_tried_once(backend: Backend, impatient: MakeImpatient, call: Path, kind: str) -> None:
    """A failure that trying again cannot cure is one request, and says that it is not to be retried."""
    backend.fault = fault(kind)
    with pytest.raises(ERRORS[kind]) as caught:
        call(impatient(max_retries=3), "x")
    assert isinstance(caught.value, ModelError)
    assert not caught.value.is_retryable
    assert 1 == len(backend.requests)


@pytest.mark.parametrize("max_retries", [0, 1, 3])
def test_max_retries_is_honoured(backend: Backend, impatient: MakeImpatient, call: Path, max_retries: int) -> None:
    """A request that fails for good is sent once more than `max_retries`, not a multiple of that."""
    backend.fault = Fault.status(503)
    with pytest.raises(ModelAPIError):
        call(impatient(max_retries=max_retries), "x")
    assert max_retries + 1 == len(backend.requests)


def test_max_retries_may_be_given_for_a_call(backend: Backend, impatient: MakeImpatient) -> None:
    """`max_retries` of one call counts for that call alone."""
    backend.fault = Fault.status(503)
    model = impatient(max_retries=0)
    for given, expected in ((2, 3), (None, 1)):
        backend.forget()
        backend.fault = Fault.status(503)
        with pytest.raises(ModelAPIError):
            model.invoke("x", **({} if given is None else {"max_retries": given}))
        assert expected == len(backend.requests)


def test_a_server_that_is_not_there(make: MakeEndpoint, closed_port: int, call: Path) -> None:
    """A server that does not listen is a `ModelConnectionError` at once, which names the address and is retryable."""
    model = make(base_url=f"http://127.0.0.1:{closed_port}/v1")
    began = time.monotonic()
    with pytest.raises(ModelConnectionError, match=rf"127\.0\.0\.1:{closed_port}.*base_url") as caught:
        call(model, "x")
    assert caught.value.is_retryable
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["close_at_accept", "reset_at_accept"])
def test_a_connection_that_is_refused_is_tried_again(backend: Backend, impatient: MakeImpatient, kind: str) -> None:
    """A connection that is closed as soon as it is there is made again."""
    backend.fault = Fault(kind=kind, times=2)
    assert "x" == impatient(max_retries=2).invoke("x").text


def test_the_server_says_how_long_to_wait(backend: Backend, impatient: MakeImpatient, call: Path) -> None:
    """`Retry-After` in seconds is waited for, and not less."""
    backend.fault = Fault.status(429, retry_after=0.3, times=1)
    assert "x" == call(impatient(max_retries=1), "x").text
    first, second = backend.requests
    assert second.at - first.at >= 0.3


def test_the_wait_may_be_a_date(backend: Backend, impatient: MakeImpatient) -> None:
    """`Retry-After` as a date is read, as the error shows, in seconds from the response's own date."""
    backend.fault = Fault.status(503, retry_after=formatdate(time.time() + 3600, usegmt=True))
    with pytest.raises(ModelAPIError) as caught:
        impatient(max_retries=1).invoke("x")
    assert getattr(caught.value, "retry_after", None) is None or caught.value.retry_after > 3000  # type: ignore[attr-defined]


def test_a_wait_that_is_too_long_is_the_callers(backend: Backend, impatient: MakeImpatient) -> None:
    """A server that asks to wait for more than a minute is not waited for: the error tells how long it would be."""
    backend.fault = Fault.status(429, retry_after=3600)
    with pytest.raises(ModelRateLimitError) as caught:
        impatient(max_retries=3).invoke("x")
    assert 3600 == caught.value.retry_after  # type: ignore[attr-defined]
    assert 429 == caught.value.status_code  # type: ignore[attr-defined]
    assert 1 == len(backend.requests)


def test_the_default_wait_doubles(backend: Backend, make: MakeEndpoint) -> None:
    """Where the server asks for nothing, the first wait is between a quarter and half a second."""
    backend.fault = Fault.status(503, times=1)
    make(max_retries=1).invoke("x")
    first, second = backend.requests
    assert 0.25 <= second.at - first.at < 5


def test_with_retry_works(backend: Backend, make: MakeEndpoint) -> None:
    """langchain-core's own `with_retry` and `with_fallbacks` see the typed errors."""
    backend.fault = Fault.status(429, times=1)
    once_more = make().with_retry(
        retry_if_exception_type=(ModelRateLimitError,), stop_after_attempt=2, wait_exponential_jitter=False
    )
    assert "x" == once_more.invoke("x").text
    assert 2 == len(backend.requests)
    backend.fault = Fault.status(503, times=1)
    assert "y" == make().with_fallbacks([make()], exceptions_to_handle=(ModelAPIError,)).invoke("y").text


def test_what_had_come_is_not_asked_for_again(backend: Backend, impatient: MakeImpatient) -> None:
    """After the first piece of text, a stream is never begun anew, however many retries are left."""
    backend.reply = Reply(text="one two")
    backend.fault = Fault.reset(after=1, times=1)
    model = impatient(max_retries=5)
    with pytest.raises(ModelConnectionError):
        list(model.stream("x"))
    assert 1 == len(backend.requests)
    assert "one two" == model.invoke("x").text
