"""Anthropic's dialect: `/v1/messages`, `/v1/messages/count_tokens` and its `/v1/models`.

Source: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/docs/build-with-claude/streaming
and https://docs.anthropic.com/en/api/errors.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from langplug_backend.completion import Turn, arguments, input_tokens
from langplug_backend.dialects.dialect import Dialect, Refusal, Refused, Words, bearer
from langplug_backend.reply import Call, Piece, Reply, Thought, in_fragments
from langplug_backend.request import Asked, Said, last_text, strings, text_of, whole_number
from langplug_backend.response import PLACE, Event

KNOWN = {"model", "messages", "system", "stream", "tools", "tool_choice", "stop_sequences", "max_tokens"}

INVALID = "invalid_request_error"

WORDS: dict[Refusal, Words] = {
    "auth": Words(status=401, type="authentication_error", message="invalid x-api-key"),
    "content_policy": Words(status=400, type=INVALID, message="Output blocked by content filtering policy"),
    "context_overflow": Words(status=400, type=INVALID, message="prompt is too long: 208310 tokens > 200000 maximum"),
    "invalid_request": Words(status=400, type=INVALID, message="Invalid request."),
    "not_found": Words(status=404, type="not_found_error", message="model: {model}"),
    "overloaded": Words(status=529, type="overloaded_error", message="Overloaded"),
    "permission": Words(
        status=403,
        type="permission_error",
        message="Your API key does not have permission to use the specified resource.",
    ),
    "quota": Words(
        status=400,
        type=INVALID,
        message="Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits.",
    ),
    "rate_limit": Words(
        status=429,
        type="rate_limit_error",
        message="This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    "server_error": Words(status=500, type="api_error", message="Internal server error"),
}

REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


# --- what is asked ---


def _asked(path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Asked:
    if "anthropic-version" not in headers:
        raise Refused(Words(status=400, type=INVALID, message="anthropic-version: header is required"))
    for field, kind in (("model", str), ("max_tokens", int), ("messages", list)):
        if not isinstance(body.get(field), kind):
            raise Refused(Words(status=400, type=INVALID, message=f"{field}: Field required"))
    if not body["messages"]:
        raise Refused(Words(status=400, type=INVALID, message="messages: at least one message is required"))
    said = _history(body)
    return Asked(
        dialect="anthropic",
        path=path,
        model=body["model"],
        messages=said,
        text=last_text(said),
        streaming=body.get("stream") is True,
        tools=tuple(body.get("tools") or ()),
        tool_choice=_tool_choice(body.get("tool_choice")),
        stop=strings(body.get("stop_sequences")),
        max_tokens=whole_number(body["max_tokens"]),
        params={key: value for key, value in body.items() if key not in KNOWN},
    )


def _history(body: Mapping[str, Any]) -> tuple[Said, ...]:
    system = text_of(body.get("system"))
    said = [Said(role="system", text=system, raw=body["system"])] if system else []
    return (*said, *map(_said, body.get("messages") or ()))


def _said(message: Any) -> Said:
    message = message if isinstance(message, dict) else {}
    content = message.get("content")
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    results = [block for block in blocks if block.get("type") == "tool_result"]
    result = bool(results) and len(results) == len(blocks)
    text = "".join(text_of(block.get("content")) for block in results) if result else text_of(content)
    return Said(role=str(message.get("role")), text=text, result=result, raw=message)


def _tool_choice(choice: Any) -> str | None:
    if not isinstance(choice, dict):
        return None
    return {"any": "required", "tool": choice.get("name")}.get(choice.get("type", ""), choice.get("type"))


# --- what is answered ---


def _reason(turn: Turn) -> str:
    if turn.finish == "stop":
        return "stop_sequence" if turn.stopped_by else "end_turn"
    return REASONS.get(turn.finish, turn.finish)


def _usage(turn: Turn, reply: Reply, *, output: int) -> dict[str, int]:
    """Usage in Anthropic's words: what came from the cache is not among the input."""
    if reply.usage_mode == "none":
        return {"input_tokens": 0, "output_tokens": 0}
    return {
        "input_tokens": turn.usage.input - turn.usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": turn.usage.cached,
        "output_tokens": output,
    }


def _message(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {
        "id": f"msg_{PLACE}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        **reply.extra,
    }


def _whole(asked: Asked, turns: Sequence[Turn], reply: Reply) -> Any:
    turn = turns[0]
    return {
        **_message(asked, reply),
        "content": [_block(block, number) for number, block in enumerate(_blocks(turn.pieces))],
        "stop_reason": _reason(turn),
        "stop_sequence": turn.stopped_by,
        "usage": _usage(turn, reply, output=turn.usage.output),
    }


def _blocks(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Texts in a row are one block, and so are thoughts; each call is one."""
    for kind, run in groupby(pieces, type):
        if kind is Call:
            yield from ([call] for call in run)
        else:
            yield list(run)


def _block(block: list[Piece], number: int) -> dict[str, Any]:
    first = block[0]
    if isinstance(first, Call):
        return {**_opened(first, number), "input": _input(first)}
    if isinstance(first, Thought):
        text = "".join(piece.text for piece in block if isinstance(piece, Thought))
        return {"type": "thinking", "thinking": text, "signature": first.signature}
    return {"type": "text", "text": "".join(map(str, block))}


def _input(call: Call) -> Any:
    try:
        return json.loads(arguments(call))
    except ValueError:
        return call.args


# --- what is streamed ---


def _events(asked: Asked, turns: Sequence[Turn], reply: Reply) -> list[Event]:
    turn = turns[0]
    message = {**_message(asked, reply), "usage": _usage(turn, reply, output=min(1, turn.usage.output))}
    events = [_event("message_start", message=message), _event("ping")]
    for number, block in enumerate(_blocks(turn.pieces)):
        events.append(_event("content_block_start", index=number, content_block=_opened(block[0], number)))
        events += [_event("content_block_delta", piece=piece, index=number, delta=it) for it, piece in _deltas(block)]
        events.append(_event("content_block_stop", index=number))
    delta = {"stop_reason": _reason(turn), "stop_sequence": turn.stopped_by}
    events.append(_event("message_delta", delta=delta, usage=_last_usage(turn, reply)))
    return [*events, _event("message_stop")]


def _event(name: str, *, piece: bool = False, **data: Any) -> Event:
    return Event(name=name, data={"type": name, **data}, piece=piece)


def _last_usage(turn: Turn, reply: Reply) -> dict[str, int]:
    """What was used in all: `message_delta` repeats the input's figures, and some servers leave them out."""
    usage = _usage(turn, reply, output=turn.usage.output)
    return {"output_tokens": usage["output_tokens"]} if reply.usage_mode == "final" else usage


def _opened(piece: Piece, number: int) -> dict[str, Any]:
    """A block before anything is in it."""
    if isinstance(piece, Call):
        return {"type": "tool_use", "id": piece.id or f"toolu_{PLACE}{number}", "name": piece.name, "input": {}}
    if isinstance(piece, Thought):
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _deltas(block: list[Piece]) -> Iterator[tuple[dict[str, Any], bool]]:
    """What is added to a block, and whether it is a piece of the answer."""
    for piece in block:
        if isinstance(piece, Call):
            yield {"type": "input_json_delta", "partial_json": ""}, False
            for fragment in in_fragments(arguments(piece), piece.cut):
                yield {"type": "input_json_delta", "partial_json": fragment}, True
        elif isinstance(piece, Thought):
            yield {"type": "thinking_delta", "thinking": piece.text}, True
        else:
            yield {"type": "text_delta", "text": piece}, True
    if isinstance(block[0], Thought):
        yield {"type": "signature_delta", "signature": block[0].signature}, False


# --- what is refused, and what else there is ---


def _error(words: Words) -> Any:
    return {
        "type": "error",
        "error": {"type": words.type, "message": words.message},
        "request_id": f"req_{PLACE}",
    }


def _error_event(words: Words) -> Event:
    return Event(name="error", data={"type": "error", "error": {"type": words.type, "message": words.message}})


def models(names: Sequence[str], *_: Any) -> Event:
    """The list of models."""
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2025-06-15T00:00:00Z"} for name in names
    ]
    return Event(data={"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]})


def count_tokens(_names: Sequence[str], _context: int, body: Any) -> Event:
    """How many tokens a request has: its words."""
    said = _history(body if isinstance(body, dict) else {})
    asked = Asked(dialect="anthropic", path="", model="", messages=said, text="", streaming=False)
    return Event(data={"input_tokens": input_tokens(asked)})


ANTHROPIC = Dialect(
    name="anthropic",
    asked=_asked,
    whole=_whole,
    events=_events,
    words=WORDS,
    error=_error,
    error_event=_error_event,
    framing="sse",
    type="text/event-stream; charset=utf-8",
    key=lambda headers: headers.get("x-api-key") or bearer(headers),
)
