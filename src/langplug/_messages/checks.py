"""The check of the conversation that a call brings, before the author gets it."""

from collections.abc import Sequence
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._messages.blocks import Block, modality_of, text_part
from langplug._messages.results import read_mcp_block, say_unshown

_KINDS = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)


def check_messages(
    messages: Sequence[BaseMessage], accepts: frozenset[str], owner: str
) -> tuple[tuple[BaseMessage, ...], tuple[str, ...]]:
    """The messages as the model can be given them, and what was done to them, in words.

    * What a model said itself may hold blocks that only its provider knows, such as the steps of a web search: they are
      left out, so that an agent can fall back to another model.
    * What a tool gave that the model cannot be shown is named in the result, in words: it must not end an agent. MCP's
      resources become text, or the medium that they hold.
    * What the user said is never cut.

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
    given, left_out, unshown = list(messages), dict[str, None](), dict[str, None]()
    for number, message in enumerate(messages):
        if not isinstance(message, _KINDS):
            raise ValueError(
                f"{owner} cannot be given a {type(message).__name__} ($.messages[{number}]). "
                "What it takes: system, human, AI, tool, function and chat messages."
            )
        if isinstance(message.content, str):
            continue
        if isinstance(message, ToolMessage | FunctionMessage):
            content = _show_result(message.content, accepts, unshown)
        elif isinstance(message, AIMessage):
            content = _own_blocks(message, f"$.messages[{number}]", accepts, left_out)
        else:
            _refuse_unknown_blocks(message, f"$.messages[{number}]", accepts, owner)
            content = _show_results_within(message.content, accepts, unshown)
        if content is not message.content:
            given[number] = message.model_copy(update={"content": content})
    notes = [f"left out what another model did: {', '.join(map(repr, left_out))}"] if left_out else []
    if unshown:
        notes.append(f"said in words what tools gave and the model does not take: {', '.join(map(repr, unshown))}")
    return tuple(given), tuple(notes)


def _own_blocks(message: AIMessage, path: str, accepts: frozenset[str], left_out: dict[str, None]) -> list[Any]:
    """The blocks of a model's own message that this model takes; the very same list if it takes all."""
    content: list[Any] = cast("list[Any]", message.content)
    kept: list[Any] = []
    for place, block in enumerate(content):
        if _is_accepted(block, f"{path}.content[{place}]", accepts):
            kept.append(block)
        else:
            left_out[str(block["type"])] = None
    return content if len(kept) == len(content) else kept


def _refuse_unknown_blocks(message: BaseMessage, path: str, accepts: frozenset[str], owner: str) -> None:
    for place, block in enumerate(message.content):
        where = f"{path}.content[{place}]"
        if not _is_accepted(block, where, accepts):
            kind, modality = cast("Block", block)["type"], modality_of(cast("Block", block))
            raise ValueError(
                f"{owner} takes text, not content of type {kind!r} ({where}). "
                f"If it can, set `accepts = frozenset({{{modality!r}}})`, in its class or its constructor."
            )


def _is_accepted(block: str | dict[str, Any], path: str, accepts: frozenset[str]) -> bool:
    if isinstance(block, str):
        return True
    if not isinstance(block.get("type"), str):
        # langchain-core leaves such a block out of a message's text: the model would never see it
        raise ValueError(f"{path} is a block without a 'type': {block!r:.200}. Give it one, such as 'text'.")
    modality = modality_of(block)
    return modality == "text" or modality in accepts


def _show_results_within(content: Any, accepts: frozenset[str], unshown: dict[str, None]) -> Any:
    """The content of a user's message, with the results that it holds as the model can be shown them."""
    shown: list[Any] = []
    for block in content:
        is_result = isinstance(block, dict) and block.get("type") == "tool_result"
        inner = block.get("content") if is_result else None
        new = _show_result(inner, accepts, unshown) if isinstance(inner, list) else inner
        shown.append(block if new is inner else {**block, "content": new})
    return content if all(new is block for new, block in zip(shown, content, strict=True)) else shown


def _show_result(content: Any, accepts: frozenset[str], unshown: dict[str, None]) -> Any:
    """The content of a tool's result as the model can be shown it; the very same list if it can be shown all of it."""
    shown: list[Any] = []
    for block in content:
        if isinstance(block, str) or block.get("type") in accepts:
            shown.append(block)
            continue
        known = read_mcp_block(block)
        modality = modality_of(known)
        if isinstance(block.get("type"), str) and (modality == "text" or modality in accepts):
            shown.append(known)
        else:
            shown.append(text_part(say_unshown(block)))
            if isinstance(block.get("type"), str):  # else it is structured output, shown whole as JSON
                unshown[block["type"]] = None
    return content if all(new is block for new, block in zip(shown, content, strict=True)) else shown
