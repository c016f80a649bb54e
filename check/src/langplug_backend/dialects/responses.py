"""OpenAI's Responses dialect: `/v1/responses`, without anything stored.

Source: https://platform.openai.com/docs/api-reference/responses and
https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, ClassVar

from langplug_backend.completion import Completion
from langplug_backend.dialects.dialect import Dialect, ErrorObject, RefusedRequest, Route
from langplug_backend.dialects.openai import CREATED, ERRORS, INVALID
from langplug_backend.reply import Call, Piece, Refusal, Reply, Thought
from langplug_backend.request import ChatRequest, RequestMessage, last_text, text_of, whole_number
from langplug_backend.response import ID_PLACEHOLDER, Event

KNOWN = {"model", "input", "instructions", "stream", "tools", "tool_choice", "max_output_tokens"}

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is not complete, by the finish reasons of chat completions."""

Item = dict[str, Any]


class Responses(Dialect):
    """OpenAI's Responses API."""

    name = "responses"
    routes = (Route("POST", "/responses"),)
    errors = ERRORS
    content_type = "text/event-stream; charset=utf-8"
    ping = Event(data={"type": "keepalive"}, name="keepalive")
    finish_fields: ClassVar[Mapping[str, Any]] = {"status": "in_progress", "incomplete_details": None}
    knows_refusals = True
    unknown_field = "Unknown parameter: '{field}'."
    path_hint = "/responses/"

    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request in neutral terms."""
        given = body.get("input")
        for field, is_there in (
            ("model", isinstance(body.get("model"), str)),
            ("input", isinstance(given, str | list)),
        ):
            if not is_there or not body[field]:
                message = f"Missing required parameter: '{field}'."
                raise RefusedRequest(ErrorObject(status=400, message=message, type=INVALID, param=field))
        if body.get("previous_response_id"):
            message = f"Previous response with id '{body['previous_response_id']}' not found."
            raise RefusedRequest(ErrorObject(status=404, message=message, type=INVALID, param="previous_response_id"))
        messages = tuple(_read_history(body))
        choice = body.get("tool_choice")
        named = choice.get("name") if isinstance(choice, dict) else choice
        return ChatRequest(
            dialect=self.name,
            path=path,
            model=body["model"],
            messages=messages,
            text=last_text(messages),
            streaming=body.get("stream") is True,
            tools=tuple(body.get("tools") or ()),
            tool_choice=named if isinstance(named, str) else None,
            max_tokens=whole_number(body.get("max_output_tokens")),
            params={key: value for key, value in body.items() if key not in KNOWN},
        )

    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """A `response`."""
        return _response(request, completions[0], reply, [item for item, _ in _items(request, completions[0])])

    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """The response as it begins, its items one after the other, and the whole of it."""
        completion = completions[0]  # this wire has no `n`
        begun = {**_frame(request, reply), "status": "in_progress", "output": []}
        whole = self.whole_answer(request, completions, reply)
        events = [_event("response.created", response=begun), _event("response.in_progress", response=begun)]
        for place, (item, run) in enumerate(_items(request, completion)):
            events += _item_events(request, place, item, run)
        last = {"type": f"response.{whole['status']}", "response": whole}
        events.append(Event(name=last["type"], data=last, finish=True))
        return [
            Event(
                name=event.name,
                data={**event.data, "sequence_number": number},
                piece=event.piece,
                finish=event.finish,
            )
            for number, event in enumerate(events)
        ]

    def error_body(self, error: ErrorObject) -> Any:
        """An error with all of its fields, null if they say nothing."""
        return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}

    def error_event(self, error: ErrorObject) -> Event:
        """An error as an event of its own kind, whose members stand beside its type."""
        code = error.code or error.type
        return Event(name="error", data={"type": "error", "code": code, "message": error.message, "param": error.param})


def _read_history(body: Mapping[str, Any]) -> Iterator[RequestMessage]:
    if instructions := body.get("instructions"):
        yield RequestMessage(role="system", text=str(instructions), raw=instructions)
    given = body["input"]
    for raw in [{"role": "user", "content": given}] if isinstance(given, str) else given:
        item = raw if isinstance(raw, dict) else {}
        if "output" in item:
            yield RequestMessage(role="tool", text=text_of(item["output"]), result=True, raw=raw)
        else:
            role = item.get("role") or "assistant"  # calls and reasoning have no role: the model has made them
            yield RequestMessage(role=str(role), text=text_of(item.get("content")), raw=raw)


# --- items ---


def _items(request: ChatRequest, completion: Completion) -> Iterator[tuple[Item, list[Piece]]]:
    """The items of a response, each with its pieces. Texts and refusals in a row are one message."""
    place = 0
    for kind, run in groupby(
        completion.pieces, lambda piece: type(piece) if isinstance(piece, Call | Thought) else str
    ):
        pieces = list(run)
        for some in [[one] for one in pieces] if kind is Call else [pieces]:
            yield _item(request, place, some), some
            place += 1


def _item(request: ChatRequest, place: int, pieces: list[Piece]) -> Item:
    first = pieces[0]
    if isinstance(first, Call):
        call_id = first.id or f"call_{ID_PLACEHOLDER}{place}"
        return {
            "type": "function_call",
            "id": f"fc_{ID_PLACEHOLDER}{place}",
            "call_id": call_id,
            "name": first.name,
            "arguments": first.json_args,
            "status": "completed",
        }
    if isinstance(first, Thought):
        text = "".join(piece.text for piece in pieces if isinstance(piece, Thought))
        item: Item = {"type": "reasoning", "id": f"rs_{ID_PLACEHOLDER}{place}"}
        item["summary"] = [{"type": "summary_text", "text": text}]
        # As the API does it: only who asks for it gets what a server that stores nothing can read again.
        asked = "reasoning.encrypted_content" in (request.params.get("include") or ())
        return {**item, "encrypted_content": first.signature if asked else None}
    content = [_part(request, list(run)) for _, run in groupby(pieces, type)]
    return {
        "type": "message",
        "id": f"msg_{ID_PLACEHOLDER}{place}",
        "role": "assistant",
        "status": "completed",
        "content": content,
    }


def _part(request: ChatRequest, pieces: list[Piece]) -> Item:
    if isinstance(pieces[0], Refusal):
        return {"type": "refusal", "refusal": "".join(one.text for one in pieces if isinstance(one, Refusal))}
    texts = [one for one in pieces if isinstance(one, str)]
    return {"type": "output_text", "text": "".join(texts), "annotations": [], "logprobs": _logprobs(request, texts)}


def _logprobs(request: ChatRequest, texts: list[str]) -> list[Item]:
    """How likely each token was, if that is asked for."""
    if "message.output_text.logprobs" not in (request.params.get("include") or ()):
        return []
    return [
        # A lone surrogate has no bytes; "?" stands for it.
        {"token": text, "logprob": -0.25, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
        for text in texts
    ]


# --- the events of an item ---


def _item_events(request: ChatRequest, place: int, item: Item, pieces: list[Piece]) -> Iterator[Event]:
    at: Item = {"output_index": place}
    empty: Item = {"content": [], "summary": [], "arguments": "", "status": "in_progress", "encrypted_content": None}
    begun = {key: empty.get(key, value) for key, value in item.items()}
    yield _event("response.output_item.added", **at, item=begun)
    inside: Item = {"item_id": item["id"], **at}
    if item["type"] == "function_call":
        call = pieces[0]
        for fragment in call.fragments if isinstance(call, Call) else ():
            yield _event("response.function_call_arguments.delta", piece=True, **inside, delta=fragment)
        yield _event("response.function_call_arguments.done", **inside, arguments=item["arguments"])
    elif item["type"] == "reasoning":
        inside["summary_index"] = 0
        part = item["summary"][0]
        yield _event("response.reasoning_summary_part.added", **inside, part={**part, "text": ""})
        for piece in pieces:
            text = piece.text if isinstance(piece, Thought) else ""
            yield _event("response.reasoning_summary_text.delta", piece=True, **inside, delta=text)
        yield _event("response.reasoning_summary_text.done", **inside, text=part["text"])
        yield _event("response.reasoning_summary_part.done", **inside, part=part)
    else:
        for number, (_, run) in enumerate(groupby(pieces, type)):
            part = item["content"][number]
            yield from _part_events(request, {**inside, "content_index": number}, part, list(run))
    yield _event("response.output_item.done", **at, item=item)


def _part_events(request: ChatRequest, inside: Item, part: Item, pieces: list[Piece]) -> Iterator[Event]:
    field = "refusal" if part["type"] == "refusal" else "text"
    name = "refusal" if field == "refusal" else "output_text"
    yield _event(
        "response.content_part.added",
        **inside,
        part={**part, field: "", **({"logprobs": []} if field == "text" else {})},
    )
    for piece in pieces:
        text = piece.text if isinstance(piece, Refusal) else str(piece)
        more: Item = {"logprobs": _logprobs(request, [text])} if field == "text" else {}
        yield _event(f"response.{name}.delta", piece=True, **inside, delta=text, **more)
    more = {"logprobs": part["logprobs"]} if field == "text" else {}
    yield _event(f"response.{name}.done", **inside, **{field: part[field]}, **more)
    yield _event("response.content_part.done", **inside, part=part)


def _event(name: str, *, piece: bool = False, **data: Any) -> Event:
    return Event(name=name, data={"type": name, **data}, piece=piece)


# --- the response around them ---


def _frame(request: ChatRequest, reply: Reply) -> Item:
    """A response before anything is in it."""
    params = request.params
    return {
        "id": f"resp_{ID_PLACEHOLDER}",
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "model": reply.model or request.model,
        "output": [],
        "parallel_tool_calls": params.get("parallel_tool_calls", True),
        "store": False,
        "temperature": params.get("temperature"),
        "tool_choice": request.tool_choice or "auto",
        "tools": list(request.tools),
        "top_p": params.get("top_p"),
        "usage": None,
        **reply.extra,
    }


def _response(request: ChatRequest, completion: Completion, reply: Reply, output: list[Item]) -> Item:
    reason = INCOMPLETE.get(completion.finish)
    usage = completion.usage
    response = _frame(request, reply) | {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
    }
    if reply.usage_mode != "none":
        response["usage"] = {
            "input_tokens": usage.input,
            "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
            "output_tokens": usage.output,
            "output_tokens_details": {"reasoning_tokens": usage.reasoning},
            "total_tokens": usage.input + usage.output,
        }
    return response


DIALECT = Responses()
