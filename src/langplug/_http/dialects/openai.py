"""The conversation as OpenAI's chat completions have it: https://platform.openai.com/docs/api-reference/chat."""

from typing import Any

from langplug._http.dialects.turns import Conversation
from langplug._messages.openai import to_openai_messages


def messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages, all roles among them.

    Raises:
        ValueError: If a message or a content block has no counterpart there; it is named.
    """
    return to_openai_messages(conversation.messages, conversation.keep_reasoning)


def tools(conversation: Conversation) -> list[dict[str, Any]] | None:
    """The tools, as they are bound."""
    return [dict(tool) for tool in conversation.tools] or None


def tool_choice(conversation: Conversation) -> Any:
    """Which tool must be called; None without tools."""
    return conversation.tool_choice if conversation.tools else None
