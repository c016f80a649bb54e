"""Tools on llama.cpp's own OpenAI server, whose embedded model has never learned to call any."""

from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import Field
from tests.models.endpoint_real.conftest import MakeModel
from tests.models.endpoint_real.servers import Llama
from tests.paths import ON_AN_ENGINE
from tests.paths import Path as CallPath

from langplug import TOOL_FORMATS, UnmetDemandError
from langplug.models import ChatEndpoint

each_path = pytest.mark.parametrize("path", ON_AN_ENGINE)


class ChatWithoutTools(ChatEndpoint):
    """For a model that knows no tools: langplug tells it of them, and has the server keep calls to their schemas."""

    tool_calling = "prompted"


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def paint(color: Literal["red", "green"], coats: Annotated[int, Field(ge=1)]) -> str:
    """Paint the wall."""
    return f"{coats} coats of {color}"


@pytest.fixture
def model(server: Llama, make: MakeModel) -> ChatEndpoint:
    return make(server.url, ChatWithoutTools, server="llama.cpp", max_tokens=60)


@each_path
def test_a_forced_call(model: ChatEndpoint, path: CallPath) -> None:
    """A forced call is a whole call of the tool on each path, with its usage and without text beside it."""
    message = path(model.bind_tools([multiply], tool_choice="any"), "Multiply 12 by 5").message
    (call,) = message.tool_calls
    assert ("multiply", {"a": 12, "b": 5}) == (call["name"], call["args"])
    assert "" == message.text
    assert "tool_calls" == message.response_metadata["finish_reason"]
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] > 5


@pytest.mark.parametrize("choice", ["any", "multiply", "paint"])
def test_any_call_fits_its_tool(model: ChatEndpoint, choice: str) -> None:
    """However wild the model, the call is one of the tools that may be called, with arguments that the tool takes."""
    wild: dict[str, Any] = {"temperature": 2, "top_p": 1, "seed": 3, "extra_body": {"min_p": 0, "top_k": 0}}
    (call,) = model.bind_tools([multiply, paint], tool_choice=choice, **wild).invoke("Hello!").tool_calls
    assert choice in ("any", call["name"])
    {"multiply": multiply, "paint": paint}[call["name"]].invoke(call["args"])


@each_path
def test_a_forced_call_that_the_server_forgets(server: Llama, make: MakeModel, path: CallPath) -> None:
    """Where the server drops the tools, as the model's template has no place for them, it is an error, and no prose."""
    bound = make(server.url).bind_tools([multiply], tool_choice="any")
    with pytest.raises(UnmetDemandError) as caught:
        path(bound, "Multiply 12 by 5")
    assert isinstance(caught.value.partial, AIMessage)
    assert caught.value.partial.text


@wrap_model_call
def calculate_first(request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
    asked = isinstance(request.messages[-1], HumanMessage)
    return handler(request.override(tool_choice="any") if asked else request)


def in_words(name: str, content: str, call_id: str, is_error: bool) -> str:
    return f"The tool {name} {'failed' if is_error else 'gave'}: {content}"


def test_an_agent(server: Llama, make: MakeModel) -> None:
    """An agent calls its tool, reads the result and answers with it."""
    model = make(
        server.url, ChatWithoutTools, max_tokens=60, tool_format=replace(TOOL_FORMATS["hermes"], result=in_words)
    )
    agent = create_agent(model, [multiply], middleware=[calculate_first])
    said = agent.invoke({"messages": [HumanMessage("Multiply 12 by 5")]}, {"recursion_limit": 10})["messages"]
    result = next(message for message in said if isinstance(message, ToolMessage))
    assert "60" == result.content
    assert "60" in said[-1].text
