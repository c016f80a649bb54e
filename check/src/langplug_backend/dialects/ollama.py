"""Ollama's dialect: `/api/chat`, `/api/tags`, `/api/show` and `/api/version`. Its `/v1` is the OpenAI dialect.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langplug_backend.completion import Turn, arguments
from langplug_backend.dialects.dialect import Dialect, Refusal, Refused, Words, bearer
from langplug_backend.reply import Call, Piece, Reply, Thought
from langplug_backend.request import Asked, Said, last_text, strings, text_of, whole_number
from langplug_backend.response import Event

CREATED = "2025-06-15T15:06:40.000000Z"
"""When every answer was made: a fixed moment, so that the same reply gives the same bytes."""

KNOWN = {"model", "messages", "stream", "tools"}

DIGEST = "42182419e9508c30c4b1fe55015f06b65f4ca4b9e28a744be55008d21998a093"

WORDS: dict[Refusal, Words] = {
    "auth": Words(status=401, message="unauthorized"),
    "content_policy": Words(status=400, message="the prompt was refused by the content policy"),
    "context_overflow": Words(status=400, message="the input length exceeds the context length"),
    "invalid_request": Words(status=400, message="invalid request"),
    "not_found": Words(status=404, message='model "{model}" not found, try pulling it first'),
    "overloaded": Words(status=503, message="server busy, please try again.  maximum pending requests exceeded"),
    "permission": Words(status=403, message="forbidden"),
    "quota": Words(status=402, message="you have reached your usage limit, please upgrade to continue"),
    "rate_limit": Words(status=429, message="too many requests"),
    "server_error": Words(status=500, message="llama runner process has terminated: exit status 2"),
}


# --- what is asked ---


def _asked(path: str, _headers: Mapping[str, str], body: Mapping[str, Any]) -> Asked:
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise Refused(Words(status=400, message="model is required"))
    said = tuple(map(_said, body.get("messages") or ()))
    options = body.get("options") or {}
    return Asked(
        dialect="ollama",
        path=path,
        model=body["model"],
        messages=said,
        text=last_text(said),
        streaming=body.get("stream") is not False,
        tools=tuple(body.get("tools") or ()),
        stop=strings(options.get("stop")),
        max_tokens=_limit(options),
        params={key: value for key, value in body.items() if key not in KNOWN},
    )


def _limit(options: Mapping[str, Any]) -> int | None:
    """`num_predict`; a negative one means no limit."""
    limit = whole_number(options.get("num_predict"))
    return limit if limit is not None and limit >= 0 else None


def _said(message: Any) -> Said:
    message = message if isinstance(message, dict) else {}
    role = str(message.get("role"))
    return Said(role=role, text=text_of(message.get("content")), result=role == "tool", raw=message)


# --- what is answered ---


def _frame(asked: Asked, reply: Reply) -> dict[str, Any]:
    return {"model": reply.model or asked.model, "created_at": CREATED, **reply.extra}


def _end(asked: Asked, turn: Turn, reply: Reply) -> dict[str, Any]:
    """What stands in the last line alone. A call ends in `stop` here; a request without messages loads the model."""
    reason = "stop" if turn.finish == "tool_calls" else turn.finish
    end: dict[str, Any] = {"done_reason": reason if asked.messages else "load", "done": True}
    if not asked.messages:
        return end
    end |= {"total_duration": 4_883_583_458, "load_duration": 1_334_875}
    if reply.usage_mode == "none":
        return end
    return end | {
        "prompt_eval_count": turn.usage.input,
        "prompt_eval_duration": 342_546_000,
        "eval_count": turn.usage.output,
        "eval_duration": 4_535_599_000,
    }


def _whole(asked: Asked, turns: Sequence[Turn], reply: Reply) -> Any:
    turn = turns[0]
    message: dict[str, Any] = {"role": "assistant", "content": turn.text}
    if thought := "".join(piece.text for piece in turn.pieces if isinstance(piece, Thought)):
        message["thinking"] = thought
    if turn.calls:
        message["tool_calls"] = [_call(call) for call in turn.calls]
    return {**_frame(asked, reply), "message": message, **_end(asked, turn, reply)}


def _events(asked: Asked, turns: Sequence[Turn], reply: Reply) -> list[Event]:
    turn = turns[0]
    frame = _frame(asked, reply)
    events = [Event(data={**frame, "message": _message(piece), "done": False}, piece=True) for piece in turn.pieces]
    last = {**frame, "message": {"role": "assistant", "content": ""}, **_end(asked, turn, reply)}
    return [*events, Event(data=last)]


def _message(piece: Piece) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"role": "assistant", "content": piece}
    more = {"thinking": piece.text} if isinstance(piece, Thought) else {"tool_calls": [_call(piece)]}
    return {"role": "assistant", "content": "", **more}


def _call(call: Call) -> dict[str, Any]:
    """A call, whole: this wire knows no fragments, and an id only where the reply gives one."""
    known = {"id": call.id} if call.id else {}
    return {**known, "function": {"name": call.name, "arguments": _arguments(call)}}


def _arguments(call: Call) -> Any:
    try:
        return json.loads(arguments(call))
    except ValueError:
        return call.args


# --- what is refused, and what else there is ---


def _error(words: Words) -> Any:
    return {"error": words.message}


DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "135M",
    "quantization_level": "Q4_0",
}


def tags(names: Sequence[str], *_: Any) -> Event:
    """The list of models."""
    about = {"modified_at": CREATED, "size": 91_700_000, "digest": DIGEST, "details": DETAILS}
    return Event(data={"models": [{"name": name, "model": name, **about} for name in names]})


def show(_names: Sequence[str], context: int, *_: Any) -> Event:
    """What is known of a model."""
    info = {
        "general.architecture": "llama",
        "general.parameter_count": 134_515_008,
        "llama.context_length": context,
        "llama.embedding_length": 576,
    }
    return Event(
        data={
            "modelfile": "",
            "parameters": "",
            "template": "{{ .Prompt }}",
            "details": DETAILS,
            "model_info": info,
            "capabilities": ["completion", "tools", "thinking", "vision"],
            "modified_at": CREATED,
        }
    )


def version(*_: Any) -> Event:
    """The server's version."""
    return Event(data={"version": "0.12.6"})


OLLAMA = Dialect(
    name="ollama",
    asked=_asked,
    whole=_whole,
    events=_events,
    words=WORDS,
    error=_error,
    error_event=lambda words: Event(data=_error(words)),
    framing="ndjson",
    type="application/x-ndjson",
    key=bearer,
)
