"""Tools, as callers bind them: what a model gets of them, and what is done with them once."""

import copy
import pickle
from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from langplug import TOOL_FORMATS
from langplug.models import ChatScripted


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


class Weather(BaseModel):
    """Tells the weather."""

    city: str


class ChatNative(ChatScripted):
    """Stands for a model whose API knows tools."""

    tool_calling = "native"


def native() -> ChatNative:
    return ChatNative(replies=["ok"], when_exhausted="repeat")


def described(*tools: Any) -> list[dict[str, Any]]:
    return [convert_to_openai_tool(each) for each in tools]


def test_what_was_bound_is_not_converted_again() -> None:
    """The model gets the very dicts that `bind_tools` made, at each call; a copy of them is as good."""
    model = native()
    bound = model.bind_tools([add, now, Weather])
    bound.invoke("?")
    copied = copy.deepcopy(bound)
    copied.invoke("?")
    pickle.loads(pickle.dumps(bound)).invoke("?")
    tools = bound.kwargs["tools"]  # type: ignore[attr-defined]  # a RunnableBinding
    assert all(given is made for given, made in zip(model.requests[0].tools, tools, strict=True))
    assert described(add, now, Weather) == tools
    assert all(list(request.tools) == tools for request in model.requests)


@pytest.mark.parametrize("name", TOOL_FORMATS)
def test_bound_tools_are_told_as_those_of_a_call(name: str) -> None:
    """What a model is told of tools does not depend on whether they were bound, or on how often it was called."""
    model = ChatScripted(replies=["ok"], when_exhausted="repeat", tool_format=name)
    bound = model.bind_tools([add, now, Weather])
    for ask in (bound.invoke, bound.invoke, lambda text: model.invoke(text, tools=described(add, now, Weather))):
        ask("?")
    assert 1 == len({request.messages[0].text for request in model.requests})
    assert "Tells the weather." in model.requests[0].messages[0].text


def test_bound_tools_can_be_put_together() -> None:
    """Tools of two bindings are tools: the same one counts once, and two of one name are refused."""

    @tool("add")
    def other(x: str) -> str:
        """Adds to a list."""
        return x

    model = native()
    one, more, clash = (model.bind_tools(tools).kwargs["tools"] for tools in ([add, now], [add, Weather], [other]))  # type: ignore[attr-defined]
    model.invoke("?", tools=[*one, *more])
    assert described(add, now, Weather) == list(model.requests[0].tools)
    with pytest.raises(ValueError, match="Two tools are named 'add'"):
        model.invoke("?", tools=[*one, *clash])


def test_an_argument_may_be_called_title() -> None:
    """Two tools that differ in an argument called `title` alone are two tools."""

    @tool("note")
    def one(title: str) -> str:
        """Notes."""
        return title

    @tool("note")
    def two(title: int) -> int:
        """Notes."""
        return title

    with pytest.raises(ValueError, match="Two tools are named 'note'"):
        native().bind_tools([one, two])
