"""Which of its own earlier thoughts a model is shown again.

Servers differ: DeepSeek and Kimi refuse a tool loop without the reasoning of its earlier turns, others refuse
reasoning in any message. So it is a policy of the model: never; those of the current turn, which
begins at the last human message; or all.
"""

from collections.abc import Sequence
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

KeepReasoning = Literal["never", "current", "all"]

_THOUGHTS = ("reasoning", "thinking")
"""Blocks that hold reasoning, under their own name: the standard one, and Anthropic's."""


def thought_of(message: BaseMessage) -> str:
    """The reasoning that an AI message holds, in standard blocks or in `additional_kwargs`; empty if none."""
    if not isinstance(message, AIMessage):
        return ""
    blocks = (
        [block for block in message.content if isinstance(block, dict)] if isinstance(message.content, list) else []
    )
    thoughts = [str(block.get(block["type"]) or "") for block in blocks if block.get("type") in _THOUGHTS]
    return "".join(thoughts) or str(message.additional_kwargs.get("reasoning_content") or "")


def kept_thoughts(messages: Sequence[BaseMessage], policy: KeepReasoning) -> dict[int, str]:
    """The reasoning to show again, by the number of the message that it belongs to."""
    if policy == "never":
        return {}
    first = 0 if policy == "all" else _current_turn(messages)
    thoughts = {number: thought_of(message) for number, message in enumerate(messages) if number >= first}
    return {number: thought for number, thought in thoughts.items() if thought}


def without_old_thoughts(messages: Sequence[BaseMessage], policy: KeepReasoning) -> Sequence[BaseMessage]:
    """The messages without the reasoning that `"current"` does not keep; with another policy, the very same."""
    if policy != "current":
        return messages
    first = _current_turn(messages)
    return [_thoughtless(message) if number < first else message for number, message in enumerate(messages)]


def spoken_thoughts(messages: Sequence[BaseMessage], policy: KeepReasoning) -> list[BaseMessage]:
    """The messages with the reasoning to show again in their text, in the tags that most models think in."""
    kept = kept_thoughts(messages, policy)
    return [
        message.model_copy(update={"content": f"<think>\n{kept[number]}\n</think>\n\n{message.text}"})
        if number in kept
        else message
        for number, message in enumerate(messages)
    ]


def _thoughtless(message: BaseMessage) -> BaseMessage:
    if not thought_of(message):
        return message
    content = message.content
    if isinstance(content, list):
        content = [block for block in content if isinstance(block, str) or block.get("type") not in _THOUGHTS]
    kwargs = {key: value for key, value in message.additional_kwargs.items() if not key.startswith("reasoning_")}
    return message.model_copy(update={"content": content, "additional_kwargs": kwargs})


def _current_turn(messages: Sequence[BaseMessage]) -> int:
    humans = [number for number, message in enumerate(messages) if isinstance(message, HumanMessage)]
    return humans[-1] if humans else 0
