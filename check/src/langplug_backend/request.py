"""What a client asked for, in the same terms for every dialect."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

DialectName: TypeAlias = str
"""A wire that clients speak: `openai` (chat completions), `responses`, `ollama`, `anthropic`, `cohere` or `tgi`.
Ollama's `/v1` is `openai`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMessage:
    """One message of the history.

    Attributes:
        role: The role, in the dialect's own word. A system prompt that stands beside the messages comes first, with
            the role `system`.
        text: The text of all its text parts, joined.
        result: Whether it brings the results of tool calls and nothing else.
        raw: The message as it came.
    """

    role: str
    text: str
    result: bool = False
    raw: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A request for an answer.

    Attributes:
        dialect: The wire that it came on.
        path: The path of its URL.
        model: The model's name, as given.
        messages: The history, oldest first.
        text: The text of the user's last message; of the last message of all if none is a user's.
        streaming: Whether a stream is requested (a dialect's default counts).
        tools: The tools, as they came.
        tool_choice: `"auto"`, `"none"`, `"required"`, the name of one tool, or None if the request has none.
        stop: The stop strings.
        max_tokens: The most tokens that the answer may have.
        n: How many answers are requested.
        params: Everything else in the body.
    """

    dialect: DialectName
    path: str
    model: str
    messages: tuple[RequestMessage, ...]
    text: str
    streaming: bool
    tools: tuple[Any, ...] = ()
    tool_choice: str | None = None
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    n: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)


def read_message(message: Any) -> RequestMessage:
    """A message of a dialect that has `role` and `content`, and a role of its own for the results of tools."""
    message = message if isinstance(message, dict) else {}
    role = str(message.get("role"))
    # `function` is OpenAI's name for it from before there were tools.
    return RequestMessage(
        role=role, text=text_of(message.get("content")), result=role in {"tool", "function"}, raw=message
    )


def text_of(content: Any) -> str:
    """Text of a message's content: a string, or the text parts of a list, joined."""
    if isinstance(content, str):
        return content
    texts = []
    for part in content if isinstance(content, list) else []:
        text = part.get("text") if isinstance(part, dict) else part
        texts.append(text if isinstance(text, str) else "")
    return "".join(texts)


def last_text(messages: tuple[RequestMessage, ...]) -> str:
    """The text of the user's last message; the last message's if none is a user's; `""` if there is no message."""
    for message in reversed(messages):
        if message.role == "user" and not message.result:
            return message.text
    return messages[-1].text if messages else ""


def strings(value: Any) -> tuple[str, ...]:
    """A string, or the strings in a list, as a tuple."""
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value or () if isinstance(item, str))


def whole_number(value: Any) -> int | None:
    """An int; None for everything else, `True` included, which Python counts among the ints."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None
