"""Ollama's dialect: `/api/chat`, `/api/tags`, `/api/show` and `/api/version`. Its `/v1` is the OpenAI dialect.

Source: https://github.com/ollama/ollama/blob/main/docs/api.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from langplug_backend.completion import Completion
from langplug_backend.dialects.dialect import Dialect, ErrorObject, RefusedRequest, Rejection, Route
from langplug_backend.reply import Call, Reply, Thought
from langplug_backend.request import ChatRequest, last_text, read_message, strings, whole_number
from langplug_backend.response import Event

CREATED = "2025-06-15T15:06:40.000000Z"
"""When every answer was made: a fixed moment, so that the same reply gives the same bytes."""

KNOWN = {"model", "messages", "stream", "tools"}

DIGEST = "42182419e9508c30c4b1fe55015f06b65f4ca4b9e28a744be55008d21998a093"

ERRORS: Mapping[Rejection, ErrorObject] = {
    "auth": ErrorObject(status=401, message="unauthorized"),
    "content_policy": ErrorObject(status=400, message="the prompt was refused by the content policy"),
    "context_overflow": ErrorObject(status=400, message="the input length exceeds the context length"),
    "invalid_request": ErrorObject(status=400, message="invalid request"),
    "not_found": ErrorObject(status=404, message='model "{model}" not found, try pulling it first'),
    "overloaded": ErrorObject(status=503, message="server busy, please try again.  maximum pending requests exceeded"),
    "permission": ErrorObject(status=403, message="forbidden"),
    "quota": ErrorObject(status=402, message="you have reached your usage limit, please upgrade to continue"),
    "rate_limit": ErrorObject(status=429, message="too many requests"),
    "server_error": ErrorObject(status=500, message="llama runner process has terminated: exit status 2"),
}

DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "135M",
    "quantization_level": "Q4_0",
}


def list_models(names: Sequence[str], *_: Any) -> Event:
    """The list of models: `/api/tags`."""
    about = {"modified_at": CREATED, "size": 91_700_000, "digest": DIGEST, "details": DETAILS}
    return Event(data={"models": [{"name": name, "model": name, **about} for name in names]})


def show_model(_names: Sequence[str], context: int, *_: Any) -> Event:
    """What is known of a model: `/api/show`."""
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


def show_version(*_: Any) -> Event:
    """The server's version."""
    return Event(data={"version": "0.12.6"})


class Ollama(Dialect):
    """Ollama's own chat API."""

    name = "ollama"
    routes = (
        Route("POST", "/api/chat"),
        Route("GET", "/api/tags", list_models),
        Route("POST", "/api/show", show_model),
        Route("GET", "/api/version", show_version),
    )
    errors = ERRORS
    framing = "ndjson"
    content_type = "application/x-ndjson"
    ping = Event(raw=b'{"message":{"role":"assistant","content":""},"done":false}')
    finish_fields: ClassVar[Mapping[str, Any]] = {"done_reason": None, "done": False}
    path_hint = "/api/"

    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request in neutral terms."""
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise RefusedRequest(ErrorObject(status=400, message="model is required"))
        messages = tuple(map(read_message, body.get("messages") or ()))
        options = body.get("options") or {}
        limit = whole_number(options.get("num_predict"))
        return ChatRequest(
            dialect=self.name,
            path=path,
            model=body["model"],
            messages=messages,
            text=last_text(messages),
            streaming=body.get("stream") is not False,  # this wire streams by default
            tools=tuple(body.get("tools") or ()),
            stop=strings(options.get("stop")),
            max_tokens=None if limit is None or limit < 0 else limit,  # -1 means no limit
            params={key: value for key, value in body.items() if key not in KNOWN},
        )

    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """The whole message in one line."""
        completion = _answer_to(request, completions)
        message: dict[str, Any] = {"role": "assistant", "content": completion.text}
        if thought := "".join(piece.text for piece in completion.pieces if isinstance(piece, Thought)):
            message["thinking"] = thought
        if completion.calls:
            message["tool_calls"] = [_call(call) for call in completion.calls]
        return {**_frame(request, reply), "message": message, **_end(request, completion, reply)}

    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """A line for each piece, and a last one with the counts."""
        frame, completion = _frame(request, reply), _answer_to(request, completions)
        events = []
        for piece in completion.pieces:
            message: dict[str, Any] = {"role": "assistant", "content": piece if isinstance(piece, str) else ""}
            if isinstance(piece, Thought):
                message["thinking"] = piece.text
            elif isinstance(piece, Call):
                message["tool_calls"] = [_call(piece)]
            events.append(Event(data={**frame, "message": message, "done": False}, piece=True))
        last = {**frame, "message": {"role": "assistant", "content": ""}, **_end(request, completion, reply)}
        return [*events, Event(data=last, finish=True)]

    def error_body(self, error: ErrorObject) -> Any:
        """An error: a message alone."""
        return {"error": error.message}


def _answer_to(request: ChatRequest, completions: Sequence[Completion]) -> Completion:
    """What is said. A request without messages loads the model, which then says nothing."""
    return completions[0] if request.messages else replace(completions[0], pieces=())


def _frame(request: ChatRequest, reply: Reply) -> dict[str, Any]:
    return {"model": reply.model or request.model, "created_at": CREATED, **reply.extra}


def _end(request: ChatRequest, completion: Completion, reply: Reply) -> dict[str, Any]:
    """What only the last line has."""
    if not request.messages:
        return {"done_reason": "load", "done": True}  # a request without messages loads the model
    # Tool calls end in `stop` here: "tool_calls" is a word of the `/v1` API alone (ollama/ollama#5995).
    reason = "stop" if completion.finish == "tool_calls" else completion.finish
    end: dict[str, Any] = {
        "done_reason": reason,
        "done": True,
        "total_duration": 4_883_583_458,
        "load_duration": 1_334_875,
    }
    if reply.usage_mode == "none":
        return end
    return end | {
        "prompt_eval_count": completion.usage.input,
        "prompt_eval_duration": 342_546_000,
        "eval_count": completion.usage.output,
        "eval_duration": 4_535_599_000,
    }


def _call(call: Call) -> dict[str, Any]:
    """A call: this wire has no fragments, and an id only if the reply gives one."""
    known = {"id": call.id} if call.id else {}
    return {**known, "function": {"name": call.name, "arguments": call.parsed_args}}


DIALECT = Ollama()
