"""Cohere's dialect: `/v2/chat`.

Source: https://docs.cohere.com/reference/chat and https://docs.cohere.com/v2/docs/streaming.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langplug_backend.completion import Completion
from langplug_backend.dialects.dialect import Dialect, ErrorObject, RefusedRequest, Rejection, Route
from langplug_backend.reply import Call, Reply, Thought
from langplug_backend.request import ChatRequest, last_text, read_message, strings, whole_number
from langplug_backend.response import ID_PLACEHOLDER, Event

KNOWN = {"model", "messages", "stream", "tools", "tool_choice", "stop_sequences", "max_tokens"}

ERRORS: Mapping[Rejection, ErrorObject] = {
    "auth": ErrorObject(status=401, message="invalid api token"),
    "content_policy": ErrorObject(status=400, message="blocked input: please adjust your prompt and try again"),
    "context_overflow": ErrorObject(
        status=400, message="too many tokens: size limit exceeded by 100 tokens. Try using shorter inputs."
    ),
    "invalid_request": ErrorObject(status=400, message="invalid request"),
    "not_found": ErrorObject(status=404, message="model '{model}' not found, make sure the correct model ID was used"),
    "overloaded": ErrorObject(status=503, message="the service is overloaded, please try again later"),
    "permission": ErrorObject(status=403, message="your api token may not do this"),
    "quota": ErrorObject(status=402, message="please add or update your payment method"),
    "rate_limit": ErrorObject(
        status=429, message="you are past the per minute request limit, please wait and try again"
    ),
    "server_error": ErrorObject(status=500, message="internal server error"),
}

REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL", "content_filter": "ERROR"}

CHOICES = {"REQUIRED": "required", "NONE": "none"}


class Cohere(Dialect):
    """Cohere's chat API, version 2."""

    name = "cohere"
    routes = (Route("POST", "/v2/chat"),)
    errors = ERRORS
    ping = Event(data={"type": "debug", "prompt": ""}, name="debug")
    finish_fields: ClassVar[Mapping[str, Any]] = {"finish_reason": None}
    path_hint = "/v2/"

    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request in neutral terms."""
        for field, kind in (("model", str), ("messages", list)):
            if not isinstance(body.get(field), kind) or not body[field]:
                raise RefusedRequest(ErrorObject(status=400, message=f"invalid request: {field} is required"))
        messages = tuple(map(read_message, body["messages"]))
        # The API refuses empty content, which other wires accept. A client that sends an assistant's empty message back
        # learns it here.
        if not all(message.raw.get("content") or message.raw.get("tool_calls") for message in messages):
            message = "invalid request: all elements in messages must have content"
            raise RefusedRequest(ErrorObject(status=400, message=message))
        return ChatRequest(
            dialect=self.name,
            path=path,
            model=body["model"],
            messages=messages,
            text=last_text(messages),
            streaming=body.get("stream") is True,
            tools=tuple(body.get("tools") or ()),
            tool_choice=CHOICES.get(str(body.get("tool_choice"))),
            stop=strings(body.get("stop_sequences")),
            max_tokens=whole_number(body.get("max_tokens")),
            params={key: value for key, value in body.items() if key not in KNOWN},
        )

    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """A message with its texts and thoughts in blocks."""
        completion = completions[0]
        content = []
        for block in completion.blocks():
            kind = "thinking" if isinstance(block[0], Thought) else "text"
            texts = [
                piece.text if isinstance(piece, Thought) else piece for piece in block if not isinstance(piece, Call)
            ]
            if texts:
                content.append({"type": kind, kind: "".join(texts)})
        calls = [_call(call, number, call.json_args) for number, call in enumerate(completion.calls)]
        message = {"content": content, "tool_calls": calls}
        return {
            "id": ID_PLACEHOLDER,
            "finish_reason": _finish_reason(completion),
            "message": {"role": "assistant", **{field: value for field, value in message.items() if value}},
            **_usage(completion, reply),
            **reply.extra,
        }

    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """Typed events: blocks and calls start, grow and end; the last event says why."""
        completion = completions[0]
        empty = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        events = [_event("message-start", {"message": empty}, id=ID_PLACEHOLDER)]
        for number, block in enumerate(completion.blocks()):
            first = block[0]
            if isinstance(first, Call):
                opened = {"message": {"tool_calls": _call(first, number, "")}}
                events.append(_event("tool-call-start", opened, index=number))
                for fragment in first.fragments:
                    delta = {"message": {"tool_calls": {"function": {"arguments": fragment}}}}
                    events.append(_event("tool-call-delta", delta, piece=True, index=number))
                events.append(_event("tool-call-end", index=number))
                continue
            kind = "thinking" if isinstance(first, Thought) else "text"
            opened = {"message": {"content": {"type": kind, kind: ""}}}
            events.append(_event("content-start", opened, index=number))
            for piece in block:
                grown = {kind: piece.text if isinstance(piece, Thought) else piece}
                events.append(_event("content-delta", {"message": {"content": grown}}, piece=True, index=number))
            events.append(_event("content-end", index=number))
        last = {"finish_reason": _finish_reason(completion), **_usage(completion, reply)}
        return [*events, _event("message-end", last, finish=True)]

    def error_body(self, error: ErrorObject) -> Any:
        """An error: an id and a message, without a type."""
        return {"id": ID_PLACEHOLDER, "message": error.message}

    def error_event(self, error: ErrorObject) -> Event:
        """An error in a stream is a way to end."""
        return _event("message-end", {"finish_reason": "ERROR", "error": error.message})


def _finish_reason(completion: Completion) -> str:
    return "STOP_SEQUENCE" if completion.stopped_by else REASONS.get(completion.finish, completion.finish)


def _usage(completion: Completion, reply: Reply) -> dict[str, Any]:
    if reply.usage_mode == "none":
        return {}
    counts = {"input_tokens": completion.usage.input, "output_tokens": completion.usage.output}
    return {"usage": {"billed_units": counts, "tokens": counts}}


def _call(call: Call, number: int, args: str) -> dict[str, Any]:
    name = call.id or f"{call.name}_{ID_PLACEHOLDER}{number}"
    return {"id": name, "type": "function", "function": {"name": call.name, "arguments": args}}


def _event(name: str, delta: Any = None, *, piece: bool = False, finish: bool = False, **more: Any) -> Event:
    data = {"type": name, **more, **({} if delta is None else {"delta": delta})}
    return Event(name=name, data=data, piece=piece, finish=finish)


DIALECT = Cohere()
