"""OpenAI's Responses API: `POST /v1/responses`.

Source: https://platform.openai.com/docs/api-reference/responses and
https://platform.openai.com/docs/api-reference/responses-streaming. What Codex CLI sends that no model here can use
(tools of the types `namespace` and `web_search`, `client_metadata`) is noted, and not refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langplug._wires import responses as wire
from langplug.serve.call import Call
from langplug.serve.errors import ApiError, refused
from langplug.serve.fields import Field, check_body
from langplug.serve.wires.responses_input import (
    LOGPROBS_INCLUDE,
    read_choice,
    read_conversation,
    read_format,
    read_parameters,
    read_tools,
)
from langplug.serve.wires.responses_output import ResponseWriter, echo_of

_EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
_TEXT: Mapping[str, Any] = {"type": "string"}
_OBJECT: Mapping[str, Any] = {"type": "object"}
_FLAG: Mapping[str, Any] = {"type": "boolean"}

FIELDS = (
    Field("model", _TEXT, "supported", "the id of a served model, or an alias"),
    Field("input", {"type": ["string", "array"]}, "supported", "items of tools that run at OpenAI's are skipped"),
    Field("instructions", _TEXT, "supported", "the first message of the system"),
    Field("stream", _FLAG, "supported"),
    Field("tools", {"type": "array"}, "supported", "`function` and `custom`; other types are skipped"),
    Field("tool_choice", {"type": ["string", "object"]}, "supported", "also `allowed_tools`"),
    Field("parallel_tool_calls", _FLAG, "supported"),
    Field("text", _OBJECT, "supported"),
    Field("text.format", _OBJECT, "supported", "`text`, `json_object`, `json_schema`"),
    Field("text.verbosity", {**_TEXT, "enum": ["low", "medium", "high"]}, "supported"),
    Field("max_output_tokens", {"type": "integer", "minimum": 1}, "supported"),
    Field("temperature", {"type": "number", "minimum": 0, "maximum": 2}, "supported"),
    Field("top_p", {"type": "number", "minimum": 0, "maximum": 1}, "supported"),
    Field("top_logprobs", {"type": "integer", "minimum": 0, "maximum": 20}, "supported"),
    Field("reasoning", _OBJECT, "supported"),
    Field("reasoning.effort", {**_TEXT, "enum": _EFFORTS}, "supported"),
    Field("reasoning.summary", _TEXT, "supported", "reasoning is given as its summary; else as `reasoning_text`"),
    Field("include", {"type": "array"}, "supported", f"`{wire.REASONING_INCLUDE}`, `{LOGPROBS_INCLUDE}`"),
    Field("metadata", _OBJECT, "supported", "echoed"),
    Field("user", _TEXT, "supported"),
    Field("safety_identifier", _TEXT, "supported", "takes the place of `user`"),
    Field("truncation", {**_TEXT, "enum": ["auto", "disabled"]}, "supported", "echoed; a model cuts nothing by itself"),
    Field("store", _FLAG, "supported", "only graphs with a checkpointer store anything"),
    Field("prompt_cache_key", _TEXT, "supported", "echoed"),
    Field("service_tier", _TEXT, "ignored"),
    Field("prompt_cache_retention", _TEXT, "ignored"),
    Field("prompt_cache_options", _OBJECT, "ignored"),
    Field("client_metadata", _OBJECT, "ignored", "what Codex says of itself"),
    Field("stream_options", _OBJECT, "ignored"),
    Field("max_tool_calls", {"type": "integer"}, "ignored", "it counts calls of tools that run at OpenAI's"),
    Field("context_management", {"type": "array"}, "ignored"),
    Field("moderation", _OBJECT, "ignored"),
    Field("image", _OBJECT, "ignored"),
    Field("access_programs", _OBJECT, "ignored"),
    Field("background_options", _OBJECT, "ignored"),
    Field("background", {**_FLAG, "enum": [False]}, "supported", "true is refused: nothing is stored to be asked for"),
    Field("previous_response_id", _TEXT, "supported", "of graphs with a checkpointer; refused by other models"),
    Field("conversation", {}, "refused", "nothing is stored; send the whole conversation as `input`."),
    Field("prompt", _OBJECT, "refused", "prompts are stored at OpenAI's; send `instructions` and `input`."),
)


@dataclass(slots=True, kw_only=True)
class ResponsesCall(Call):
    """A call, and what its answer says of it.

    Attributes:
        echo: The fields of the body that a response repeats.
        customs: Names of the tools that take a text.
        include: What a response is to hold beside the rest.
    """

    echo: dict[str, Any] = field(default_factory=dict)
    customs: frozenset[str] = frozenset()
    include: frozenset[str] = frozenset()


class ResponsesWire:
    """OpenAI's Responses API."""

    name = "responses"
    paths = (f"/v1/{wire.PATH}",)
    fields = FIELDS
    id_prefix = "resp_"

    def read(self, body: Mapping[str, Any], headers: Mapping[str, str], /) -> Call:
        """What `body` asks.

        Raises:
            ApiError: If it is wrong; the error names the field.
        """
        notes = check_body(body, FIELDS)
        if not body.get("model"):
            raise refused("model", "required: the id of a served model; /v1/models lists them.")
        read = read_conversation(body)
        notes += read.notes
        listed = [(f"tools[{number}]", tool) for number, tool in enumerate(body.get("tools") or ())]
        tools, customs = read_tools([*listed, *read.tools], notes)
        choice, left = read_choice(body.get("tool_choice"), tools)
        include = frozenset(map(str, body.get("include") or ()))
        return ResponsesCall(
            model=body["model"],
            messages=read.messages,
            tools=left,
            tool_choice=choice,
            schema=read_format((body.get("text") or {}).get("format")),
            parameters=read_parameters(body, include),
            stream=body.get("stream") is True,
            user=body.get("safety_identifier") or body.get("user"),
            previous=body.get("previous_response_id") or None,
            stores=body.get("store") is not False,
            notes=notes,
            echo=echo_of(body, {tool["function"]["name"] for tool in tools}),
            customs=customs,
            include=include,
        )

    def writer(self, call: Call, answer_id: str, created: int, /) -> ResponseWriter:
        """What writes the answer of `call`.

        Args:
            call: What `read` has given.
            answer_id: Its id, `resp_...`; those of its items are made of it.
            created: When it began, in seconds since 1970.
        """
        assert isinstance(call, ResponsesCall)
        frame = {"id": answer_id, "object": "response", "created_at": created, "status": "in_progress"}
        return ResponseWriter(
            {**frame, "model": call.model, **call.echo, "store": call.thread is not None},
            customs=call.customs,
            summarized=bool((call.echo["reasoning"] or {}).get("summary")),
            sealed=wire.REASONING_INCLUDE in call.include,
            with_logprobs=LOGPROBS_INCLUDE in call.include or "top_logprobs" in call.parameters,
        )

    def error(self, error: ApiError, request_id: str | None = None, /) -> dict[str, Any]:
        """An error with all of its fields, null if they say nothing."""
        return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


WIRE = ResponsesWire()
