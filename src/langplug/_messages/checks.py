"""The check of the conversation that a call brings, before the author gets it."""

from collections.abc import Sequence

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


def check_messages(messages: Sequence[BaseMessage], accepts: frozenset[str], owner: str) -> tuple[BaseMessage, ...]:
    """Return the messages, if the model can be given them.

    Args:
        messages: The conversation, oldest first.
        accepts: What the model takes besides text: `"image"`, `"audio"`, `"video"`, `"file"`, or a block's own type.
        owner: The model's class, for errors.

    Raises:
        ValueError: If there is none, or one of a kind that no model understands, or content that this model does
            not accept: dropping it would make it answer about something that it never saw.
    """
    if not messages:
        raise ValueError(f"{owner} was given no message. Give it at least one, such as HumanMessage('Hello').")
    for number, message in enumerate(messages):
        if not isinstance(message, _KINDS):
            raise ValueError(
                f"{owner} cannot be given a {type(message).__name__} ($.messages[{number}]). "
                "What it takes: system, human, AI, tool, function and chat messages."
            )
        for place, block in enumerate(message.content if isinstance(message.content, list) else ()):
            path = f"$.messages[{number}].content[{place}]"
            if isinstance(block, str):
                continue
            if not isinstance(block.get("type"), str):
                # langchain-core leaves such a block out of a message's text: the model would never see it
                raise ValueError(f"{path} is a block without a 'type': {block!r:.200}. Give it one, such as 'text'.")
            modality = modality_of(block)
            if modality != "text" and modality not in accepts:
                raise ValueError(
                    f"{owner} takes text, not content of type {block['type']!r} ({path}). "
                    f"If it can, set `accepts = frozenset({{{modality!r}}})`, in its class or its constructor."
                )
    return tuple(messages)
