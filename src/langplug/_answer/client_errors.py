"""What an exception of somebody's HTTP client means, as one of langchain-core's typed errors.

Authors ask their models through httpx, aiohttp, requests, an SDK, boto3 or gRPC. None of these is imported here: an
exception is known by the package that its class comes from, by its class's name, and by what it carries (a status, a
response, a body). What does not come from a client is its author's own, and stays as it is.
"""

import copy
import errno
import inspect
import json
import math
import ssl
import sys
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelTimeoutError,
)

from langplug._answer.server_errors import error_of, error_of_response, retry_after
from langplug._errors import IncompleteAnswerError, half_a_character
from langplug._secrets import hide_in_text

_CLIENTS = frozenset(
    {"httpx", "httpx2", "httpcore", "aiohttp", "requests", "urllib3", "urllib", "http", "pycurl", "curl_cffi"}
    | {"niquests", "websockets", "httpx_sse", "aiobotocore", "boto3", "botocore", "grpc", "grpclib", "google", "azure"}
    | {"openai", "anthropic", "cohere", "groq", "mistralai", "together", "fireworks", "replicate", "litellm", "ollama"}
    | {"xai_sdk", "huggingface_hub", "text_generation", "cerebras", "zhipuai", "zai", "dashscope", "ibm_watsonx_ai"}
    | {"anyio", "async_timeout", "asyncio", "smtplib", "socket", "ssl", "subprocess"}
    | {"volcenginesdkarkruntime", "oci", "writerai", "ai21", "tenacity", "gradio_client", "perplexity", "openrouter"}
)
"""Packages whose exceptions are about a request. Some are the standard library's, such as `asyncio.timeout`."""

_NO_NETWORK = frozenset(
    getattr(errno, name)
    for name in ("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN", "EADDRNOTAVAIL", "ENOTCONN", "ENETRESET")
    if hasattr(errno, name)
)
"""What the system says of a network, where Python has no class of its own for it."""

_BY_CLASS: Mapping[str, type[ModelError]] = {
    # What was asked cannot be sent at all.
    "InvalidURL": ModelInvalidRequestError,
    "NonHttpUrlClientError": ModelInvalidRequestError,
    "MissingSchema": ModelInvalidRequestError,
    "InvalidSchema": ModelInvalidRequestError,
    "InvalidHeader": ModelInvalidRequestError,
    "LocationValueError": ModelInvalidRequestError,
    "LocalProtocolError": ModelInvalidRequestError,
    "UnsupportedProtocol": ModelInvalidRequestError,
    "TooManyRedirects": ModelInvalidRequestError,
    "ParamValidationError": ModelInvalidRequestError,
    # Nobody said who asks.
    "NoCredentialsError": ModelAuthenticationError,
    "PartialCredentialsError": ModelAuthenticationError,
    "CredentialRetrievalError": ModelAuthenticationError,
    "TokenRetrievalError": ModelAuthenticationError,
    "DefaultCredentialsError": ModelAuthenticationError,
    "RefreshError": ModelAuthenticationError,
    "ClientAuthenticationError": ModelAuthenticationError,
    # There was no server, or it went away.
    "APIConnectionError": ModelConnectionError,
    "TransportError": ModelConnectionError,
    "NetworkError": ModelConnectionError,
    "ConnectionError": ModelConnectionError,
    "ConnectionClosed": ModelConnectionError,
    "ClientConnectionError": ModelConnectionError,
    "ClientPayloadError": ModelConnectionError,
    "ClientOSError": ModelConnectionError,
    "ChunkedEncodingError": ModelConnectionError,
    "ContentDecodingError": ModelConnectionError,
    "DecodingError": ModelConnectionError,
    "DecodeError": ModelConnectionError,
    "HTTPClientError": ModelConnectionError,
    "ConnectionClosedError": ModelConnectionError,
    "EndpointConnectionError": ModelConnectionError,
    "ResponseStreamingError": ModelConnectionError,
    "IncompleteReadError": ModelConnectionError,
    "NewConnectionError": ModelConnectionError,
    "ProtocolError": ModelConnectionError,
    "ProxyError": ModelConnectionError,
    "SSLError": ModelConnectionError,
    "gaierror": ModelConnectionError,
    "MaxRetryError": ModelConnectionError,
    "PoolError": ModelConnectionError,
    "IncompleteRead": ModelConnectionError,
    "RemoteDisconnected": ModelConnectionError,
    "BadStatusLine": ModelConnectionError,
    "URLError": ModelConnectionError,
    "ServiceRequestError": ModelConnectionError,
    "ServiceResponseError": ModelConnectionError,
}
"""Exceptions without a response, by the names of their classes; the nearest ancestor's counts."""

_API_ERRORS = frozenset({"APIError", "ApiError", "ResponseError", "SDKError"})
"""Exceptions that quote an API's own words: OpenAI's and Anthropic's SDKs, Cohere's, Ollama's, Mistral's."""

_GRPC_STATUS: Mapping[str, int] = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 408,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""HTTP's statuses for gRPC's codes: https://grpc.io/docs/guides/status-codes/"""

_AWS_CODES: tuple[tuple[str, int], ...] = (
    ("throttl", 429),
    ("toomanyrequests", 429),
    ("requestlimitexceeded", 429),
    ("throughputexceeded", 429),
    ("slowdown", 429),
    ("quotaexceeded", 429),
    ("modelnotready", 429),
    ("timeout", 408),
    ("expiredtoken", 401),
    ("unrecognizedclient", 401),
    ("invalidclienttokenid", 401),
    ("signature", 401),
    ("accessdenied", 403),
    ("resourcenotfound", 404),
    ("validation", 400),
    ("serviceunavailable", 503),
    ("internal", 500),
    ("modelerror", 500),
    ("modelstreamerror", 500),
)
"""What AWS's codes mean, by words in them. They are finer than its statuses: a throttled call may be a 400, an expired
token a 403. https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html"""

_SAID_IN = ("body", "message", "details", "text", "content", "reason")
"""Where an exception or a response has what the server said."""

_STATUS_IN = ("status_code", "status", "code", "http_status", "grpc_status_code")


def model_error_of(error: BaseException, *, begun: bool = False) -> ModelError | None:
    """The typed error that `error` means, with `status_code`, `retry_after` and `request_id` if there was a response.

    Args:
        error: Any exception.
        begun: Whether a part of the answer had come: then a connection that ends makes it incomplete.

    Returns:
        None if it is a `ModelError` already, and says what is wrong, or not an exception of an HTTP client's. Of a
        group, as `asyncio.TaskGroup` raises them, what all in it mean together; None if one of them means nothing.
    """
    if isinstance(error, ModelError):
        # Some packages raise typed errors, and do not tell a prompt that is too long from other bad requests.
        said = _read_error(error) if isinstance(error, ModelInvalidRequestError) else None
        return said if isinstance(said, ContextOverflowError) and not isinstance(error, ContextOverflowError) else None
    if isinstance(error, BaseExceptionGroup):
        return _error_of_group(error, begun=begun)
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":  # whoever encodes it
        return half_a_character(error.object[error.start])
    typed = next(filter(None, map(_read_error, _family(error))), None)
    if typed is not None:
        typed.args = (hide_in_text(str(typed)),)  # clients write whole addresses into their messages
    if begun and type(typed) is ModelConnectionError:
        return IncompleteAnswerError(f"The answer broke off: {typed}")
    return typed


def _error_of_group(group: BaseExceptionGroup[Any], *, begun: bool) -> ModelError | None:
    """The one that no retry can cure, or the one that asks for the longest wait, or the first."""
    meant: list[ModelError] = []
    for one in group.exceptions:
        # A copy: it will be raised from the group, and the one in the group has a cause already.
        typed = copy.copy(one) if isinstance(one, ModelError) else model_error_of(one, begun=begun)
        if typed is None:
            return None
        meant.append(typed)
    return max(meant, key=lambda one: (not one.is_retryable, retry_after_of(one) or 0.0))


def _family(error: BaseException) -> Iterator[BaseException]:
    """The clients' exceptions that `error` is made of, the most telling first; none for an author's own."""
    if not _is_a_clients(error):
        return
    within = [
        one for one in (getattr(error, "reason", None), *error.args, error.__cause__) if isinstance(one, Exception)
    ]
    # A `requests.ConnectionError` may hold urllib3's timeout, a `URLError` a socket's.
    yield from (one for one in within if _kind_of(one) is ModelTimeoutError)
    yield error
    for one in within:
        yield from _family(one)


def _is_a_clients(error: Any) -> TypeGuard[BaseException]:
    if not isinstance(error, BaseException) or isinstance(error, ModelError):
        return False
    if any(_package(cls.__module__) in _CLIENTS for cls in type(error).__mro__):
        return True
    # Limits of asyncio and aiohttp, and reads by sockets, end in builtin errors, which anybody may raise.
    return isinstance(error, OSError) and (_is_of_the_system(error) or _is_raised_by_a_client(error))


_SOCKETS_WORDS = (("timed out",), ("The read operation timed out",), ("The write operation timed out",))


def _is_of_the_system(error: OSError) -> bool:
    """Whether the operating system has raised `error`: whoever writes `raise ConnectionError("...")` gives no number.

    A socket that was waited for too long has none either, but always the same words.
    """
    if error.args in _SOCKETS_WORDS:
        return True
    return error.errno is not None and (isinstance(error, ConnectionError | TimeoutError) or error.errno in _NO_NETWORK)


def _is_raised_by_a_client(error: BaseException) -> bool:
    """Whether the code that raised `error` is a client's, the standard library's below it aside."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    packages = [_package(frame.f_globals.get("__name__")) for frame in reversed(frames)]
    if packages[:1] in (["asyncio"], ["concurrent"]) and isinstance(error, TimeoutError):
        return not error.args  # theirs say nothing; others' errors come through futures as well, and out of threads
    return next((one in _CLIENTS for one in packages if one in _CLIENTS or one not in sys.stdlib_module_names), False)


def _package(module: Any) -> str:
    return str(module).partition(".")[0]


def _kind_of(error: BaseException) -> type[ModelError] | None:
    """What an exception without a response is about."""
    if type(error) is OSError:
        # asyncio joins the errors of all addresses of a host into one without a number.
        is_connection = error.errno in _NO_NETWORK or str(error).startswith("Multiple exceptions: ")
        return ModelConnectionError if is_connection else None
    for cls in type(error).__mro__:  # the nearest counts: `requests.ConnectTimeout` is a ConnectionError as well
        if "timeout" in cls.__name__.lower() or cls.__name__ == "DeadlineExceeded":
            return ModelTimeoutError
        if cls.__name__ in _BY_CLASS:
            return _BY_CLASS[cls.__name__]
    return None


def _read_error(error: BaseException) -> ModelError | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:
        return _read_aws_error(response, str(error))
    kind = _kind_of(error)
    if kind is not ModelTimeoutError and (status := _status_in(error) or _status_in(response)) is not None:
        said = _said_in(response) or _said_in(error) or str(error)
        body = said if isinstance(said, bytes) else said.encode(errors="replace")
        typed = error_of_response(status, body, _headers_of(response) or _headers_of(error))
        if (code := getattr(_attribute(error, "code"), "name", None)) in _GRPC_STATUS:
            typed.args = (str(typed).replace(f"HTTP {status}", str(code), 1),)
        return typed
    if kind is not None:
        typed = kind(f"{_package(type(error).__module__)}.{type(error).__name__}: {error}".rstrip(": "))
        if kind is ModelConnectionError and _is_about_a_certificate(error):
            typed.is_retryable = False
        return typed
    # An event of a stream in place of an answer has no status. What it says tells.
    if any(cls.__name__ in _API_ERRORS for cls in type(error).__mro__):
        detail = getattr(error, "body", None)
        return error_of(detail if isinstance(detail, Mapping) else str(error))
    return None


def _read_aws_error(response: dict[str, Any], text: str) -> ModelError:
    """botocore's `ClientError`, whose code is finer than its status."""
    detail = response.get("Error") or {}
    metadata = response.get("ResponseMetadata") or {}
    code = str(detail.get("Code", ""))
    named = next((status for word, status in _AWS_CODES if word in code.lower()), None)
    headers = {"x-request-id": str(metadata.get("RequestId") or ""), **(metadata.get("HTTPHeaders") or {})}
    said = {"code": code, "message": f"{code}: {detail.get('Message') or text}"}
    return error_of_response(named or metadata.get("HTTPStatusCode") or 500, json.dumps(said).encode(), headers)


def _is_about_a_certificate(error: BaseException) -> bool:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if isinstance(at, ssl.CertificateError) or "CERTIFICATE_VERIFY_FAILED" in str(at):
            return True
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return False


def retry_after_of(error: ModelError) -> float | None:
    """Seconds that the server asked to wait, by the error's `retry_after` or, of an integration's, by its response."""
    asked = getattr(error, "retry_after", None)
    if isinstance(asked, int | float) and math.isfinite(asked):
        return max(0.0, float(asked))
    headers = _headers_of(getattr(error, "response", None))
    return retry_after({name.lower(): value for name, value in headers.items()})


# --- what an exception or a response carries; any of its attributes may be a method, deprecated, or not there yet ---


def _attribute(holder: Any, name: str) -> Any:
    try:
        value = getattr(holder, name, None)
        return value() if inspect.isroutine(value) and name in ("code", "details") else value  # gRPC's
    except Exception:  # noqa: BLE001 - httpx's raise where no body was read, others warn that they are deprecated
        return None


def _status_in(holder: Any) -> int | None:
    """The HTTP status of an error, or the one of the same meaning."""
    for place in _STATUS_IN:
        value = _attribute(holder, place)
        if isinstance(value, str) and value.isdecimal():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value) if 300 <= value < 600 else None
        if (name := str(getattr(value, "name", value))) in _GRPC_STATUS:
            return _GRPC_STATUS[name]
    return None


def _headers_of(holder: Any) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in dict(_attribute(holder, "headers") or {}).items()}
    except (TypeError, ValueError):
        return {}


def _said_in(holder: Any) -> str | bytes | None:
    """What the server said, if that was read. It is not read here: nobody could stop waiting for it."""
    read = getattr(holder, "__dict__", {}).get("_content")  # httpx's and requests': bytes once they are read
    if isinstance(read, bytes) or read is False:
        return read or None
    for place in _SAID_IN:
        value = _attribute(holder, place)
        if isinstance(value, dict | list) and value:
            return json.dumps(value, default=str)
        if isinstance(value, str | bytes) and value:
            return value
    return None
