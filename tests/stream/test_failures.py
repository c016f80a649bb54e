"""Answers with the status 200 in which the server says that it has failed, in all the ways in which servers do."""

import json
from typing import Any

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
)

from langplug import IncompleteAnswerError
from langplug._errors import RefusalError
from langplug._stream.completion_reader import CompletionReader

TEXT = {"choices": [{"index": 0, "delta": {"content": "Half"}, "finish_reason": None}]}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}

FAILURES: list[tuple[Any, type[ModelError], bool, str]] = [
    (
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}},
        ModelPermissionDeniedError,
        False,
        "insufficient balance",
    ),
    ({"base_resp": {"status_code": 1004, "status_msg": "login fail"}}, ModelAuthenticationError, False, "login fail"),
    (
        {
            "choices": [{"delta": {"content": "Hi"}}],
            "base_resp": {"status_code": 1027, "status_msg": "output sensitive"},
        },
        RefusalError,
        False,
        "output sensitive",
    ),
    ({"code": 40101, "message": "token expired", "data": None}, ModelAuthenticationError, False, "token expired"),
    (
        {"status": "439", "msg": "Your API Token has expired."},
        ModelAuthenticationError,
        False,
        "Your API Token has expired",
    ),
    ({"error_code": 17, "error_msg": "daily limit reached"}, ModelRateLimitError, False, "daily limit reached"),
    ({"success": False, "message": "Busy."}, ModelAPIError, True, "Busy"),
    ({"success": False, "errors": [{"code": 7003, "message": "No such account."}]}, ModelAPIError, True, "No such acc"),
    ({"code": "InvalidApiKey", "message": "No.", "request_id": "r"}, ModelAuthenticationError, False, "No."),
    ({"message": "no Route matched with those values"}, ModelAPIError, True, "no Route matched"),
    ({"error": True, "message": "It broke."}, ModelAPIError, True, "It broke"),
    ({"object": "error", "message": "It broke.", "code": 500}, ModelAPIError, True, "It broke"),
    ({"detail": "Not authenticated. Unauthorized."}, ModelAuthenticationError, False, "Not authenticated"),
    (
        {
            "choices": [
                {"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "Upstream."}}
            ]
        },
        ModelAPIError,
        True,
        "Upstream",
    ),
]


def read_into(parts: list[Any], reader: CompletionReader, body: bytes) -> None:
    parts += reader.feed(body)
    parts += reader.end()


@pytest.mark.parametrize(("said", "kind", "is_retryable", "words"), FAILURES)
@pytest.mark.parametrize("form", ["whole", "first event", "later event", "named event"])
def test_a_failure_in_an_answer_is_the_error_that_it_says(
    said: Any, kind: type[ModelError], is_retryable: bool, words: str, form: str
) -> None:
    """The type, whether to ask again, and the server's words are those of the failure; what came before it is given."""
    data = json.dumps(said).encode()
    body = data if form == "whole" else b"%sdata: %s\n\n" % (b"event: error\n" * (form == "named event"), data)
    if form == "later event":
        body = b"data: %s\n\n" % json.dumps(TEXT).encode() + body
    reader = CompletionReader()
    parts: list[Any] = []
    with pytest.raises(ModelError, match=words) as caught:
        read_into(parts, reader, body)
    assert (kind, is_retryable) == (type(caught.value), caught.value.is_retryable)
    assert not isinstance(caught.value, IncompleteAnswerError)
    assert hasattr(caught.value, "status_code")
    assert (["Half"] if form == "later event" else []) == parts


@pytest.mark.parametrize(
    "harmless",
    [
        {"base_resp": {"status_code": 0, "status_msg": ""}},
        {"code": 0, "message": "success"},
        {"code": 200, "msg": "ok", "data": {}},
        {"status": "processing", "message": "You are third in line."},
        {"object": "prompt.progress", "progress": 0.5},
        {"type": "ping"},
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}, "code": 0, "message": "told"},
        None,
        "",
    ],
)
def test_what_says_that_nothing_is_wrong_is_no_failure(harmless: Any) -> None:
    """Codes of success, progress and pings between the chunks fail nothing."""
    reader = CompletionReader()
    body = b"".join(b"data: %s\n\n" % json.dumps(value).encode() for value in (TEXT, harmless, END))
    assert ["Half"] == [part for part in [*reader.feed(body), *reader.end()] if isinstance(part, str)]


@pytest.mark.parametrize("before", [b"", b'data: {"choices": [{"index": 0, "delta": {"content": "Half"}}]}\n\n'])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_error_may_have_a_field_of_its_own(before: bytes, size: int) -> None:
    """Older llama.cpp's line `error: {...}` is the error that it says, at the beginning and later."""
    said = {
        "code": 400,
        "message": "the request exceeds the available context size",
        "type": "exceed_context_size_error",
    }
    body = before + b"error: %s\n\n" % json.dumps(said).encode()
    reader = CompletionReader()
    with pytest.raises(ContextOverflowError, match="available context size"):  # noqa: PT012 - whichever of them raises
        for start in range(0, len(body), size):
            reader.feed(body[start : start + size])
        reader.end()


@pytest.mark.parametrize("empty", [b'data: ""', b"data: null", b"data:", b"data: "])
def test_empty_data_says_nothing(empty: bytes) -> None:
    """Empty data between the chunks, as text too, fails nothing."""
    reader = CompletionReader()
    body = b"".join(
        b"%s\n\n" % one for one in (b"data: " + json.dumps(TEXT).encode(), empty, b"data: " + json.dumps(END).encode())
    )
    assert ["Half"] == [part for part in [*reader.feed(body), *reader.end()] if isinstance(part, str)]
