"""How the APIs of the world write a conversation: small pure mappings, by the name of the API and of the part."""

from collections.abc import Callable, Mapping
from typing import Any

from langplug._http.dialects import anthropic, cohere, ollama, openai
from langplug._http.dialects.openai_parts import system_text
from langplug._request import Request

__all__ = ["DIALECTS", "system_text"]

DIALECTS: Mapping[str, Mapping[str, Callable[[Request], Any]]] = {
    "openai": {"messages": openai.messages, "tools": openai.tools, "tool_choice": openai.tool_choice},
    "anthropic": {
        "system": anthropic.system,
        "messages": anthropic.messages,
        "tools": anthropic.tools,
        "tool_choice": anthropic.tool_choice,
    },
    "ollama": {"messages": ollama.messages},
    "cohere": {"messages": cohere.messages, "tools": cohere.tools, "tool_choice": cohere.tool_choice},
}
