"""What a server's error says, as one of langchain-core's typed errors.

The status comes first: a 429 is a rate limit whatever its text mentions. Servers use 400 for nearly everything else, so
there the words of the body refine the type, and only to a kind that such a status can mean.
"""

import json
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
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
from langplug._wires.messages import STATUS_BY_ERROR

_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    402: ModelPermissionDeniedError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    408: ModelTimeoutError,
    409: ModelAPIError,  # a conflict with what the server does just now, which passes
    413: ContextOverflowError,
    424: ModelAPIError,  # TGI's, for a generation that failed
    425: ModelAPIError,
    429: ModelRateLimitError,
    498: ModelAuthenticationError,  # of gateways, for a token that has expired
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

_PROMPTS = (
    "prompt",
    "input",
    "context",
    "conversation",
    "chat history",
    "message token",
    "total message",
    "messages too",
)
_TOO_MUCH = (
    *("exceed", "too long", "too large", "too big", "longer than", "larger than", "greater than", "not fit"),
    *("more tokens than", "must be less", "must be <", " > "),
)
_ROOM = ("token", "length", "context", "n_ctx", "num_ctx", "window")
_OTHER_ROOM = ("per minute", "per day", "per second", "rate limit", "quota", "budget", "deadline", "content-length")
"""A clause with one word each of the first three, and none of the last, says that the prompt is too long, in whatever
words: "Prompt exceeds max length" (Zhipu), "prompt tokens (5000) exceed n_ctx 4096". A rate is counted in tokens, too,
and "context deadline exceeded" is Go's for a timeout."""

_REFUSAL = (
    "content_policy_violation",
    "content_filter",
    "content management policy",
    "content filtering policy",
    "responsibleaipolicyviolation",
    "output sensitive",  # MiniMax's, as the two that follow
    "input sensitive",
    "new_sensitive",
)

_EXPIRED = (
    "invalid access token",
    "access token is invalid",
    "expiredjwt",
    "expired_jwt",
    "jwt expired",
    "jwt is expired",
    "jwt has expired",
    "token expired",
    "token_expired",
    "token is expired",
    "token has expired",
    "expired token",
    "expired_token",
    "expiredtoken",
    "expired access token",
    "api token has expired",
    "api key expired",
    "api key not valid",
    "api_key_invalid",
)
"""What servers say of a key that is no longer one, under whatever status: Databricks with a 403, others with a 400."""

_Refinements = Mapping[type[ModelError], tuple[str, ...]]

_OF_A_WRONG_REQUEST: _Refinements = {
    ContextOverflowError: (*_OVERFLOW, *_PERHAPS_OVERFLOW),
    RefusalError: _REFUSAL,
    ModelNotFoundError: ("model_not_found", "invalid model name"),  # LiteLLM's proxy, for an unknown model
    # LiteLLM's proxy again, for a wrong key, if it has no database.
    ModelAuthenticationError: ("no_db_connection", *_EXPIRED),
    ModelInvalidRequestError: ("input is not supported",),
}
"""Kinds by their words, in lower case, as OpenAI, Azure, Anthropic, AWS Bedrock, Gemini, xAI, Moonshot, DashScope,
vLLM, SGLang, llama.cpp, LM Studio, Ollama, Cohere, TGI, Groq and dasLLAMA write them."""

_REFINEMENTS: Mapping[int, _Refinements] = {
    # A refusal is OpenRouter's, for what its moderation flags.
    403: {RefusalError: _REFUSAL, ModelAuthenticationError: _EXPIRED},
    # llama.cpp's, for a prompt that fills its context only in the end, and for an image that its model does not take:
    # https://github.com/ggml-org/llama.cpp/issues/19774. What else a 500 mentions may be the prompt, repeated.
    500: {ContextOverflowError: _OVERFLOW, ModelInvalidRequestError: ("input is not supported",)},
}
"""What words may make of other statuses."""

_WITHOUT_STATUS: _Refinements = {
    **_OF_A_WRONG_REQUEST,
    ModelAuthenticationError: (
        *_OF_A_WRONG_REQUEST[ModelAuthenticationError],
        "invalid api key",
        "invalid_api_key",
        "invalidapikey",
        "incorrect api key",
        "invalid token",
        "unauthorized",
        "unauthenticated",
        "authentication fail",
        "login fail",
    ),
    ModelPermissionDeniedError: (
        "insufficient balance",
        "insufficient credit",
        "insufficient funds",
        "balance is not enough",
        "payment required",
        "permission denied",
        "access denied",
        "forbidden",
        "arrear",
    ),
    ModelRateLimitError: (
        "rate limit",
        "rate_limit",
        "ratelimit",
        "too many requests",
        "throttl",
        "quota",
        "limit reached",
        "limit exceeded",
    ),
    ModelTimeoutError: ("timed out", "timeout"),
}
"""Kinds by their words where nothing else tells: in the middle of a stream, or in the envelope of a vendor."""

_NOT_WORTH_RETRYING = (
    "insufficient_quota",
    "exceeded your current quota",
    "billing_hard_limit",
    "insufficient balance",
    "insufficient quota",
    "quota exceeded",
    "quota has been exceeded",
    "daily limit",
    "monthly limit",
)
"""Words of a rate limit that no short wait cures: the account is empty, or the day's share used up."""

_BY_NAME: Mapping[str, int] = {
    **STATUS_BY_ERROR,
    "invalid_api_key": 401,
    "model_not_found": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
}
"""The statuses of errors that have only a name, such as those in the middle of a stream. A code is finer than a type:
https://platform.openai.com/docs/guides/error-codes."""

_STATUSES = frozenset(
    {str(status.value) for status in HTTPStatus if status >= 400} | {"419", "498", "499", "529"}
).union(map(str, range(520, 528)))
"""The statuses of errors, with those of proxies and clouds. Of the vendors' codes, some have three digits as well."""

_CODES = ("code", "status", "status_code", "http_status", "error_code", "errcode", "err_code", "Code")
"""Where an error says which one it is."""

_HTTP_CODES = ("http_status", "status_code", "status", "code")
"""Those of them that mean a status of HTTP; the others number the errors of a vendor."""

_MESSAGES = (
    "error",
    "message",
    "detail",
    "msg",
    "errors",
    "error_msg",
    "errmsg",
    "error_message",
    "status_msg",
    "err_msg",
)
"""Where an error says what is wrong, in words."""

_SUCCESSES = frozenset({"0", "00000", "200", "20000", "ok", "success", "succeeded", ""})
"""Codes of vendors, as text, that say that nothing is wrong."""

_OF_A_BARE_MESSAGE = frozenset({"message", "msg", "request_id", "requestId", "trace_id", "data", "choices"})
"""What stands in a message of a gateway without a code, such as `{"message": "no Route matched"}`."""

_WAITS: Mapping[str, float] = {"retrydelay": 1, "retry_after_ms": 0.001, "retry_after": 1, "retry_after_seconds": 1}
"""Where a body says how long to wait, and in what part of a second."""

_LONGEST_MESSAGE = 1000

# Each alternative either matches or gives up after a few characters: a page of 64 KB that is all `<` costs no seconds.
# A script ends with `</script`, whatever follows: if a `>` were asked for, a page without one would be read once for
# each script that begins in it.
# Without possessive quantifiers: before Python 3.11.5, they match too much where a lookahead is inside of them
# (https://github.com/python/cpython/issues/100061).
_MARKUP = re.compile(r"<(script|style)\b.*?(?:</\1[^>]*>?|\Z)|<[^<>]*>", re.DOTALL | re.IGNORECASE)


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
    wait_s = retry_after(named)
    return _with_details(
        error,
        status_code=status,
        retry_after=wait_in(said) if wait_s is None else wait_s,
        request_id=named.get("x-request-id") or named.get("request-id"),
    )


def error_of(error: Any) -> ModelError:
    """The typed error that an error object in the body of an answer, or a bare message, stands for.

    It has the attributes of `error_of_response`, as far as the object says them: else they are None.
    """
    detail = error if isinstance(error, Mapping) else {"message": str(error)}
    codes = [str(detail[place]) for place in _CODES if detail.get(place) is not None]
    status = next((int(str(detail.get(place))) for place in _HTTP_CODES if str(detail.get(place)) in _STATUSES), None)
    if status is None:
        status = next((_BY_NAME[name] for name in [*codes, str(detail.get("type"))] if name in _BY_NAME), None)
    # What begins as a status does, such as 40101, tells the kind, and not the status. Other numbers, such as 1301, are
    # a vendor's own.
    like = (int(code[:3]) for code in codes if re.fullmatch("[45][0-9]{2}|[45]0[0-9]{3}|429[0-9]{2}", code))
    typed = typed_error(next(like, None) if status is None else status, detail, message_of(detail) or str(error))
    request_id = detail.get("request_id") or detail.get("requestId")
    return _with_details(
        typed, status_code=status, retry_after=wait_in(detail), request_id=str(request_id) if request_id else None
    )


def _with_details(error: ModelError, **details: Any) -> ModelError:
    for name, value in details.items():
        setattr(error, name, value)
    if details["retry_after"] is not None and isinstance(error, ModelRateLimitError):
        error.is_retryable = True  # who says how long to wait, expects to be asked again
    return error


def failure_in(value: Mapping[str, Any]) -> Any:
    """What of a value in the place of an answer, or of a piece of one, says that the answer failed; None if nothing.

    Servers say it at the top or in a choice; gateways in an envelope of their own, with the status 200:
    `{"base_resp": {"status_code": 1008, "status_msg": "..."}}` (MiniMax), `{"code": 40101, "message": "..."}`,
    `{"status": "439", "msg": "..."}`, `{"error_code": 17, "error_msg": "..."}`, `{"success": false, ...}`.
    """
    if error := value.get("error"):
        return value if error is True else error
    base = value.get("base_resp")  # also beside choices, of what its moderation withheld
    if isinstance(base, Mapping) and str(base.get("status_code") or 0) not in _SUCCESSES:
        return base
    if choices := value.get("choices"):
        said = (choice.get("error") for choice in choices if isinstance(choice, Mapping))
        return next(filter(None, said), None)
    if "error" in (value.get("object"), value.get("type")) or value.get("success") is False:
        return value
    if value.get("detail") or value.get("errors"):
        return value
    if not any(isinstance(value.get(place), str) and value[place] for place in _MESSAGES):
        return None
    codes = {place: str(value[place]).lower() for place in _CODES if value.get(place) is not None}
    # A word as `status` is mostly that of a job under way, a number is that of an error.
    told = [code for place, code in codes.items() if place != "status" or code.isdigit() or code.startswith("err")]
    if told:
        return value if any(code not in _SUCCESSES for code in told) else None
    return None if codes or value.keys() - _OF_A_BARE_MESSAGE else value  # in a chunk of usage, say, words are no error


def typed_error(status: int | None, said: Any, message: str) -> ModelError:
    """An error of the type that fits the status and, among those that such a status can mean, the words.

    Args:
        status: The HTTP status, or the one that an error's name stands for; None if nothing tells.
        said: The error as the server wrote it: JSON data, or text.
        message: The message of the new error.
    """
    kind: type[ModelError]
    if status is None:  # as in the middle of a stream: the words say all that is known
        kind, refinements = ModelAPIError, _WITHOUT_STATUS
    else:
        kind = _BY_STATUS.get(status) or (ModelAPIError if status >= 500 else ModelInvalidRequestError)
        refinements = _OF_A_WRONG_REQUEST if kind is ModelInvalidRequestError else _REFINEMENTS.get(status, {})
    words = (said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)).lower()
    # Whole sentences count where a request is wrong, or nothing else tells. A server that fails may quote one.
    sentences = _SENTENCES if status is None or kind is ModelInvalidRequestError else {}
    for finer, signs in refinements.items():
        if any(sign in words for sign in signs) or (finer in sentences and sentences[finer](message.lower())):
            kind = finer
            break
    error = kind(message)
    if kind is ModelRateLimitError and any(sign in words for sign in _NOT_WORTH_RETRYING):
        error.is_retryable = False
    return error


def _is_of_a_long_prompt(message: str) -> bool:
    """Whether a clause of an error's message, in lower case, says that the prompt is too long."""
    return any(
        all(any(word in clause for word in words) for words in (_PROMPTS, _TOO_MUCH, _ROOM))
        and not any(word in clause for word in _OTHER_ROOM)
        for clause in re.split(r"[.;\n]", message)
    )


_UNKNOWN_MODEL = re.compile(
    r"\b(?:unknown|no such|invalid) model\b(?! \w*(?:output|parameter|response))"
    r"|\bmodel\b[ :=]{0,3}(?:(?:name|id)[ :=]{1,3})?[^\s.,]?[^\s'\"`]{0,200}[^\s\w]?,? ?"
    r"(?:(?:was|is|could) )?(?:not (?:be )?(?:found|exist)|(?:does not|doesn't|doesn\u2019t) exist)"
)
"""Such as "model 'x' not found, try pulling it first" (Ollama) and "The model `x` does not exist" (OpenAI, vLLM)."""

_SENTENCES: Mapping[type[ModelError], Callable[[str], object]] = {
    ContextOverflowError: _is_of_a_long_prompt,
    ModelNotFoundError: _UNKNOWN_MODEL.search,
}


def parse_body(body: bytes) -> Any:
    """What a body says: its JSON, else its text without tags, in one line."""
    text = body.decode(errors="replace").strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return " ".join(_MARKUP.sub(" ", text).split())[:_LONGEST_MESSAGE]


def message_of(said: Any, levels: int = 20) -> str:
    """The sentence for a person in what an error says, in whichever of the usual places it stands; "" if none.

    Args:
        said: The error: JSON data, or text.
        levels: How deep it is looked for.
    """
    if isinstance(said, str):
        return said[:_LONGEST_MESSAGE]
    if not said or not levels:
        return ""
    if isinstance(said, list):
        return "; ".join(filter(None, (message_of(one, levels - 1) for one in said)))[:_LONGEST_MESSAGE]
    if not isinstance(said, Mapping):
        return ""
    for place in _MESSAGES:
        if message := message_of(said.get(place), levels - 1):
            break
    else:
        return json.dumps(said, ensure_ascii=False, default=str)[:_LONGEST_MESSAGE]
    # The field that is wrong: pydantic's, by way of FastAPI; OpenAI's; and that of other validators.
    loc = next((said[place] for place in ("loc", "param", "field", "path") if said.get(place)), "")
    where = ".".join(str(part) for part in loc if part != "body") if isinstance(loc, list) else loc
    if isinstance(where, str) and where and where not in message:
        message = f"{where}: {message}"
    metadata = said.get("metadata")
    if isinstance(metadata, Mapping) and metadata.get("raw"):  # OpenRouter's, of what the provider said
        raw = metadata["raw"]
        reason = message_of(parse_body(raw.encode(errors="replace")) if isinstance(raw, str) else raw, levels - 1)
        message = message if reason in message else f"{message.rstrip('.')}: {reason}"
    return message[:_LONGEST_MESSAGE]


def wait_in(said: Any, levels: int = 8) -> float | None:
    """Seconds that an error's body asks to wait; None if it says nothing of it.

    Google's `RetryInfo` is `{"retryDelay": "1.6s"}` among the details; others have `retry_after` or `retry_after_ms`.
    """
    if not levels or not isinstance(said, Mapping | list):
        return None
    if isinstance(said, Mapping):
        named = {str(name).lower().replace("-", "_"): value for name, value in said.items()}
        for place, scale in _WAITS.items():
            seconds = _number(str(named[place]).removesuffix("s")) if named.get(place) is not None else None
            if seconds is not None:
                return seconds * scale
    items = said.values() if isinstance(said, Mapping) else said
    return next((wait for item in items if (wait := wait_in(item, levels - 1)) is not None), None)


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
