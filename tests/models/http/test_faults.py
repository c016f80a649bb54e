"""Every way in which a server can misbehave, on the wires of shipped descriptions and on every path to an answer."""

from typing import Any

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from tests.models.http.conftest import KEY, WIRES, Make
from tests.paths import PATHS, STREAMED, Path

from langplug import IncompleteAnswerError, RefusalError
from langplug_backend import FAULTS, Backend, Call, Fault, Reply, Thought

TEXT = "One two, drei – vier 👩‍🚀 five."

ERRORS: dict[str, tuple[type[ModelError], ...]] = {
    "status": (ModelAPIError,),
    "status_text": (ModelAPIError,),
    "status_html": (ModelAPIError,),
    "status_empty": (ModelAPIError,),
    "auth": (ModelAuthenticationError,),
    "auth_echo": (ModelAuthenticationError,),
    "auth_until": (ModelAuthenticationError,),
    "content_policy": (RefusalError, ModelInvalidRequestError),  # not all servers say it so that it can be told
    "context_overflow": (ContextOverflowError, ModelInvalidRequestError),
    "invalid_request": (ModelInvalidRequestError,),
    "not_found": (ModelNotFoundError,),
    "overloaded": (ModelAPIError,),
    "permission": (ModelPermissionDeniedError,),
    "quota": (ModelPermissionDeniedError, ModelInvalidRequestError),
    "rate_limit": (ModelRateLimitError,),
    "server_error": (ModelAPIError,),
    "refuse_field": (ModelInvalidRequestError,),
    "close_at_accept": (ModelConnectionError,),
    "reset_at_accept": (ModelConnectionError,),
    "close_before_headers": (ModelConnectionError,),
    "reset_before_headers": (ModelConnectionError,),
    "reset_after_headers": (IncompleteAnswerError,),
    "reset": (IncompleteAnswerError,),
    "stall_before_headers": (ModelTimeoutError,),
    "stall_after_headers": (ModelTimeoutError,),
    "stall": (ModelTimeoutError,),
    "cut_chunked": (IncompleteAnswerError,),
    "cut_close": (IncompleteAnswerError,),
    "cut_length": (IncompleteAnswerError,),
    "truncate": (IncompleteAnswerError,),
    "truncate_done": (IncompleteAnswerError,),
    "no_finish": (IncompleteAnswerError,),
    "malformed": (IncompleteAnswerError,),
    "error_event": (ModelAPIError,),
    "error_object": (ModelAPIError,),
    "empty_body": (IncompleteAnswerError,),
}
"""The error that each fault is that is one."""

FIELDS = {"ollama": "messages", "anthropic": "messages", "cohere": "messages", "tgi": "inputs"}
"""A field that each request has, for the fault that refuses one."""

CONNECTION = [name for name, kind in FAULTS.items() if kind.group == "connection"]

CONTENT = [name for name, kind in FAULTS.items() if kind.group == "content"]

STALLS: dict[str, Any] = {"first_token_timeout": 0.1, "token_timeout": 0.1}


def known(*, error: bool) -> list[tuple[str, str]]:
    """Wires with the faults that they know: one with those of the connection, all with those of what a body holds."""
    tried: dict[str, set[str]] = {
        "ollama": set(FAULTS),
        "anthropic": set(FAULTS) - set(CONNECTION),
        "cohere": {*CONTENT, "cut_chunked"},
        "tgi": {*CONTENT, "cut_chunked"},
    }
    return [
        (wire, name)
        for wire in WIRES
        for name, kind in FAULTS.items()
        if name in tried[wire] and kind.error == error and (not kind.dialects or wire in kind.dialects)
    ]


def fault(wire: str, kind: str, **more: Any) -> Fault:
    """What goes wrong, and soon."""
    seconds = {"slow": 0.005, "slow_headers": 0.0005}.get(kind, 0.05)
    return Fault(kind=kind, field=FIELDS[wire], seconds=seconds, **more)


def test_no_fault_is_forgotten() -> None:
    """Each fault that a client must see as an error has its error here, and no other has."""
    assert {name for _, name in known(error=True)} == ERRORS.keys()


@pytest.mark.product
@pytest.mark.parametrize(("wire", "kind"), known(error=True))
def test_a_fault_is_the_same_error_on_each_path(wire: str, kind: str, backend: Backend, wired: Make) -> None:
    """What goes wrong is one typed error on every path, without the key, and nothing is said that was not."""
    backend.reply = TEXT
    kinds: set[type[BaseException]] = set()
    model = wired(wire, **(STALLS if "stall" in kind else {}))
    for name, path in PATHS.items():
        backend.fault = fault(wire, kind)
        with pytest.raises(ERRORS[kind]) as caught:
            path(model, "x")
        kinds.add(type(caught.value))
        said = getattr(caught.value, "partial", None)
        assert (said.text if said else None) == (TEXT if kind == "no_finish" and name in STREAMED else None)
        assert KEY not in str(caught.value)
    assert len(kinds) == 1


@pytest.mark.product
@pytest.mark.parametrize(("wire", "kind"), [pair for pair in known(error=True) if FAULTS[pair[1]].takes == "after"])
def test_a_stream_that_breaks_off_keeps_what_had_come(wire: str, kind: str, backend: Backend, wired: Make) -> None:
    """An error in mid-stream has all text that had come as its `partial`; it is never tried again and never short."""
    first = () if wire == "tgi" else (Thought("hm"),)
    backend.reply = Reply(pieces=(*first, *TEXT.split()))
    model = wired(wire, **({"token_timeout": 0.2} if kind == "stall" else {}), max_retries=3)
    for number, path in enumerate(STREAMED.values(), 1):
        backend.fault = fault(wire, kind, after=3)
        with pytest.raises(ERRORS[kind]) as caught:
            path(model, "x")
        assert caught.value.partial.text == "".join(TEXT.split()[: 3 - len(first)])  # type: ignore[attr-defined]
        assert len(backend.requests) == number


@pytest.mark.product
@pytest.mark.parametrize(("wire", "kind"), known(error=False))
def test_what_is_only_odd_changes_nothing(wire: str, kind: str, backend: Backend, wired: Make) -> None:
    """However oddly an answer is framed and named, its text, calls, usage and end are right on every path."""
    more = () if wire == "tgi" else (Call(name="add", args={"a": 1, "b": "é👩‍🚀"}, cut=3),)
    backend.reply = Reply(pieces=(*TEXT.partition(" "), *more))
    model = wired(wire)
    expected = model.invoke("x")
    backend.fault = fault(wire, kind)
    for path in PATHS.values():
        answered = path(model, "x")
        assert answered.text == answered.message.text == TEXT
        assert [call["args"] for call in answered.message.tool_calls] == [call.args for call in more]
        assert answered.message.usage_metadata == expected.usage_metadata
        assert answered.message.response_metadata["finish_reason"] == expected.response_metadata["finish_reason"]


@pytest.mark.parametrize("wire", WIRES)
def test_it_is_tried_again_before_the_first_part_only(wire: str, backend: Backend, wired: Make, call: Path) -> None:
    """A server that is busy for a moment is asked again."""
    backend.reply = TEXT
    backend.fault = Fault.status(503, retry_after=0.01, times=1)
    assert call(wired(wire, max_retries=1), "x").text == TEXT
    assert len(backend.requests) == 2


@pytest.mark.parametrize("wire", ["ollama", "anthropic"])
def test_leaving_an_answer_closes_the_connection(wire: str, backend: Backend, wired: Make) -> None:
    """Breaking off a stream, and cancelling a task, end the request on the server at once."""
    import asyncio

    backend.reply = Reply(text="word " * 2000, pace=0.002)
    model = wired(wire)
    stream = model.stream("x")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert backend.all_ended(timeout=5)
    assert backend.last.outcome == "client_gone"

    async def cancelled() -> None:
        for ask in (model.ainvoke("x"), model.ainvoke("x", stop=["###"])):
            task = asyncio.ensure_future(ask)
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await asyncio.to_thread(backend.all_ended, timeout=5)
            assert backend.last.outcome == "client_gone"

    backend.reply = Reply(text="word " * 2000, pace=0.002, first=0.5)
    asyncio.run(cancelled())
    assert backend.all_closed(timeout=5)
