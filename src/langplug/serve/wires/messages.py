"""Anthropic's Messages API, as coding agents speak it: `POST /v1/messages`, and how many tokens a request has.

`messages_fields` has what may be in a body, `messages_input` reads it, `messages_output` writes an answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langplug._wires.messages import NO_THREADS
from langplug.serve.call import Call
from langplug.serve.errors import ApiError
from langplug.serve.fields import Body
from langplug.serve.wires.messages_fields import ANSWER, BODY, COUNT_ANSWER, COUNT_BODY, FAILURE
from langplug.serve.wires.messages_input import read_choice, read_conversation, read_tools
from langplug.serve.wires.messages_output import CountWriter, MessageWriter, Shown, error_object
from langplug.serve.wires.wire import Writer

_PARAMETERS = ("max_tokens", "temperature", "top_p", "top_k")


@dataclass(slots=True, kw_only=True)
class MessagesCall(Call):
    """A call on this wire, and what of the reasoning is to be shown."""

    thoughts: Shown = "shown"


class MessagesWire:
    """Anthropic's Messages API: answers."""

    name = "messages"
    paths: tuple[str, ...] = ("/v1/messages",)
    summary = "Have a model answer, as Anthropic's Messages do."
    body: Body = BODY
    answer, failure = ANSWER, FAILURE
    id_prefix = "msg_"

    def read(self, body: dict[str, Any], headers: Mapping[str, str], /) -> MessagesCall:
        """What `body` asks.

        Raises:
            ApiError: If it is wrong, or asks for what cannot be done; the error names the place.
        """
        if body.get("thread") is not None:
            message = "thread: nothing is stored; send the whole conversation."
            raise ApiError(400, "invalid_request_error", message, "thread", NO_THREADS)
        call = _read(body, BODY)
        call.stream = body.get("stream") is True
        call.user = (body.get("metadata") or {}).get("user_id")
        call.stop = body.get("stop_sequences") or []
        call.parameters |= {name: body[name] for name in _PARAMETERS if body.get(name) is not None}
        return call

    def writer(self, call: Call, answer_id: str, created: int, /) -> Writer:
        """What writes the answer of `call`, whose id is `msg_...`."""
        return MessageWriter(answer_id, call.model, call.thoughts if isinstance(call, MessagesCall) else "shown")

    def error(self, error: ApiError, request_id: str | None = None, /) -> dict[str, Any]:
        """An error, with the id of the request that the headers have, too."""
        return {"type": "error", "error": error_object(error), "request_id": request_id}


class CountWire(MessagesWire):
    """Anthropic's Messages API: how many tokens a request has."""

    name = "messages.count_tokens"
    paths = ("/v1/messages/count_tokens",)
    summary = "Count the tokens of a request."
    body = COUNT_BODY
    answer = COUNT_ANSWER

    def read(self, body: dict[str, Any], headers: Mapping[str, str], /) -> MessagesCall:
        """What `body` wants counted.

        Raises:
            ApiError: As `MessagesWire.read` does.
        """
        call = _read(body, COUNT_BODY)
        call.counts_only = True
        return call

    def writer(self, call: Call, answer_id: str, created: int, /) -> Writer:
        """What writes the count."""
        return CountWriter(answer_id, call.model)


def _read(body: dict[str, Any], known: Body) -> MessagesCall:
    """What both have: the conversation, the tools, and how the answer is to be."""
    notes = known.check(body)
    tools = read_tools(body, notes)
    call = MessagesCall(model=body["model"], messages=read_conversation(body, notes), tools=tools, notes=notes)
    call.tool_choice = read_choice(body, tools)
    if tools and (parallel := (body.get("tool_choice") or {}).get("disable_parallel_tool_use")) is not None:
        call.parameters["parallel_tool_calls"] = not parallel
    wanted = body.get("output_config") or {}
    if wanted.get("effort") is not None:
        call.parameters["reasoning_effort"] = wanted["effort"]
    if wanted.get("format") is not None:
        form = {"name": "answer", "schema": wanted["format"]["schema"], "strict": True}
        call.schema = {"type": "json_schema", "json_schema": form}
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "disabled":
        call.thoughts = "hidden"
    elif thinking.get("display") == "omitted":
        call.thoughts = "omitted"
    return call


def model_body(model_id: str, created: int, profile: Mapping[str, Any]) -> dict[str, Any]:
    """A model as a client is told of it that says `anthropic-version`.

    Args:
        model_id: Its id, which is its name, too.
        created: Since when it is served, in seconds since 1970.
        profile: What LangChain's profile says of it.
    """
    return {
        "type": "model",
        "id": model_id,
        "display_name": profile.get("name") or model_id,
        "created_at": datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z"),
        "lifecycle": "active",
        "max_input_tokens": profile.get("max_input_tokens"),
        "max_tokens": profile.get("max_output_tokens"),
    }


def models_body(models: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All models, on one page."""
    first, last = (models[0]["id"], models[-1]["id"]) if models else (None, None)
    return {"data": list(models), "has_more": False, "first_id": first, "last_id": last}


WIRE = MessagesWire()
COUNT_WIRE = CountWire()
