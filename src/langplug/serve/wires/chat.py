"""OpenAI's Chat Completions: `POST /v1/chat/completions`.

`chat_fields` has what may be in a body, `chat_input` reads it, `chat_output` writes an answer.
"""

from collections.abc import Mapping
from typing import Any

from langplug.serve.call import Call
from langplug.serve.errors import ApiError
from langplug.serve.wires.chat_fields import ANSWER, BODY, FAILURE
from langplug.serve.wires.chat_input import read_choice, read_message, read_tools
from langplug.serve.wires.chat_output import ChatWriter

_PARAMETERS = (
    "temperature",
    "top_p",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "reasoning_effort",
    "verbosity",
    "logprobs",
    "top_logprobs",
)


class ChatWire:
    """OpenAI's Chat Completions."""

    name = "chat"
    paths = ("/v1/chat/completions",)
    summary = "Have a model answer, as OpenAI's Chat Completions do."
    body, answer, failure = BODY, ANSWER, FAILURE
    id_prefix = "chatcmpl-"

    def read(self, body: dict[str, Any], headers: Mapping[str, str], /) -> Call:
        """What `body` asks.

        Raises:
            ApiError: If it is wrong; the error names the field.
        """
        notes = BODY.check(body)
        tools = read_tools(body.get("tools") or [], notes)
        given = {name: body.get(name) for name in _PARAMETERS}
        parameters = {name: value for name, value in given.items() if value is not None and value is not False}
        if (limit := body.get("max_completion_tokens")) is not None:
            parameters["max_tokens"] = limit
        if tools and body.get("parallel_tool_calls") is not None:
            parameters["parallel_tool_calls"] = body["parallel_tool_calls"]
        choice, left = read_choice(body.get("tool_choice"), tools)
        schema, stop = body.get("response_format"), body.get("stop") or []
        return Call(
            model=body["model"],
            messages=[read_message(message) for message in body["messages"]],
            tools=left,
            tool_choice=choice,
            schema=schema if schema is not None and schema["type"] != "text" else None,
            stop=[stop] if isinstance(stop, str) else stop,
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
