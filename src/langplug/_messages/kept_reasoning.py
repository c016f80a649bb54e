"""Which of its own earlier reasoning a model is shown again.

Servers differ: DeepSeek and Kimi refuse a tool loop without the reasoning of its earlier turns, others refuse
reasoning in any message. So it is a policy of the model: never; only that of the current turn, which begins at the last
human message; or all.
"""

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langplug._families import THINK
from langplug._messages.blocks import unwrap_block
from langplug._messages.carried import drop_carried_reasoning

KeepReasoning = Literal["never", "current", "all"]

ReasoningAs = Literal["reasoning_content", "reasoning", "both", "think_tags"]
"""Where a server reads earlier reasoning: in one of two fields of the message, in both (what a server does not know, it
mostly leaves alone), or in the text, between `<think>` and `</think>`. DeepSeek's API, Moonshot, llama.cpp and older
vLLM have `reasoning_content`; vLLM from 0.20 on and OpenRouter `reasoning`; MiniMax's models on vLLM the tags."""

_BLOCKS = ("reasoning", "thinking")
"""Blocks that hold reasoning, in a member of the same name: the standard one, and Anthropic's."""


def reasoning_of(message: BaseMessage) -> str:
    """The reasoning that an AI message holds, in blocks or in `additional_kwargs`; empty if it holds none."""
    if not isinstance(message, AIMessage):
        return ""
    found = ""
    for block in message.content if isinstance(message.content, list) else ():
        if isinstance(block, dict) and block.get("type") in _BLOCKS:
            found += str(block.get(block["type"]) or "")
    # a message may hold the same reasoning in both places: the blocks come first
    return found or str(message.additional_kwargs.get("reasoning_content") or "")


def select_reasoning(messages: Sequence[BaseMessage], policy: KeepReasoning) -> dict[int, str]:
    """The reasoning to show again, by the number of the message that it belongs to."""
    kept = range(first_kept(messages, policy), len(messages))
    return {number: reasoning for number in kept if (reasoning := reasoning_of(messages[number]))}


def first_kept(messages: Sequence[BaseMessage], policy: KeepReasoning) -> int:
    """The number of the first message whose reasoning is shown again, if it has any."""
    if policy == "never":
        return len(messages)
    return _start_of_current_turn(messages) if policy == "current" else 0


def add_reasoning(turn: dict[str, Any], reasoning: str, place: ReasoningAs) -> None:
    """Put earlier reasoning into the OpenAI message `turn`, where its server reads it."""
    if place != "think_tags":
        turn |= dict.fromkeys(("reasoning_content", "reasoning") if place == "both" else (place,), reasoning)
    elif reasoning:
        content = turn["content"]
        before = {"type": "text", "text": in_think_tags(reasoning, "")}
        turn["content"] = in_think_tags(reasoning, content) if isinstance(content, str) else [before, *content]


def drop_old_reasoning(messages: Sequence[BaseMessage], policy: KeepReasoning) -> Sequence[BaseMessage]:
    """The messages without the reasoning that `"current"` does not keep; with another policy, the very same."""
    if policy != "current":
        return messages
    kept = list(messages)
    for number, message in enumerate(messages[: _start_of_current_turn(messages)]):
        if not isinstance(message, AIMessage):
            continue
        content = message.content
        if isinstance(content, list):
            # encrypted reasoning, which has no text, as well
            kinds = (*_BLOCKS, "redacted_thinking")
            content = [
                block for block in content if isinstance(block, str) or unwrap_block(block).get("type") not in kinds
            ]
        kwargs = {key: value for key, value in message.additional_kwargs.items() if not key.startswith("reasoning_")}
        kwargs = drop_carried_reasoning(kwargs, [call["id"] for call in message.tool_calls])
        if content != message.content or kwargs != message.additional_kwargs:
            kept[number] = message.model_copy(update={"content": content, "additional_kwargs": kwargs})
    return kept


def write_reasoning_in_tags(
    messages: Sequence[BaseMessage], policy: KeepReasoning, tags: tuple[str, str] = THINK
) -> list[BaseMessage]:
    """The messages with the reasoning to show again in their text, in the tags that the model reasons in."""
    shown = list(messages)
    for number, reasoning in select_reasoning(messages, policy).items():
        text = in_think_tags(reasoning, str(messages[number].text), tags)
        shown[number] = messages[number].model_copy(update={"content": text})
    return shown


def in_think_tags(reasoning: str, text: str, tags: tuple[str, str] = THINK) -> str:
    """`text` after `reasoning`, as most models write both."""
    return f"{tags[0]}\n{reasoning}\n{tags[1]}\n\n{text}"


def _start_of_current_turn(messages: Sequence[BaseMessage]) -> int:
    """The number of the last human message; 0 where no human has spoken."""
    return max((number for number, message in enumerate(messages) if isinstance(message, HumanMessage)), default=0)
