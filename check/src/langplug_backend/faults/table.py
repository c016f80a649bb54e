"""The table of what can go wrong."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from langplug_backend.dialects.dialect import refusal
from langplug_backend.faults import connection, content, finish_reasons, framing, refusals, tool_calls
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import KINDS, Fault
from langplug_backend.request import DialectName
from langplug_backend.response import Answer

OK = 200


Work = Callable[[Answer, Fault, Context], Answer]
"""What a kind does: it takes the answer as it should be and gives the one that goes out."""

At = Literal["accept", "request", "answer"]
"""When it happens: to a connection, to the request before it is answered, or to the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        does: What happens, in a line.
        work: What it does to the answer.
        takes: The field of `Fault` that a marker's argument sets; None: it takes none.
        error: Whether a client has to see an error (and not the whole answer).
        streams: Whether it happens to streams alone.
        dialects: The dialects that it has a meaning in; empty: all.
        at: When it happens.
    """

    does: str
    work: Work
    takes: str | None = None
    error: bool = False
    streams: bool = False
    dialects: tuple[DialectName, ...] = ()
    at: At = "answer"


def _refusal(does: str, work: Work, takes: str | None = None) -> Kind:
    return Kind(does=does, work=work, takes=takes, error=True, at="request")


def _break(does: str, work: Work, takes: str | None = "after") -> Kind:
    return Kind(does=does, work=work, takes=takes, error=True)


def _odd(does: str, work: Work, takes: str | None = None) -> Kind:
    return Kind(does=does, work=work, takes=takes, streams=True)


def _sse(does: str, work: Work) -> Kind:
    return Kind(does=does, work=work, streams=True, dialects=("openai", "anthropic", "cohere", "tgi"))


def _marked(does: str, work: Work) -> Kind:
    return Kind(does=does, work=work, streams=True, dialects=("openai", "anthropic"))


def _openai(does: str, work: Work, *, error: bool = False) -> Kind:
    return Kind(does=does, work=work, dialects=("openai",), error=error)


def _openai_stream(does: str, work: Work, *, error: bool = False) -> Kind:
    return replace(_openai(does, work, error=error), streams=True)


def _accept(does: str, work: Work) -> Kind:
    return Kind(does=does, work=work, error=True, at="accept")


REFUSALS: Mapping[str, Kind] = {
    "status": _refusal("an HTTP error status, in the dialect's shape", refusals.status, "code"),
    "status_text": _refusal("an HTTP error status with plain text", refusals.status_text, "code"),
    "status_html": _refusal("an HTTP error status with a page, as proxies send it", refusals.status_html, "code"),
    "status_empty": _refusal("an HTTP error status with an empty body", refusals.status_empty, "code"),
    "auth": _refusal("the key is wrong", refusals.named("auth")),
    "auth_echo": _refusal("the key is wrong, and the error repeats it", refusals.auth_echo),
    "auth_until": _refusal("the key is wrong until another one comes", refusals.auth_until, "key"),
    "content_policy": _refusal("the prompt breaks the content policy", refusals.named("content_policy")),
    "context_overflow": _refusal("the prompt is too long", refusals.named("context_overflow")),
    "invalid_request": _refusal("the request is wrong", refusals.named("invalid_request")),
    "not_found": _refusal("there is no such model", refusals.named("not_found")),
    "overloaded": _refusal("the server is overloaded", refusals.named("overloaded")),
    "permission": _refusal("the key may not do this", refusals.named("permission")),
    "quota": _refusal("the account is used up", refusals.named("quota")),
    "rate_limit": _refusal("too many requests", refusals.named("rate_limit"), "retry_after"),
    "server_error": _refusal("the server has an error", refusals.named("server_error")),
    "refuse_field": _refusal("requests with a field are refused, by its name", refusals.refuse_field, "field"),
}
"""The request is refused."""

CONNECTION: Mapping[str, Kind] = {
    "close_at_accept": _accept("the connection is closed as soon as it is there", connection.close_at_accept),
    "reset_at_accept": _accept("the connection is reset as soon as it is there", connection.reset_before_headers),
    "close_before_headers": _break("the connection closes in place of an answer", connection.close_at_accept, None),
    "reset_before_headers": _break("reset in place of an answer", connection.reset_before_headers, None),
    "reset_after_headers": _break("reset behind the headers", connection.reset_after_headers, None),
    "reset": _break("reset behind so many pieces", connection.reset),
    "stall_before_headers": _break("silence in place of an answer", connection.stall_before_headers, None),
    "stall_after_headers": _break("silence behind the headers", connection.stall_after_headers, None),
    "stall": _break("silence behind so many pieces", connection.stall),
    "slow": Kind(does="a pause before each event, in seconds", work=connection.slow, takes="seconds"),
    "slow_headers": Kind(
        does="the headers come byte by byte, a pause before each, in seconds",
        work=connection.slow_headers,
        takes="seconds",
    ),
    "cut_chunked": _break("a chunked body without its last chunk, behind so many pieces", connection.cut_chunked),
    "cut_close": _break(
        "a body that ends by closing, cut in the middle of an event behind so many pieces", connection.cut_close
    ),
    "cut_length": _break("a body shorter than its content-length", connection.cut_length),
}
"""The connection breaks, stalls or is slow."""

CONTENT: Mapping[str, Kind] = {
    "truncate": _break("a clean end behind so many pieces, without finish reason and end marker", content.truncate),
    "truncate_done": replace(
        _break(
            "a clean end behind so many pieces, without finish reason, but with the end marker", content.truncate_done
        ),
        dialects=("openai", "anthropic"),
    ),
    "no_finish": Kind(does="no finish reason, but the end marker", work=content.no_finish, error=True),
    "no_done": _marked("no end marker (`[DONE]`, `message_stop`) behind the finish reason", content.no_done),
    "malformed": _break("an event with broken JSON behind so many pieces", content.malformed),
    "error_event": _break("an error as an event behind so many pieces, and then the end", content.error_event),
    "error_object": Kind(does="status 200 with an error object", work=content.error_object, error=True),
    "empty_body": Kind(does="status 200 with an empty body", work=content.empty_body, error=True),
    "json_for_stream": _odd("a whole JSON answer to a request for a stream", content.json_for_stream),
    "stream_for_json": Kind(does="a stream in place of a whole JSON answer", work=content.stream_for_json),
    "wrong_type": Kind(does="the content type says text/plain", work=content.wrong_type),
    "extra_fields": Kind(does="fields that nobody knows, on every level", work=content.extra_fields),
    "huge_event": _odd("the first piece comes in an event of 1 MB, or of so many bytes", content.huge_event, "size"),
}
"""The end is missing, or an event is wrong."""

FRAMING: Mapping[str, Kind] = {
    "crlf": _odd("lines end in CRLF", framing.styled(newline=b"\r\n")),
    "cr": _sse("lines end in CR", framing.styled(newline=b"\r")),
    "comments": _odd("comments (NDJSON: blank lines) between the events", framing.styled(comments=True)),
    "pings": _odd("events without content between the events", framing.pings),
    "multiline": _sse("the JSON of an event over several `data` lines", framing.styled(lines=True)),
    "no_space": _sse("no space behind `data:`", framing.styled(space=False)),
    "fields": _sse("`event`, `id` and `retry` with each event", framing.styled(fields=True)),
    "bom": _odd("a byte order mark first", framing.styled(bom=True)),
    "unterminated": _odd("the last event lacks its line ends", framing.styled(unterminated=True)),
    "split": Kind(
        does="so many bytes a write (3 where not said): characters are cut anywhere", work=framing.split, takes="size"
    ),
    "one_byte": Kind(does="one byte a write", work=framing.one_byte),
    "joined": _odd("everything in one write", framing.joined),
}
"""Events are framed oddly, but rightly."""

SHAPES: Mapping[str, Kind] = {
    "finish_empty_first": _openai_stream(
        "every event but the last has the finish reason ''", finish_reasons.empty_first
    ),
    "finish_in_delta": _openai_stream("the finish reason is in the delta", finish_reasons.in_delta),
    "finish_top_level": _openai("the finish reason is beside the choices", finish_reasons.top_level),
    "finish_on_usage": _openai_stream("the finish reason comes with the usage", finish_reasons.on_usage),
    "finish_repeated": _openai_stream("the finish reason comes on three events", finish_reasons.repeated),
    "finish_stop_for_calls": Kind(
        does="the finish reason of tool calls is 'stop' (`end_turn`)",
        work=finish_reasons.stop_for_calls,
        dialects=("openai", "anthropic"),
    ),
    "calls_interleaved": _openai_stream("fragments of parallel calls take turns", tool_calls.interleaved),
    "calls_no_index": _openai_stream("fragments of calls have no index", tool_calls.no_index),
    "calls_no_ids": _openai("calls have no id", tool_calls.no_ids),
    "calls_name_repeated": _openai_stream("each fragment of a call has its name", tool_calls.name_repeated),
    "calls_ids_repeated": _openai_stream("each fragment of a call has its id", tool_calls.ids_repeated),
    "calls_args_object": _openai("arguments are an object, not a string", tool_calls.args_object),
    "calls_args_double": _openai("arguments are JSON in JSON", tool_calls.args_double),
    "calls_args_truncated": _openai("arguments are cut off", tool_calls.args_truncated),
}
"""Finish reasons and tool calls as servers send them that are not OpenAI's."""

FAULTS: Mapping[str, Kind] = {**REFUSALS, **CONNECTION, **CONTENT, **FRAMING, **SHAPES}
"""Every kind of fault by its name."""

KINDS.update(FAULTS)


def spoiled(answer: Answer, faults: tuple[Fault, ...], context: Context) -> Answer:
    """An answer with everything gone wrong that shall: refusals first, then one after the other.

    To a refusal, nothing more happens but what befalls the connection. A fault that has no meaning in the dialect
    answers with status 501 and says so: no test passes because nothing happened.
    """
    for fault in sorted(faults, key=lambda fault: fault.kind not in REFUSALS):
        kind = FAULTS[fault.kind]
        if kind.dialects and context.dialect.name not in kind.dialects:
            return _meaningless(fault, context)
        fits = context.asked.streaming or not kind.streams
        if fits and (answer.status == OK or fault.kind in CONNECTION):
            answer = kind.work(answer, fault, context)
    return answer


def _meaningless(fault: Fault, context: Context) -> Answer:
    message = f"The fault {fault.kind!r} has no meaning in the {context.dialect.name} dialect."
    return refusal(context.dialect, replace(context.dialect.words["invalid_request"], status=501, message=message))
