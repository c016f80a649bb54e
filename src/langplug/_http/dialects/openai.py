"""The conversation as OpenAI's chat completions take it: https://platform.openai.com/docs/api-reference/chat."""

from typing import Any

from langplug._messages.call_ids import fit_names
from langplug._request import Request


def messages(request: Request) -> list[dict[str, Any]]:
    """The messages, those with instructions among them; their names such as OpenAI takes them.

    Raises:
        ValueError: If a message or a content block has no counterpart there; the error names it.
    """
    return fit_names(request.openai_messages(), keep=True)


def tools(request: Request) -> list[dict[str, Any]] | None:
    """The tools, as they are bound."""
    return request.openai_tools() or None


def tool_choice(request: Request) -> Any:
    """Which tool must be called; None without tools."""
    return request.tool_choice if request.tools else None
