"""The contract kit and langchain-tests' own classes on `ChatTransformers`, with a tiny random Llama."""

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests
from pytest_benchmark.fixture import BenchmarkFixture
from tests.engines.tiny_llama import tiny_llama

from langplug.models import ChatTransformers
from langplug_check import ContractTests


def tiny_model() -> ChatTransformers:
    """The model, made in the process in which it is checked."""
    return ChatTransformers(model=str(tiny_llama()), temperature=0, max_tokens=8)


class TestContract(ContractTests):
    factory = staticmethod(tiny_model)


@pytest.fixture
def benchmark(benchmark: BenchmarkFixture) -> BenchmarkFixture:
    """What `test_init_time` measures need not be measured here; it only has to work."""
    benchmark.disabled = True
    return benchmark


class TestUnit(ChatModelUnitTests):
    """langchain-tests' unit tests."""

    supports_model_override = False

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatTransformers

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": str(tiny_llama())}
