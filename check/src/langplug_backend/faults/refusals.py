"""Faults that refuse the request."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from langplug_backend.dialects.dialect import Refusal, Words, refusal
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.response import Answer, Event, Line

BY_STATUS: Mapping[int, Refusal] = {
    400: "invalid_request",
    401: "auth",
    403: "permission",
    404: "not_found",
    429: "rate_limit",
    503: "overloaded",
    529: "overloaded",
}
"""The words that a dialect has for a status; those of `server_error` for every other."""


def named(why: Refusal) -> Callable[[Answer, Fault, Context], Answer]:
    """The refusal that the fault is named after."""
    return lambda _, fault, context: _refused(fault, context, _words(context, why))


def status(_answer: Answer, fault: Fault, context: Context) -> Answer:
    """An HTTP status with the words that fit it best, or with a body of the test's own."""
    words = replace(_words(context, BY_STATUS.get(fault.code, "server_error")), status=fault.code)
    refused = _refused(fault, context, words)
    return refused if fault.body is None else replace(refused, events=(Event(data=fault.body),))


def status_text(_answer: Answer, fault: Fault, *_: object) -> Answer:
    """Plain text, as a load balancer sends it."""
    text = fault.message or "upstream connect error or disconnect/reset before headers"
    return _other(fault, "text/plain", text)


def status_html(_answer: Answer, fault: Fault, *_: object) -> Answer:
    """A page, as a proxy sends it."""
    title = f"{fault.code} {fault.message or 'Bad Gateway'}"
    page = f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    return _other(fault, "text/html", page + "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")


def status_empty(_answer: Answer, fault: Fault, *_: object) -> Answer:
    """Nothing but the status."""
    return _other(fault, "text/plain", "")


def auth_echo(_answer: Answer, fault: Fault, context: Context) -> Answer:
    """An error that repeats the key: what must not reach the user's log."""
    words = _words(context, "auth")
    key = context.dialect.key(context.headers)
    return _refused(fault, context, replace(words, message=f"{words.message} You sent {key!r}."))


def auth_until(answer: Answer, fault: Fault, context: Context) -> Answer:
    """A key that has run out: the one named, or the first that comes; every other is good."""
    key = context.dialect.key(context.headers)
    refused = context.memory.setdefault("refused key", fault.key if fault.key is not None else key)
    return _refused(fault, context, _words(context, "auth")) if key == refused else answer


def refuse_field(answer: Answer, fault: Fault, context: Context) -> Answer:
    """A server that knows no such field, and says so."""
    if fault.field not in context.body:
        return answer
    known = f"{fault.field}: Extra inputs are not permitted"
    other = f"Unrecognized request argument supplied: {fault.field}"
    message = known if context.dialect.name == "anthropic" else other
    words = replace(_words(context, "invalid_request"), message=message, param=fault.field)
    return _refused(fault, context, words)


def _words(context: Context, why: Refusal) -> Words:
    words = context.dialect.words[why]
    return replace(words, message=words.message.replace("{model}", context.asked.model))


def _refused(fault: Fault, context: Context, words: Words) -> Answer:
    words = words if fault.message is None else replace(words, message=fault.message)
    return replace(refusal(context.dialect, words), headers=_retry_after(fault))


def _other(fault: Fault, kind: str, text: str) -> Answer:
    return Answer(
        status=fault.code,
        type=f"{kind}; charset=utf-8",
        headers=_retry_after(fault),
        events=(Event(raw=text.encode()),),
    )


def _retry_after(fault: Fault) -> tuple[Line, ...]:
    """Seconds or a date: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after."""
    value = fault.retry_after
    return () if value is None else (("retry-after", value if isinstance(value, str) else f"{value:g}"),)
