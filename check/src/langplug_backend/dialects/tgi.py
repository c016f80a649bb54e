"""The dialect of Hugging Face's text generation inference: `/generate` and `/generate_stream`.

It completes a prompt: no messages, tools or thoughts. Source:
https://huggingface.github.io/text-generation-inference/ and
https://huggingface.co/docs/text-generation-inference/conceptual/streaming.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug_backend.completion import Turn
from langplug_backend.dialects.dialect import Dialect, Refusal, Refused, Words, bearer
from langplug_backend.reply import Reply
from langplug_backend.request import Asked, Said, strings, whole_number
from langplug_backend.response import Event

OVERFLOW = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens"

WORDS: dict[Refusal, Words] = {
    "auth": Words(status=401, type="unauthorized", message="Authorization header is wrong or missing"),
    "content_policy": Words(status=422, type="validation", message="refused by content_filter"),
    "context_overflow": Words(status=422, type="validation", message=OVERFLOW),
    "invalid_request": Words(status=422, type="validation", message="Input validation error"),
    "not_found": Words(status=404, type="not_found", message="Not found"),
    "overloaded": Words(status=503, type="overloaded", message="Model is overloaded"),
    "permission": Words(status=403, type="forbidden", message="Forbidden"),
    "quota": Words(status=402, type="quota", message="You have exceeded your monthly included credits"),
    "rate_limit": Words(status=429, type="overloaded", message="Model is overloaded"),
    "server_error": Words(status=500, type="generation", message="Request failed during generation: Server error"),
}

REASONS = {"stop": "eos_token"}


def _asked(path: str, _headers: Mapping[str, str], body: Mapping[str, Any]) -> Asked:
    if not isinstance(body.get("inputs"), str) or not body["inputs"]:
        raise Refused(Words(status=422, type="validation", message="Input validation error: `inputs` cannot be empty"))
    parameters = body.get("parameters") or {}
    temperature = parameters.get("temperature")
    if temperature is not None and temperature <= 0:
        message = "Input validation error: `temperature` must be strictly positive"
        raise Refused(Words(status=422, type="validation", message=message))
    return Asked(
        dialect="tgi",
        path=path,
        model="",
        messages=(Said(role="user", text=body["inputs"], raw=body["inputs"]),),
        text=body["inputs"],
        streaming=path.endswith("_stream"),
        stop=strings(parameters.get("stop")),
        max_tokens=whole_number(parameters.get("max_new_tokens")),
        params={**parameters, "include_stop_str_in_output": True},  # as this server always does
    )


def _details(turn: Turn) -> dict[str, Any]:
    reason = "stop_sequence" if turn.stopped_by else REASONS.get(turn.finish, turn.finish)
    counts = {"generated_tokens": turn.usage.output, "input_length": turn.usage.input}
    return {"finish_reason": reason, **counts, "seed": None}


def _whole(_asked: Asked, turns: Sequence[Turn], reply: Reply) -> Any:
    turn = turns[0]
    return {"generated_text": turn.text, "details": {**_details(turn), "prefill": [], "tokens": []}, **reply.extra}


def _events(_asked: Asked, turns: Sequence[Turn], _reply: Reply) -> list[Event]:
    """A token each, and the special one that ends the text."""
    turn = turns[0]
    texts = [piece for piece in turn.pieces if isinstance(piece, str)]
    events = [Event(data=_token(number, text), piece=True) for number, text in enumerate(texts, 1)]
    last = {**_token(len(texts) + 1, "</s>", special=True), "generated_text": turn.text, "details": _details(turn)}
    return [*events, Event(data=last)]


def _token(number: int, text: str, *, special: bool = False) -> dict[str, Any]:
    token = {"id": number, "text": text, "logprob": -0.5, "special": special}
    return {"index": number, "token": token, "generated_text": None, "details": None}


def _error(words: Words) -> Any:
    return {"error": words.message, "error_type": words.type}


TGI = Dialect(
    name="tgi",
    asked=_asked,
    whole=_whole,
    events=_events,
    words=WORDS,
    error=_error,
    error_event=lambda words: Event(data=_error(words)),
    framing="sse",
    type="text/event-stream",
    key=bearer,
)
