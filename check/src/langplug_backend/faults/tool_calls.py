"""Tool calls as servers send them that are not OpenAI's."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, groupby, zip_longest
from typing import Any

from langplug_backend.response import Answer, Event

Shown = dict[str, Any]
"""A call, or a fragment of one, as the wire has it."""


def interleaved(answer: Answer, *_: Any) -> Answer:
    """A fragment of each call in turn."""
    spread: list[Event] = []
    for is_call, run in groupby(answer.events, lambda event: bool(_shown(event))):
        events = list(run)
        rows = [list(row) for _, row in groupby(events, lambda event: _shown(event)[0].get("index"))] if is_call else []
        taken = chain.from_iterable(zip_longest(*rows)) if is_call else events
        spread += [event for event in taken if event]
    return replace(answer, events=tuple(spread))


def no_index(answer: Answer, *_: Any) -> Answer:
    """Without the number that says which call a fragment belongs to."""
    return _each(answer, lambda call: _without(call, "index"))


def no_ids(answer: Answer, *_: Any) -> Answer:
    """Without ids."""
    return _each(answer, lambda call: _without(call, "id"))


def name_repeated(answer: Answer, *_: Any) -> Answer:
    """The name again in every fragment."""
    names: dict[Any, str] = {}

    def named(call: Shown) -> Shown:
        name = names.setdefault(call.get("index"), call["function"].get("name", ""))
        return {**call, "function": {"name": name, **call["function"]}}

    return _each(answer, named)


def ids_repeated(answer: Answer, *_: Any) -> Answer:
    """The id again in every fragment."""
    ids: dict[Any, str] = {}
    return _each(answer, lambda call: {"id": ids.setdefault(call.get("index"), call.get("id", "")), **call})


def args_object(answer: Answer, *_: Any) -> Answer:
    """All the arguments at once, as an object."""
    return _whole_args(answer, _parsed)


def args_double(answer: Answer, *_: Any) -> Answer:
    """All the arguments at once, as a JSON string that holds JSON."""
    return _whole_args(answer, lambda args: json.dumps(args, ensure_ascii=False))


def args_truncated(answer: Answer, *_: Any) -> Answer:
    """All but the last third of the arguments, at once."""
    return _whole_args(answer, lambda args: args[: len(args) * 2 // 3])


def _parsed(args: str) -> Any:
    try:
        return json.loads(args)
    except ValueError:
        return args


def _whole_args(answer: Answer, edit: Callable[[str], Any]) -> Answer:
    """Each call in one fragment, with its arguments edited."""
    gathered: dict[Any, str] = {}
    for event in answer.events:
        for call in _shown(event):
            gathered[_key(event, call)] = gathered.get(_key(event, call), "") + call["function"]["arguments"]
    events = [_with_args(event, gathered, edit) for event in answer.events]
    return replace(answer, events=tuple(event for event in events if event))


def _with_args(event: Event, gathered: dict[Any, str], edit: Callable[[str], Any]) -> Event | None:
    shown = _shown(event)
    if not shown:
        return event
    if not any("id" in call for call in shown):  # a later fragment: the first one has it all
        return None
    return _with_calls(
        event,
        lambda call: {**call, "function": {**call["function"], "arguments": edit(gathered[_key(event, call)])}},
    )


def _key(event: Event, call: Shown) -> Any:
    return event.data["choices"][0]["index"], call.get("index", call.get("id"))


def _without(call: Shown, field: str) -> Shown:
    return {key: value for key, value in call.items() if key != field}


def _each(answer: Answer, edit: Callable[[Shown], Shown]) -> Answer:
    return replace(answer, events=tuple(_with_calls(event, edit) for event in answer.events))


def _message(choice: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name = "delta" if "delta" in choice else "message"
    return name, choice[name]


def _shown(event: Event) -> list[Shown]:
    """The calls of an event's choices."""
    choices = (event.data or {}).get("choices") or []
    return [call for choice in choices for call in _message(choice)[1].get("tool_calls") or []]


def _with_calls(event: Event, edit: Callable[[Shown], Shown]) -> Event:
    if not _shown(event):
        return event
    return replace(event, data={**event.data, "choices": [_choice(choice, edit) for choice in event.data["choices"]]})


def _choice(choice: dict[str, Any], edit: Callable[[Shown], Shown]) -> dict[str, Any]:
    name, message = _message(choice)
    return {**choice, name: {**message, "tool_calls": [edit(call) for call in message.get("tool_calls") or []]}}
