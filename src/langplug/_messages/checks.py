"""The check of the conversation that a call brings, before the author gets it."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._messages.blocks import modality_of

_KINDS = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)


def check_messages(
    messages: Sequence[BaseMessage], accepts: frozenset[str], owner: str
) -> tuple[tuple[BaseMessage, ...], tuple[str, ...]]:
    """The messages as the model can be given them, and the types of the blocks that were left out of them.

    What a model said itself may hold blocks that only its provider knows, such as the steps of a web search: they are
    left out, so that an agent can fall back to another model. What it was told is never cut.

    Args:
        messages: The conversation, oldest first.
        accepts: What the model takes besides text: `"image"`, `"audio"`, `"video"`, `"file"`, or a block's own type.
        owner: The model's class, for errors.

    Raises:
        ValueError: If there is none, or one of a kind that no model understands, or content of the caller's that this
            model does not accept: dropping it would make it answer about something that it never saw.
    """
    if not messages:
        raise ValueError(f"{owner} was given no message. Give it at least one, such as HumanMessage('Hello').")
    given, left_out = list(messages), dict[str, None]()
    for number, message in enumerate(messages):
        if not isinstance(message, _KINDS):
            raise ValueError(
                f"{owner} cannot be given a {type(message).__name__} ($.messages[{number}]). "
                "What it takes: system, human, AI, tool, function and chat messages."
            )
        if isinstance(message.content, str):
            continue
        unknown = _unknown_blocks(message, f"$.messages[{number}]", accepts, owner)
        if unknown:
            kept = [block for block in message.content if not any(block is one for one in unknown)]
            given[number] = message.model_copy(update={"content": kept})
            left_out |= dict.fromkeys(block["type"] for block in unknown)
    return tuple(given), tuple(left_out)


def _unknown_blocks(message: BaseMessage, path: str, accepts: frozenset[str], owner: str) -> list[dict[str, Any]]:
    """The blocks of a model's own message that this model does not take; of another message, they are an error."""
    unknown: list[dict[str, Any]] = []
    for place, block in enumerate(message.content):
        where = f"{path}.content[{place}]"
        if isinstance(block, str):
            continue
        if not isinstance(block.get("type"), str):
            # langchain-core leaves such a block out of a message's text: the model would never see it
            raise ValueError(f"{where} is a block without a 'type': {block!r:.200}. Give it one, such as 'text'.")
        modality = modality_of(block)
        if modality == "text" or modality in accepts:
            continue
        if not isinstance(message, AIMessage):
            raise ValueError(
                f"{owner} takes text, not content of type {block['type']!r} ({where}). "
                f"If it can, set `accepts = frozenset({{{modality!r}}})`, in its class or its constructor."
            )
        unknown.append(block)
    return unknown
