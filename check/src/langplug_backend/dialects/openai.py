"""The OpenAI dialect: `/v1/chat/completions` and `/v1/models`.

Source: https://platform.openai.com/docs/api-reference/chat, and for the extensions of other servers
https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html and llama.cpp's server.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, zip_longest
from typing import Any

from langplug_backend.completion import Turn, arguments
from langplug_backend.dialects.dialect import Dialect, Refusal, Refused, Words, bearer
from langplug_backend.reply import Call, Piece, Reply, Thought, Tokens, in_fragments
from langplug_backend.request import Asked, Said, last_text, strings, text_of, whole_number
from langplug_backend.response import PLACE, Event

CREATED = 1_750_000_000
"""When every answer was made: a fixed moment, so that the same reply gives the same bytes."""

KNOWN = {"model", "messages", "stream", "tools", "tool_choice", "stop", "max_tokens", "max_completion_tokens", "n"}

INVALID = "invalid_request_error"

WORDS: dict[Refusal, Words] = {
    "auth": Words(
        status=401,
        message="Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
        type=INVALID,
        code="invalid_api_key",
    ),
    "content_policy": Words(
        status=400,
        message="The response was filtered due to the prompt triggering the content management policy. "
        "Please modify your prompt and retry.",
        type=INVALID,
        code="content_filter",
        param="prompt",
    ),
    "context_overflow": Words(
        status=400,
        message="This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
        "Please reduce the length of the messages.",
        type=INVALID,
        code="context_length_exceeded",
        param="messages",
    ),
    "invalid_request": Words(status=400, message="Invalid request.", type=INVALID),
    "not_found": Words(
        status=404,
        message="The model `{model}` does not exist or you do not have access to it.",
        type=INVALID,
        code="model_not_found",
    ),
    "overloaded": Words(
        status=503, message="The engine is currently overloaded, please try again later.", type="server_error"
    ),
    "permission": Words(
        status=403, message="You have insufficient permissions for this operation.", type="permission_error"
    ),
    "quota": Words(
        status=429,
        message="You exceeded your current quota, please check your plan and billing details.",
        type="insufficient_quota",
        code="insufficient_quota",
    ),
    "rate_limit": Words(
        status=429,
        message="Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1. "
        "Please try again in 20s.",
        type="requests",
        code="rate_limit_exceeded",
    ),
    "server_error": Words(
        status=500,
        message="The server had an error while processing your request. Sorry about that!",
        type="server_error",
    ),
}


# --- what is asked ---


def _asked(path: str, _headers: Mapping[str, str], body: Mapping[str, Any]) -> Asked:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refused(_missing("messages"))
    if not isinstance(body.get("model"), str):
        raise Refused(_missing("model"))
    said = tuple(map(_said, messages))
    return Asked(
        dialect="openai",
        path=path,
        model=body["model"],
        messages=said,
        text=last_text(said),
        streaming=body.get("stream") is True,
        tools=tuple(body.get("tools") or ()),
        tool_choice=_tool_choice(body.get("tool_choice")),
        stop=strings(body.get("stop")),
        max_tokens=whole_number(body.get("max_completion_tokens") or body.get("max_tokens")),
        n=whole_number(body.get("n")) or 1,
        params={key: value for key, value in body.items() if key not in KNOWN},
    )


def _missing(field: str) -> Words:
    return Words(status=400, message=f"Missing required parameter: '{field}'.", type=INVALID, param=field)


def _said(message: Any) -> Said:
    message = message if isinstance(message, dict) else {}
    role = str(message.get("role"))
    result = role in {"tool", "function"}
    return Said(role=role, text=text_of(message.get("content")), result=result, raw=message)


def _tool_choice(choice: Any) -> str | None:
    named = choice.get("function", {}).get("name") if isinstance(choice, dict) else choice
    return named if isinstance(named, str) else None


# --- what is answered ---


def usage_of(usage: Tokens) -> dict[str, Any]:
    """Usage in OpenAI's words."""
    shown: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    if usage.cached:
        shown["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    if usage.reasoning:
        shown["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return shown


def _frame(asked: Asked, reply: Reply, kind: str) -> dict[str, Any]:
    frame: dict[str, Any] = {"id": f"chatcmpl-{PLACE}", "object": kind, "created": CREATED}
    frame["model"] = reply.model or asked.model
    frame["system_fingerprint"] = reply.fingerprint  # null, too, as some clients insist on it
    return {**frame, **reply.extra}


def _whole(asked: Asked, turns: Sequence[Turn], reply: Reply) -> Any:
    body = _frame(asked, reply, "chat.completion")
    body["choices"] = [_choice(asked, turn, number, reply) for number, turn in enumerate(turns)]
    if reply.usage_mode != "none":
        body["usage"] = usage_of(_total(turns))
    return {**body, **_verbose(turns[0], reply)}


def _total(turns: Sequence[Turn]) -> Tokens:
    """Usage of all the answers together: the prompt is read once."""
    first = turns[0].usage
    return Tokens(
        input=first.input,
        output=sum(turn.usage.output for turn in turns),
        cached=first.cached,
        reasoning=sum(turn.usage.reasoning for turn in turns),
    )


def _choice(asked: Asked, turn: Turn, number: int, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Any] = []
    for piece in turn.pieces:
        if isinstance(piece, Call):
            calls.append(_call(piece, number, len(calls), arguments(piece)))
        else:
            field = _field(piece, reply)
            message[field] = (message.get(field) or "") + (piece if isinstance(piece, str) else piece.text)
    if reply.thoughts == "tags" and (thought := message.pop("<think>", None)):
        message["content"] = f"<think>{thought}</think>{message['content'] or ''}"
    if message["content"] is None and not calls:
        message["content"] = ""
    if calls:
        message["tool_calls"] = calls
    choice: dict[str, Any] = {"index": number, "message": message, "logprobs": None, "finish_reason": turn.finish}
    if asked.params.get("logprobs"):
        choice["logprobs"] = _logprobs([piece for piece in turn.pieces if isinstance(piece, str)])
    return {**choice, **_reported(turn, reply)}


def _field(piece: str | Thought, reply: Reply) -> str:
    if isinstance(piece, str):
        return "content"
    return "<think>" if reply.thoughts == "tags" else reply.thoughts


def _call(call: Call, choice: int, index: int, args: str) -> dict[str, Any]:
    return {"id": _call_id(call, choice, index), "type": "function", "function": {"name": call.name, "arguments": args}}


def _call_id(call: Call, choice: int, index: int) -> str:
    return call.id or f"call_{PLACE}{choice}{index}"


def _logprobs(texts: list[str]) -> dict[str, Any]:
    entries = [
        {"token": text, "logprob": -0.25, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
        for text in texts
    ]
    return {"content": entries, "refusal": None}


def _reported(turn: Turn, reply: Reply) -> dict[str, Any]:
    """The stop string as vLLM names it: in each choice, null where no stop string ended it."""
    return {"stop_reason": turn.stopped_by} if reply.stop == "report" else {}


def _verbose(turn: Turn, reply: Reply) -> dict[str, Any]:
    """The stop string as llama.cpp's server names it."""
    if reply.stop != "report_word":
        return {}
    kind = "word" if turn.stopped_by else "limit" if turn.finish == "length" else "eos"
    return {"__verbose": {"stop_type": kind, "stopping_word": turn.stopped_by or ""}}


# --- what is streamed ---


def _events(asked: Asked, turns: Sequence[Turn], reply: Reply) -> list[Event]:
    asks = (asked.params.get("stream_options") or {}).get("include_usage") is True
    mode = ("documented" if asks else "none") if reply.usage_mode == "asked" else reply.usage_mode
    rows = [_choice_events(asked, turn, number, reply) for number, turn in enumerate(turns)]
    events = [event for event in chain.from_iterable(zip_longest(*rows)) if event]
    events = _with_usage(events, _total(turns), mode, _frame(asked, reply, "chat.completion.chunk"))
    return [*events, Event(raw=b"[DONE]")]


def _choice_events(asked: Asked, turn: Turn, number: int, reply: Reply) -> list[Event]:
    frame = _frame(asked, reply, "chat.completion.chunk")

    def event(delta: dict[str, Any], piece: bool = True, **more: Any) -> Event:
        choice: dict[str, Any] = {"index": number, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return Event(data={**frame, "choices": [choice]}, piece=piece)

    events = [event({"role": "assistant", "content": ""}, piece=False)]
    for delta in _deltas(turn.pieces, number, reply):
        logprobs = asked.params.get("logprobs") and isinstance(delta.get("content"), str)
        events.append(event(delta, logprobs=_logprobs([delta["content"]])) if logprobs else event(delta))
    last = event({}, piece=False, finish_reason=turn.finish, **_reported(turn, reply))
    return [*events, Event(data={**last.data, **_verbose(turn, reply)})]


def _deltas(pieces: Sequence[Piece], choice: int, reply: Reply) -> Iterator[dict[str, Any]]:
    calls = 0
    for piece, before, after in zip(pieces, (None, *pieces), (*pieces[1:], None), strict=False):
        if isinstance(piece, Call):
            yield from _call_deltas(piece, choice, calls)
            calls += 1
        elif isinstance(piece, Thought) and reply.thoughts == "tags":
            opening = "" if isinstance(before, Thought) else "<think>"
            closing = "" if isinstance(after, Thought) else "</think>"
            yield {"content": f"{opening}{piece.text}{closing}"}
        else:
            yield {_field(piece, reply): piece if isinstance(piece, str) else piece.text}


def _call_deltas(call: Call, choice: int, index: int) -> Iterator[dict[str, Any]]:
    fragments = in_fragments(arguments(call), call.cut)
    opening = "" if call.cut else fragments.pop(0)
    yield {"tool_calls": [{"index": index, **_call(call, choice, index, opening)}]}
    for fragment in fragments:
        yield {"tool_calls": [{"index": index, "function": {"arguments": fragment}}]}


def _with_usage(events: list[Event], total: Tokens, mode: str, frame: dict[str, Any]) -> list[Event]:
    usage = usage_of(total)
    if mode in {"final", "documented"}:
        before = [_using(event, None) for event in events] if mode == "documented" else events
        return [*before, Event(data={**frame, "choices": [], "usage": usage})]
    if mode == "last":
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
        return [*events, Event(data={**frame, "choices": [choice], "usage": usage})]
    if mode == "finish":
        return [*events[:-1], _using(events[-1], usage)]
    if mode == "groq":
        return [*events[:-1], Event(data={**events[-1].data, "x_groq": {"usage": usage}}, piece=events[-1].piece)]
    if mode in {"running", "each"}:
        return _counted(events, total, running=mode == "running")
    return events


def _using(event: Event, usage: dict[str, Any] | None) -> Event:
    return Event(data={**event.data, "usage": usage}, piece=event.piece)


def _counted(events: list[Event], total: Tokens, *, running: bool) -> list[Event]:
    """Usage in every event; the last one brings it to the total."""
    counted, before = [], Tokens(input=0, output=0)
    for number, event in enumerate(events):
        said = sum(earlier.piece for earlier in events[: number + 1])
        last = number == len(events) - 1
        now = total if last else Tokens(input=total.input, output=min(said, total.output), cached=total.cached)
        counted.append(_using(event, usage_of(now if running else _since(now, before))))
        before = now
    return counted


def _since(now: Tokens, before: Tokens) -> Tokens:
    return Tokens(
        input=now.input - before.input,
        output=now.output - before.output,
        cached=now.cached - before.cached,
        reasoning=now.reasoning - before.reasoning,
    )


# --- what is refused ---


def _error(words: Words) -> Any:
    return {"error": {"message": words.message, "type": words.type, "param": words.param, "code": words.code}}


def models(names: Sequence[str], context: int, *_: Any) -> Event:
    """The list of models; `max_model_len` is vLLM's and `meta.n_ctx_train` llama.cpp's word for the context."""
    listed = [
        {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "langplug",
            "max_model_len": context,
            "meta": {"n_ctx_train": context},
        }
        for name in names
    ]
    return Event(data={"object": "list", "data": listed})


OPENAI = Dialect(
    name="openai",
    asked=_asked,
    whole=_whole,
    events=_events,
    words=WORDS,
    error=_error,
    error_event=lambda words: Event(data=_error(words)),
    framing="sse",
    type="text/event-stream; charset=utf-8",
    key=bearer,
)
