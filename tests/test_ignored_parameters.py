"""The warning of ignored parameters: for what a user gave, never for what LangChain's own machinery passes along."""

import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import LLMToolSelectorMiddleware, ModelFallbackMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel

from langplug import ChatModel, IgnoredParameterWarning, Request, ToolCall, UnmetDemandError
from langplug.models import ChatHTTP


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


class Answer(BaseModel):
    """An answer."""

    text: str


@pytest.fixture
def nobody_is_warned() -> Iterator[None]:
    """Fails a test in which a parameter is warned of."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield
    assert [] == [str(one.message) for one in seen if one.category is IgnoredParameterWarning]


def new_class(tool_calling: str) -> type[ChatModel]:
    """A class without parameters, of which nothing was warned yet."""

    class Plain(ChatModel):
        context_window: int | None = 1000

        def respond(self, request: Request) -> Any:
            if request.schema or "JSON schema" in request.prompt():
                return '{"text": "x"}'
            for one in request.openai_tools():
                if one["function"]["name"] != "now":
                    return ToolCall(one["function"]["name"], {"text": "x"})
            return "x"

    Plain.tool_calling = tool_calling  # type: ignore[assignment]
    Plain.model_rebuild(force=True)
    return Plain


def agent(model: BaseChatModel, **settings: Any) -> Callable[[], object]:
    built = create_agent(model, [now], **settings)
    return lambda: (
        built.invoke({"messages": ["hi"]}),
        list(built.stream({"messages": ["hi"]}, stream_mode="messages")),
    )


class Selecting(ChatModel):
    """Answers with what a selector of tools wants."""

    def respond(self, request: Request) -> str:
        return '{"tools": ["now"]}' if request.schema or "schema" in request.prompt() else "x"


MACHINERY: dict[str, Callable[[ChatModel], Callable[[], object]]] = {
    "an agent": agent,
    "summaries": lambda model: agent(
        model, middleware=[SummarizationMiddleware(model=model, trigger=("messages", 1), keep=("messages", 1))]
    ),
    "fallbacks": lambda model: agent(model, middleware=[ModelFallbackMiddleware(model)]),
    "a selector of tools": lambda model: agent(model, middleware=[LLMToolSelectorMiddleware(model=Selecting())]),
    "a tool strategy": lambda model: agent(model, response_format=ToolStrategy(Answer)),
    "a provider strategy": lambda model: agent(model, response_format=ProviderStrategy(Answer)),
    "an automatic strategy": lambda model: agent(model, response_format=Answer),
    **{
        f"structured output by {method}": lambda model, method=method: (  # type: ignore[misc] # mypy cannot infer it
            lambda: model.with_structured_output(Answer, method=method, include_raw=True).invoke("hi")
        )
        for method in ("function_calling", "json_schema", "json_mode")
    },
    "strict structured output": lambda model: (
        lambda: model.with_structured_output(Answer, method="json_schema", strict=True).invoke("hi")
    ),
    "bound tools": lambda model: (
        lambda: model.bind_tools(
            [convert_to_openai_tool(now)], strict=True, parallel_tool_calls=False, tool_choice="auto"
        ).invoke("hi")
    ),
    "retries": lambda model: lambda: model.with_retry().with_fallbacks([model]).batch(["a", "b"]),
}


@pytest.mark.usefixtures("nobody_is_warned")
@pytest.mark.parametrize("tool_calling", ["native", "prompted"])
@pytest.mark.parametrize("name", MACHINERY)
def test_langchains_own_machinery_is_not_warned_of(name: str, tool_calling: str) -> None:
    """Agents, middleware and structured output pass along nothing that the user would be told to leave out."""
    run = MACHINERY[name](new_class(tool_calling)())
    with suppress(UnmetDemandError, ValueError):  # how such a simple model answers is not what is looked at
        run()


@pytest.mark.usefixtures("nobody_is_warned")
def test_deep_agents_are_not_warned_of() -> None:
    """As with `create_agent`, where the package is installed."""
    deepagents = pytest.importorskip("deepagents")
    deepagents.create_deep_agent(model=new_class("native")()).invoke({"messages": ["hi"]})


class TestStandard(ChatModelUnitTests):
    """langchain-tests give every model `temperature` and more: their authors are not warned of it."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return _OF_STANDARD_TESTS

    @pytest.mark.usefixtures("nobody_is_warned")
    def test_nobody_was_warned(self, model: BaseChatModel) -> None:
        """The fixture made the model, with parameters that it has no use for."""
        assert model.ignored_params.keys() >= {"temperature", "max_tokens"}  # type: ignore[attr-defined]


_OF_STANDARD_TESTS = new_class("prompted")


@pytest.mark.filterwarnings("always::langplug.IgnoredParameterWarning")
def test_one_warning_and_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """However often and wherever the parameter is given: in the constructor, bound, per call."""
    model_class = new_class("prompted")

    def call() -> None:
        model = model_class(seed=1)
        model.invoke("hi", seed=2)
        list(model.bind(seed=3).stream("hi"))
        model.with_structured_output(Answer, method="json_mode").invoke("JSON schema", seed=4)

    with caplog.at_level(logging.WARNING, "langplug"), pytest.warns(IgnoredParameterWarning) as seen:
        call()
    call()
    assert 1 == len(seen)
    assert 1 == len(caplog.records)
    assert "Plain ignores 'seed'" in caplog.text


def test_the_environments_log_does_not_print_it_again() -> None:
    """`LANGPLUG_LOG` prints on stderr, as warnings do: it is there once."""
    code = (
        "from langplug import chat_model\n@chat_model\ndef deaf(request):\n    return 'x'\n"
        "deaf(seed=1).invoke('x', seed=1)"
    )
    environment = {**os.environ, "LANGPLUG_LOG": "debug"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert 1 == done.stderr.count("ignores 'seed'")


def test_a_parameter_that_no_template_uses_is_warned_of() -> None:
    """A described model ignores it like one without the field; the warning says what would use it."""
    kind: type[ChatHTTP] = type("ChatMine", (ChatHTTP,), {"__module__": __name__})
    description: dict[str, Any] = {"base_url": "http://localhost:1", "url": "/", "body": {"p": "$prompt"}, "text": "t"}
    with pytest.warns(IgnoredParameterWarning, match="ChatMine ignores 'temperature': no template of this model uses"):
        kind(**description, temperature=0.5)
    kind(**description, temperature=0.5)
    kind(**description, adaptations="silent", top_p=0.5)
