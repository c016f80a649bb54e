"""langchain-tests' own classes on shipped descriptions, with a backend that is clever enough for agents.

Nothing is overridden and nothing is expected to fail.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_benchmark.fixture import BenchmarkFixture
from tests.models.http.stub_replies import stub_reply

from langplug.models import ChatHTTP
from langplug_backend import Backend


@pytest.fixture(scope="module", autouse=True)
def stub_backend() -> Iterator[Backend]:
    """Answers on all wires."""
    with Backend() as backend:
        backend.reply = stub_reply
        _URLS["backend"] = backend.url
        yield backend


_URLS = {"backend": "http://127.0.0.1:1"}


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures is measured in `benchmarks/`; here it only has to work."""
    benchmark.disabled = True
    return benchmark


class OfWire:
    """What the classes below have in common; `wire` is the name of the description."""

    wire = ""
    model_override_value = "backend-2"
    has_tool_calling = True
    has_tool_choice = True
    has_structured_output = True
    supports_json_mode = True
    supports_image_inputs = False  # they fetch an image from elsewhere, and so does the next
    supports_anthropic_inputs = False
    enable_vcr_tests = False

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        """The class that makes models of the wire's description."""
        return CLASSES[self.wire]

    @property
    def chat_model_params(self) -> dict[str, Any]:
        """Where the backend is."""
        return {"base_url": _URLS["backend"], "model": "backend-1", "api_key": "sk-1"}


def of_wire(wire: str) -> type[ChatHTTP]:
    """A class whose defaults are a shipped description: what a package for one wire would hold."""
    described = ChatHTTP.from_file(wire, api_key="sk-1")
    names = described.model_fields_set - {"api_key", "base_url", "profile"}
    body = {name: getattr(described, name) for name in names}
    annotations = {name: ChatHTTP.model_fields[name].annotation for name in names}
    return type(f"Chat{wire.title()}", (ChatHTTP,), {"__module__": __name__, "__annotations__": annotations, **body})


CLASSES = {wire: of_wire(wire) for wire in ("ollama", "anthropic")}


class TestOllamaUnit(OfWire, ChatModelUnitTests):  # type: ignore[misc]
    """Ollama's own API, as langchain-tests looks at the model."""

    wire = "ollama"


class TestOllamaIntegration(OfWire, ChatModelIntegrationTests):  # type: ignore[misc]
    """Ollama's own API, as langchain-tests looks at the answers."""

    wire = "ollama"


class TestAnthropicUnit(OfWire, ChatModelUnitTests):  # type: ignore[misc]
    """Anthropic's API, as langchain-tests looks at the model."""

    wire = "anthropic"


class TestAnthropicIntegration(OfWire, ChatModelIntegrationTests):  # type: ignore[misc]
    """Anthropic's API, as langchain-tests looks at the answers."""

    wire = "anthropic"
