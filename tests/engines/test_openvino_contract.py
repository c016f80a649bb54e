"""The contract kit on `ChatGGUF` with OpenVINO. `tests/models/test_gguf_langchain.py` runs langchain-tests' classes."""

import pytest

pytest.importorskip("openvino_genai", reason="engines that are large are tested by `make test-engines`")

from langplug.models import ChatGGUF
from langplug_check import ContractTests


def small_model() -> ChatGGUF:
    """The model, made in the process in which it is checked."""
    return ChatGGUF(engine="openvino", n_ctx=2048, max_tokens=24)


class TestContract(ContractTests):
    factory = staticmethod(small_model)
