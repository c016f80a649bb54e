"""The OpenAI dialect: `/v1/chat/completions` and `/v1/models`.

Source: https://platform.openai.com/docs/api-reference/chat, and for the extensions of other servers
https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html and llama.cpp's server.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any, ClassVar
from urllib.parse import unquote

from langplug_backend.completion import Completion
from langplug_backend.dialects.dialect import Dialect, ErrorObject, RefusedRequest, Rejection, Route
from langplug_backend.reply import Call, Piece, Refusal, Reply, Thought, Tokens
from langplug_backend.request import ChatRequest, last_text, read_message, strings, whole_number
from langplug_backend.response import ID_PLACEHOLDER, Event

CREATED = 1_750_000_000
"""When every answer was made: a fixed moment, so that the same reply gives the same bytes."""

KNOWN = {"model", "messages", "stream", "tools", "tool_choice", "stop", "max_tokens", "max_completion_tokens", "n"}

INVALID = "invalid_request_error"

_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/chat/completions$")

ERRORS: Mapping[Rejection, ErrorObject] = {
    "auth": ErrorObject(
        status=401,
        message="Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys.",
        type=INVALID,
        code="invalid_api_key",
    ),
    "content_policy": ErrorObject(
        status=400,
        message="The response was filtered due to the prompt triggering the content management policy. "
        "Please modify your prompt and retry.",
        type=INVALID,
        code="content_filter",
        param="prompt",
    ),
    "context_overflow": ErrorObject(
        status=400,
        message="This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. "
        "Please reduce the length of the messages.",
        type=INVALID,
        code="context_length_exceeded",
        param="messages",
    ),
    "invalid_request": ErrorObject(status=400, message="Invalid request.", type=INVALID),
    "not_found": ErrorObject(
        status=404,
        message="The model `{model}` does not exist or you do not have access to it.",
        type=INVALID,
        code="model_not_found",
    ),
    "overloaded": ErrorObject(
        status=503, message="The engine is currently overloaded, please try again later.", type="server_error"
    ),
    "permission": ErrorObject(
        status=403, message="You have insufficient permissions for this operation.", type="permission_error"
    ),
    "quota": ErrorObject(
        status=429,
        message="You exceeded your current quota, please check your plan and billing details.",
        type="insufficient_quota",
        code="insufficient_quota",
    ),
    "rate_limit": ErrorObject(
        status=429,
        message="Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3, Requested 1. "
        "Please try again in 20s.",
        type="requests",
        code="rate_limit_exceeded",
    ),
    "server_error": ErrorObject(
        status=500,
        message="The server had an error while processing your request. Sorry about that!",
        type="server_error",
    ),
}


def list_models(names: Sequence[str], context: int, *_: Any) -> Event:
    """The list of models, with their context lengths as other servers add them to OpenAI's fields."""
    models = [
        {
            "id": name,
            "object": "model",
            "created": CREATED,
            "owned_by": "langplug",
            "max_model_len": context,  # vLLM's
            "meta": {"n_ctx_train": context},  # llama.cpp's
        }
        for name in names
    ]
    return Event(data={"object": "list", "data": models})


class OpenAI(Dialect):
    """OpenAI's Chat Completions API."""

    name = "openai"
    routes = (Route("POST", "/chat/completions"), Route("GET", "/models", list_models))
    errors = ERRORS
    content_type = "text/event-stream; charset=utf-8"
    # A chunk with neither choices nor usage, as Azure sends one for its content filters.
    ping = Event(raw=b'{"id":"","object":"chat.completion.chunk","created":0,"model":"","choices":[]}')
    finish_fields: ClassVar[Mapping[str, Any]] = {"finish_reason": None, "stop_reason": None}
    has_end_marker = True
    knows_refusals = True

    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request in neutral terms."""
        # Azure's paths name the deployment, `/openai/deployments/NAME/chat/completions`, and its bodies no model.
        if body.get("model") is None and (deployment := _DEPLOYMENT.search(path)):
            body = {**body, "model": unquote(deployment[1])}
        for field, kind in (("messages", list), ("model", str)):
            if not isinstance(body.get(field), kind) or (kind is list and not body[field]):
                message = f"Missing required parameter: '{field}'."
                raise RefusedRequest(ErrorObject(status=400, message=message, type=INVALID, param=field))
        messages = tuple(map(read_message, body["messages"]))
        choice = body.get("tool_choice")
        named = choice.get("function", {}).get("name") if isinstance(choice, dict) else choice
        return ChatRequest(
            dialect=self.name,
            path=path,
            model=body["model"],
            messages=messages,
            text=last_text(messages),
            streaming=body.get("stream") is True,
            tools=tuple(body.get("tools") or ()),
            tool_choice=named if isinstance(named, str) else None,
            stop=strings(body.get("stop")),
            # OpenAI's reasoning models take only the newer name, many other servers only the older one.
            max_tokens=whole_number(body.get("max_completion_tokens") or body.get("max_tokens")),
            n=whole_number(body.get("n")) or 1,
            params={key: value for key, value in body.items() if key not in KNOWN},
        )

    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """A `chat.completion`."""
        body = _frame(request, reply, "chat.completion")
        body["choices"] = [_choice(request, it, number, reply) for number, it in enumerate(completions)]
        if reply.usage_mode != "none":
            body["usage"] = usage_fields(total_usage(completions))
        return {**body, **_verbose(completions[0], reply)}

    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """`chat.completion.chunk`s of all choices in turn, the usage where the reply says, and `[DONE]`."""
        rows = [_choice_events(request, it, number, reply) for number, it in enumerate(completions)]
        events = [event for event in chain.from_iterable(zip_longest(*rows)) if event]
        mode: str = reply.usage_mode
        if mode == "asked":
            options = request.params.get("stream_options") or {}
            mode = "documented" if options.get("include_usage") is True else "none"
        frame = _frame(request, reply, "chat.completion.chunk")
        return [
            *_report_usage(events, total_usage(completions), mode, frame),
            Event(raw=b"[DONE]", end_marker=True),
        ]

    def error_body(self, error: ErrorObject) -> Any:
        """An error with all of its fields, null if they say nothing."""
        return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def usage_fields(usage: Tokens) -> dict[str, Any]:
    """Usage in OpenAI's terms."""
    fields: dict[str, Any] = {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
    }
    if usage.cached:
        fields["prompt_tokens_details"] = {"cached_tokens": usage.cached}
    if usage.reasoning:
        fields["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return fields


def total_usage(completions: Sequence[Completion]) -> Tokens:
    """Usage of all answers together."""
    return Tokens(
        input=completions[0].usage.input,  # the prompt is read once
        output=sum(completion.usage.output for completion in completions),
        cached=completions[0].usage.cached,
        reasoning=sum(completion.usage.reasoning for completion in completions),
    )


def _frame(request: ChatRequest, reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{ID_PLACEHOLDER}",
        "object": kind,
        "created": CREATED,
        "model": reply.model or request.model,
        "system_fingerprint": reply.fingerprint,  # even if it is null: some clients want the field
        **reply.extra,
    }


# --- a whole answer ---


def _choice(request: ChatRequest, completion: Completion, number: int, reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    calls: list[Any] = []
    for piece in completion.pieces:
        if isinstance(piece, Call):
            calls.append(_call(piece, number, len(calls), piece.json_args))
        else:
            field = _field(piece, reply)
            message[field] = (message.get(field) or "") + (piece if isinstance(piece, str) else piece.text)
    if reply.thoughts == "tags" and (thought := message.pop("<think>", None)):
        message["content"] = f"<think>{thought}</think>{message['content'] or ''}"
    if message["content"] is None and not calls and message["refusal"] is None:
        message["content"] = ""  # null is for messages that only call, or decline
    if calls:
        message["tool_calls"] = calls
    choice: dict[str, Any] = {"index": number, "message": message, "logprobs": None, "finish_reason": completion.finish}
    if request.params.get("logprobs"):
        choice["logprobs"] = _logprobs([piece for piece in completion.pieces if isinstance(piece, str)])
    return {**choice, **_stop_reason(completion, reply)}


def _field(piece: str | Thought | Refusal, reply: Reply) -> str:
    if isinstance(piece, str):
        return "content"
    if isinstance(piece, Refusal):
        return "refusal"
    return "<think>" if reply.thoughts == "tags" else reply.thoughts


def _call(call: Call, choice: int, index: int, args: str) -> dict[str, Any]:
    name = call.id or f"call_{ID_PLACEHOLDER}{choice}{index}"
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": args}}


def _logprobs(texts: list[str]) -> dict[str, Any]:
    entries = [
        # A lone surrogate has no bytes; "?" stands for it.
        {"token": text, "logprob": -0.25, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
        for text in texts
    ]
    return {"content": entries, "refusal": None}


def _stop_reason(completion: Completion, reply: Reply) -> dict[str, Any]:
    """The stop string as vLLM names it: in each choice, null if no stop string ended it."""
    return {"stop_reason": completion.stopped_by} if reply.stop == "report" else {}


def _verbose(completion: Completion, reply: Reply) -> dict[str, Any]:
    """The stop string as llama.cpp's server names it."""
    if reply.stop != "report_word":
        return {}
    kind = "word" if completion.stopped_by else "limit" if completion.finish == "length" else "eos"
    return {"__verbose": {"stop_type": kind, "stopping_word": completion.stopped_by or ""}}


# --- a stream ---


def _choice_events(request: ChatRequest, completion: Completion, number: int, reply: Reply) -> list[Event]:
    frame = _frame(request, reply, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        choice = {"index": number, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return {**frame, "choices": [choice]}

    events = [Event(data=chunk({"role": "assistant", "content": ""}))]
    for delta in _deltas(completion.pieces, number, reply):
        logprobs = request.params.get("logprobs") and isinstance(delta.get("content"), str)
        more = {"logprobs": _logprobs([delta["content"]])} if logprobs else {}
        events.append(Event(data=chunk(delta, **more), piece=True))
    last = chunk({}, finish_reason=completion.finish, **_stop_reason(completion, reply))
    return [*events, Event(data={**last, **_verbose(completion, reply)}, finish=True)]


def _deltas(pieces: Sequence[Piece], choice: int, reply: Reply) -> Iterator[dict[str, Any]]:
    calls = 0
    for piece, before, after in zip(pieces, (None, *pieces), (*pieces[1:], None), strict=False):
        if isinstance(piece, Call):
            fragments = piece.fragments
            # OpenAI sends the name first and the arguments after it; other servers send each call whole.
            opening = "" if piece.cut else fragments.pop(0)
            yield {"tool_calls": [{"index": calls, **_call(piece, choice, calls, opening)}]}
            for fragment in fragments:
                yield {"tool_calls": [{"index": calls, "function": {"arguments": fragment}}]}
            calls += 1
        elif isinstance(piece, Thought) and reply.thoughts == "tags":
            opening = "" if isinstance(before, Thought) else "<think>"
            closing = "" if isinstance(after, Thought) else "</think>"
            yield {"content": f"{opening}{piece.text}{closing}"}
        else:
            yield {_field(piece, reply): piece if isinstance(piece, str) else piece.text}


def _report_usage(events: list[Event], total: Tokens, mode: str, frame: dict[str, Any]) -> list[Event]:
    """The events with usage in the places that a mode says: `UsageMode`."""
    usage = usage_fields(total)
    if mode in {"final", "documented"}:
        before = [_with_usage(event, None) for event in events] if mode == "documented" else events
        return [*before, Event(data={**frame, "choices": [], "usage": usage})]
    if mode == "last":
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": None}
        return [*events, Event(data={**frame, "choices": [choice], "usage": usage})]
    if mode == "finish":
        return [*events[:-1], _with_usage(events[-1], usage)]
    if mode == "groq":
        return [*events[:-1], replace(events[-1], data={**events[-1].data, "x_groq": {"usage": usage}})]
    if mode == "none":
        return events
    counted, said, before_it = [], 0, Tokens(input=0, output=0)
    for number, event in enumerate(events):
        said += event.piece
        # The last event brings it to the total, which need not be the number of pieces.
        last = number == len(events) - 1
        now = total if last else Tokens(input=total.input, output=min(said, total.output), cached=total.cached)
        counted.append(_with_usage(event, usage_fields(now if mode == "running" else now - before_it)))
        before_it = now
    return counted


def _with_usage(event: Event, usage: dict[str, Any] | None) -> Event:
    return replace(event, data={**event.data, "usage": usage})


DIALECT = OpenAI()
