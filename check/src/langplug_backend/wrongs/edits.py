"""What can be changed on the way into a right server, and on the way out of it."""

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any, TypeAlias

from langplug_backend.http import HttpRequest
from langplug_backend.log import Log
from langplug_backend.response import Event, FakeResponse

Handle: TypeAlias = Callable[[HttpRequest], FakeResponse]
"""The right server: from a request to its response."""

Edit: TypeAlias = Callable[[Handle, HttpRequest, Log], FakeResponse]
"""What a wrong server does in the place of handling a request; the log has the requests before it."""

Change: TypeAlias = Callable[[Any], Any]
"""Changes a JSON value in place."""

CHAT = "/chat/completions"


def of_json(status: int, body: Any) -> FakeResponse:
    """A response of the wrong server's own."""
    return FakeResponse(status=status, events=(Event(data=body),))


def responses(
    change: Callable[[FakeResponse], FakeResponse], when: Callable[[FakeResponse], bool] = lambda _: True
) -> Edit:
    """Some responses are changed."""

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        response = handle(request)
        return change(response) if when(response) else response

    return edit


def values(change: Change, when: Callable[[FakeResponse], bool], path: str = "") -> Edit:
    """The JSON values of some responses are changed."""

    def changed(event: Event) -> Event:
        if event.raw is not None:
            return event
        data = deepcopy(event.data)
        change(data)
        return replace(event, data=data)

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        response = handle(request)
        if path not in request.path or not when(response):
            return response
        return replace(response, events=tuple(map(changed, response.events)))

    return edit


def is_whole(response: FakeResponse) -> bool:
    """Whether a response is a whole answer."""
    return response.status == 200 and response.framing == "whole"


def is_stream(response: FakeResponse) -> bool:
    """Whether a response is a stream."""
    return response.framing == "sse"


def is_error(response: FakeResponse) -> bool:
    """Whether a response is a refusal."""
    return response.status >= 400


def whole(change: Change, path: str = CHAT) -> Edit:
    """Whole answers are changed."""
    return values(change, is_whole, path)


def choice(change: Change) -> Edit:
    """The choices of whole answers are changed."""
    return whole(lambda body: [change(one) for one in body["choices"]])


def message(change: Change) -> Edit:
    """The messages of whole answers are changed."""
    return choice(lambda one: change(one["message"]))


def content(change: Callable[[str], str]) -> Edit:
    """The texts of whole answers are changed."""
    return message(lambda one: one.update(content=change(one["content"] or "")))


def calls(change: Change) -> Edit:
    """The calls in whole answers are changed."""
    return message(lambda one: [change(call) for call in one.get("tool_calls") or ()])


def chunks(change: Change) -> Edit:
    """The chunks of streams are changed."""
    return values(change, is_stream)


def deltas(change: Change) -> Edit:
    """The choices in the chunks of streams are changed."""
    return chunks(lambda chunk: [change(one) for one in chunk["choices"]])


def call_pieces(change: Change) -> Edit:
    """The pieces of calls in streams are changed."""
    return deltas(lambda one: [change(piece) for piece in one["delta"].get("tool_calls") or ()])


def delta_content(change: Callable[[str], str]) -> Edit:
    """The texts in streams are changed."""

    def edit(one: Any) -> None:
        if one["delta"].get("content"):
            one["delta"]["content"] = change(one["delta"]["content"])

    return deltas(edit)


def events(change: Callable[[list[Event]], list[Event]]) -> Edit:
    """The events of streams are others, or come in another order."""
    return responses(lambda response: replace(response, events=tuple(change([*response.events]))), is_stream)


def errors(change: Change) -> Edit:
    """The objects `error` are changed."""
    return values(lambda body: change(body["error"]), is_error)


def status(change: Mapping[int, int], path: str = "/") -> Edit:
    """Some statuses become others."""

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        response = handle(request)
        is_meant = path in request.path
        return replace(response, status=change.get(response.status, response.status)) if is_meant else response

    return edit


def asks(change: Change) -> Edit:
    """Bodies are changed before they are read."""

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        try:
            body = json.loads(request.body)
            change(body)
            data = json.dumps(body).encode()
        except (ValueError, TypeError, AttributeError, LookupError):
            return handle(request)  # no body that could be changed
        return handle(replace(request, body=data))

    return edit


def refuses(when: Callable[[Any], Any], code: int = 500) -> Edit:
    """Bodies of some kind are answered with a status."""

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        try:
            strikes = bool(when(json.loads(request.body)))
        except (ValueError, TypeError, AttributeError, LookupError):
            strikes = False
        error = {"message": "no", "type": "x", "param": None, "code": None}
        return of_json(code, {"error": error}) if strikes else handle(request)

    return edit


def shown(**given: str) -> Edit:
    """Requests are read with other headers than they were sent with; an empty one is taken away."""
    change = {name.replace("_", "-"): value for name, value in given.items()}

    def edit(handle: Handle, request: HttpRequest, _: Log) -> FakeResponse:
        headers = {name: value for name, value in {**request.headers, **change}.items() if value}
        return handle(replace(request, headers=headers))

    return edit


def drop(name: str) -> Change:
    """Takes a field away."""
    return lambda body: body.pop(name, None)


def put(**fields: Any) -> Change:
    """Sets fields."""
    return lambda body: body.update(fields)


def drop_if(name: str, when: Callable[[Any], Any]) -> Change:
    """Takes a field of some bodies away."""
    return lambda body: when(body) and body.pop(name, None)
