"""ChatEndpoint on the server of another engine, dasLLAMA's, which keeps forced calls to their tools by itself.

No answer is left before its end here, as one is at a stop text: version 0.6.6 then gives what is left of it to the next
one that asks, whoever that is.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.exceptions import ContextOverflowError, ModelInvalidRequestError, ModelNotFoundError
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field
from tests.models.endpoint_real.conftest import MakeModel
from tests.paths import ON_AN_ENGINE, chunks
from tests.paths import Path as CallPath

from langplug import UnmetDemandError
from langplug.models import ChatEndpoint

QUESTION = "What is the capital of Japan?"

each_path = pytest.mark.parametrize("path", ON_AN_ENGINE)


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


@tool
def paint(color: Literal["red", "green"], coats: Annotated[int, Field(ge=1)]) -> str:
    """Paint the wall."""
    return f"{coats} coats of {color}"


@pytest.fixture
def model(das_server: str, make: MakeModel) -> ChatEndpoint:
    return make(das_server, model="smollm2.gguf", max_tokens=60)


@each_path
def test_each_path_gives_the_same(model: ChatEndpoint, path: CallPath) -> None:
    """Text, finish reason, name and usage are the same on each path."""
    expected, message = model.invoke(QUESTION), path(model, QUESTION).message
    assert "Tokyo" in message.text
    assert expected.text == message.text
    assert ("stop", "smollm2.gguf") == tuple(
        message.response_metadata[name] for name in ("finish_reason", "model_name")
    )
    usage, same = message.usage_metadata, expected.usage_metadata
    assert usage is not None
    assert same is not None
    assert usage["input_tokens"] == same["input_tokens"] > 10
    assert usage["output_tokens"] == same["output_tokens"] > 3


def test_it_streams_token_by_token(model: ChatEndpoint) -> None:
    """Text comes piece by piece; the usage comes once, at the end."""
    pieces = chunks(model, QUESTION)
    assert len([piece for piece in pieces if piece.text]) > 3
    assert [False] * (len(pieces) - 1) + [True] == [piece.usage_metadata is not None for piece in pieces]


@each_path
def test_a_forced_call(model: ChatEndpoint, path: CallPath) -> None:
    """A forced call comes as the server's own, whole on each path, though the model would rather talk."""
    message = path(model.bind_tools([multiply, paint], tool_choice="multiply"), "Multiply 12 by 5").message
    (call,) = message.tool_calls
    assert ("multiply", {"a": 12, "b": 5}) == (call["name"], call["args"])
    assert call["id"]
    assert "" == message.text
    assert "tool_calls" == message.response_metadata["finish_reason"]
    assert "adaptations" not in message.response_metadata


@wrap_model_call
def calculate_first(request: ModelRequest, handler: Callable[[ModelRequest], ModelResponse]) -> ModelResponse:
    asked = isinstance(request.messages[-1], HumanMessage)
    return handler(request.override(tool_choice="any" if asked else "none"))


def test_an_agent(model: ChatEndpoint) -> None:
    """An agent calls its tool, and its result goes back to the server."""
    agent = create_agent(model, [multiply], middleware=[calculate_first])
    said = agent.invoke({"messages": [HumanMessage("Multiply 12 by 5")]}, {"recursion_limit": 10})["messages"]
    assert ["human", "ai", "tool", "ai"] == [message.type for message in said]
    assert isinstance(said[2], ToolMessage)
    assert "60" == said[2].content
    assert said[3].text


class Person(BaseModel):
    """A person."""

    name: Annotated[str, Field(max_length=20)]
    age: int
    mood: Literal["happy", "sad"]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(model: ChatEndpoint, method: str) -> None:
    """A schema is kept to, as the answer's form and as a tool's."""
    said = model.with_structured_output(Person, method=method).invoke("Ann is 30 years old and happy. As JSON.")
    assert Person(name="Ann", age=30, mood="happy") == said


def test_what_it_cannot(model: ChatEndpoint) -> None:
    """What the server does not do is an error that says so: other models, prompts too long, images, several answers."""
    with pytest.raises(ModelNotFoundError, match=r"'gpt-9' not found.*`served_models\(\)` lists"):
        model.invoke(QUESTION, model="gpt-9")
    with pytest.raises(ContextOverflowError, match="context is 512"):
        model.invoke("hello " * 600)
    with pytest.raises(ModelInvalidRequestError, match="no vision"):
        model.invoke([HumanMessage([{"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}])])
    with pytest.raises(UnmetDemandError, match="asked for 2 answers"):
        model.invoke(QUESTION, n=2)
    assert ["smollm2.gguf"] == [served["id"] for served in model.served_models()]
