"""langchain-tests' own classes, on the embedded model with real weights.

Tools, forced choice and structured output are declared, by grammar. What 135 million parameters do not suffice for is
expected to fail, with the reason; that langplug does its part all the same is shown below, and in
`test_gguf_tools.py`.
"""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import PrivateAttr
from pytest_benchmark.fixture import BenchmarkFixture

from langplug import Part, Request
from langplug.models import ChatGGUF
from langplug.models.gguf.weights import SMOLLM2, find, pull

SETTINGS: dict[str, Any] = {"temperature": 0, "seed": 1, "n_ctx": 512, "threads": 1}
"""Greedy, so that the same thing is seen each time; all models here share one engine."""


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[object]:
    """Loaded once: it would go with each test's model."""
    if find(SMOLLM2) is None:
        pull(SMOLLM2)
    with_engine = ChatGGUF(**SETTINGS)
    yield with_engine.runtime
    with_engine.close()


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures is measured in `benchmarks/`; here it only has to work."""
    benchmark.disabled = True
    return benchmark


class OfGGUF:
    """What both classes have in common."""

    chat_model_class: type[BaseChatModel] = ChatGGUF
    chat_model_params = SETTINGS
    supports_model_override = False  # the weights are not a parameter of a call
    supports_json_mode = True
    enable_vcr_tests = False


class TestGGUFUnit(OfGGUF, ChatModelUnitTests):  # type: ignore[misc]
    """The embedded model by itself."""


@pytest.mark.thorough("a minute of a real model's time; the other tests of ChatGGUF say the same of langplug in less")
class TestGGUFIntegration(OfGGUF, ChatModelIntegrationTests):  # type: ignore[misc]
    """The embedded model's answers."""

    @pytest.fixture
    def model(self, request: pytest.FixtureRequest) -> BaseChatModel:
        """With as few tokens as each test can do with.

        In free text within JSON this model repeats itself without end unless that costs something; but then it does
        not repeat the prompt's words in tool calls either.
        """
        for_test: dict[str, Any] = {"max_tokens": 30}
        if "structured" in request.node.name:
            for_test = {"max_tokens": 60, "repeat_penalty": 1.2}
        elif "unicode" in request.node.name:
            for_test = {"max_tokens": 70}
        asked: dict[str, Any] = getattr(request, "param", None) or {}
        return ChatGGUF(**{**self.standard_chat_model_params, **SETTINGS, **for_test, **asked})

    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    @pytest.mark.xfail(
        strict=False, raises=AssertionError, reason="calls magic_function, but with a number of its own for the 3"
    )
    def test_tool_calling(self, model: BaseChatModel) -> None:
        """A call with the arguments that were asked for."""
        super().test_tool_calling(model)

    @pytest.mark.xfail(
        strict=False, raises=AssertionError, reason="calls magic_function, but with a number of its own for the 3"
    )
    async def test_tool_calling_async(self, model: BaseChatModel) -> None:
        """The same, async."""
        await super().test_tool_calling_async(model)

    @pytest.mark.parametrize("model", [{}, {"output_version": "v1"}], indirect=True)
    @pytest.mark.xfail(
        strict=False, raises=AssertionError, reason="rather talks about the weather than call a tool unforced"
    )
    def test_agent_loop(self, model: BaseChatModel) -> None:
        """A call that the model makes of itself."""
        super().test_agent_loop(model)

    @pytest.mark.xfail(
        strict=False, raises=OutputParserException, reason="writes JSON, but not with the keys that the prompt names"
    )
    def test_json_mode(self, model: BaseChatModel) -> None:
        """JSON of a form that only the prompt tells."""
        super().test_json_mode(model)


# --- what langplug does where the model fails ---


class Recording(ChatGGUF):
    """Keeps what llama.cpp is sent."""

    _bodies: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    async def respond(self, request: Request) -> AsyncIterator[Part]:
        self._bodies.append(self._body(request))
        async for part in super().respond(request):
            yield part


@tool
def magic_function(input: int) -> int:
    """Apply a magic function to an input."""
    return input + 2


@tool
def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return f"It's sunny in {location}."


def test_a_call_of_the_magic_function_is_valid() -> None:
    """For `test_tool_calling`: the forced call is of that tool, with an integer."""
    model = ChatGGUF(**SETTINGS, max_tokens=70).bind_tools([magic_function], tool_choice="any")
    (call,) = model.invoke("What is the value of magic_function(3)? Use the tool.").tool_calls
    assert ("magic_function", ["input"]) == (call["name"], list(call["args"]))
    assert isinstance(call["args"]["input"], int)
    assert call["id"]


def test_an_agent_loop_with_a_first_step_that_is_forced() -> None:
    """For `test_agent_loop`: call, result and answer follow each other, and the result stands in the model's prompt."""
    model = Recording(**SETTINGS, max_tokens=20, output_version="v1")
    asked = HumanMessage("What is the weather in San Francisco, CA?")
    called = model.bind_tools([get_weather], tool_choice="any").invoke([asked])
    assert isinstance(called, AIMessage)
    (call,) = called.tool_calls
    assert any("tool_call" == block["type"] for block in called.content_blocks)
    result = get_weather.invoke(call)
    assert isinstance(result, ToolMessage)
    history: list[BaseMessage] = [asked, called, result]
    answer = model.bind_tools([get_weather]).invoke(history)
    assert answer.text
    sent = [message["content"] for message in model._bodies[-1]["messages"]]
    assert json.dumps(call["args"]["location"], ensure_ascii=False) in sent[-2]
    assert str(result.content) in sent[-1]


@pytest.mark.parametrize("question", ["Hello!", "My name is Ann and I am 7. Answer as JSON with name and age."])
def test_json_mode_gives_an_object(question: str) -> None:
    """For `test_json_mode`: whatever the model writes is a JSON object, though no schema says of what."""
    answers = ChatGGUF(**SETTINGS, max_tokens=70).with_structured_output({"type": "object"}, method="json_mode")
    assert isinstance(answers.invoke(question), dict)
