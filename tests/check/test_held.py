"""Models that ask something that they hold are given replies by a recipe."""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from langplug_check import Recipe, check


class Client:
    """What an author's model holds, and no server is behind."""

    def __init__(self, say: Callable[..., str] = lambda prompt: f"You said {prompt}") -> None:
        self._say = say

    def complete(self, prompt: str) -> str:
        return self._say(prompt)


class ChatHolding(BaseChatModel):
    """Asks its client, and forgets stop strings."""

    client: Any = None

    @property
    def _llm_type(self) -> str:
        return "chat-holding"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        text = (self.client or Client()).complete(str(messages[-1].content))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])


def replies(say: Callable[..., str]) -> Mapping[str, Any]:
    """The client that says what checks want."""
    return {"client": Client(say)}


def test_what_a_model_holds_is_given_replies() -> None:
    """With a recipe for it, statements that need a reply are observed; without one they are not."""
    which = ("D", "J01")
    without = {one.check.id: one.result.verdict for one in check(ChatHolding, only=which, offline=True).found}
    found = {
        one.check.id: one.result.verdict
        for one in check(ChatHolding, only=which, offline=True, recipe=Recipe(replies=replies)).found
    }
    assert "not observed" in without.values()
    seen = {name for name, verdict in found.items() if verdict in ("pass", "fail") and without[name] == "not observed"}
    assert seen
    assert "fail" in {found[name] for name in seen}  # it forgets stop strings


def test_what_is_held_can_be_told_texts_alone() -> None:
    """What needs more than a text, such as usage or a call, is not observed, with the reason."""
    report = check(ChatHolding, only=("I03", "C02"), offline=True, recipe=Recipe(replies=replies))
    assert {one.result.verdict for one in report.found} <= {"not observed", "not applicable"}
