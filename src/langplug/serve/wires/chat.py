"""OpenAI's Chat Completions: `POST /v1/chat/completions`.

Source: https://platform.openai.com/docs/api-reference/chat. Reasoning is told in `reasoning_content`, which is not in
that description, and which the servers of open-weight models share.
"""

from collections.abc import Mapping
from typing import Any

from langplug.serve.call import Call
from langplug.serve.errors import ApiError, refused
from langplug.serve.fields import Field, check_body
from langplug.serve.wires.chat_input import read_choice, read_messages, read_stop, read_tools
from langplug.serve.wires.chat_output import ChatWriter

_TEXT: Mapping[str, Any] = {"type": "string"}
_OBJECT: Mapping[str, Any] = {"type": "object"}
_FLAG: Mapping[str, Any] = {"type": "boolean"}
_LIMIT: Mapping[str, Any] = {"type": "integer", "minimum": 1}
_PENALTY: Mapping[str, Any] = {"type": "number", "minimum": -2, "maximum": 2}

FIELDS = (
    Field("model", _TEXT, "supported", "the id of a served model, or an alias"),
    Field("messages", {"type": "array"}, "supported", "images, audio and files are passed on as they are"),
    Field("stream", _FLAG, "supported"),
    Field("stream_options", _OBJECT, "supported"),
    Field("stream_options.include_usage", _FLAG, "supported"),
    Field("tools", {"type": "array"}, "supported", "`function`; other types are skipped"),
    Field("tool_choice", {"type": ["string", "object"]}, "supported"),
    Field("parallel_tool_calls", _FLAG, "supported"),
    Field("response_format", _OBJECT, "supported", "`text`, `json_object`, `json_schema`"),
    Field("stop", {"type": ["string", "array"]}, "supported"),
    Field("max_tokens", _LIMIT, "supported"),
    Field("max_completion_tokens", _LIMIT, "supported", "takes the place of `max_tokens`"),
    Field("temperature", {"type": "number", "minimum": 0, "maximum": 2}, "supported"),
    Field("top_p", {"type": "number", "minimum": 0, "maximum": 1}, "supported"),
    Field("frequency_penalty", _PENALTY, "supported"),
    Field("presence_penalty", _PENALTY, "supported"),
    Field("seed", {"type": "integer"}, "supported"),
    Field("reasoning_effort", _TEXT, "supported", "if the model has levels of it"),
    Field("user", _TEXT, "supported"),
    Field("safety_identifier", _TEXT, "supported", "takes the place of `user`"),
    Field("n", {"type": "integer", "minimum": 1, "maximum": 128}, "supported", "by as many runs of the model"),
    Field("logprobs", _FLAG, "supported", "if the model tells them; a stream does at its end"),
    Field("top_logprobs", {"type": "integer", "minimum": 0, "maximum": 20}, "supported", "as `logprobs`"),
    Field("logit_bias", _OBJECT, "ignored"),
    Field("metadata", _OBJECT, "ignored"),
    Field("store", _FLAG, "ignored", "nothing is stored"),
    Field("modalities", {"type": "array"}, "ignored"),
    Field("audio", _OBJECT, "ignored"),
    Field("prediction", _OBJECT, "ignored"),
    Field("service_tier", _TEXT, "ignored"),
    Field("prompt_cache_key", _TEXT, "ignored"),
    Field("verbosity", _TEXT, "ignored"),
    Field("web_search_options", _OBJECT, "ignored"),
    Field("functions", {"type": "array"}, "refused", "send `tools`."),
    Field("function_call", {"type": ["string", "object"]}, "refused", "send `tool_choice`."),
)

_PARAMETERS = (
    "temperature",
    "top_p",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "reasoning_effort",
    "logprobs",
    "top_logprobs",
)


class ChatWire:
    """OpenAI's Chat Completions."""

    name = "chat"
    paths = ("/v1/chat/completions",)
    fields = FIELDS
    id_prefix = "chatcmpl-"

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str], /) -> Call:
        """What `body` asks.

        Raises:
            ApiError: If it is wrong; the error names the field.
        """
        notes = check_body(body, FIELDS)
        if not body.get("model"):
            raise refused("model", "required: the id of a served model; /v1/models lists them.")
        tools = read_tools(body.get("tools") or [], notes)
        parameters = {name: body[name] for name in _PARAMETERS if body.get(name) not in (None, False)}
        if (limit := body.get("max_completion_tokens")) is not None:
            parameters["max_tokens"] = limit
        if tools and body.get("parallel_tool_calls") is not None:
            parameters["parallel_tool_calls"] = body["parallel_tool_calls"]
        schema = body.get("response_format")
        if schema is not None and schema.get("type") not in ("text", "json_object", "json_schema"):
            found = f"not {schema.get('type')!r:.50}"
            raise refused("response_format.type", f"expected text, json_object or json_schema, {found}.")
        return Call(
            model=body["model"],
            messages=read_messages(body.get("messages")),
            tools=tools,
            tool_choice=read_choice(body.get("tool_choice"), tools),
            schema=schema if schema is not None and schema["type"] != "text" else None,
            stop=read_stop(body.get("stop")),
            n=body.get("n") or 1,
            parameters=parameters,
            stream=body.get("stream") is True,
            include_usage=(body.get("stream_options") or {}).get("include_usage") is True,
            user=body.get("safety_identifier") or body.get("user"),
            notes=notes,
        )

    def writer(self, call: Call, answer_id: str, created: int, /) -> ChatWriter:
        """What writes the answer of `call`, whose id `chatcmpl-...` all of its chunks bear."""
        return ChatWriter(answer_id, created, call.model, n=call.n, with_usage=call.include_usage)

    def error(self, error: ApiError, request_id: str | None = None, /) -> dict[str, Any]:
        """An error with all of its fields, null if they say nothing."""
        return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


WIRE = ChatWire()
