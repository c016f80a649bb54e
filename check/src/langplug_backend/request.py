"""What a client asked, in the same words for every dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DialectName = Literal["openai", "ollama", "anthropic", "cohere", "tgi"]
"""The wire that a client speaks. Ollama's `/v1` is `openai`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of the history.

    Attributes:
        role: The role, in the dialect's own word. A hoisted system prompt comes as a first message of role `system`.
        text: The text of all its text parts, put together.
        result: Whether it brings the results of tool calls and nothing else.
        raw: The message as it came.
    """

    role: str
    text: str
    result: bool = False
    raw: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for an answer.

    Attributes:
        dialect: The wire that it came on.
        path: The path of its URL.
        model: The model's name, as given.
        messages: The history, oldest first.
        text: What the user said last; the text of the last message of all where no user spoke.
        streaming: Whether a stream is asked for (a dialect's default counts).
        tools: The tools, as they came.
        tool_choice: `"auto"`, `"none"`, `"required"`, the name of one tool, or None where nothing was said.
        stop: The stop strings.
        max_tokens: The most tokens that the answer may have.
        n: How many answers are asked for.
        params: Everything else in the body.
    """

    dialect: DialectName
    path: str
    model: str
    messages: tuple[Said, ...]
    text: str
    streaming: bool
    tools: tuple[Any, ...] = ()
    tool_choice: str | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    n: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)


def text_of(content: Any) -> str:
    """Text of a message's content: a string, or the text parts of a list, put together."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(part if isinstance(part, str) else _part_text(part) for part in parts)


def _part_text(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else None
    return text if isinstance(text, str) else ""


def last_text(messages: tuple[Said, ...]) -> str:
    """What the user said last; the last message's text where no user spoke; `""` where there is none."""
    for said in reversed(messages):
        if said.role == "user" and not said.result:
            return said.text
    return messages[-1].text if messages else ""


def results(messages: tuple[Said, ...]) -> list[str]:
    """The tool results that the history ends with."""
    found: list[str] = []
    for said in reversed(messages):
        if not said.result:
            break
        found.insert(0, said.text)
    return found


def strings(value: Any) -> tuple[str, ...]:
    """A string, or a list of them, as a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value or () if isinstance(item, str))


def whole_number(value: Any) -> int | None:
    """An int, or None for everything else, `True` among it."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
