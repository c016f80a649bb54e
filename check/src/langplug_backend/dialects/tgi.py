"""The dialect of Hugging Face's text generation inference: `/generate` and `/generate_stream`.

It completes a prompt: there are no messages, tools or thoughts. Source:
https://huggingface.github.io/text-generation-inference/ and
https://huggingface.co/docs/text-generation-inference/conceptual/streaming.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langplug_backend.completion import Completion
from langplug_backend.dialects.dialect import Dialect, ErrorObject, RefusedRequest, Rejection, Route
from langplug_backend.reply import Reply
from langplug_backend.request import ChatRequest, RequestMessage, strings, whole_number
from langplug_backend.response import Event

OVERFLOW = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens"

ERRORS: Mapping[Rejection, ErrorObject] = {
    "auth": ErrorObject(status=401, type="unauthorized", message="Authorization header is wrong or missing"),
    "content_policy": ErrorObject(status=422, type="validation", message="refused by content_filter"),
    "context_overflow": ErrorObject(status=422, type="validation", message=OVERFLOW),
    "invalid_request": ErrorObject(status=422, type="validation", message="Input validation error"),
    "not_found": ErrorObject(status=404, type="not_found", message="Not found"),
    "overloaded": ErrorObject(status=503, type="overloaded", message="Model is overloaded"),
    "permission": ErrorObject(status=403, type="forbidden", message="Forbidden"),
    "quota": ErrorObject(status=402, type="quota", message="You have exceeded your monthly included credits"),
    "rate_limit": ErrorObject(status=429, type="overloaded", message="Model is overloaded"),
    "server_error": ErrorObject(
        status=500, type="generation", message="Request failed during generation: Server error"
    ),
}

REASONS = {"stop": "eos_token"}


class TextGenerationInference(Dialect):
    """Text generation inference's own API."""

    name = "tgi"
    routes = (Route("POST", "/generate"), Route("POST", "/generate_stream"))
    errors = ERRORS
    ping = Event(raw=b'{"index":0,"token":{"id":0,"text":"","logprob":0.0,"special":true}}')
    finish_fields: ClassVar[Mapping[str, Any]] = {"finish_reason": None}
    path_hint = "/generate"

    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request in neutral terms: its prompt is the user's message."""
        message = None
        parameters = body.get("parameters") or {}
        temperature = parameters.get("temperature")
        if not isinstance(body.get("inputs"), str) or not body["inputs"]:
            message = "`inputs` cannot be empty"
        elif temperature is not None and temperature <= 0:
            # Other servers take 0 for "always the likeliest token"; a client has to leave the field out here.
            message = "`temperature` must be strictly positive"
        if message:
            error = ErrorObject(status=422, type="validation", message=f"Input validation error: {message}")
            raise RefusedRequest(error)
        return ChatRequest(
            dialect=self.name,
            path=path,
            model="",
            messages=(RequestMessage(role="user", text=body["inputs"], raw=body["inputs"]),),
            text=body["inputs"],
            streaming=path.endswith("_stream"),
            stop=strings(parameters.get("stop")),
            max_tokens=whole_number(parameters.get("max_new_tokens")),
            # This server always sends the stop string too.
            params={**parameters, "include_stop_str_in_output": True},
        )

    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """The text, and the details of how it came about."""
        details = {**_details(completions[0]), "prefill": [], "tokens": []}
        return {"generated_text": completions[0].text, "details": details, **reply.extra}

    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """A token each, and the special one that ends the text."""
        completion = completions[0]
        texts = [piece for piece in completion.pieces if isinstance(piece, str)]
        events = [Event(data=_token(number, text), piece=True) for number, text in enumerate(texts, 1)]
        last = _token(len(texts) + 1, "</s>", special=True)
        last |= {"generated_text": completion.text, "details": _details(completion)}
        return [*events, Event(data=last, finish=True)]

    def error_body(self, error: ErrorObject) -> Any:
        """An error and its type."""
        return {"error": error.message, "error_type": error.type}


def _details(completion: Completion) -> dict[str, Any]:
    reason = "stop_sequence" if completion.stopped_by else REASONS.get(completion.finish, completion.finish)
    counts = {"generated_tokens": completion.usage.output, "input_length": completion.usage.input}
    return {"finish_reason": reason, **counts, "seed": None}


def _token(number: int, text: str, *, special: bool = False) -> dict[str, Any]:
    token = {"id": number, "text": text, "logprob": -0.5, "special": special}
    return {"index": number, "token": token, "generated_text": None, "details": None}


DIALECT = TextGenerationInference()
