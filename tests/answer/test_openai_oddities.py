"""What follows an answer's last good part, and JSON that only resembles a completion."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelError,
    ModelNotFoundError,
    ModelRateLimitError,
)

from langplug import IncompleteAnswerError, Part
from langplug._answer.chunks import Closing, MessageBuilder
from langplug._answer.parser import AnswerParser
from langplug._answer.server_errors import error_of
from langplug._stream.completion_reader import CompletionReader


def event(value: Any) -> bytes:
    return f"data: {value if isinstance(value, str) else json.dumps(value)}\n\n".encode()


def text(content: str, finish: str | None = None) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": content}, "finish_reason": finish}]})


ERRORS = {
    "an error": event({"error": {"message": "Broken.", "code": 500}}),
    "a named error": b'event: error\ndata: {"message": "Broken."}\n\n',
    "half an event": event('{"choices": [{"del'),
    "no completion": event({"choices": [1]}),
    "[DONE] too early": event("[DONE]"),
}


def read_into(parts: list[Part], reader: CompletionReader, pieces: list[bytes]) -> None:
    """As a client reads: until the reader has read enough."""
    for piece in pieces:
        parts += reader.feed(piece)
        if reader.finished:
            break
    parts += reader.end()


@given(cuts=st.sets(st.integers(1, 200)), coalesce=st.booleans())
@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
def test_what_came_before_an_error_is_given_first(error: bytes, cuts: set[int], coalesce: bool) -> None:
    """However the bytes come, all text before an error is given, and then the error is raised."""
    body = event({"choices": [{"index": 0, "delta": {"role": "assistant"}}]}) + text("one ") + text("two") + error
    places = [0, *sorted(cut for cut in cuts if cut < len(body)), len(body)]
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]
    parts: list[Part] = []
    with pytest.raises(ModelError):
        read_into(parts, CompletionReader(coalesce=coalesce), pieces)
    assert "one two" == "".join(part for part in parts if isinstance(part, str))


def test_an_error_is_the_end() -> None:
    """Nothing is read after an error, and it is raised once all before it is given."""
    reader = CompletionReader()
    assert ["one"] == list(reader.feed(text("one") + ERRORS["an error"] + text("two", "stop")))
    assert reader.finished
    with pytest.raises(ModelAPIError, match="Broken"):
        reader.end()


@pytest.mark.parametrize(
    ("finish", "is_whole"),
    [({}, True), ({"finish_reason": "stop"}, True), ({"finish_reason": ""}, False), ({"finish_reason": None}, False)],
)
def test_a_completion_may_say_that_it_is_none(finish: dict[str, Any], is_whole: bool) -> None:
    """A whole answer without a field for its end is whole; one whose field is empty says that it did not end."""
    body = json.dumps({"choices": [{"index": 0, "message": {"content": "one"}, **finish}]}).encode()
    reader = CompletionReader()
    reader.feed(body)
    if is_whole:
        assert "one" in reader.end()
    else:
        with pytest.raises(IncompleteAnswerError):
            reader.end()


WORDS = (
    "choices delta message content tool_calls function name arguments usage finish_reason error index reasoning "
    "reasoning_details logprobs type timings id text thinking extras prompt_tokens completion_tokens predicted_n"
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "text", "stop"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=4),
    max_leaves=12,
)


CHOICES = st.lists(
    st.fixed_dictionaries({}, optional={"delta": JSON, "message": JSON, "index": JSON, "finish_reason": JSON}),
    max_size=2,
)


@given(values=st.lists(st.fixed_dictionaries({"choices": CHOICES | JSON}, optional={"usage": JSON, "timings": JSON})))
def test_whatever_json_comes_it_is_an_answer_or_a_typed_error(values: list[Any]) -> None:
    """JSON of any shape is read as an answer, or is a `ModelError`; never an error of Python's own."""
    reader, parser, builder = CompletionReader(), AnswerParser(owner="ChatTest.respond"), MessageBuilder()
    try:
        parts = [part for value in values for part in reader.feed(event(value))]
        pieces = [piece for part in [*parts, *reader.end()] for piece in parser.feed(part)]
        for piece in [*pieces, *parser.end()]:
            builder.add(piece)
        builder.message(Closing(parser.usage(), parser.metadata))
    except ModelError:
        pass


@pytest.mark.parametrize("cut", range(1, 5))
def test_a_byte_order_mark_may_be_cut(cut: int) -> None:
    """A byte order mark is not part of the answer, wherever it is cut."""
    body = b"\xef\xbb\xbf" + text("one", "stop")
    reader = CompletionReader()
    assert ["one"] == [part for part in [*reader.feed(body[:cut]), *reader.feed(body[cut:])] if isinstance(part, str)]


@pytest.mark.parametrize(
    ("said", "kind", "is_retryable"),
    [
        ({"message": "x", "type": "requests", "code": "rate_limit_exceeded"}, ModelRateLimitError, True),
        ({"message": "x", "type": "insufficient_quota", "code": "insufficient_quota"}, ModelRateLimitError, False),
        ({"message": "x", "type": "invalid_request_error", "code": "invalid_api_key"}, ModelAuthenticationError, False),
        ({"message": "x", "type": "invalid_request_error", "code": "model_not_found"}, ModelNotFoundError, False),
        ({"message": "x", "type": "server_error", "code": None}, ModelAPIError, True),
    ],
)
def test_an_error_without_a_status_is_known_by_its_code(said: Any, kind: type[ModelError], is_retryable: bool) -> None:
    """In mid-stream there is no status: OpenAI's codes, and then its types, tell which error it is."""
    error = error_of(said)
    assert kind is type(error)
    assert is_retryable == error.is_retryable
