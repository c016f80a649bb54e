"""No check takes a path that langchain-core does not have for a model: version 3 of the events needs a stream."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from langplug_check import Subject, all_checks
from langplug_check.runner import capture_output, run_check


class ChatWhole(BaseChatModel):
    """Gives its answer as a whole."""

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("One two three."))])

    @property
    def _llm_type(self) -> str:
        return "whole"


class ChatAsyncStream(ChatWhole):
    """Streams, but only asynchronously."""

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for piece in ("One ", "two ", "three."):
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))


@pytest.mark.parametrize("cls", [ChatWhole, ChatAsyncStream])
def test_no_model_fails_for_a_path_that_it_cannot_have(cls: type[BaseChatModel]) -> None:
    """A model without a synchronous stream, which has no synchronous version 3, fails no check for that."""
    with capture_output():
        subject = Subject(cls)
    with subject:
        checks = [check for check in all_checks().values() if check.id[0] in "CEFGH" and check.in_contract]
        observed = {check.id: run_check(check, subject).observed for check in checks}
    assert [] == [(name, text) for name, text in observed.items() if "NotImplementedError" in text]
