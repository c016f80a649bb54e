"""Anthropic's dialect: `/v1/messages`, `/v1/messages/count_tokens` and its `/v1/models`.

Source: https://docs.anthropic.com/en/api/messages, https://docs.anthropic.com/en/docs/build-with-claude/streaming
and https://docs.anthropic.com/en/api/errors.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from langplug_backend.completion import Completion, input_tokens
from langplug_backend.dialects.dialect import Dialect, ErrorObject, RefusedRequest, Rejection, Route
from langplug_backend.reply import Call, ContentPiece, Reply, Thought
from langplug_backend.request import ChatRequest, RequestMessage, last_text, strings, text_of, whole_number
from langplug_backend.response import ID_PLACEHOLDER, Event

KNOWN = {"model", "messages", "system", "stream", "tools", "tool_choice", "stop_sequences", "max_tokens"}

INVALID = "invalid_request_error"

ERRORS: Mapping[Rejection, ErrorObject] = {
    "auth": ErrorObject(status=401, type="authentication_error", message="invalid x-api-key"),
    "content_policy": ErrorObject(status=400, type=INVALID, message="Output blocked by content filtering policy"),
    "context_overflow": ErrorObject(
        status=400, type=INVALID, message="prompt is too long: 208310 tokens > 200000 maximum"
    ),
    "invalid_request": ErrorObject(status=400, type=INVALID, message="Invalid request."),
    "not_found": ErrorObject(status=404, type="not_found_error", message="model: {model}"),
    "overloaded": ErrorObject(status=529, type="overloaded_error", message="Overloaded"),
    "permission": ErrorObject(
        status=403,
        type="permission_error",
        message="Your API key does not have permission to use the specified resource.",
    ),
    "quota": ErrorObject(
        status=400,
        type=INVALID,
        message="Your credit balance is too low to access the Anthropic API. "
        "Please go to Plans & Billing to upgrade or purchase credits.",
    ),
    "rate_limit": ErrorObject(
        status=429,
        type="rate_limit_error",
        message="This request would exceed your organization's rate limit of 50 requests per minute.",
    ),
    "server_error": ErrorObject(status=500, type="api_error", message="Internal server error"),
}

REASONS = {"length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}
"""Stop reasons by OpenAI's terms. What is in neither list goes through, as `pause_turn` does."""


def list_models(names: Sequence[str], *_: Any) -> Event:
    """The list of models."""
    models = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2025-06-15T00:00:00Z"} for name in names
    ]
    return Event(data={"data": models, "has_more": False, "first_id": names[0], "last_id": names[-1]})


def count_tokens(_names: Sequence[str], _context: int, body: Any) -> Event:
    """How many tokens a request has: as in an answer's usage its words, and beside them those of calls and tools."""
    body = body if isinstance(body, dict) else {}
    contents = [message.get("content") for message in body.get("messages") or () if isinstance(message, dict)]
    blocks = [block for content in contents if isinstance(content, list) for block in content]
    calls = [block for block in blocks if isinstance(block, dict) and block.get("type") == "tool_use"]
    described = json.dumps([*calls, *(body.get("tools") or ())]) if calls or body.get("tools") else ""
    return Event(data={"input_tokens": input_tokens(_read_history(body)) + len(described.split())})


class Anthropic(Dialect):
    """Anthropic's Messages API."""

    name = "anthropic"
    routes = (
        Route("POST", "/messages"),
        Route("POST", "/messages/count_tokens", count_tokens),
        Route("GET", "/models", list_models),
    )
    errors = ERRORS
    content_type = "text/event-stream; charset=utf-8"
    ping = Event(data={"type": "ping"}, name="ping")
    finish_fields: ClassVar[Mapping[str, Any]] = {"stop_reason": None}
    has_end_marker = True
    knows_refusals = True
    stream_error = "overloaded"  # the example in the documentation of streaming
    unknown_field = "{field}: Extra inputs are not permitted"
    header = "anthropic-version"

    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request in neutral terms."""
        message = None if self.header in headers else f"{self.header}: header is required"
        for field, kind in (("model", str), ("max_tokens", int), ("messages", list)):
            if not isinstance(body.get(field), kind):
                message = message or f"{field}: Field required"
        if message is None and not body["messages"]:
            message = "messages: at least one message is required"
        if message:
            raise RefusedRequest(ErrorObject(status=400, type=INVALID, message=message))
        messages = _read_history(body)
        choice = body.get("tool_choice")
        if isinstance(choice, dict):
            kind = choice.get("type", "")
            choice = {"any": "required", "tool": choice.get("name")}.get(kind, kind or None)
        return ChatRequest(
            dialect=self.name,
            path=path,
            model=body["model"],
            messages=messages,
            text=last_text(messages),
            streaming=body.get("stream") is True,
            tools=tuple(body.get("tools") or ()),
            tool_choice=choice if isinstance(choice, str) else None,
            stop=strings(body.get("stop_sequences")),
            max_tokens=whole_number(body["max_tokens"]),
            params={key: value for key, value in body.items() if key not in KNOWN},
        )

    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """A message."""
        completion = completions[0]  # this wire has no `n`
        content = []
        for number, block in enumerate(completion.blocks()):
            first, opened = block[0], _open_block(block[0], number)
            if isinstance(first, Call):
                opened["input"] = first.parsed_args
            elif isinstance(first, Thought):
                text = "".join(piece.text for piece in block if isinstance(piece, Thought))
                opened |= {"thinking": text, "signature": first.signature}
            else:
                opened["text"] = "".join(map(str, block))
            content.append(opened)
        return {
            **_frame(request, reply),
            "content": content,
            **_end(completion),
            "usage": _usage(completion, reply, output=completion.usage.output),
        }

    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """A message that starts empty, its blocks one after the other, and why it ended."""
        completion = completions[0]
        usage = _usage(completion, reply, output=min(1, completion.usage.output))
        events = [_event("message_start", message={**_frame(request, reply), "usage": usage}), _event("ping")]
        for number, block in enumerate(completion.blocks()):
            events.append(_event("content_block_start", index=number, content_block=_open_block(block[0], number)))
            events += [
                _event("content_block_delta", piece=piece, index=number, delta=delta)
                for delta, piece in _block_deltas(block)
            ]
            events.append(_event("content_block_stop", index=number))
        usage = _usage(completion, reply, output=completion.usage.output)
        if reply.usage_mode == "final":
            # The API repeats the input's figures here; some servers leave them out.
            usage = {"output_tokens": usage["output_tokens"]}
        finish = Event(
            name="message_delta", data={"type": "message_delta", "delta": _end(completion), "usage": usage}, finish=True
        )
        return [*events, finish, Event(name="message_stop", data={"type": "message_stop"}, end_marker=True)]

    def error_body(self, error: ErrorObject) -> Any:
        """An error, with the request's id."""
        return {**self.error_event(error).data, "request_id": f"req_{ID_PLACEHOLDER}"}

    def error_event(self, error: ErrorObject) -> Event:
        """An error as an event of its own kind."""
        return Event(name="error", data={"type": "error", "error": {"type": error.type, "message": error.message}})

    def api_key(self, headers: Mapping[str, str]) -> str | None:
        """The key of `x-api-key`, or the bearer token that the official client sends for its `auth_token`."""
        return headers.get("x-api-key") or super().api_key(headers)


def _read_history(body: Mapping[str, Any]) -> tuple[RequestMessage, ...]:
    system = text_of(body.get("system"))
    messages = [RequestMessage(role="system", text=system, raw=body["system"])] if system else []
    for raw in body.get("messages") or ():
        message = raw if isinstance(raw, dict) else {}
        content = message.get("content")
        blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
        # Results have no role of their own here: they are blocks in a message of the user, alone or beside texts.
        results = [block for block in blocks if block.get("type") == "tool_result"]
        result = bool(results) and len(results) == len(blocks)
        text = "".join(text_of(block.get("content")) for block in results) if result else text_of(content)
        messages.append(RequestMessage(role=str(message.get("role")), text=text, result=result, raw=message))
    return tuple(messages)


def _end(completion: Completion) -> dict[str, Any]:
    """Why a message ends. A model that declines says so here alone: there is no block for it."""
    if said := completion.refusals:
        details = {
            "type": "refusal",
            "category": said[0].category,
            "explanation": "".join(piece.text for piece in said),
        }
        return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
    reason = REASONS.get(completion.finish, completion.finish)
    if reason == "stop":
        reason = "stop_sequence" if completion.stopped_by else "end_turn"
    return {"stop_reason": reason, "stop_sequence": completion.stopped_by}


def _usage(completion: Completion, reply: Reply, *, output: int) -> dict[str, int]:
    if reply.usage_mode == "none":
        return {"input_tokens": 0, "output_tokens": 0}  # the wire wants numbers
    return {
        # Unlike OpenAI's, this input does not include what came from the cache.
        "input_tokens": completion.usage.input - completion.usage.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": completion.usage.cached,
        "output_tokens": output,
    }


def _frame(request: ChatRequest, reply: Reply) -> dict[str, Any]:
    """A message before anything is in it."""
    return {
        "id": f"msg_{ID_PLACEHOLDER}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        **reply.extra,
    }


def _open_block(piece: ContentPiece, number: int) -> dict[str, Any]:
    """A block before anything is in it."""
    if isinstance(piece, Call):
        name = piece.id or f"toolu_{ID_PLACEHOLDER}{number}"
        return {"type": "tool_use", "id": name, "name": piece.name, "input": {}}
    if isinstance(piece, Thought):
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _event(name: str, *, piece: bool = False, **data: Any) -> Event:
    return Event(name=name, data={"type": name, **data}, piece=piece)


def _block_deltas(block: list[ContentPiece]) -> Iterator[tuple[dict[str, Any], bool]]:
    """What is added to a block, and whether it is a piece of the answer."""
    for piece in block:
        if isinstance(piece, Call):
            yield {"type": "input_json_delta", "partial_json": ""}, False  # as the API begins
            for fragment in piece.fragments:
                yield {"type": "input_json_delta", "partial_json": fragment}, True
        elif isinstance(piece, Thought):
            yield {"type": "thinking_delta", "thinking": piece.text}, True
        else:
            yield {"type": "text_delta", "text": piece}, True
    if isinstance(block[0], Thought):
        yield {"type": "signature_delta", "signature": block[0].signature}, False


DIALECT = Anthropic()
