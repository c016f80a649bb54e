"""Models that were written by hand, once they are adopted."""

from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel, SimpleChatModel
from pydantic import PrivateAttr
from tests.check.subjects import Foreign

import langplug
from langplug_check import check


class ChatSimple(SimpleChatModel):
    """Has the one hook of the older base class."""

    def _call(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return f"You said: {messages[-1].text}"

    @property
    def _llm_type(self) -> str:
        return "chat-simple"


class ChatPrivate(Foreign):
    """Keeps privately what it answers with."""

    _manner: str = PrivateAttr("politely")

    def answer(self, prompt: str) -> str:
        return f"{self._manner}: {prompt}"


class ChatWrapped(Foreign):
    """Asks a model that it holds."""

    inner: Any

    def answer(self, prompt: str) -> str:
        return str(self.inner.invoke(prompt).text)


@pytest.mark.parametrize(
    "model",
    [Foreign(), ChatSimple(), ChatPrivate(), ChatWrapped(inner=ChatSimple())],
    ids=lambda one: type(one).__name__,
)
def test_an_adopted_model_keeps_its_identity_and_shapes(model: BaseChatModel) -> None:
    """A class with one hook, with private state, or with a model inside keeps groups B, D and J once adopted."""
    report = check(langplug.adopt(model), only=["O01", "B", "D", "J"])
    assert not [f"{one.check.id} {one.result.observed}" for one in report.failures if one.result.counts_against]
    assert report.ready, report.summary()
