"""Which earlier reasoning a model is shown again."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage

from langplug._messages.kept_reasoning import (
    KeepReasoning,
    drop_old_reasoning,
    reasoning_of,
    select_reasoning,
    write_reasoning_in_tags,
)

BLOCKS: list[Any] = [{"type": "reasoning", "reasoning": "two"}, {"type": "text", "text": "b"}]

CONVERSATION: list[BaseMessage] = [
    SystemMessage("s"),
    HumanMessage("1"),
    AIMessage("a", additional_kwargs={"reasoning_content": "one"}),
    HumanMessage("2"),
    AIMessage(BLOCKS, tool_calls=[{"name": "add", "args": {}, "id": "x"}]),
    ToolMessage("3", tool_call_id="x"),
    AIMessage("c"),
]


@pytest.mark.parametrize(
    ("message", "reasoning"),
    [
        (AIMessage("a"), ""),
        (AIMessage("a", additional_kwargs={"reasoning_content": "one"}), "one"),
        (AIMessage("a", additional_kwargs={"reasoning_content": None}), ""),
        (AIMessage(BLOCKS), "two"),
        (AIMessage([*BLOCKS, "c", {"type": "reasoning", "reasoning": "!"}]), "two!"),
        (AIMessage([{"type": "reasoning"}, {"type": "text", "text": "b"}]), ""),
        (AIMessage([{"type": "thinking", "thinking": "hm", "signature": "s"}]), "hm"),
        (AIMessage(BLOCKS, additional_kwargs={"reasoning_content": "two"}), "two"),
        (HumanMessage("a", additional_kwargs={"reasoning_content": "one"}), ""),
    ],
)
def test_reasoning_is_found_wherever_it_stands(message: BaseMessage, reasoning: str) -> None:
    """Reasoning is found in blocks and in `additional_kwargs`, once, and only in AI messages."""
    assert reasoning == reasoning_of(message)


@pytest.mark.parametrize(("policy", "kept"), [("never", {}), ("current", {4: "two"}), ("all", {2: "one", 4: "two"})])
def test_the_policy_says_which_are_kept(policy: KeepReasoning, kept: dict[int, str]) -> None:
    """`never` keeps none, `current` those since the last human message, `all` all."""
    assert kept == select_reasoning(CONVERSATION, policy)


def test_a_conversation_that_no_human_began_is_one_turn() -> None:
    """Without a human message, all is the current turn."""
    messages = [message for message in CONVERSATION if not isinstance(message, HumanMessage)]
    assert ["one", "two"] == list(select_reasoning(messages, "current").values())


def test_a_new_question_ends_the_turn() -> None:
    """Once a human speaks again, `current` keeps none of the reasoning before."""
    assert {} == select_reasoning([*CONVERSATION, HumanMessage("3")], "current")


def test_reasoning_is_written_in_tags() -> None:
    """For a model that reads text, the reasoning stands before the text, in tags; calls stay, no message is changed."""
    before = [message.model_copy(deep=True) for message in CONVERSATION]
    shown = write_reasoning_in_tags(CONVERSATION, "all")
    assert "<think>\none\n</think>\n\na" == shown[2].content
    assert "<think>\ntwo\n</think>\n\nb" == shown[4].content
    assert isinstance(shown[4], AIMessage)
    assert ["x"] == [call["id"] for call in shown[4].tool_calls]
    assert [shown[n] is CONVERSATION[n] for n in (0, 1, 3, 5, 6)] == [True] * 5
    assert before == CONVERSATION


@pytest.mark.parametrize(("policy", "left"), [("never", ["one", "two"]), ("current", ["two"]), ("all", ["one", "two"])])
def test_what_current_does_not_keep_can_be_taken_out(policy: KeepReasoning, left: list[str]) -> None:
    """Old reasoning goes from blocks and `additional_kwargs`; all else stays, and no message is changed."""
    messages = [*CONVERSATION[:2], AIMessage(BLOCKS, id="i", additional_kwargs={"kept": 1}), *CONVERSATION[2:]]
    before = [message.model_copy(deep=True) for message in messages]
    taken = drop_old_reasoning(messages, policy)
    assert left == [reasoning_of(message) for message in taken if reasoning_of(message)][-len(left) :]
    assert [message.text for message in messages] == [message.text for message in taken]
    assert ("i", {"kept": 1}) == (taken[2].id, taken[2].additional_kwargs)
    assert before == messages
