"""A server that refuses what it has itself sent with an answer gets the conversation without it."""

import json

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from tests.models.endpoint.strict import Json, StrictServer

from langplug.models import ChatEndpoint


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


UNKNOWN_KEY_WORDS = [
    "messages.1.tool_calls.0.status: Extra inputs are not permitted",
    "messages[1].tool_calls[0]: unknown field `status`, expected one of `id`, `type`, `function`",
    "Additional properties are not allowed ('status' was unexpected)",
    "Unknown field: status",
    "Invalid JSON payload received. Unknown name \"status\" at 'messages[1].tool_calls[0]': Cannot find field.",
    "messages.1.tool_calls.0.function.parsed_arguments: Extra inputs are not permitted",
]


@pytest.mark.parametrize("words", UNKNOWN_KEY_WORDS)
def test_a_server_that_refuses_the_keys_that_it_sends(words: str) -> None:
    """A loop goes on without the unknown keys of calls where the server refuses what it has sent itself."""
    sent = {
        "id": "c",
        "type": "function",
        "status": "completed",
        "function": {"name": "add", "arguments": '{"a": 1, "b": 2}', "parsed_arguments": {"a": 1, "b": 2}},
    }

    def calls(body: Json) -> list[Json]:
        return [call for message in body["messages"] for call in message.get("tool_calls", ())]

    with StrictServer([lambda b: words if any("status" in one for one in calls(b)) else None], status=422) as server:

        def respond(path: str, headers: dict[str, str], body: Json) -> tuple[int, str, bytes]:
            status, kind, data = StrictServer.respond(server, path, headers, body)
            if status == 200 and not calls(body):
                message = {"role": "assistant", "content": "", "tool_calls": [sent]}
                data = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()
            return status, kind, data

        server.respond = respond  # type: ignore[method-assign] # an answer with unknown keys
        model = ChatEndpoint(model="m", base_url=server.url, max_retries=0)
        for refused in (1, 0):
            before = len(server.bodies)
            answer = create_agent(model, [add]).invoke({"messages": [HumanMessage("1 + 2?")]})["messages"][-1]
            assert ("ok", 2 + refused) == (answer.content, len(server.bodies) - before)
            assert [{"feature": "messages", "action": "unknown keys of calls left out"}] == (
                answer.response_metadata["adaptations"]
            )
        model.close()
    (call,) = calls(server.bodies[-1])
    assert {"id", "type", "function"} == call.keys()
    assert {"name", "arguments"} == call["function"].keys()


@pytest.mark.parametrize("field", ["reasoning_details", "thinking_blocks", "thought_signature", "extra_content"])
@pytest.mark.parametrize("words", ["messages.1.{}: Extra inputs are not permitted", "property '{}' is unsupported"])
def test_a_server_that_refuses_the_fields_that_it_sends(words: str, field: str) -> None:
    """A loop goes on without a field of an answer that the server has sent itself, and refuses."""
    value = "S" if field == "thought_signature" else [{"type": "thinking", "signature": "S", "text": "hm", "index": 0}]

    def has_field(body: Json) -> bool:
        return any(field in message for message in body["messages"])

    with StrictServer([lambda body: words.format(field) if has_field(body) else None], status=422) as server:

        def respond(path: str, headers: dict[str, str], body: Json) -> tuple[int, str, bytes]:
            status, kind, data = StrictServer.respond(server, path, headers, body)
            if status == 200:
                message = {"role": "assistant", "content": "ok", field: value}
                data = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
            return status, kind, data

        server.respond = respond  # type: ignore[method-assign] # an answer with such a field
        model = ChatEndpoint(model="m", base_url=server.url, max_retries=0, keep_reasoning="all")
        first = model.invoke("x")
        for _ in range(2):
            again = model.invoke([HumanMessage("x"), first, HumanMessage("y")])
            assert "ok" == again.content
            assert again.response_metadata["adaptations"]
        model.close()
    assert [False, True, False, False] == [has_field(body) for body in server.bodies]
