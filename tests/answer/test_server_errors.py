"""Responses with an error status, as typed errors; and when to try again."""

import json
from typing import Any

import pytest
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from tests.stream.linear import assert_linear

from langplug import RefusalError
from langplug._answer.server_errors import error_of, error_of_response, message_of, parse_body, retry_after
from langplug._model.backoff import LONGEST_ASKED_S, Backoff


def openai_error(message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"message": message, "type": None, "param": None, "code": None, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, ModelInvalidRequestError, False),
        (401, ModelAuthenticationError, False),
        (402, ModelPermissionDeniedError, False),
        (403, ModelPermissionDeniedError, False),
        (404, ModelNotFoundError, False),
        (408, ModelTimeoutError, True),
        (409, ModelAPIError, True),
        (413, ContextOverflowError, False),
        (418, ModelInvalidRequestError, False),
        (422, ModelInvalidRequestError, False),
        (429, ModelRateLimitError, True),
        (500, ModelAPIError, True),
        (503, ModelAPIError, True),
        (529, ModelAPIError, True),
    ],
)
def test_a_status_has_its_type(status: int, kind: type[ModelError], retryable: bool) -> None:
    """Each status is one of langchain-core's errors, with the right `is_retryable`, its message, and the status."""
    error = error_of_response(status, openai_error("Said so."), {})
    assert (kind, retryable, status) == (type(error), error.is_retryable, getattr(error, "status_code", None))
    assert f"HTTP {status}: Said so." == str(error)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, openai_error("Too long.", code="context_length_exceeded"), ContextOverflowError),
        (400, openai_error("This model's maximum context length is 4096 tokens."), ContextOverflowError),
        (500, openai_error("the request exceeds the available context size"), ContextOverflowError),
        (500, openai_error("Context size has been exceeded.", type="server_error"), ContextOverflowError),
        (400, b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 5 tokens"}}',
         ContextOverflowError),
        (422, b'{"error":"`inputs` tokens + `max_new_tokens` must be <= 2048"}', ContextOverflowError),
        (400, openai_error("No.", code="content_policy_violation"), RefusalError),
        (403, openai_error("No.", code="content_policy_violation"), RefusalError),
        (400, openai_error("No.", innererror={"code": "ResponsibleAIPolicyViolation"}), RefusalError),
        (400, openai_error("Invalid model name passed in model=gpt-9."), ModelNotFoundError),
        (500, openai_error("image input is not supported"), ModelInvalidRequestError),
        (403, b'{"error_code": 403, "message": "Invalid access token."}', ModelAuthenticationError),
        (400, openai_error("No.", code="ExpiredJwt"), ModelAuthenticationError),
        (400, b'[{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]',
         ModelAuthenticationError),
        (498, b"", ModelAuthenticationError),
        (424, openai_error("Request failed during generation"), ModelAPIError),
        (400, openai_error("The input token count (9) exceeds the maximum number of tokens allowed (8)."),
         ContextOverflowError),
        (400, openai_error("This model's maximum prompt length is 8 but the request has 9 tokens."),
         ContextOverflowError),
        (400, openai_error("Trying to keep the first 9 tokens when context the overflows."), ContextOverflowError),
        (400, openai_error("Range of input length should be [1, 30720]"), ContextOverflowError),
    ],
)  # fmt: skip
def test_telling_words_refine_a_status(status: int, body: bytes, kind: type[ModelError]) -> None:
    """An overflow, a refusal and an unknown model are known by their words, where such a status can mean them."""
    assert kind is type(error_of_response(status, body, {}))


@pytest.mark.parametrize(
    "words",
    [
        "Prompt exceeds max length",
        "Input tokens exceed the configured limit of 8192 tokens",
        "prompt tokens (5000) exceed n_ctx 4096",
        "Input length 5000 exceeds the maximum allowed input length of 4096",
        "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
        "Requested tokens (5000) exceed context window of 4096",
        "Your conversation is too long: it has 5000 tokens",
        "the prompt does not fit into num_ctx",
        "InvalidParameter: Total message token length exceed model limit",
        "prompt length (5000) must be less than 4096",
        "messages too long: 5000 tokens > 4096",
    ],
)
def test_a_prompt_that_is_too_long_in_whatever_words(words: str) -> None:
    """That the prompt exceeds what the model can read is an overflow, however it is said, with a status or without."""
    for status in (400, 422):
        assert ContextOverflowError is type(error_of_response(status, openai_error(words), {}))
    assert ContextOverflowError is type(error_of(words))
    assert ContextOverflowError is type(error_of({"code": 1261, "message": words}))
    assert ModelRateLimitError is type(error_of_response(429, openai_error(words), {}))
    assert ModelAPIError is type(error_of_response(503, openai_error(words), {}))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("context deadline exceeded", ModelAPIError),
        ("rate limit: input tokens per minute exceed 5000", ModelRateLimitError),
        ("Token quota exceeded for this request", ModelRateLimitError),
        ("The input image exceeds 5 MB", ModelAPIError),
        ("messages.0.name: the length must be less than 64", ModelAPIError),
        ("This request's max_tokens (5000) exceeds the maximum output tokens (4096)", ModelAPIError),
        ("max_tokens is too large: 100000. This model supports at most 16384 completion tokens", ModelAPIError),
        ("Invalid 'messages[1].tool_calls[0].id': string too long. Expected one with maximum length 40", ModelAPIError),
        ("temperature: Input should be less than or equal to 2", ModelAPIError),
    ],
)
def test_something_else_that_is_too_much(words: str, kind: type[ModelError]) -> None:
    """A rate, a time, a file or a parameter that exceeds a limit does not make the prompt too long."""
    assert kind is type(error_of(words))
    assert ModelInvalidRequestError is type(error_of_response(400, openai_error(words), {}))


MENTIONS = {
    "overflow, by code": openai_error("No.", code="context_length_exceeded"),
    "Bedrock's throttle": openai_error("Too many tokens, please wait before trying again."),
    "context window": openai_error("Your key has no access to the 1M context window beta."),
    "context size": openai_error("Out of memory. Try a smaller context size."),
    "the prompt": openai_error("Failed to parse 'Explain what a maximum context length is'."),
    "Azure's filters": b'{"error": {"message": "Busy.", "innererror": {"content_filter_result": {"hate": false}}}}',
    "model": openai_error("No channel for this model.", code="model_not_found"),
    "plain text": b"prompt is too long",
}
"""Bodies with words that mean another kind of error under another status."""


@pytest.mark.parametrize("body", MENTIONS.values(), ids=MENTIONS)
@pytest.mark.parametrize("status", [401, 402, 404, 408, 409, 429, 502, 503, 504, 529])
def test_a_status_is_not_overruled_by_words(status: int, body: bytes) -> None:
    """Whatever a refusal of a key, a rate limit or an outage mentions, its status says what it is and what to do."""
    by_status = error_of_response(status, b"", {})
    error = error_of_response(status, body, {})
    assert (type(by_status), by_status.is_retryable) == (type(error), error.is_retryable)


@pytest.mark.parametrize("mention", ["Bedrock's throttle", "context window", "context size", "the prompt", "model"])
@pytest.mark.parametrize("status", [403, 500])
def test_a_mention_is_not_a_statement(status: int, mention: str) -> None:
    """A server error is an overflow by the code or sentence for it, not because its text mentions a context."""
    assert type(error_of_response(status, b"", {})) is type(error_of_response(status, MENTIONS[mention], {}))


def test_a_quota_that_is_used_up_is_not_retried() -> None:
    """A 429 that no waiting cures is a rate limit that is not worth a retry."""
    error = error_of_response(429, openai_error("You exceeded your current quota.", code="insufficient_quota"), {})
    assert (ModelRateLimitError, False) == (type(error), error.is_retryable)
    assert ModelRateLimitError.is_retryable


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"detail": "Not here."}', "Not here."),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "field required"),
        (b'{"detail": [{"loc": ["body", "tool_choice"], "msg": "Input should be \'auto\'"}]}',
         "tool_choice: Input should be 'auto'"),
        (b'{"message": {"detail": [{"loc": ["body", "a", 0], "msg": "x"}, {"loc": ["b"], "msg": "y"}]}}',
         "a.0: x; b: y"),
        (b'{"message": "Busy.", "code": 1}', "Busy."),
        (b'{"errors": ["a", "b"]}', "a; b"),
        (b'{"errors": [{"field": "top_k", "message": "too big"}]}', "top_k: too big"),
        (b'{"error": {"message": "Unsupported value.", "param": "temperature"}}', "temperature: Unsupported value."),
        (b'{"error": {"message": "No temperature here.", "param": "temperature"}}', "No temperature here."),
        (b'{"error": {"message": "Provider returned error", "metadata": {"raw": "{\\"detail\\": \\"No GPU.\\"}"}}}',
         "Provider returned error: No GPU."),
        (b'{"odd": 1}', '{"odd": 1}'),
        (b"Plain words.", "Plain words."),
        (b"<html><head><style>p {}</style></head><body><h1>502</h1> Bad <b>Gateway</b></body>", "502 Bad Gateway"),
        (b"", "without a message"),
        (b"\xff\xfe", "��"),
    ],
)  # fmt: skip
def test_the_message_is_found_in_every_body(body: bytes, message: str) -> None:
    """JSON of every usual shape, text and pages give their message."""
    assert f"HTTP 503: {message}" == str(error_of_response(503, body, {}))


def test_a_huge_body_makes_a_short_message() -> None:
    """However much a server says, the message stays readable."""
    assert len(str(error_of_response(500, b"x" * 100_000, {}))) < 1100
    assert len(str(error_of_response(500, openai_error("x" * 100_000), {}))) < 1100


@pytest.mark.parametrize(
    "piece", [b"<", b"<script>", b"<style></style", b"<a ", b"[", b'{"error":', b"x<script></script>"]
)
def test_no_body_costs_more_than_its_length(piece: bytes) -> None:
    """A page that is meant to keep its readers busy is read as fast as any other."""
    assert_linear(lambda pieces: message_of(parse_body(b"".join(pieces))), lambda size: piece * (size // len(piece)))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"Retry-After-Ms": "250", "Retry-After": "1"}, 0.25),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:10 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 10.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:27:00 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:10 GMT"}, None),
        ({"Retry-After": "soon"}, None),
        ({}, None),
    ],
)
def test_what_the_server_asks_to_wait_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood; what is none of them counts as nothing."""
    error = error_of_response(429, b"", headers)
    assert seconds == getattr(error, "retry_after", "missing")
    assert seconds == retry_after({name.lower(): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ([{"error": {"code": 429, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo",
                                               "retryDelay": "1.600s"}]}}], 1.6),
        ({"error": {"message": "Slow down.", "metadata": {"headers": {"Retry-After": "3"}}}}, 3.0),
        ({"error": "x", "retry_after_ms": 250}, 0.25),
        ({"error": {"message": "Please try again in a while."}}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": None, "retryDelay": "-1s"}, None),
    ],
)  # fmt: skip
def test_a_body_may_say_how_long_to_wait(said: Any, seconds: float | None) -> None:
    """What a body asks to wait counts where no header does, and such an error is worth a retry."""
    error = error_of_response(429, json.dumps(said).encode(), {})
    assert seconds == getattr(error, "retry_after", "missing")
    assert error.is_retryable
    assert 7.0 == getattr(error_of_response(429, json.dumps(said).encode(), {"Retry-After": "7"}), "retry_after", None)


def test_a_quota_with_a_wait_is_retried() -> None:
    """Gemini says of a minute's share what others say of an empty account; the wait that it asks tells them apart."""
    said = {"message": "You exceeded your current quota.", "details": [{"retryDelay": "2s"}]}
    assert error_of_response(429, json.dumps({"error": said}).encode(), {}).is_retryable


@pytest.mark.parametrize(
    ("said", "kind", "is_retryable"),
    [
        ("invalid api key", ModelAuthenticationError, False),
        ("Unauthorized", ModelAuthenticationError, False),
        ("rate limit exceeded", ModelRateLimitError, True),
        ("quota exceeded", ModelRateLimitError, False),
        ("insufficient balance", ModelPermissionDeniedError, False),
        ("Request timed out.", ModelTimeoutError, True),
        ("Something broke.", ModelAPIError, True),
    ],
)
def test_bare_words_tell_what_is_worth_a_retry(said: str, kind: type[ModelError], is_retryable: bool) -> None:
    """Without a status or a code, the words of an error tell its kind, and only what may pass is tried again."""
    error = error_of(said)
    assert (kind, is_retryable) == (type(error), error.is_retryable)


def test_an_error_in_an_answer_has_the_attributes_of_one_in_its_place() -> None:
    """`status_code`, `retry_after` and `request_id` are there, whichever way an error came."""
    error = error_of({"code": 429, "message": "x", "retry_after": 2, "request_id": "r1"})
    assert [429, 2.0, "r1"] == [getattr(error, name) for name in ("status_code", "retry_after", "request_id")]
    error = error_of("x")
    assert [None] * 3 == [getattr(error, name) for name in ("status_code", "retry_after", "request_id")]


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"code": 429, "message": "m"}, 429, ModelRateLimitError),
        ({"status": "503", "msg": "m"}, 503, ModelAPIError),
        ({"code": 529, "message": "m"}, 529, ModelAPIError),
        ({"type": "rate_limit_error", "message": "m"}, 429, ModelRateLimitError),
        ({"status": "439", "msg": "m"}, None, ModelInvalidRequestError),
        ({"status": "439", "msg": "The token has expired."}, None, ModelAuthenticationError),
        ({"code": 50501, "message": "m"}, None, ModelAPIError),
        ({"code": 40101, "message": "m"}, None, ModelAuthenticationError),
        ({"code": 42901, "message": "m"}, None, ModelRateLimitError),
        ({"status_code": 1008, "status_msg": "m"}, None, ModelAPIError),
        ({"code": 200, "message": "m"}, None, ModelAPIError),
        ({"errcode": 404, "errmsg": "m"}, None, ModelNotFoundError),
        ({"code": 599, "message": "m"}, None, ModelAPIError),
    ],
)
def test_a_code_of_a_vendor_is_no_status(error: Any, status: int | None, kind: type[ModelError]) -> None:
    """`status_code` is a status of HTTP or None; a vendor's code may still tell the kind of the error."""
    typed = error_of(error)
    assert (status, kind) == (getattr(typed, "status_code", "missing"), type(typed))


@pytest.mark.parametrize(
    "words",
    [
        "model 'x' not found, try pulling it first",
        'model "qwen3:8b" not found, try pulling it first',
        "The model `meta/x-1.5` does not exist.",
        "The model `x` does not exist or you do not have access to it.",
        "Model not found",
        "Model x was not found",
        "model: x could not be found",
        "Model does not exist, please check",
        "unknown model: x",
        "no such model 'x'",
        "model_not_found",
    ],
)
def test_a_model_that_is_not_there(words: str) -> None:
    """An unknown model is a `ModelNotFoundError`, in an answer or with a 400; no retry helps."""
    for error in (error_of(words), error_of({"message": words}), error_of_response(400, openai_error(words), {})):
        assert (ModelNotFoundError, False) == (type(error), error.is_retryable)
    assert ModelAPIError is type(error_of_response(503, openai_error(words), {}))


@pytest.mark.parametrize(
    "words",
    ["The model's tool was not found", "file not found by the model", "model x is loading", "invalid model output"],
)
def test_something_else_is_not_there(words: str) -> None:
    """What else is not found, or a model that is not ready, is no unknown model."""
    assert ModelAPIError is type(error_of(words))


def test_the_request_can_be_found_again() -> None:
    """The error holds the id under which the server knows the request."""
    assert "r1" == getattr(error_of_response(500, b"", {"X-Request-Id": "r1"}), "request_id", None)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "m", "code": 429}, ModelRateLimitError),
        ({"message": "m", "code": "404"}, ModelNotFoundError),
        ({"message": "m", "type": "overloaded_error"}, ModelAPIError),
        ({"message": "m", "type": "authentication_error"}, ModelAuthenticationError),
        ({"message": "m", "code": "rate_limit_error"}, ModelRateLimitError),
        ({"message": "Too many tokens, please wait.", "code": 429}, ModelRateLimitError),
        ({"message": "the context window", "type": "overloaded_error"}, ModelAPIError),
        ({"message": "m", "code": 1301}, ModelAPIError),
        ("prompt is too long", ContextOverflowError),
        ("just words", ModelAPIError),
        (["a", "b"], ModelAPIError),
    ],
)
def test_an_error_object_has_its_type(error: Any, kind: type[ModelError]) -> None:
    """An error in a body is typed by its code or its name; else by its words, and without any it is the server's."""
    assert kind is type(error_of(error))


def test_no_message_is_no_message() -> None:
    """Where nothing is said, nothing is made up."""
    assert "" == message_of({}) == message_of(None) == message_of([])


def test_waits_double_and_vary() -> None:
    """The n-th wait is between a half and all of the doubled one, up to the longest."""
    backoff = Backoff(retries=9, first_s=1, longest_s=4)
    for failures, most in ((1, 1), (2, 2), (3, 4), (4, 4), (9, 4)):
        waits = [backoff.wait_s(failures) or 0 for _ in range(50)]
        assert most / 2 <= min(waits) < max(waits) <= most


def test_a_server_is_waited_for_as_long_as_it_asks() -> None:
    """What the server asks for is the least, and too much of it is the caller's decision."""
    backoff = Backoff(retries=1, first_s=1)
    assert 30.0 == backoff.wait_s(1, 30)
    assert (backoff.wait_s(1, 0) or 0) >= 0.5
    assert backoff.wait_s(1, LONGEST_ASKED_S + 1) is None


def test_after_the_last_retry_it_is_given_up() -> None:
    """There are as many retries as were asked for."""
    assert Backoff(retries=2).wait_s(2) is not None
    assert Backoff(retries=2).wait_s(3) is None
    assert Backoff(retries=0).wait_s(1) is None
