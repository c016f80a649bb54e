"""How the wires of the world write a conversation: small pure mappings, by the name of the wire and of the part."""

from collections.abc import Callable, Mapping
from typing import Any

from langplug._http.dialects import anthropic, cohere, ollama, openai
from langplug._http.dialects.turns import Conversation, system_text

__all__ = ["DIALECTS", "Conversation", "system_text"]

DIALECTS: Mapping[str, Mapping[str, Callable[[Conversation], Any]]] = {
    "openai": {"messages": openai.messages, "tools": openai.tools, "tool_choice": openai.tool_choice},
    "anthropic": {
        "system": system_text,
        "messages": anthropic.messages,
        "tools": anthropic.tools,
        "tool_choice": anthropic.tool_choice,
    },
    "ollama": {"messages": ollama.messages},
    "cohere": {"messages": cohere.messages, "tools": cohere.tools, "tool_choice": cohere.tool_choice},
}
