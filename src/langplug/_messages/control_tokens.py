"""Control tokens in what people write: text that names one must stay text.

A tokenizer makes a token of `<|im_end|>` wherever it stands in a prompt. In a user's message, or in what a tool has
found on the web, it would end the turn, and what follows could pose as a system prompt.
"""

import operator
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from langchain_core.messages import BaseMessage

_WORD_JOINER: Final = "\u2060"
"""Takes no room and allows no line break: a reader sees the text as it was, and so does a model, nearly."""

_UNUSED: Final = re.compile(r"(?i)unused|reserved|placeholder")
"""Tokens that mean nothing to any model; some vocabularies have thousands."""


_TEXTS: Final = ("content", "name", "role", "tool_calls", "invalid_tool_calls", "tool_call_id", "additional_kwargs")
"""Of a message, what a template may write into the prompt."""


def escape_control_tokens(messages: Sequence[BaseMessage], tokens: frozenset[str]) -> tuple[BaseMessage, ...] | None:
    """The messages with a word joiner in each of the `tokens` that they name; None if they name none.

    Args:
        messages: A conversation.
        tokens: The control tokens of the model that will read it, as text.
    """
    if not tokens or (pattern := _pattern(tokens)) is None:
        return None
    escaped: list[BaseMessage] = []
    for message in messages:
        given = {name: value for name in _TEXTS if (value := getattr(message, name, None))}
        changed = {name: new for name, value in given.items() if (new := _escape(value, pattern)) != value}
        escaped.append(message.model_copy(update=changed) if changed else message)
    return None if all(map(operator.is_, escaped, messages)) else tuple(escaped)


@lru_cache(maxsize=32)
def _pattern(tokens: frozenset[str]) -> re.Pattern[str] | None:
    wanted = sorted((one for one in tokens if len(one) > 1 and not _UNUSED.search(one)), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, wanted))) if wanted else None


def _escape(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        while pattern.search(value):  # what a joiner has parted may have hidden another token
            value = pattern.sub(lambda found: found[0][0] + _WORD_JOINER + found[0][1:], value)
        return value
    if isinstance(value, list):
        return [_escape(item, pattern) for item in value]
    if isinstance(value, dict):
        return {_escape(key, pattern): _escape(item, pattern) for key, item in value.items()}
    return value
