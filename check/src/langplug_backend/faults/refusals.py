"""Faults that refuse the request with an HTTP error."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from langplug_backend.dialects.dialect import ErrorObject, Rejection
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Argument, Fault
from langplug_backend.faults.kind import STATUS_CODE, Handler, fault_kind
from langplug_backend.response import Event, FakeResponse, HeaderLine

refusal_kind = partial(fault_kind, error=True, at="request")

BY_STATUS: Mapping[int, Rejection] = {
    400: "invalid_request",
    401: "auth",
    403: "permission",
    404: "not_found",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",  # Anthropic's own: https://docs.anthropic.com/en/api/errors
}
"""The refusal whose error fits a status; `server_error` fits every other."""

NAMED: Mapping[Rejection, str] = {
    "auth": "The key is wrong.",
    "content_policy": "The prompt violates the content policy.",
    "context_overflow": "The prompt is too long.",
    "invalid_request": "The request is invalid.",
    "not_found": "The model does not exist.",
    "overloaded": "The server is overloaded.",
    "permission": "The key lacks the permission.",
    "quota": "The account's quota is used up.",
    "rate_limit": "Too many requests; `Retry-After` says N.",
    "server_error": "The server has an internal error.",
}
"""The refusals that every dialect has an error for: each is a fault of the same name."""


def _refuse_as(refusal: Rejection) -> Handler:
    # Bound here, and not read from `fault.kind`: that is any string, and `Dialect.errors` has these ten keys.
    return lambda _, fault, context: _refuse(fault, context, context.error(refusal, fault.message))


for _refusal, _sentence in NAMED.items():
    _argument = Argument("retry_after", float, "1", unit="seconds") if _refusal == "rate_limit" else None
    refusal_kind(_argument, name=_refusal, does=_sentence)(_refuse_as(_refusal))


@refusal_kind(STATUS_CODE)
def status(_: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """HTTP status N, in the dialect's own error format."""
    error = context.error(BY_STATUS.get(fault.code, "server_error"), fault.message)
    response = _refuse(fault, context, replace(error, status=fault.code))
    return response if fault.body is None else replace(response, events=(Event(data=fault.body),))


@refusal_kind(STATUS_CODE)
def status_text(_: FakeResponse, fault: Fault, _context: Context) -> FakeResponse:
    """HTTP status N with plain text, as load balancers send it."""
    # Envoy's own words when it has lost the server behind it.
    return _refuse_in(fault, "text/plain", fault.message or "upstream connect error or disconnect/reset before headers")


@refusal_kind(STATUS_CODE)
def status_html(_: FakeResponse, fault: Fault, _context: Context) -> FakeResponse:
    """HTTP status N with an HTML page, as proxies send it."""
    title = f"{fault.code} {fault.message or 'Bad Gateway'}"
    # nginx's built-in error page, to the letter.
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return _refuse_in(fault, "text/html", page + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")


@refusal_kind(STATUS_CODE)
def status_empty(_: FakeResponse, fault: Fault, _context: Context) -> FakeResponse:
    """HTTP status N with an empty body."""
    return _refuse_in(fault, "text/plain", "")


@refusal_kind()
def auth_echo(_: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """The key is wrong, and the error repeats it."""
    # A key in an error message ends up in logs and bug reports, so a client has to take it out again.
    error, key = context.error("auth"), context.dialect.api_key(context.headers)
    echo = f"{error.message} You sent {key!r}."
    return _refuse(fault, context, context.error("auth", echo if fault.message is None else fault.message))


@refusal_kind(Argument("key", str, "sk-old"))
def auth_until(response: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """The named key, or the first one that is sent, is refused; every other key is accepted."""
    key = context.dialect.api_key(context.headers)
    refused = context.memory.setdefault("refused key", fault.key if fault.key is not None else key)
    return _refuse(fault, context, context.error("auth", fault.message)) if key == refused else response


@refusal_kind(Argument("field", str, "stream_options", default="stream_options"))
def refuse_field(response: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """Requests that contain the named field are refused."""
    # Servers without `stream_options` do so, Fireworks among them (FlowiseAI/Flowise#2866).
    if fault.field not in context.body:
        return response
    message = context.dialect.unknown_field.format(field=fault.field) if fault.message is None else fault.message
    return _refuse(fault, context, replace(context.error("invalid_request", message), param=fault.field))


def _refuse(fault: Fault, context: Context, error: ErrorObject) -> FakeResponse:
    return replace(context.dialect.refuse(error), headers=_retry_after(fault))


def _refuse_in(fault: Fault, content_type: str, text: str) -> FakeResponse:
    return FakeResponse(
        status=fault.code,
        content_type=f"{content_type}; charset=utf-8",
        headers=_retry_after(fault),
        events=(Event(raw=text.encode()),),
    )


def _retry_after(fault: Fault) -> tuple[HeaderLine, ...]:
    """Seconds or a date: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""
    value = fault.retry_after
    # `:g` makes 1.0 a plain 1. The RFC knows whole seconds only; fractions are sent all the same if a test gives them.
    return () if value is None else (("retry-after", value if isinstance(value, str) else f"{value:g}"),)
