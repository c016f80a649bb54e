"""Tools that run at a provider are passed on by a model that knows them, and left out by any other."""

import json
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware
from langchain_core.exceptions import ModelError
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.tools import tool
from tests.models.http.canned import Canned, CannedServer

from langplug import ChatModel, Request, ToolCall, UnsupportedError, chat_model
from langplug.models import ChatHTTP

PROVIDERS: list[dict[str, Any]] = [
    {"type": "web_search"},
    {"type": "web_search_preview_2025_03_11", "search_context_size": "low"},
    {"type": "file_search", "vector_store_ids": ["v"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "mcp", "server_label": "x", "server_url": "http://x", "headers": {"Authorization": "Bearer tok-SECRET"}},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    {"type": "bash_20250124", "name": "bash"},
    {"type": "a_type_of_next_year", "name": "anything"},
    {"google_search": {}},
    {"code_execution": {}},
    {"url_context": {}},
    {"google_search": {}, "code_execution": {}},
    {"type": "builtin_function", "function": {"name": "$web_search"}},
    {"type": "web_search_20260209", "name": "web_search", "input_schema": None},
]

FUNCTIONS: list[Any] = [
    {"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}},
    {"type": "custom", "name": "f", "description": "d", "input_schema": {"type": "object", "properties": {}}},
    {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}},
    {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}},
    {"title": "f", "description": "d", "type": "object", "properties": {"x": {"type": "string"}}},
    {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object", "properties": {}}}}},
    {"name": "f", "description": "d"},
    {"function_declarations": [{"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {}}}]},
]


@tool
def lookup(word: str) -> str:
    """Looks a word up."""
    return word


def told(asked: list[Request], **given: Any) -> ChatModel:
    """A model that keeps what it was asked."""

    @chat_model
    def model(request: Request) -> str:
        asked.append(request)
        return "hi"

    return model(**given)


@pytest.mark.parametrize("tool_calling", ["prompted", "native", "off"])
@pytest.mark.parametrize("theirs", PROVIDERS, ids=str)
def test_it_is_left_out_and_noted(theirs: dict[str, Any], tool_calling: str) -> None:
    """The call goes on without it, and the message says so, without what may be secret in it."""
    asked: list[Request] = []
    message = told(asked, tool_calling=tool_calling).bind_tools([theirs]).invoke("x")
    assert message.text == "hi"
    (note,) = message.response_metadata["adaptations"]
    kind = theirs.get("type") or ", ".join(theirs)
    assert note["feature"] == "tools"
    assert repr(kind) in note["action"]
    assert not asked[0].tools
    assert "SECRET" not in str(message)
    assert "anything" not in asked[0].text


@pytest.mark.parametrize("theirs", PROVIDERS, ids=str)
def test_functions_beside_it_can_be_called(theirs: dict[str, Any]) -> None:
    """The functions stay, whether they come before it or after it."""
    for tools in ([lookup, theirs], [theirs, lookup]):
        asked: list[Request] = []
        told(asked, tool_calling="native").bind_tools(tools).invoke("x")
        assert [one["function"]["name"] for one in asked[0].tools] == ["lookup"]


@pytest.mark.parametrize("function", FUNCTIONS, ids=str)
def test_a_function_in_any_form_is_a_function(function: dict[str, Any]) -> None:
    """Whoever describes arguments, or at least a name, means a function."""
    asked: list[Request] = []
    told(asked, tool_calling="native").bind_tools([function]).invoke("x")
    assert [one["function"]["name"] for one in asked[0].tools] == ["f"]


def test_a_model_that_knows_it_passes_it_on() -> None:
    """`accepts` names the kinds of tools that the model's provider runs; they arrive as they were given."""
    asked: list[Request] = []
    model = told(asked, tool_calling="native", accepts=frozenset({"web_search"}))
    message = model.bind_tools([lookup, {"type": "web_search", "x": 1}, {"google_search": {}}]).invoke("x")
    assert asked[0].openai_tools()[1:] == [{"type": "web_search", "x": 1}]
    (note,) = message.response_metadata["adaptations"]
    assert "'google_search'" in note["action"]
    assert "web_search" not in note["action"]


@pytest.mark.parametrize("choice", ["web_search", {"type": "web_search"}])
def test_a_choice_of_a_tool_that_is_left_out_is_left_open(choice: Any) -> None:
    """The model may then call what it likes, or nothing."""
    asked: list[Request] = []
    told(asked, tool_calling="native").bind_tools([lookup, {"type": "web_search"}], tool_choice=choice).invoke("x")
    assert asked[0].tool_choice == "auto"


def test_a_model_that_must_not_be_helped_refuses() -> None:
    """With `adaptations="refuse"` nothing is left out."""
    with pytest.raises(UnsupportedError, match="tools"):
        told([], adaptations="refuse").bind_tools([{"type": "web_search"}]).invoke("x")


def test_an_agent_can_fall_back_to_it() -> None:
    """`ModelFallbackMiddleware` hands another provider's tools on, and the agent goes on with its functions."""

    @chat_model(tool_calling="native")
    def model(request: Request) -> Any:
        if request.messages[-1].type == "tool":
            return "It means that."
        return ToolCall(name="lookup", args={"word": "that"})

    broken = GenericFakeChatModel(messages=iter([]))
    object.__setattr__(broken, "bind_tools", lambda *_, **__: broken)
    tools: list[Any] = [lookup, {"type": "web_search"}]
    agent: Any = create_agent(broken, tools, middleware=[ModelFallbackMiddleware(model())])
    messages = agent.invoke({"messages": [("user", "x")]})["messages"]
    assert [one.type for one in messages] == ["human", "ai", "tool", "ai"]
    assert messages[-1].text == "It means that."


def test_google_s_functions_come_several_in_one_tool() -> None:
    """Each is a function, its types in lower case; what runs at Google beside them is left out."""
    asked: list[Request] = []
    properties = {"n": {"type": "INTEGER"}, "names": {"type": "ARRAY", "items": {"type": "STRING"}}}
    declared = {"description": "d", "parameters": {"type": "OBJECT", "properties": properties}}
    tools = {"function_declarations": [{"name": "f", **declared}, {"name": "g", **declared}], "google_search": {}}
    message = told(asked, tool_calling="native").bind_tools([tools]).invoke("x")
    assert [one["function"]["name"] for one in asked[0].tools] == ["f", "g"]
    written = asked[0].tools[0]["function"]["parameters"]["properties"]
    assert written == {"n": {"type": "integer"}, "names": {"type": "array", "items": {"type": "string"}}}
    (note,) = message.response_metadata["adaptations"]
    assert "'google_search'" in note["action"]


@pytest.mark.parametrize("wire", ["anthropic", "cohere", "ollama"])
def test_other_wires_send_it_beside_functions(wire: str) -> None:
    """A tool that is passed on goes out in its provider's own words, and the functions with it."""
    theirs = {"type": "web_search_20250305", "name": "web_search"}
    with CannedServer() as server:
        server.answer = Canned(pieces=[b"{}"], status=400)
        model = ChatHTTP.from_file(
            wire, base_url=server.url, model="m", api_key="sk-0123456789", accepts=frozenset({theirs["type"]})
        )
        with pytest.raises(ModelError):
            model.bind_tools([lookup, theirs]).invoke("x")
        tools = json.loads(server.last.body)["tools"]
        assert theirs in tools
        assert len(tools) == 2
        model.close()


def test_a_call_that_nobody_here_can_make_is_an_error() -> None:
    """If a call is demanded and all tools run at a provider, there is none to make."""
    with pytest.raises(ValueError, match="web_search"):
        told([]).bind_tools([{"type": "web_search"}], tool_choice="any").invoke("x")
