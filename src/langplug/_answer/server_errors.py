"""What a server's error says, as one of langchain-core's typed errors.

The status comes first: a 429 is a rate limit whatever its text mentions. Servers use 400 for nearly everything else, so
there the words of the body refine the type, and only to a kind that such a status can mean.
"""

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

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

from langplug._errors import RefusalError

_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    402: ModelPermissionDeniedError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    408: ModelTimeoutError,
    409: ModelAPIError,  # a conflict with what the server does just now, which passes
    413: ContextOverflowError,
    429: ModelRateLimitError,
}

_OVERFLOW = (
    "context_length_exceeded",
    "exceed_context_size",
    "exceeds the available context size",
    "context size has been exceeded",
    "context shift is disabled",
    "exceeds the context length",
    "exceed context limit",
    "prompt is too long",
    "the model context is",
    "input is too long for requested model",
    "exceeded model token limit",
    "trying to keep the first",
)
"""Codes and sentences that can only mean that the prompt is too long."""

_PERHAPS_OVERFLOW = (
    "maximum context length",
    "context size",
    "context window",
    "model's context length",
    "max_new_tokens` must be <=",
    "reduce the length of the messages",
    "too many tokens",
    "exceeds the maximum number of tokens",
    "maximum prompt length",
    "range of input length should be",
)
"""Words that mean it if a request is called wrong, and otherwise may not: AWS Bedrock limits its rate with "Too many
tokens, please wait before trying again."."""

_REFUSAL = (
    "content_policy_violation",
    "content_filter",
    "content management policy",
    "content filtering policy",
    "responsibleaipolicyviolation",
)

_Refinements = Mapping[type[ModelError], tuple[str, ...]]

_OF_A_WRONG_REQUEST: _Refinements = {
    ContextOverflowError: (*_OVERFLOW, *_PERHAPS_OVERFLOW),
    RefusalError: _REFUSAL,
    ModelNotFoundError: ("model_not_found", "invalid model name"),  # LiteLLM's proxy, for an unknown model
    ModelAuthenticationError: ("no_db_connection",),  # the same, for a wrong key, if it has no database
    ModelInvalidRequestError: ("input is not supported",),
}
"""Kinds by their words, in lower case, as OpenAI, Azure, Anthropic, AWS Bedrock, Gemini, xAI, Moonshot, DashScope,
vLLM, SGLang, llama.cpp, LM Studio, Ollama, Cohere, TGI, Groq and dasLLAMA write them."""

_REFINEMENTS: Mapping[int, _Refinements] = {
    403: {RefusalError: _REFUSAL},  # OpenRouter's, for what its moderation flags
    # llama.cpp's, for a prompt that fills its context only in the end, and for an image that its model does not take:
    # https://github.com/ggml-org/llama.cpp/issues/19774. What else a 500 mentions may be the prompt, repeated.
    500: {ContextOverflowError: _OVERFLOW, ModelInvalidRequestError: ("input is not supported",)},
}
"""What words may make of other statuses."""

_NOT_WORTH_RETRYING = (
    "insufficient_quota",
    "exceeded your current quota",
    "billing_hard_limit",
    "insufficient balance",
)
"""Words of a 429 that no waiting cures, since the account is empty."""

_BY_NAME: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "insufficient_quota": 429,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "api_error": 500,
    "server_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses of errors that have only a name, such as those in the middle of a stream. A code is finer than a type:
https://platform.openai.com/docs/guides/error-codes and https://docs.anthropic.com/en/api/errors."""

_LONGEST_MESSAGE = 1000

# Each alternative either matches or gives up after a few characters: a page of 64 KB that is all `<` costs no seconds.
# A script ends with `</script`, whatever follows: if a `>` were asked for, a page without one would be read once for
# each script that begins in it.
_MARKUP = re.compile(r"<(script|style)\b(?:[^<]|<(?!/\1))*+(?:</\1[^>]*+>?|\Z)|<[^<>]*+>", re.DOTALL | re.IGNORECASE)


def error_of_response(status: int, body: bytes, headers: Mapping[str, str]) -> ModelError:
    """The typed error that a response with an error status stands for.

    It has the attributes `status_code`, `retry_after` (seconds, or None) and `request_id` (or None).

    Args:
        status: The HTTP status.
        body: The body, or its beginning.
        headers: The response's headers; how their names are written does not matter.
    """
    named = {name.lower(): value for name, value in headers.items()}
    said = parse_body(body)
    try:
        error = typed_error(status, said, f"HTTP {status}: {message_of(said) or 'without a message'}")
    except RecursionError:  # objects in objects: Python 3.13 reads more of them than it walks through
        error = typed_error(status, "", f"HTTP {status}: without a message")
    details: dict[str, Any] = {
        "status_code": status,
        "retry_after": retry_after(named),
        "request_id": named.get("x-request-id") or named.get("request-id"),
    }
    for name, value in details.items():
        setattr(error, name, value)
    return error


def error_of(error: Any) -> ModelError:
    """The typed error that an error object in the body of an answer, or a bare message, stands for."""
    detail = error if isinstance(error, Mapping) else {"message": str(error)}
    numbers = (str(detail.get(place)) for place in ("code", "status", "status_code", "http_status"))
    # Other numbers, such as 1301, are a vendor's own.
    status = next((int(number) for number in numbers if re.fullmatch("[45][0-9][0-9]", number)), None)
    if status is None:
        names = (str(detail.get(place)) for place in ("code", "type"))
        status = next((_BY_NAME[name] for name in names if name in _BY_NAME), None)
    return typed_error(status, detail, message_of(detail) or str(error))


def typed_error(status: int | None, said: Any, message: str) -> ModelError:
    """An error of the type that fits the status and, among those that such a status can mean, the words.

    Args:
        status: The HTTP status, or the one that an error's name stands for; None if nothing tells.
        said: The error as the server wrote it: JSON data, or text.
        message: The message of the new error.
    """
    kind: type[ModelError]
    if status is None:  # as in the middle of a stream: the words say all that is known
        kind, refinements = ModelAPIError, _OF_A_WRONG_REQUEST
    else:
        kind = _BY_STATUS.get(status) or (ModelAPIError if status >= 500 else ModelInvalidRequestError)
        refinements = _OF_A_WRONG_REQUEST if kind is ModelInvalidRequestError else _REFINEMENTS.get(status, {})
    words = (said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)).lower()
    for finer, signs in refinements.items():
        if any(sign in words for sign in signs):
            return finer(message)
    error = kind(message)
    if status == 429 and any(sign in words for sign in _NOT_WORTH_RETRYING):
        error.is_retryable = False
    return error


def parse_body(body: bytes) -> Any:
    """What a body says: its JSON, else its text without tags, in one line."""
    text = body.decode(errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(_MARKUP.sub(" ", text).split())[:_LONGEST_MESSAGE]


def message_of(said: Any) -> str:
    """The sentence for a person in what an error says, in whichever of the usual places it stands; "" if none."""
    if isinstance(said, str):
        return said[:_LONGEST_MESSAGE]
    if isinstance(said, list):
        return "; ".join(filter(None, map(message_of, said)))[:_LONGEST_MESSAGE]
    if isinstance(said, Mapping):
        if isinstance(said.get("loc"), list) and isinstance(said.get("msg"), str):  # pydantic's, by way of FastAPI
            where = ".".join(str(part) for part in said["loc"] if part != "body")
            return f"{where}: {said['msg']}"[:_LONGEST_MESSAGE] if where else said["msg"][:_LONGEST_MESSAGE]
        for place in ("error", "message", "detail", "msg", "errors", "error_msg"):
            if message := message_of(said.get(place)):
                return message
        return json.dumps(said, ensure_ascii=False, default=str)[:_LONGEST_MESSAGE] if said else ""
    return ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after.

    `Retry-After-Ms`, as Azure sends it, is finer and counts first. A date is compared with the response's own `Date`,
    so that a clock that is wrong here does no harm. None if nothing is asked, or nothing that can be read.
    """
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    asked = headers.get("retry-after")
    if asked is None:
        return None
    if (seconds := _number(asked)) is not None:
        return seconds
    try:
        then, now = (parsedate_to_datetime(date) for date in (asked, headers["date"]))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError, KeyError):
        return None


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return None
    return float(text)
