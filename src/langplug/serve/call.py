"""What a client asks, whatever the wire."""

from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage


@dataclass(slots=True, kw_only=True)
class Call:
    """One request for an answer.

    Attributes:
        model: The id of the model, as the client gave it.
        messages: The conversation, oldest first.
        tools: Functions, as chat completions have them.
        tool_choice: `"auto"`, `"none"`, `"required"`, or the choice of a function as chat completions have it.
        schema: `response_format`, as chat completions have it.
        parameters: Parameters of the model, by LangChain's names.
        stream: Whether the answer is wanted as it comes.
        user: Whom the client asks for.
        notes: What was left out of what was asked.
        counts_only: Whether nothing is asked but how many tokens all this has: the `usage` of an `Ending` says it.
    """

    model: str
    messages: list[BaseMessage]
    tools: list[dict[str, Any]] = field(default_factory=list)
    tool_choice: str | dict[str, Any] | None = None
    schema: dict[str, Any] | None = None
    stop: list[str] = field(default_factory=list)
    n: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    stream: bool = False
    include_usage: bool = True
    user: str | None = None
    notes: list[str] = field(default_factory=list)
    counts_only: bool = False
