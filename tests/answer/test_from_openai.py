"""OpenAI-shaped completions, chunks and errors, read as parts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
)

from langplug._answer.carried import Carried
from langplug._answer.from_openai import is_chunk, is_openai_shaped, parts_of
from langplug._answer.parser import AnswerParser
from langplug._answer.server_errors import error_of
from langplug._parts import Finish, Reasoning, ToolCall, Usage


def delta(index: int = 0, /, **body: Any) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": body}]}


def parts(value: dict[str, Any]) -> list[Any]:
    return [part for part in parts_of(value) if not isinstance(part, Carried)]


# --- what it is ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"choices": []}, True),
        ({"choices": [], "usage": {}}, True),
        ({"error": {"message": "x"}}, True),
        ({"error": "x", "type": "error"}, False),
        ({"type": "text", "text": "x"}, False),
        ({}, False),
    ],
)
def test_what_is_openai_shaped(value: dict[str, Any], expected: bool) -> None:
    """What has choices, or is an error and no content block, is of this wire."""
    assert expected is is_openai_shaped(value)


def test_a_chunk_owes_an_end_and_a_completion_does_not() -> None:
    """Only a piece of a stream has a delta."""
    assert is_chunk(delta(content="x"))
    assert not is_chunk({"choices": [{"message": {"content": "x"}}]})
    assert not is_chunk({"choices": []})
    assert not is_chunk({"choices": None})


# --- what it holds ---


@pytest.mark.parametrize("where", ["delta", "message"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"content": "x"}, ["x"], id="text"),
        pytest.param({"content": ""}, [], id="no text"),
        pytest.param({"content": None}, [], id="null"),
        pytest.param({"role": "assistant"}, [], id="the role alone"),
        pytest.param({"content": [{"type": "text", "text": "a"}, "b"]}, ["a", "b"], id="content in blocks"),
        pytest.param(
            {"content": [{"type": "image_url", "image_url": {}}]}, [{"type": "image_url", "image_url": {}}], id="image"
        ),
        pytest.param({"refusal": "I must not."}, [{"type": "refusal", "refusal": "I must not."}], id="refusal"),
        pytest.param({"reasoning_content": "hm"}, [Reasoning("hm")], id="reasoning of DeepSeek and vLLM"),
        pytest.param({"reasoning": "hm"}, [Reasoning("hm")], id="reasoning of newer ones"),
        pytest.param({"reasoning": "hm", "reasoning_content": "hm"}, [Reasoning("hm")], id="reasoning said twice"),
        pytest.param({"reasoning": None, "reasoning_content": "hm"}, [Reasoning("hm")], id="one of two"),
        pytest.param({"reasoning_content": "", "content": "x"}, ["x"], id="no reasoning"),
        pytest.param(
            {"reasoning_details": [{"text": "hm", "signature": "s"}]},
            [Reasoning("hm", {"signature": "s"})],
            id="details",
        ),
        pytest.param(
            {"tool_calls": [{"index": 0, "id": "i", "function": {"name": "f", "arguments": "{"}}]},
            [ToolCall(name="f", args="{", id="i", index=0)],
            id="tool call",
        ),
        pytest.param(
            {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}, [ToolCall(args="}", index=1)], id="fragment"
        ),
        pytest.param(
            {"tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
            [ToolCall(name="f", args={"a": 1})],
            id="arguments as an object",
        ),
        pytest.param({"tool_calls": None}, [], id="no calls"),
    ],
)
def test_bodies(where: str, body: dict[str, Any], expected: list[Any]) -> None:
    """The body of a choice, streamed or whole, gives its text, reasoning and calls."""
    assert expected == parts({"choices": [{"index": 0, where: body}]})


def test_the_end() -> None:
    """The finish reason, usage with its details, and the model's name and fingerprint are read."""
    got = parts(
        {
            "model": "m-1",
            "system_fingerprint": "fp",
            "choices": [{"index": 0, "delta": {}, "finish_reason": "length"}],
            "usage": {
                "prompt_tokens": 3,
                "completion_tokens": 2,
                "total_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": None},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
        }
    )
    assert Finish(reason="length") in got
    (usage,) = [part for part in got if isinstance(part, Usage)]
    assert (3, 2, 5, {"cache_read": 1}, {"reasoning": 1}) == (
        usage.input_tokens,
        usage.output_tokens,
        usage.total_tokens,
        usage.input_token_details,
        usage.output_token_details,
    )
    (metadata,) = [part.metadata for part in got if isinstance(part, Finish) and part.metadata]
    assert {"model_name": "m-1", "system_fingerprint": "fp"} == metadata


def test_only_the_first_answer_is_read() -> None:
    """Of several choices, the first is the answer."""
    assert ["a"] == parts(
        {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "b"}}]}
    )


def test_odd_chunks_are_no_error() -> None:
    """Keep-alives, empty lists, nulls: nothing."""
    odd: list[dict[str, Any]] = [{"choices": []}, {"choices": None}, {"choices": [{}]}, {"choices": [{"delta": None}]}]
    for value in [*odd, delta()]:
        assert [] == parts(value)


# --- errors ---


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 400, "message": "m"}, ModelInvalidRequestError),
        ({"code": "400", "message": "m"}, ModelInvalidRequestError),
        ({"code": 401, "message": "m"}, ModelAuthenticationError),
        ({"code": 403, "message": "m"}, ModelPermissionDeniedError),
        ({"code": 404, "message": "m"}, ModelNotFoundError),
        ({"code": 422, "message": "m"}, ModelInvalidRequestError),
        ({"status": 429, "message": "m"}, ModelRateLimitError),
        ({"code": 500, "message": "m"}, ModelAPIError),
        ({"code": 529, "message": "m"}, ModelAPIError),
        ({"message": "m"}, ModelAPIError),
        ("m", ModelAPIError),
        ({"code": 400, "type": "exceed_context_size_error", "message": "m"}, ContextOverflowError),
        ({"code": "context_length_exceeded", "message": "m"}, ContextOverflowError),
        ({"code": 400, "message": "This model's Maximum Context Length is 8 m"}, ContextOverflowError),
    ],
)
def test_errors_are_typed(error: Any, expected: type[ModelError]) -> None:
    """An error object becomes the error of its status, or of its words, with its message."""
    made = error_of(error)
    assert expected is type(made)
    assert "m" in str(made)
    with pytest.raises(expected):
        parts({"error": error})


# --- in a turn ---


@given(st.lists(st.text(max_size=4), max_size=8))
def test_a_stream_and_a_completion_say_the_same(pieces: list[str]) -> None:
    """The chunks of a stream make the answer that the whole completion makes."""
    streamed, whole = AnswerParser(owner="x"), AnswerParser(owner="x")
    got = "".join(str(piece) for text in pieces for piece in streamed.feed(delta(content=text)))
    list(streamed.feed({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
    completion = {"choices": [{"index": 0, "message": {"content": "".join(pieces)}, "finish_reason": "stop"}]}
    assert "".join(map(str, whole.feed(completion))) == got
    assert [] == streamed.end() == whole.end()
    assert streamed.reason == whole.reason == "stop"
