"""langchain-tests' own classes with tools and structured output declared, on models that always say the same.

Nothing is overridden and nothing is expected to fail. The suite's cases of structured output check nothing of the
result, as `validation_function(result)` stands there without `assert`; `test_j_structured_output.py` does.
"""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_benchmark.fixture import BenchmarkFixture
from tests.stub_models import STUB_MODELS, answer_in_text

from langplug import Request
from langplug.models import ChatScripted


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures is measured in `benchmarks/`; here it only has to work."""
    benchmark.disabled = True
    return benchmark


class OfStubs:
    """All that these models can do."""

    chat_model_params: dict[str, Any] = {}  # noqa: RUF012 - a property of langchain-tests', never changed
    model_override_value: str | None = "stub-2"
    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_anthropic_inputs = False  # it brings an image
    enable_vcr_tests = False


def declare(kind: type[ChatModelUnitTests], name: str, model_class: type[BaseChatModel], **declared: Any) -> type:
    doc = f"{name}, as {kind.__name__} looks at it."
    body = {"chat_model_class": model_class, "__module__": __name__, "__doc__": doc, **declared}
    return type(f"Test{name}{kind.__name__}", (OfStubs, kind), body)


def scripted_reply(request: Request) -> list[Any]:
    """As the stub reader."""
    return list(answer_in_text(request))


SCRIPTED: dict[str, Any] = {
    "chat_model_params": {"replies": [scripted_reply], "when_exhausted": "repeat"},
    "model_override_value": None,
    "supports_model_override": False,
}

for _kind in (ChatModelUnitTests, ChatModelIntegrationTests):
    _declared = [
        declare(_kind, "".join(door.title().split()).replace(",", ""), make) for door, make in STUB_MODELS.items()
    ]
    _declared.append(declare(_kind, "Scripted", ChatScripted, **SCRIPTED))
    _declared.append(declare(_kind, "Standard", STUB_MODELS["native"], chat_model_params={"output_version": "v1"}))
    globals().update({one.__name__: one for one in _declared})
