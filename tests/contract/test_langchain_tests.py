"""langchain-tests' own classes, on the ready-made models and on every echo model.

What a model cannot do is declared through the properties; nothing is overridden and nothing is expected to fail.
Not declared, as this version does not derive them: tools and structured output.
"""

from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_benchmark.fixture import BenchmarkFixture
from tests import echo_models

from langplug import Reasoning, Usage
from langplug.models import ChatScripted, CustomChatModelAdvanced


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures is measured in `benchmarks/`; here it only has to work."""
    benchmark.disabled = True
    return benchmark


class Declared:
    """What all the models here have in common."""

    chat_model_params: dict[str, Any] = {}  # noqa: RUF012 - a property of langchain-tests', never changed
    model_override_value: str | None = "echo-2"
    has_tool_calling = False
    has_tool_choice = False
    has_structured_output = False
    supports_json_mode = False
    enable_vcr_tests = False


# --- the ready-made models ---


class OfEcho(Declared):
    chat_model_class: type[BaseChatModel] = CustomChatModelAdvanced
    chat_model_params = {"n": 1000}  # noqa: RUF012 - see above


class TestEchoUnit(OfEcho, ChatModelUnitTests):  # type: ignore[misc]
    """The page's echo, as langchain-tests looks at a model by itself."""


class TestEchoIntegration(OfEcho, ChatModelIntegrationTests):  # type: ignore[misc]
    """The page's echo, as langchain-tests looks at its answers."""


class OfScripted(Declared):
    chat_model_class: type[BaseChatModel] = ChatScripted
    chat_model_params = {  # noqa: RUF012 - see above
        "replies": [[Reasoning("hmm"), "Hello, ", "world.", Usage(input_tokens=3, output_tokens=4)]],
        "when_exhausted": "repeat",
    }
    model_override_value = None
    supports_model_override = False


class TestScriptedUnit(OfScripted, ChatModelUnitTests):  # type: ignore[misc]
    """The scripted model by itself."""


class TestScriptedIntegration(OfScripted, ChatModelIntegrationTests):  # type: ignore[misc]
    """The scripted model's answers."""


# --- the echo models ---


class OfEchoModels(Declared):
    init_from_env_params: tuple[dict[str, str], dict[str, Any], dict[str, Any]] = (
        {"ECHO_API_KEY": "sk-env"},
        {},
        {"api_key": "sk-env"},
    )
    supported_usage_metadata_details = {  # noqa: RUF012 - see above
        "invoke": ["reasoning_output", "cache_read_input"],
        "stream": ["reasoning_output", "cache_read_input"],
    }

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        """An answer with reasoning."""
        return self._answer("/think one two", stream=stream)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        """An answer whose input was cached in part."""
        return self._answer("one two", stream=stream)

    def _answer(self, prompt: str, *, stream: bool) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)  # type: ignore[attr-defined]
        if not stream:
            return model.invoke(prompt)  # type: ignore[no-any-return]
        chunks: list[AIMessageChunk] = list(model.stream(prompt))
        return reduce(add, chunks)


def declare(kind: type[ChatModelUnitTests], name: str, model_class: Any) -> type:
    doc = f"{model_class.__name__}, as {kind.__name__} looks at it."
    return type(name, (OfEchoModels, kind), {"chat_model_class": model_class, "__module__": __name__, "__doc__": doc})


for _door, _make in echo_models.ECHO_MODELS.items():
    _name = "".join(word.title() for word in _door.replace(",", "").split())
    for _kind, _tests in (("Unit", ChatModelUnitTests), ("Integration", ChatModelIntegrationTests)):
        globals()[f"Test{_name}{_kind}"] = declare(_tests, f"Test{_name}{_kind}", _make)  # type: ignore[arg-type]
