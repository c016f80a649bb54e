"""Finish reasons in the places where servers put them that only resemble OpenAI's.

A client that looks for the reason in one place takes these answers for cut off, or never sees them end.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from langplug_backend.faults.content import edit_json
from langplug_backend.faults.kind import fault_kind
from langplug_backend.response import Event, FakeResponse

openai_stream = partial(fault_kind, streams=True, dialects=("openai",))


@openai_stream()
def finish_empty_first(response: FakeResponse, *_: object) -> FakeResponse:
    """Every event but the last has the finish reason ''."""
    # SGLang (sgl-project/sglang#3912) and Ollama (ollama/ollama#4357) wrote "" where null belongs.
    return _edit_choices(response, lambda choice: {**choice, "finish_reason": choice["finish_reason"] or ""})


@openai_stream()
def finish_in_delta(response: FakeResponse, *_: object) -> FakeResponse:
    """The finish reason is in the delta."""

    def move(choice: dict[str, Any]) -> dict[str, Any]:
        reason = choice["finish_reason"]
        rest = {key: value for key, value in choice.items() if key != "finish_reason"}
        return {**rest, "delta": {**choice["delta"], "finish_reason": reason}} if reason else rest

    return _edit_choices(response, move)


@fault_kind(dialects=("openai",))
def finish_top_level(response: FakeResponse, *_: object) -> FakeResponse:
    """The finish reason is beside the choices."""
    events = []
    for event in response.events:
        bare = _edit_event(event, lambda choice: {key: it for key, it in choice.items() if key != "finish_reason"})
        reason = finish_reason(event)
        events.append(replace(bare, data={**bare.data, "finish_reason": reason}) if reason else bare)
    return replace(response, events=tuple(events))


@openai_stream()
def finish_on_usage(response: FakeResponse, *_: object) -> FakeResponse:
    """The finish reason comes with the usage, one event late."""
    # Mistral sends both in one event, OpenAI in two (deepset-ai/haystack#9046).
    events = list(response.events)
    at = next((number for number, event in enumerate(events) if event.finish), None)
    if at is None:
        return response
    finish = events[at]
    events[at] = replace(_edit_event(finish, lambda choice: {**choice, "finish_reason": None}), finish=False)
    following = (events[at + 1].data or {}) if at + 1 < len(events) else {}
    if "usage" in following:
        events[at + 1] = replace(finish, data={**finish.data, "usage": following["usage"]})
    else:
        events.insert(at + 1, finish)
    return replace(response, events=tuple(events))


@openai_stream()
def finish_repeated(response: FakeResponse, *_: object) -> FakeResponse:
    """The finish reason comes on three events."""
    # vLLM once sent it on two (vllm-project/vllm#2266), Vertex AI's Gemini on all (BerriAI/litellm#2195).
    repeated = [[event] * 3 if event.finish else [event] for event in response.events]
    return replace(response, events=tuple(event for same in repeated for event in same))


_STOPS = {("finish_reason", "tool_calls"): "stop", ("stop_reason", "tool_use"): "end_turn"}
"""The reason for tool calls, in OpenAI's terms and in Anthropic's, and the one for a text that has ended."""


@fault_kind(dialects=("openai", "anthropic"))
def finish_stop_for_calls(response: FakeResponse, *_: object) -> FakeResponse:
    """The finish reason of tool calls is 'stop' (`end_turn`)."""
    # Ollama's `/v1` (ollama/ollama#7963) and, for a tool chosen by name, vLLM (vllm-project/vllm#9209). A client that
    # looks for calls only after the reason "tool_calls" loses them.

    def edit(fields: dict[str, Any]) -> dict[str, Any]:
        return {key: _STOPS.get((key, it), it) if isinstance(it, str) else it for key, it in fields.items()}

    return edit_json(response, edit)


def finish_reason(event: Event) -> str | None:
    """The finish reason of an event's first choice, be the event a chunk or a whole answer."""
    choices = event.data.get("choices") if isinstance(event.data, dict) else None
    return (choices[0].get("finish_reason") or None) if choices else None


def _edit_choices(response: FakeResponse, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> FakeResponse:
    return replace(response, events=tuple(_edit_event(event, edit) for event in response.events))


def _edit_event(event: Event, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Event:
    if event.raw is not None or "choices" not in event.data:
        return event
    return replace(event, data={**event.data, "choices": [edit(choice) for choice in event.data["choices"]]})
