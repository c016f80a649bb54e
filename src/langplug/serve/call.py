"""What a client asks, whatever the wire."""

from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import BaseMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """What one call of a graph goes on with.

    Attributes:
        id: The graph's `thread_id`.
        answer: What identifies the answer to this call, without the wire's prefix.
        before: The id of the answer that it goes on from; None to begin, or to go on with a user's last one.
        is_users: Whether it is the only thread of a user, and the call may repeat what is in it.
    """

    id: str
    answer: str
    before: str | None = None
    is_users: bool = False


@dataclass(slots=True, kw_only=True)
class Call:
    """One request for an answer.

    Attributes:
        model: The id of the model, as the client gave it.
        messages: The conversation, oldest first.
        tools: Functions, as chat completions have them.
        tool_choice: `"auto"`, `"none"`, `"required"`, or the choice of a function as chat completions have it.
        schema: `response_format`, as chat completions have it.
        n: How many answers are wanted.
        parameters: Parameters of the model, by LangChain's names.
        limit: How many tokens the answer may have, where the model has no parameter for that.
        stream: Whether the answer is wanted as it comes.
        include_usage: Whether a stream is to tell what was used.
        user: Whom the client asks for.
        previous: The id of the answer that this goes on from, on a wire that has that.
        stores: Whether one may go on from this answer; None on a wire that has no say in it.
        notes: What was left out of what was asked.
        thread: What it goes on with, once that is known; None if it says everything itself.
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
    limit: int | None = None
    stream: bool = False
    include_usage: bool = True
    user: str | None = None
    previous: str | None = None
    stores: bool | None = None
    notes: list[str] = field(default_factory=list)
    thread: Thread | None = None
    counts_only: bool = False

    @property
    def tells_usage(self) -> bool:
        """Whether the answer tells what was used."""
        return self.include_usage or not self.stream
