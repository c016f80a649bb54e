"""The conversation that a call brings, looked at before the author gets it."""

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

_KINDS = (SystemMessage, HumanMessage, AIMessage, ToolMessage, FunctionMessage, ChatMessage)

_TEXT_LIKE = frozenset({
    "text", "text-plain", "reasoning", "reasoning_content", "thinking", "redacted_thinking", "refusal", "citations",
    "tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "tool_result", "input_json_delta",
    "function_call", "server_tool_call", "server_tool_call_chunk", "server_tool_result",
})  # fmt: skip
"""Blocks that every model can be given: text, and what goes with it in a history."""

_MEDIA = {
    "image_url": "image", "input_image": "image", "input_audio": "audio", "audio_url": "audio",
    "video_url": "video", "input_video": "video", "document": "file", "input_file": "file", "media": "file",
}  # fmt: skip
"""Names under which integrations send a medium, and the medium."""


def checked(messages: Sequence[BaseMessage], accepts: frozenset[str], owner: str) -> tuple[BaseMessage, ...]:
    """The messages, if `owner` can be given them.

    Raises:
        ValueError: If there are none, or one of a kind that no model understands, or content that this model does
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
        if isinstance(message.content, list):
            _check_content(message.content, f"$.messages[{number}].content", accepts, owner)
    return tuple(messages)


def _check_content(content: Sequence[object], path: str, accepts: frozenset[str], owner: str) -> None:
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            continue
        kind = str(block.get("type", "text" if "text" in block else "unknown"))
        if kind not in _TEXT_LIKE and _MEDIA.get(kind, kind) not in accepts:
            medium = _MEDIA.get(kind, kind)
            raise ValueError(
                f"{owner} takes text, not content of type {kind!r} ({path}[{number}]). "
                f"If it can, write `accepts = frozenset({{{medium!r}}})` in its class."
            )
