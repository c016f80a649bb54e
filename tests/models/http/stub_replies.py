"""A backend that is clever enough for agents, on each wire: by tools and schemas, or by what the prompt tells."""

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from tests.stub_models import answer_in_text, answer_natively, wants_tool

from langplug import Request, ToolCall, Usage
from langplug_backend import Call, ChatRequest, Reply, Tokens


def stub_reply(asked: ChatRequest) -> Reply:
    """What the stub model says: by tools, or by what the prompt tells."""
    request = request_of(asked)
    forced = request.tool_choice not in (None, "auto")
    native = (request.tools and wants_tool(request, forced=forced)) or request.schema is not None
    return reply_of(list(answer_natively(request) if native else answer_in_text(request)))


def request_of(asked: ChatRequest) -> Request:
    """The request that a wire's request stands for."""
    schema = asked.params.get("format") or (asked.params.get("response_format") or {}).get("json_schema")
    schema = {"title": "answer", "type": "object"} if schema == "json" else schema
    tools = tuple(tool if "function" in tool else {"type": "function", "function": plain(tool)} for tool in asked.tools)
    named = {"type": "function", "function": {"name": asked.tool_choice}}
    known = asked.tool_choice in (None, "auto", "required", "none")
    return Request(
        messages=tuple(messages_of(asked)),
        tools=tools,
        tool_choice=(asked.tool_choice or ("auto" if tools else None)) if known else named,
        schema=schema,
    )


def plain(tool: dict[str, Any]) -> dict[str, Any]:
    return {"name": tool["name"], "parameters": tool["input_schema"]}


def messages_of(asked: ChatRequest) -> Iterator[BaseMessage]:
    for said in asked.messages:
        if said.result:
            yield ToolMessage(said.text, tool_call_id="?")
        elif said.role == "system":
            yield SystemMessage(said.text)
        else:
            yield AIMessage(said.text) if said.role == "assistant" else HumanMessage(said.text)


def reply_of(parts: list[Any]) -> Reply:
    calls = [part for part in parts if isinstance(part, ToolCall)]
    text = "".join(part for part in parts if isinstance(part, str))
    written = [Usage(input_tokens=10, output_tokens=5)]
    pieces: list[Any] = [text] if text else []
    if calls:
        args = "".join(str(call.args or "") for call in calls)
        pieces.append(Call(name=calls[0].name or "", args=json.loads(args)))
    usage = Tokens(input=written[0].input_tokens or 0, output=written[0].output_tokens or 0)
    return Reply(pieces=tuple(pieces), usage=usage)
