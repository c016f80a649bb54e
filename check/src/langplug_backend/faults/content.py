"""Faults of what a stream holds: ends that are missing, events that are wrong, answers of the wrong kind."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langplug_backend.faults.connection import finishes, up_to
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.response import Answer, Event

MEGABYTE = 1_000_000
"""Bytes of an event that is huge."""


def is_marker(event: Event) -> bool:
    """Whether an event marks the end and says nothing else: OpenAI's `[DONE]`, Anthropic's `message_stop`."""
    return event.raw == b"[DONE]" or event.name == "message_stop"


def truncate(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A clean end behind so many pieces; a whole answer keeps its text, but does not say that it is over."""
    if answer.framing == "whole":
        return edited(answer, _unfinished)
    return replace(answer, events=up_to(answer.events, fault.after))


def truncate_done(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A clean end behind so many pieces, with the marker."""
    if answer.framing == "whole":
        return edited(answer, _unfinished)
    markers = [event for event in answer.events if is_marker(event)]
    return replace(answer, events=(*up_to(answer.events, fault.after), *markers))


def no_done(answer: Answer, *_: object) -> Answer:
    """Everything but the marker."""
    return replace(answer, events=tuple(event for event in answer.events if not is_marker(event)))


def no_finish(answer: Answer, *_: object) -> Answer:
    """Every piece and the marker, but not the event that says why it ended."""
    if answer.framing == "whole":
        return edited(answer, _unfinished)
    return replace(answer, events=tuple(event for event in answer.events if not finishes(event)))


_ENDS: dict[str, Any] = {"finish_reason": None, "stop_reason": None, "done_reason": None, "done": False}


def _unfinished(value: Any) -> Any:
    """What says why an answer ended, unsaid."""
    if isinstance(value, list):
        return [_unfinished(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _ENDS[key] if key in _ENDS else _unfinished(item) for key, item in value.items()}


def malformed(answer: Answer, fault: Fault, *_: object) -> Answer:
    """Broken JSON behind so many pieces; the rest follows. Half the JSON of a whole answer."""
    if answer.framing == "whole":
        whole = answer.events[0].bytes()
        return replace(answer, events=(Event(raw=whole[: len(whole) // 2], piece=True),))
    before = min(len(up_to(answer.events, fault.after)), len(answer.events) - 1)
    follows = answer.events[before]
    whole = follows.bytes()
    broken = Event(raw=whole[: len(whole) // 2], name=follows.name)
    return replace(answer, events=(*answer.events[:before], broken, *answer.events[before:]))


def error_event(answer: Answer, fault: Fault, context: Context) -> Answer:
    """An error behind so many pieces, and a clean end; in place of a whole answer."""
    if answer.framing == "whole":
        return error_object(answer, fault, context)
    words = context.dialect.words["overloaded" if context.dialect.name == "anthropic" else "server_error"]
    words = words if fault.message is None else replace(words, message=fault.message)
    return replace(answer, events=(*up_to(answer.events, fault.after), context.dialect.error_event(words)))


def error_object(_answer: Answer, fault: Fault, context: Context) -> Answer:
    """The dialect's error, whole, with a status that says that all is well."""
    words = context.dialect.words["server_error"]
    words = words if fault.message is None else replace(words, message=fault.message)
    return Answer(events=(Event(data=context.dialect.error(words)),))


def empty_body(answer: Answer, *_: object) -> Answer:
    """No byte of an answer, with a status that says that all is well."""
    return replace(answer, events=())


def json_for_stream(_answer: Answer, _fault: Fault, context: Context) -> Answer:
    """The whole answer, though a stream was asked for."""
    return context.build(False)


def stream_for_json(_answer: Answer, _fault: Fault, context: Context) -> Answer:
    """A stream, though the whole answer was asked for."""
    return context.build(True)


def wrong_type(answer: Answer, *_: object) -> Answer:
    """A content type that says nothing about the content."""
    return replace(answer, type="text/plain; charset=utf-8")


def extra_fields(answer: Answer, *_: object) -> Answer:
    """Fields that no specification names, in every object."""
    return edited(answer, _more)


_OPAQUE = {"arguments", "input"}
"""What a tool is called with: not ours to add to."""


def _more(value: Any) -> Any:
    if isinstance(value, list):
        return [_more(item) for item in value]
    if isinstance(value, dict):
        known = {key: item if key in _OPAQUE else _more(item) for key, item in value.items()}
        return {**known, "x_unheard_of": {"nested": [None, 1.5]}}
    return value


def huge_event(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A first piece with so much in a field that nobody knows."""
    before = len(up_to(answer.events, 0))
    padded = [_padded(event, fault.size or MEGABYTE) for event in answer.events[before : before + 1]]
    return replace(answer, events=(*answer.events[:before], *padded, *answer.events[before + 1 :]))


def _padded(event: Event, size: int) -> Event:
    return replace(event, data={**event.data, "x_padding": "x" * size}) if isinstance(event.data, dict) else event


def edited(answer: Answer, edit: Callable[[Any], Any]) -> Answer:
    """An answer with each event's JSON edited."""
    events = [event if event.raw is not None else replace(event, data=edit(event.data)) for event in answer.events]
    return replace(answer, events=tuple(events))
