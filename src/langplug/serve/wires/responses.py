"""OpenAI's Responses API: `POST /v1/responses`.

`responses_fields` has what may be in a body, `responses_input` reads it, `responses_output` writes an answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langplug._wires import responses as wire
from langplug.serve.call import Call
from langplug.serve.errors import ApiError
from langplug.serve.wires.chat_fields import FAILURE
from langplug.serve.wires.responses_fields import ANSWER, BODY
from langplug.serve.wires.responses_input import (
    read_choice,
    read_conversation,
    read_format,
    read_parameters,
    read_tools,
)
from langplug.serve.wires.responses_output import ResponseWriter, echo_of


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
    summary = "Have a model answer, as OpenAI's Responses do; nothing is stored."
    body, answer, failure = BODY, ANSWER, FAILURE
    id_prefix = "resp_"

    def read(self, body: dict[str, Any], headers: Mapping[str, str], /) -> Call:
        """What `body` asks.

        Raises:
            ApiError: If it is wrong; the error names the field.
        """
        notes = BODY.check(body)
        read = read_conversation(body)
        notes += read.notes
        listed = [(f"tools[{number}]", tool) for number, tool in enumerate(body.get("tools") or ())]
        tools, customs = read_tools([*listed, *read.tools], notes)
        choice, left = read_choice(body.get("tool_choice"), tools)
        include = frozenset(body.get("include") or ())
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
            with_logprobs=wire.LOGPROBS_INCLUDE in call.include or "top_logprobs" in call.parameters,
        )

    def error(self, error: ApiError, request_id: str | None = None, /) -> dict[str, Any]:
        """An error with all of its fields, null if they say nothing."""
        return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


WIRE = ResponsesWire()
