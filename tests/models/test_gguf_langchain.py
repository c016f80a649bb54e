from typing import Any
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from langplug.models import ChatGGUF


@pytest.fixture
def benchmark(benchmark):
    benchmark.disabled = True
    return benchmark


class OfGGUF:
    chat_model_class: type[BaseChatModel] = ChatGGUF
    chat_model_params: dict[str, Any] = {
        "temperature": 0,
        "seed": 1,
        "n_ctx": 1024,
        "frequency_penalty": 1,
        "threads": 1,
    }
    supports_json_mode = True
    supports_model_override = False
    enable_vcr_tests = False


class TestUnit(OfGGUF, ChatModelUnitTests):  # type: ignore[misc]
    """By itself"""


class TestIntegration(OfGGUF, ChatModelIntegrationTests):  # type: ignore[misc]
    """Answers."""
