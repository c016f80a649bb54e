"""Cohere's dialect: `/v2/chat`.

Source: https://docs.cohere.com/reference/chat and https://docs.cohere.com/v2/docs/streaming.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from langplug_backend.completion import Turn, arguments
from langplug_backend.dialects.dialect import Dialect, Refusal, Refused, Words, bearer
from langplug_backend.reply import Call, Piece, Reply, Thought, in_fragments
from langplug_backend.request import Asked, Said, last_text, strings, text_of, whole_number
from langplug_backend.response import PLACE, Event

KNOWN = {"model", "messages", "stream", "tools", "tool_choice", "stop_sequences", "max_tokens"}

WORDS: dict[Refusal, Words] = {
    "auth": Words(status=401, message="invalid api token"),
    "content_policy": Words(status=400, message="blocked input: please adjust your prompt and try again"),
    "context_overflow": Words(
        status=400, message="too many tokens: size limit exceeded by 100 tokens. Try using shorter inputs."
    ),
    "invalid_request": Words(status=400, message="invalid request"),
    "not_found": Words(status=404, message="model '{model}' not found, make sure the correct model ID was used"),
    "overloaded": Words(status=503, message="the service is overloaded, please try again later"),
    "permission": Words(status=403, message="your api token may not do this"),
    "quota": Words(status=402, message="please add or update your payment method"),
    "rate_limit": Words(status=429, message="you are past the per minute request limit, please wait and try again"),
    "server_error": Words(status=500, message="internal server error"),
}

REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}

CHOICES = {"REQUIRED": "required", "NONE": "none"}


# --- what is asked ---


def _asked(path: str, _headers: Mapping[str, str], body: Mapping[str, Any]) -> Asked:
    for field, kind in (("model", str), ("messages", list)):
        if not isinstance(body.get(field), kind) or not body[field]:
            raise Refused(Words(status=400, message=f"invalid request: {field} is required"))
    said = tuple(map(_said, body["messages"]))
    for message in said:
        if not (message.raw.get("content") or message.raw.get("tool_calls")):
            raise Refused(Words(status=400, message="invalid request: all elements in messages must have content"))
    return Asked(
        dialect="cohere",
        path=path,
        model=body["model"],
        messages=said,
        text=last_text(said),
        streaming=body.get("stream") is True,
        tools=tuple(body.get("tools") or ()),
        tool_choice=CHOICES.get(str(body.get("tool_choice"))),
        stop=strings(body.get("stop_sequences")),
        max_tokens=whole_number(body.get("max_tokens")),
        params={key: value for key, value in body.items() if key not in KNOWN},
    )


def _said(message: Any) -> Said:
    message = message if isinstance(message, dict) else {}
    role = str(message.get("role"))
    return Said(role=role, text=text_of(message.get("content")), result=role == "tool", raw=message)


# --- what is answered ---


def _reason(turn: Turn) -> str:
    return "STOP_SEQUENCE" if turn.stopped_by else REASONS.get(turn.finish, turn.finish)


def _usage(turn: Turn, reply: Reply) -> dict[str, Any]:
    if reply.usage_mode == "none":
        return {}
    counts = {"input_tokens": turn.usage.input, "output_tokens": turn.usage.output}
    return {"usage": {"billed_units": counts, "tokens": counts}}


def _runs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Texts in a row are one block, and so are thoughts; each call is one."""
    for kind, run in groupby(pieces, type):
        if kind is Call:
            yield from ([call] for call in run)
        else:
            yield list(run)


def _content(run: list[Piece]) -> dict[str, Any]:
    if isinstance(run[0], Thought):
        return {"type": "thinking", "thinking": "".join(piece.text for piece in run if isinstance(piece, Thought))}
    return {"type": "text", "text": "".join(map(str, run))}


def _call(call: Call, number: int, args: str) -> dict[str, Any]:
    name = call.id or f"{call.name}_{PLACE}{number}"
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": args}}


def _whole(_asked: Asked, turns: Sequence[Turn], reply: Reply) -> Any:
    turn = turns[0]
    message: dict[str, Any] = {"role": "assistant"}
    if content := [_content(run) for run in _runs(turn.pieces) if not isinstance(run[0], Call)]:
        message["content"] = content
    if turn.calls:
        message["tool_calls"] = [_call(call, number, arguments(call)) for number, call in enumerate(turn.calls)]
    return {"id": PLACE, "finish_reason": _reason(turn), "message": message, **_usage(turn, reply), **reply.extra}


def _events(_asked: Asked, turns: Sequence[Turn], reply: Reply) -> list[Event]:
    turn = turns[0]
    empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events = [_event("message-start", {"message": empty}, id=PLACE)]
    for number, run in enumerate(_runs(turn.pieces)):
        events += _call_events(run[0], number) if isinstance(run[0], Call) else _content_events(run, number)
    return [*events, _event("message-end", {"finish_reason": _reason(turn), **_usage(turn, reply)})]


def _event(name: str, delta: Any = None, *, piece: bool = False, **more: Any) -> Event:
    given = {} if delta is None else {"delta": delta}
    return Event(name=name, data={"type": name, **more, **given}, piece=piece)


def _content_events(run: list[Piece], number: int) -> Iterator[Event]:
    kind = "thinking" if isinstance(run[0], Thought) else "text"
    yield _event("content-start", {"message": {"content": {"type": kind, kind: ""}}}, index=number)
    for piece in run:
        text = piece.text if isinstance(piece, Thought) else piece
        yield _event("content-delta", {"message": {"content": {kind: text}}}, piece=True, index=number)
    yield _event("content-end", index=number)


def _call_events(call: Call, number: int) -> Iterator[Event]:
    yield _event("tool-call-start", {"message": {"tool_calls": _call(call, number, "")}}, index=number)
    for fragment in in_fragments(arguments(call), call.cut):
        delta = {"message": {"tool_calls": {"function": {"arguments": fragment}}}}
        yield _event("tool-call-delta", delta, piece=True, index=number)
    yield _event("tool-call-end", index=number)


def _error(words: Words) -> Any:
    return {"id": PLACE, "message": words.message}


def _error_event(words: Words) -> Event:
    return _event("message-end", {"finish_reason": "ERROR", "error": words.message})


COHERE = Dialect(
    name="cohere",
    asked=_asked,
    whole=_whole,
    events=_events,
    words=WORDS,
    error=_error,
    error_event=_error_event,
    framing="sse",
    type="text/event-stream",
    key=bearer,
)
