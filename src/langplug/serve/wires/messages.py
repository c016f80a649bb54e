"""Anthropic's Messages API, as coding agents speak it: https://docs.anthropic.com/en/api/messages.

`messages_input` reads what a body says, `messages_output` writes an answer; here stand the fields, and what binds both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from langplug.serve.call import Call
from langplug.serve.errors import ApiError, refused
from langplug.serve.fields import Field, check_body
from langplug.serve.wires.messages_input import read_choice, read_conversation, read_tools
from langplug.serve.wires.messages_output import CountWriter, MessageWriter, Shown, error_object
from langplug.serve.wires.wire import Writer

_TEXT: Mapping[str, Any] = {"type": "string"}
_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 1}
_BLOCK = {"type": "object", "properties": {"type": _TEXT}, "required": ["type"]}
_CONTENT = {"type": ["string", "array"], "items": _BLOCK}
_MESSAGE = {
    "type": "object",
    "properties": {"role": {"type": "string", "enum": ["user", "assistant", "system"]}, "content": _CONTENT},
    "required": ["role", "content"],
}
_TOOL = {"type": "object", "properties": {"name": _TEXT, "description": _TEXT, "input_schema": {"type": "object"}}}
_CHOICES = ["auto", "any", "tool", "none"]
_EFFORTS = ["low", "medium", "high", "xhigh", "max"]
_THINKING = ["enabled", "disabled", "adaptive", "between_tools"]
_OBJECT: Mapping[str, Any] = {"type": "object"}

COUNT_FIELDS = (
    Field("model", _TEXT, "supported"),
    Field("messages", {"type": "array", "items": _MESSAGE, "minItems": 1}, "supported"),
    Field("system", _CONTENT, "supported", "text alone"),
    Field("tools", {"type": "array", "items": _TOOL}, "supported", "those that run at Anthropic's are left out"),
    Field("tool_choice", _OBJECT, "supported"),
    Field("tool_choice.type", {"type": "string", "enum": _CHOICES}, "supported"),
    Field("tool_choice.disable_parallel_tool_use", {"type": "boolean"}, "supported"),
    Field("thinking", _OBJECT, "supported", "whether the model thinks is its own matter; here, what is shown of it"),
    Field("thinking.type", {"type": "string", "enum": _THINKING}, "supported", "`disabled` hides reasoning"),
    Field("thinking.display", {"type": "string", "enum": ["summarized", "omitted"]}, "supported"),
    Field("thinking.budget_tokens", _COUNT, "ignored"),
    Field("output_config", _OBJECT, "supported"),
    Field("output_config.format", _OBJECT, "supported"),
    Field("output_config.format.type", {"type": "string", "enum": ["json_schema"]}, "supported"),
    Field("output_config.format.schema", _OBJECT, "supported"),
    Field("output_config.effort", {"type": "string", "enum": _EFFORTS}, "supported", "as `reasoning_effort`"),
    Field("cache_control", _OBJECT, "ignored", "and so in blocks and tools: what is cached is the model's own matter"),
    Field("context_management", _OBJECT, "ignored"),
    Field("mcp_servers", {"type": "array"}, "ignored", "nothing is called on a client's behalf"),
    Field("speed", _TEXT, "ignored"),
    Field("user_profile_id", _TEXT, "ignored"),
    Field("workspace_id", _TEXT, "ignored"),
)
"""What a count of tokens may be asked with."""

FIELDS = (
    *COUNT_FIELDS,
    Field("max_tokens", _COUNT, "supported"),
    Field("stream", {"type": "boolean"}, "supported"),
    Field("stop_sequences", {"type": "array", "items": {"type": "string", "minLength": 1}}, "supported"),
    Field("temperature", {"type": "number", "minimum": 0, "maximum": 1}, "supported"),
    Field("top_p", {"type": "number", "minimum": 0, "maximum": 1}, "supported"),
    Field("top_k", {"type": "integer", "minimum": 0}, "supported"),
    Field("metadata", _OBJECT, "supported"),
    Field("metadata.user_id", _TEXT, "supported"),
    Field("service_tier", {"type": "string", "enum": ["auto", "standard_only"]}, "ignored"),
    Field("container", {"type": ["string", "object"]}, "ignored"),
    Field("diagnostics", _OBJECT, "ignored"),
    Field("inference_geo", _TEXT, "ignored"),
    Field("compaction", _OBJECT, "ignored"),
    Field("thread", _OBJECT, "refused", "nothing is stored; send the whole conversation"),
)
"""What an answer may be asked with. The header `anthropic-beta` is taken and ignored."""


_PARAMETERS = ("max_tokens", "temperature", "top_p", "top_k")


@dataclass(slots=True, kw_only=True)
class MessagesCall(Call):
    """A call on this wire, and what of the reasoning is to be shown."""

    thoughts: Shown = "shown"


class MessagesWire:
    """Anthropic's Messages API: answers."""

    name = "messages"
    paths: tuple[str, ...] = ("/v1/messages",)
    fields: tuple[Field, ...] = FIELDS
    id_prefix = "msg_"

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str], /) -> MessagesCall:
        """What `body` asks.

        Raises:
            ApiError: If it is wrong, or asks for what cannot be done; the error names the place.
        """
        call = _read(body, FIELDS)
        if body.get("max_tokens") is None:
            raise refused("max_tokens", "required: how many tokens the answer may have.")
        call.stream = body.get("stream") is True
        call.user = (body.get("metadata") or {}).get("user_id")
        for number, stop in enumerate(body.get("stop_sequences") or ()):
            if not isinstance(stop, str) or not stop:
                raise refused(f"stop_sequences.{number}", f"expected a text that is not empty, not {stop!r:.80}.")
            call.stop.append(stop)
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
    fields = COUNT_FIELDS

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str], /) -> MessagesCall:
        """What `body` wants counted.

        Raises:
            ApiError: As `MessagesWire.read` does.
        """
        call = _read(body, COUNT_FIELDS)
        call.counts_only = True
        return call

    def writer(self, call: Call, answer_id: str, created: int, /) -> Writer:
        """What writes the count."""
        return CountWriter(answer_id, call.model)


def _read(body: Mapping[str, Any], fields: tuple[Field, ...]) -> MessagesCall:
    """What both have: the conversation, the tools, and how the answer is to be."""
    notes = check_body(body, fields)
    if not body.get("model"):
        raise refused("model", "required: the id of a served model; /v1/models lists them.")
    if not body.get("messages"):
        raise refused("messages", "required: at least one message.")
    tools = read_tools(body, notes)
    call = MessagesCall(model=body["model"], messages=read_conversation(body, notes), tools=tools, notes=notes)
    call.tool_choice = read_choice(body, tools)
    if tools and (parallel := (body.get("tool_choice") or {}).get("disable_parallel_tool_use")) is not None:
        call.parameters["parallel_tool_calls"] = not parallel
    wanted = body.get("output_config") or {}
    if wanted.get("effort") is not None:
        call.parameters["reasoning_effort"] = wanted["effort"]
    if wanted.get("format") is not None:
        if (schema := wanted["format"].get("schema")) is None:
            raise refused("output_config.format.schema", "required: a JSON schema.")
        call.schema = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
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
