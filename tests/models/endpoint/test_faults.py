"""Every way in which the server can misbehave, on every path: the same typed error, or the same right answer."""

import asyncio
import contextlib
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
from tests.models.endpoint.conftest import MakeEndpoint
from tests.paths import STREAMED, Path, by_invoke

from langplug import IncompleteAnswerError, RefusalError
from langplug.models import ChatEndpoint
from langplug_backend import FAULTS, Backend, Call, Fault, Reply, Thought

TEXT = "One two, drei – vier 👩‍🚀 five."

SETTINGS: dict[str, dict[str, Any]] = {"slow": {"seconds": 0.005}, "slow_headers": {"seconds": 0.0005}}
"""What faults are told that would take long else."""

ERRORS: dict[str, type[ModelError]] = {
    "status": ModelAPIError,
    "status_text": ModelAPIError,
    "status_html": ModelAPIError,
    "status_empty": ModelAPIError,
    "auth": ModelAuthenticationError,
    "auth_echo": ModelAuthenticationError,
    "auth_until": ModelAuthenticationError,
    "content_policy": RefusalError,
    "context_overflow": ContextOverflowError,
    "invalid_request": ModelInvalidRequestError,
    "not_found": ModelNotFoundError,
    "overloaded": ModelAPIError,
    "permission": ModelPermissionDeniedError,
    "quota": ModelRateLimitError,
    "rate_limit": ModelRateLimitError,
    "server_error": ModelAPIError,
    "refuse_field": ModelInvalidRequestError,
    "close_at_accept": ModelConnectionError,
    "reset_at_accept": ModelConnectionError,
    "close_before_headers": ModelConnectionError,
    "reset_before_headers": ModelConnectionError,
    "reset_after_headers": IncompleteAnswerError,
    "reset": IncompleteAnswerError,
    "stall_before_headers": ModelTimeoutError,
    "stall_after_headers": ModelTimeoutError,
    "stall": ModelTimeoutError,
    "cut_chunked": IncompleteAnswerError,
    "cut_close": IncompleteAnswerError,
    "cut_length": IncompleteAnswerError,
    "truncate": IncompleteAnswerError,
    "truncate_done": IncompleteAnswerError,
    "no_finish": IncompleteAnswerError,
    "malformed": IncompleteAnswerError,
    "error_event": ModelAPIError,
    "error_object": ModelAPIError,
    "empty_body": IncompleteAnswerError,
}
"""The error that each fault is that is one."""

FRAMING = [name for name, kind in FAULTS.items() if kind.group == "framing"]

OF_THE_BODY = [*FRAMING, *(n for n, k in FAULTS.items() if k.group in ("content", "finish_reasons", "tool_calls"))]

SPEAKS_OPENAI = {name: kind for name, kind in FAULTS.items() if not kind.dialects or "openai" in kind.dialects}

ONCE_ODD = [name for name, kind in SPEAKS_OPENAI.items() if not kind.error]

IN_THE_MIDDLE = [name for name, kind in SPEAKS_OPENAI.items() if kind.takes == "after"]

STALLS: dict[str, Any] = {"first_token_timeout": 0.1, "token_timeout": 0.1}


def fault(kind: str, **more: Any) -> Fault:
    """What goes wrong; the field that is refused is one that each request has."""
    settings = {"refuse_field": {"field": "messages"}, **SETTINGS}.get(kind, {})
    return Fault(kind=kind, **{**settings, **more})


def test_no_fault_is_forgotten() -> None:
    """Each fault of the server that a client must see as an error has its error here, and no other has."""
    assert {name for name, kind in SPEAKS_OPENAI.items() if kind.error} == ERRORS.keys()


@pytest.mark.parametrize("kind", ERRORS)
def test_a_fault_is_the_same_error_on_each_path(backend: Backend, make: MakeEndpoint, call: Path, kind: str) -> None:
    """What goes wrong before the first part is one typed error on every path, and nothing had been said."""
    backend.reply = TEXT
    backend.fault = fault(kind)
    with pytest.raises(ERRORS[kind]) as caught:
        call(make(**(STALLS if "stall" in kind else {})), "x")
    assert ERRORS[kind] is type(caught.value)
    said = getattr(caught.value, "partial", None)
    assert (TEXT if kind == "no_finish" and call in STREAMED.values() else None) == (said and said.text)
    assert len(backend.requests) <= 1


@pytest.mark.parametrize("path", STREAMED)
@pytest.mark.parametrize("kind", IN_THE_MIDDLE)
@pytest.mark.parametrize("after", [1, 4])
def test_a_stream_that_breaks_off_keeps_what_had_come(
    backend: Backend, make: MakeEndpoint, path: str, kind: str, after: int
) -> None:
    """An error in mid-stream has all text that had come as its `partial`; it is never tried again and never short."""
    backend.reply = Reply(pieces=(Thought("hm"), *TEXT.split()))
    backend.fault = fault(kind, after=after)
    with pytest.raises(ERRORS[kind]) as caught:
        STREAMED[path](make(**(STALLS if kind == "stall" else {}), max_retries=3), "x")
    assert ERRORS[kind] is type(caught.value)
    assert "".join(TEXT.split()[: after - 1]) == caught.value.partial.text  # type: ignore[attr-defined]
    (thought,) = [b for b in caught.value.partial.content_blocks if b["type"] == "reasoning"]  # type: ignore[attr-defined]
    assert "hm" == thought["reasoning"]
    assert 1 == len(backend.requests)


@pytest.mark.parametrize("kind", ["reset", "cut_chunked", "malformed", "error_event", "truncate"])
def test_what_was_held_back_is_in_the_partial(backend: Backend, make: MakeEndpoint, kind: str) -> None:
    """What might have become a stop string or a tag, and so was held back, is in the `partial` too."""
    backend.reply = Reply(pieces=("one ", "STO", "P"), stop="ignore")
    backend.fault = fault(kind, after=2)
    with pytest.raises(ERRORS[kind]) as caught:
        list(make().stream("x", stop=["STOP"]))
    assert "one STO" == caught.value.partial.text  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["reset", "error_event", "truncate"])
def test_calls_that_had_come_are_in_the_partial(backend: Backend, make: MakeEndpoint, kind: str) -> None:
    """A call that broke off is in the `partial`, and never looks like one to be made."""
    backend.reply = Reply(pieces=("I ", Call(name="add", args={"a": 1, "b": 2}, cut=4)))
    backend.fault = fault(kind, after=3)
    with pytest.raises(ERRORS[kind]) as caught:
        list(make().stream("x"))
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert ("I ", []) == (partial.text, partial.tool_calls)
    assert ["add"] == [call["name"] for call in partial.invalid_tool_calls]


@pytest.mark.parametrize("kind", ONCE_ODD)
def test_what_is_only_odd_changes_nothing(backend: Backend, make: MakeEndpoint, call: Path, kind: str) -> None:
    """However oddly an answer is framed and shaped, its text, thoughts, usage and end are right on every path."""
    backend.reply = Reply(
        pieces=(Thought("h"), Thought("m"), *TEXT.partition(" ")), fingerprint="fp", usage_mode="final"
    )
    expected = by_invoke(make(), "x").message
    backend.fault = fault(kind)
    answered = call(make(), "x")
    assert TEXT == answered.text == answered.message.text
    assert expected.usage_metadata == answered.message.usage_metadata
    wanted = ("model_name", "model_provider", "finish_reason", "system_fingerprint")
    assert [expected.response_metadata[name] for name in wanted] == [
        answered.message.response_metadata.get(name) for name in wanted
    ]
    (thought,) = [block for block in answered.message.content_blocks if block["type"] == "reasoning"]
    assert "hm" == thought["reasoning"]


CALLS = (Call(name="add", args={"a": 1, "b": "é👩‍🚀"}, cut=3), Call(name="greet", args={"name": "Ann"}, cut=4))

WITH_CALLS = [name for name in ONCE_ODD if name != "calls_args_truncated"]


@pytest.mark.parametrize("kind", WITH_CALLS)
def test_calls_are_right_however_they_come(backend: Backend, make: MakeEndpoint, call: Path, kind: str) -> None:
    """Parallel calls keep their names and arguments, and have ids of their own, however their fragments come."""
    backend.reply = Reply(pieces=("Well: ", *CALLS))
    backend.fault = fault(kind)
    message = call(make(), "x").message
    assert "Well: " == message.text
    assert [(one.name, one.args) for one in CALLS] == [(one["name"], one["args"]) for one in message.tool_calls]
    assert 2 == len({one["id"] for one in message.tool_calls} - {None, ""})
    assert [] == message.invalid_tool_calls
    assert "tool_calls" == message.response_metadata["finish_reason"]


def test_arguments_that_are_cut_off_are_an_invalid_call(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A call whose JSON is cut off is invalid on every path, though a lenient parser would make arguments of it."""
    backend.reply = Reply(calls=(CALLS[0],))
    backend.fault = fault("calls_args_truncated")
    message = call(make(), "x").message
    assert ([], ["add"]) == (message.tool_calls, [one["name"] for one in message.invalid_tool_calls])


@pytest.mark.parametrize("one", [name for name in FRAMING if name not in ("joined", "split")])
@pytest.mark.parametrize("other", ["bom", "one_byte", "crlf"])
def test_oddities_come_together(backend: Backend, make: MakeEndpoint, one: str, other: str) -> None:
    """Two oddities of the framing at once do no more harm than one."""
    backend.reply = TEXT
    backend.fault = (fault(one), fault(other)) if one != other else fault(one)
    assert TEXT == "".join(chunk.text for chunk in make().stream("x"))


@pytest.mark.parametrize("kind", OF_THE_BODY)
@pytest.mark.parametrize("setting", [{"coalesce": True}, {"streaming": True}])
def test_coalesced_and_implicit_streams_bear_the_same(
    backend: Backend, make: MakeEndpoint, kind: str, setting: dict[str, Any]
) -> None:
    """A stream whose text is coalesced, and one that `invoke` reads, give the same answers and the same errors."""
    if FAULTS[kind].dialects and "openai" not in FAULTS[kind].dialects:
        pytest.skip("a fault of another wire")
    backend.reply = TEXT
    backend.fault = fault(kind, after=2)
    model = make(**setting)
    expected = contextlib.nullcontext() if kind not in ERRORS else pytest.raises(ERRORS[kind])
    with expected as caught:
        text = model.invoke("x").text if model.streaming else "".join(chunk.text for chunk in model.stream("x"))
        assert TEXT == text
    if caught is not None and FAULTS[kind].takes == "after":
        assert "One two," == caught.value.partial.text  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["reset", "cut_chunked", "cut_length"])
async def test_what_came_while_nobody_read_is_not_lost(backend: Backend, make: MakeEndpoint, kind: str) -> None:
    """What the server had sent before it broke off is read first, however late."""
    backend.reply = Reply(pieces=("one ", "two ", "three ", "four "), pace=0.01)
    backend.fault = fault(kind, after=3)
    model = make()
    read: list[str] = []
    with pytest.raises(IncompleteAnswerError) as caught:
        await read_late(backend, model, read)
    assert caught.value.partial is not None
    assert "one two three " == "".join(read) == caught.value.partial.text
    await model.aclose()


async def read_late(backend: Backend, model: ChatEndpoint, read: list[str]) -> None:
    """Read the first chunk with text; the others once the server has ended."""
    async for chunk in model.astream("x"):
        read.append(chunk.text)
        if chunk.text == "one ":
            await asyncio.to_thread(backend.all_ended)
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("size", [None, 3_000_000])
def test_a_huge_event_is_read(backend: Backend, make: MakeEndpoint, call: Path, size: int | None) -> None:
    """An event of megabytes, and an answer of them, do no harm."""
    backend.reply = Reply(pieces=("x" * (size or 10), "y"))
    backend.fault = Fault(kind="huge_event", size=size or 1_000_000)
    assert (size or 10) + 1 == len(call(make(), "x").text)


@pytest.mark.parametrize(
    "value",
    [
        {"choices": 1},
        {"choices": [1]},
        {"choices": [{"delta": "text"}]},
        {"choices": [{"delta": {"content": 1}}]},
        {"choices": [{"delta": {"tool_calls": [None]}}]},
        {"choices": [{"delta": {"tool_calls": {"name": "add"}}}]},
        {"choices": [{"delta": {"tool_calls": [{"function": "add"}]}}]},
        {"choices": [{"message": None, "delta": [1]}]},
        {"choices": [], "usage": {"prompt_tokens_details": 3}},
    ],
)
def test_what_is_no_completion_is_a_typed_error(
    backend: Backend, make: MakeEndpoint, call: Path, value: dict[str, Any]
) -> None:
    """JSON that only resembles a completion is a `ModelError`, which shows it."""
    backend.fault = Fault.status(200, body=value)
    with pytest.raises(ModelError) as caught:
        call(make(), "x")
    assert type(caught.value) in (ModelAPIError, IncompleteAnswerError)
