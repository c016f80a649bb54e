"""The names of Anthropic's Messages API: https://docs.anthropic.com/en/api/messages.

Its streaming events are described at https://docs.anthropic.com/en/docs/build-with-claude/streaming, its errors at
https://docs.anthropic.com/en/api/errors.
"""

from collections.abc import Mapping
from typing import Final

VERSION_HEADER: Final = "anthropic-version"
"""By which a client says that it speaks this API, on paths that others have, too."""

THINKING: Final = "thinking"
REDACTED: Final = "redacted_thinking"

THOUGHTS: Final = (THINKING, REDACTED)
"""Blocks of reasoning: one to be read, and one that the provider keeps to itself, encrypted."""

CHOICE_BY_WORD: Final[Mapping[str, str]] = {"auto": "auto", "required": "any", "none": "none"}
"""`tool_choice.type` by the word of chat completions; beside these there is `tool`, which names one."""

WORD_BY_CHOICE: Final[Mapping[str, str]] = {choice: word for word, choice in CHOICE_BY_WORD.items()}
"""The other way round."""

FINISH_BY_STOP_REASON: Final[Mapping[str, str]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Finish reasons, in the terms of chat completions, by `stop_reason`."""

OWN_STOP_REASONS: Final = frozenset({"pause_turn", "model_context_window_exceeded"})
"""Those without a counterpart in chat completions."""

NO_THREADS: Final = "thread_unsupported_request"
"""The code in an error's details at which the SDK's tool runner goes on without a thread: it sends the whole
conversation each time."""

STATUS_BY_ERROR: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The status of each type of error."""
