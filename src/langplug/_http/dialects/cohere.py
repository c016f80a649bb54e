"""The conversation as version 2 of Cohere's chat API takes it: https://docs.cohere.com/reference/chat."""

from collections.abc import Mapping
from typing import Any

from langplug._http.dialects.openai_parts import content_parts, openai_messages_of, unsupported_part
from langplug._messages.blocks import join_texts
from langplug._messages.kept_reasoning import select_reasoning
from langplug._request import Request

_CHOICES = {"required": "REQUIRED", "none": "NONE"}


def messages(request: Request) -> list[dict[str, Any]]:
    """The messages, which are close to OpenAI's. An answer has content, calls or both, but no empty text.

    Raises:
        ValueError: If there is a medium other than an image.
    """
    reasoning = select_reasoning(request.messages, request.keep_reasoning)
    written: list[dict[str, Any]] = []
    for number, _, message, path in openai_messages_of(request.messages):
        parts = [{key: part[key] for key in part if key in ("type", part["type"])} for part in content_parts(message)]
        for part in parts:
            if part["type"] not in ("text", "image_url"):
                raise unsupported_part(path, part, "Cohere's API", "text and images")
        content: Any = message["content"]
        if isinstance(content, list):
            content = join_texts(parts, message["role"], drop_keys=True)
        more: dict[str, Any] = {key: message[key] for key in ("tool_calls", "tool_call_id") if key in message}
        if message["role"] == "assistant" and (thought := reasoning.get(number)):
            if "tool_calls" in message:
                more["tool_plan"] = thought  # where the API has reasoning before calls
            else:
                content = [{"type": "thinking", "thinking": thought}, *parts]
        if content or "tool_calls" not in message:
            more["content"] = content
        written.append({"role": "system" if message["role"] == "developer" else message["role"], **more})
    return written


def tool_choice(request: Request) -> str | None:
    """Whether a tool must be called. Which one cannot be said: `tools` has that one alone."""
    if not request.tools or request.tool_choice is None:
        return None
    choice = request.tool_choice
    return "REQUIRED" if isinstance(choice, Mapping) else _CHOICES.get(choice)


def tools(request: Request) -> list[dict[str, Any]] | None:
    """The tools; where one must be called by name, that one alone."""
    choice = request.tool_choice
    wanted = choice["function"]["name"] if isinstance(choice, Mapping) else None
    return [dict(tool) for tool in request.tools if wanted in (None, tool.get("function", {}).get("name"))] or None
