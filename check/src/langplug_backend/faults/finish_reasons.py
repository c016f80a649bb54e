"""Finish reasons where servers put them that are not OpenAI's."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langplug_backend.faults.content import edited
from langplug_backend.response import Answer, Event


def reason(event: Event) -> str | None:
    """The finish reason of an event's first choice."""
    choices = event.data.get("choices") if isinstance(event.data, dict) else None
    found = choices[0].get("finish_reason") if choices else None
    return found if isinstance(found, str) and found else None


def empty_first(answer: Answer, *_: Any) -> Answer:
    """An empty string where null belongs."""
    return _each_choice(answer, lambda choice: {**choice, "finish_reason": choice["finish_reason"] or ""})


def in_delta(answer: Answer, *_: Any) -> Answer:
    """Inside the delta."""
    return _each_choice(answer, _moved_into_delta)


def _moved_into_delta(choice: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in choice.items() if key != "finish_reason"}
    found = choice["finish_reason"]
    return {**rest, "delta": {**choice["delta"], "finish_reason": found}} if found else rest


def top_level(answer: Answer, *_: Any) -> Answer:
    """Beside the choices."""
    return replace(answer, events=tuple(map(_moved_up, answer.events)))


def _moved_up(event: Event) -> Event:
    found = reason(event)
    bare = _with_choices(event, lambda choice: {k: v for k, v in choice.items() if k != "finish_reason"})
    return replace(bare, data={**bare.data, "finish_reason": found}) if found else bare


def on_usage(answer: Answer, *_: Any) -> Answer:
    """On an event behind the one where it belongs, with the usage if there is any."""
    events = list(answer.events)
    at = next((number for number, event in enumerate(events) if reason(event)), None)
    if at is None:
        return answer
    finish = events[at]
    events[at] = _with_choices(finish, lambda choice: {**choice, "finish_reason": None})
    behind = (events[at + 1].data or {}) if at + 1 < len(events) else {}
    late = replace(finish, data={**finish.data, **({"usage": behind["usage"]} if "usage" in behind else {})})
    events[at + 1 : at + 2] = [late] if "usage" in behind else [late, events[at + 1]]
    return replace(answer, events=tuple(events))


def repeated(answer: Answer, *_: Any) -> Answer:
    """Three times."""
    spread = [[event] * 3 if reason(event) else [event] for event in answer.events]
    return replace(answer, events=tuple(event for same in spread for event in same))


def stop_for_calls(answer: Answer, *_: Any) -> Answer:
    """The word for an end in words, though tools are called."""
    return edited(answer, _stop_in)


_STOPS = {
    ("finish_reason", "tool_calls"): "stop",
    ("stop_reason", "tool_use"): "end_turn",
}


def _stop_in(value: Any) -> Any:
    if isinstance(value, list):
        return [_stop_in(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _STOPS.get((key, item), item) if isinstance(item, str) else _stop_in(item) for key, item in value.items()
    }


def _each_choice(answer: Answer, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    return replace(answer, events=tuple(_with_choices(event, edit) for event in answer.events))


def _with_choices(event: Event, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> Event:
    if event.raw is not None or "choices" not in event.data:
        return event
    return replace(event, data={**event.data, "choices": [edit(choice) for choice in event.data["choices"]]})
