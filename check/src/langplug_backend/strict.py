"""What a strict server does besides: it refuses whatever the API of Chat Completions does not have.

Source: https://platform.openai.com/docs/api-reference/chat; of hosts, origins and content types, what keeps a page that
the user opens from asking a server on the user's own machine.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from langplug_backend.dialects.dialect import ErrorObject, RefusedRequest
from langplug_backend.dialects.openai import INVALID, list_models
from langplug_backend.http import HttpRequest
from langplug_backend.response import ID_PLACEHOLDER, Event, FakeResponse

ROLES: Final = ("system", "developer", "user", "assistant", "tool", "function")
FORMS: Final = ("text", "json_object", "json_schema")
CHOICES: Final = ("none", "auto", "required")


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value is a number in a range; JSON's true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_whole(value: Any, low: int = -(2**63), high: int = 2**63) -> bool:
    """Whether a value is a whole number in a range."""
    return isinstance(value, int) and is_number(value, low, high)


def is_texts(value: Any) -> bool:
    """Whether a value is a text, or a list of texts."""
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


FIELDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "temperature": lambda value: is_number(value, 0, 2),
    "top_p": lambda value: is_number(value, 0, 1),
    "frequency_penalty": lambda value: is_number(value, -2, 2),
    "presence_penalty": lambda value: is_number(value, -2, 2),
    "max_tokens": lambda value: is_whole(value, 1),
    "max_completion_tokens": lambda value: is_whole(value, 1),
    "n": lambda value: is_whole(value, 1, 128),
    "seed": is_whole,
    "stop": is_texts,
    "stream": lambda value: isinstance(value, bool),
    "stream_options": lambda value: isinstance(value, dict),
    "user": lambda value: isinstance(value, str),
    "tools": lambda value: isinstance(value, list) and all(map(is_tool, value)),
    "response_format": lambda value: isinstance(value, dict) and value.get("type") in FORMS,
}
"""What each field may be; null counts as not given."""


def is_tool(value: Any) -> bool:
    """Whether a value is a tool that is a function, or the choice of one."""
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(function, dict):
        return False
    return isinstance(function.get("name"), str) and isinstance(function.get("parameters") or {}, dict)


def refused(status: int, message: str, param: str | None = None, code: str | None = None) -> RefusedRequest:
    """A refusal, to be raised."""
    return RefusedRequest(ErrorObject(status=status, message=message, type=INVALID, param=param, code=code))


def require_visitor(headers: Mapping[str, str]) -> None:
    """Look whether a request is one to this machine, and of no foreign page's.

    Raises:
        RefusedRequest: If not.
    """
    if not is_here(f"//{headers.get('host', '')}"):
        raise refused(421, "This server has another name.")
    if (origin := headers.get("origin")) is not None and not is_here(origin):
        raise refused(403, "Pages of this origin may not ask this server.")


def is_here(url: str) -> bool:
    """Whether a URL's host is this machine."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def require_json(request: HttpRequest) -> None:
    """Look whether a body is said to be JSON.

    Raises:
        RefusedRequest: If not.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and kind != "application/json":
        raise refused(415, "Content-Type has to be application/json.")


def require_fields(body: Mapping[str, Any], models: Sequence[str]) -> None:
    """Look at the fields of a request for an answer.

    Raises:
        RefusedRequest: For the first that is wrong.
    """
    if not isinstance(body.get("model"), str):
        raise refused(400, "`model` has to be a text.", "model")
    if body["model"] not in models:
        raise refused(404, f"The model {body['model']!r} does not exist.", "model", "model_not_found")
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise refused(400, "`messages` has to be a list of messages.", "messages")
    for number, message in enumerate(messages):
        if not is_message(message):
            raise refused(400, f"`messages[{number}]` is no message.", f"messages[{number}]")
    for name, fits in FIELDS.items():
        if body.get(name) is not None and not fits(body[name]):
            raise refused(400, f"`{name}` has another type, or is out of range.", name)
    choice = body.get("tool_choice")
    names = [tool["function"]["name"] for tool in body.get("tools") or ()]
    chosen = choice["function"]["name"] if isinstance(choice, dict) and is_tool(choice) else None
    if choice is not None and choice not in CHOICES and chosen not in names:
        raise refused(400, "`tool_choice` names no tool of `tools`.", "tool_choice")


def is_message(message: Any) -> bool:
    """Whether a value is a message: of a known role, with a content that is a text, parts, or null of the assistant."""
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        return False
    content = message.get("content")
    return isinstance(content, str | list) or (content is None and message["role"] == "assistant")


def one_model(request: HttpRequest, models: Sequence[str], context: int) -> FakeResponse | None:
    """The page of one model; None if the request is not for one that is there."""
    _, found, name = request.path.partition("/models/")
    if request.method != "GET" or not found or unquote(name) not in models:
        return None
    return FakeResponse(events=(Event(data=list_models([unquote(name)], context).data["data"][0]),))


def signed(response: FakeResponse) -> FakeResponse:
    """A response with the request's id in its headers, and made now, not at the moment that all others are."""
    now = int(time.time())
    events = tuple(
        replace(event, data={**event.data, "created": now}) if "created" in (event.data or {}) else event
        for event in response.events
    )
    return replace(response, events=events, headers=(*response.headers, ("x-request-id", f"req_{ID_PLACEHOLDER}")))
