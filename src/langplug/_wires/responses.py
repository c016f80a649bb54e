"""The names of OpenAI's Responses API: https://platform.openai.com/docs/api-reference/responses.

Its streaming events are described at https://platform.openai.com/docs/api-reference/responses-streaming.
"""

from collections.abc import Mapping
from typing import Any, Final

PATH: Final = "responses"
"""Below the base URL."""

REASONING_INCLUDE: Final = "reasoning.encrypted_content"
"""What `include` must hold for reasoning to come back in a form that a server can read again that stores nothing."""

LOGPROBS_INCLUDE: Final = "message.output_text.logprobs"
"""What it must hold for the text to come with how likely each token was."""

# --- events of a stream ---

CREATED: Final = "response.created"
IN_PROGRESS: Final = "response.in_progress"
QUEUED: Final = "response.queued"
COMPLETED: Final = "response.completed"
INCOMPLETE: Final = "response.incomplete"
FAILED: Final = "response.failed"
ERROR: Final = "error"

ITEM_ADDED: Final = "response.output_item.added"
ITEM_DONE: Final = "response.output_item.done"
PART_ADDED: Final = "response.content_part.added"
PART_DONE: Final = "response.content_part.done"
TEXT_DELTA: Final = "response.output_text.delta"
TEXT_DONE: Final = "response.output_text.done"
ANNOTATION_ADDED: Final = "response.output_text.annotation.added"
REFUSAL_DELTA: Final = "response.refusal.delta"
REFUSAL_DONE: Final = "response.refusal.done"
ARGUMENTS_DELTA: Final = "response.function_call_arguments.delta"
ARGUMENTS_DONE: Final = "response.function_call_arguments.done"
INPUT_DELTA: Final = "response.custom_tool_call_input.delta"
INPUT_DONE: Final = "response.custom_tool_call_input.done"
SUMMARY_PART_ADDED: Final = "response.reasoning_summary_part.added"
SUMMARY_PART_DONE: Final = "response.reasoning_summary_part.done"
SUMMARY_DELTA: Final = "response.reasoning_summary_text.delta"
SUMMARY_DONE: Final = "response.reasoning_summary_text.done"
REASONING_DELTA: Final = "response.reasoning_text.delta"
REASONING_DONE: Final = "response.reasoning_text.done"

LAST_EVENTS: Final = frozenset({COMPLETED, INCOMPLETE, FAILED})
"""One of them ends a stream, with the whole response; after `error`, none may come."""

# --- items of the input and the output ---

MESSAGE: Final = "message"
FUNCTION_CALL: Final = "function_call"
FUNCTION_OUTPUT: Final = "function_call_output"
CUSTOM_CALL: Final = "custom_tool_call"
CUSTOM_OUTPUT: Final = "custom_tool_call_output"
REASONING: Final = "reasoning"

CALL_ITEMS: Final[Mapping[str, str]] = {FUNCTION_CALL: FUNCTION_OUTPUT, CUSTOM_CALL: CUSTOM_OUTPUT}
"""Items with which a model calls a tool of the client's, and those with which the client answers them."""

# --- why an answer ended ---

FINISH_OF_INCOMPLETE: Final[Mapping[str, str]] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Finish reasons, in the terms of chat completions, by `incomplete_details.reason`."""

INCOMPLETE_BY_FINISH: Final[Mapping[str, str]] = {finish: reason for reason, finish in FINISH_OF_INCOMPLETE.items()}
"""The other way round: of any other finish reason, the response is `completed`."""


def finish_reason(response: Mapping[str, Any]) -> str | None:
    """Why `response` ended, in the terms of chat completions; None if it has not, or not as an answer does."""
    if response.get("status") == "incomplete":
        reason = (response.get("incomplete_details") or {}).get("reason")
        return FINISH_OF_INCOMPLETE.get(reason, reason) if reason else "length"
    if response.get("status") != "completed":
        return None
    kinds = {item.get("type") for item in response.get("output") or ()}
    return "tool_calls" if kinds & CALL_ITEMS.keys() else "stop"


# --- how much it took ---

USAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "prompt_tokens": ("input_tokens",),
    "completion_tokens": ("output_tokens",),
    "total_tokens": ("total_tokens",),
    "cached_tokens": ("input_tokens_details", "cached_tokens"),
    "reasoning_tokens": ("output_tokens_details", "reasoning_tokens"),
}
"""Where a response's `usage` has what chat completions call so."""

# --- function tools and the format of the text, flat here and nested in chat completions ---

FUNCTION_KEYS: Final = ("name", "description", "parameters", "strict")
"""The members of a function tool, which stand beside its `type`."""

FORMAT_KEYS: Final = ("name", "description", "schema", "strict")
"""The members of `text.format` of the type `json_schema`."""
