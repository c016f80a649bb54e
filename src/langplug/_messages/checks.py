"""The check of the conversation that a call brings, before the author gets it."""

from collections.abc import Callable, Sequence
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

from langplug._errors import advised
from langplug._messages.blocks import Block, modality_of, text_part, write_block
from langplug._messages.results import read_mcp_block, say_unshown

_KINDS = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)


def check_messages(
    messages: Sequence[BaseMessage],
    accepts: frozenset[str],
    owner: str,
    names: Callable[[], tuple[str, str]],
) -> tuple[tuple[BaseMessage, ...], tuple[str, ...]]:
    """The messages as the model can be given them, and what was done to them, in words.

    * What a model said itself may hold blocks that only its provider knows, such as the steps of a web search: they are
      left out, so that an agent can fall back to another model. So are they where this model said them, whose server
      has no place for them in a conversation; that is no change to what it is given, and not noted.
    * What a tool gave that the model cannot be shown is named in the result, in words: it must not end an agent. MCP's
      resources become text, or the medium that they hold.
    * What the user said is never cut.

    Args:
        messages: The conversation, oldest first.
        accepts: What the model takes besides text: `"image"`, `"audio"`, `"video"`, `"file"`, or a block's own type.
        owner: The model's class, for errors.
        names: Gives the model's name and its provider's, by which its own answers are known.

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
        else:
            absent = dict[str, None]()
            content = _check_blocks(message, f"$.messages[{number}]", accepts, owner, left_out=absent, unshown=unshown)
            if absent:
                name, provider = names()
                said = message.response_metadata
                # Servers report a longer name than they are asked for: `gpt-5-2025-08-07`.
                is_own = str(said.get("model_name")).startswith(name) and said.get("model_provider") == provider
                left_out |= {} if is_own else absent
        if content is not message.content:
            given[number] = message.model_copy(update={"content": content})
    notes = [f"left out what another model did: {', '.join(map(repr, left_out))}"] if left_out else []
    if unshown:
        notes.append(f"said in words what tools gave and the model does not take: {', '.join(map(repr, unshown))}")
    return tuple(given), tuple(notes)


def _check_blocks(
    message: BaseMessage,
    path: str,
    accepts: frozenset[str],
    owner: str,
    *,
    left_out: dict[str, None],
    unshown: dict[str, None],
) -> list[Any]:
    """The content of a message that is not a tool's as the model can be given it; the very same list if it is that."""
    content: list[Any] = cast("list[Any]", message.content)
    given: list[Any] = []
    for place, block in enumerate(content):
        where = f"{path}.content[{place}]"
        if isinstance(block, str):
            given.append(block)
            continue
        if not isinstance(block.get("type"), str):
            # langchain-core leaves such a block out of a message's text: the model would never see it
            raise ValueError(f"{where} is a block without a 'type': {block!r:.200}. Give it one, such as 'text'.")
        modality = modality_of(block)
        if modality == "text" or modality in accepts:
            inner = block.get("content") if block["type"] == "tool_result" else None
            shown = _show_result(inner, accepts, unshown) if isinstance(inner, list) else inner
            given.append(block if shown is inner else {**block, "content": shown})
        elif isinstance(message, AIMessage):
            left_out[block["type"]] = None
        else:
            raise advised(
                ValueError(f"{owner} takes text, not content of type {block['type']!r} ({where})."),
                f"If it can, set `accepts = frozenset({{{modality!r}}})`, in its class or its constructor.",
            )
    is_same = len(given) == len(content) and all(one is block for one, block in zip(given, content, strict=True))
    return content if is_same else given


def _is_text(block: Block) -> bool:
    """Whether a block of a result, of a kind that every model takes, has the text that it should, and may stand there.

    A model's own kinds may not, such as `reasoning`. A document's text may be in places that one API alone reads.
    """
    try:
        return block["type"] == "text-plain" or write_block(block, "", None) is not None
    except ValueError:
        return False


def _show_result(content: Any, accepts: frozenset[str], unshown: dict[str, None]) -> Any:
    """The content of a tool's result as the model can be shown it; the very same list if it can be shown all of it."""
    shown: list[Any] = []
    for block in content:
        if isinstance(block, str) or block.get("type") in accepts:
            shown.append(block)
            continue
        known = read_mcp_block(block)
        modality = modality_of(known)
        if isinstance(block.get("type"), str) and (_is_text(known) if modality == "text" else modality in accepts):
            shown.append(known)
        else:
            shown.append(text_part(say_unshown(block)))
            if isinstance(block.get("type"), str):  # else it is structured output, shown whole as JSON
                unshown[block["type"]] = None
    return content if all(new is block for new, block in zip(shown, content, strict=True)) else shown
