"""The conversation as Cohere's second API has it: https://docs.cohere.com/reference/chat."""

from collections.abc import Mapping
from typing import Any

from langplug._http.dialects.turns import Conversation, blocks_of, turns_of, unfit
from langplug._messages.kept_reasoning import select_reasoning

_CHOICES = {"required": "REQUIRED", "none": "NONE"}
_ACCEPTED = ("text", "image_url")


def messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The messages, which are close to OpenAI's. An answer has content, calls or both, but no empty text.

    Raises:
        ValueError: If there is a medium other than an image.
    """
    thoughts = select_reasoning(conversation.messages, conversation.keep_reasoning)
    return [
        _message(turn, thoughts.get(number, "") if turn["role"] == "assistant" else "", path)
        for number, _, turn, path in turns_of(conversation.messages)
    ]


def tool_choice(conversation: Conversation) -> str | None:
    """Whether a tool must be called; which one cannot be said, so a named one is asked for as any."""
    if not conversation.tools or conversation.tool_choice is None:
        return None
    choice = conversation.tool_choice
    return "REQUIRED" if isinstance(choice, Mapping) else _CHOICES.get(choice)


def tools(conversation: Conversation) -> list[dict[str, Any]] | None:
    """The tools; where one is to be called by its name, that one alone."""
    choice = conversation.tool_choice
    wanted = choice["function"]["name"] if isinstance(choice, Mapping) else None
    return [dict(tool) for tool in conversation.tools if wanted in (None, tool["function"]["name"])] or None


def _message(turn: Mapping[str, Any], thought: str, path: str) -> dict[str, Any]:
    parts = blocks_of(dict(turn))
    for part in parts:
        if part["type"] not in _ACCEPTED:
            raise unfit(path, part, "Cohere's API", "text and images")
    more = {name: turn[name] for name in ("tool_calls", "tool_call_id") if name in turn}
    content: Any = turn["content"] if isinstance(turn["content"], str) else parts
    if thought and "tool_calls" in turn:
        more["tool_plan"] = thought
    elif thought:
        content = [{"type": "thinking", "thinking": thought}, *parts]
    kept = {"content": content} if content or "tool_calls" not in turn else {}
    return {"role": "system" if turn["role"] == "developer" else turn["role"], **kept, **more}
