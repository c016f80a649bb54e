"""Faults of the connection: what is broken off, silent or slow."""

from dataclasses import replace

from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.response import Answer, Ending, Event, Framing


def up_to(events: tuple[Event, ...], pieces: int) -> tuple[Event, ...]:
    """The events before the piece of this number, counted from 0; before the end, where there is none."""
    seen = 0
    for number, event in enumerate(events):
        if finishes(event) or (event.piece and seen == pieces):
            return events[:number]
        seen += event.piece
    return events


def finishes(event: Event) -> bool:
    """Whether an event of a stream says why the answer ended."""
    data = event.data
    if not isinstance(data, dict):
        return False
    choices = data.get("choices") or [{}]
    told = choices[0].get("finish_reason") or data.get("done") or data.get("details")
    return bool(told) or data.get("type") in ("message_delta", "message-end")


def close_at_accept(answer: Answer, *_: object) -> Answer:
    """A FIN in place of an answer."""
    return replace(answer, headless=True, ending="close")


def reset_before_headers(answer: Answer, *_: object) -> Answer:
    """An RST in place of an answer."""
    return replace(answer, headless=True, ending="reset")


def stall_before_headers(answer: Answer, *_: object) -> Answer:
    """Nothing in place of an answer."""
    return replace(answer, headless=True, ending="stall")


def reset_after_headers(answer: Answer, *_: object) -> Answer:
    """An RST in place of the body."""
    return replace(answer, headed=True, ending="reset")


def stall_after_headers(answer: Answer, *_: object) -> Answer:
    """Nothing in place of the body."""
    return replace(answer, headed=True, ending="stall")


def reset(answer: Answer, fault: Fault, *_: object) -> Answer:
    """An RST behind so many pieces."""
    return _broken_off(answer, fault.after, "reset")


def stall(answer: Answer, fault: Fault, *_: object) -> Answer:
    """Nothing more behind so many pieces."""
    return _broken_off(answer, fault.after, "stall")


def cut_chunked(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A FIN behind so many pieces, where a chunk should be."""
    return replace(_broken_off(answer, fault.after, "close"), body="chunked")


def cut_close(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A FIN in the middle of the next piece, in a body that HTTP itself takes for whole."""
    events = answer.events if answer.framing == "whole" else up_to(answer.events, fault.after + 1)
    torn = half(events[-1], answer.framing)
    return replace(answer, events=events, body="close", torn=torn, ending="close", close=True)


def cut_length(answer: Answer, fault: Fault, context: Context) -> Answer:
    """A FIN in the middle of the next piece, before the body is as long as it said."""
    return replace(cut_close(answer, fault, context), body="length")


def slow(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A pause before each event."""
    return replace(answer, pace=fault.seconds, first=fault.seconds, joined=False)


def slow_headers(answer: Answer, fault: Fault, *_: object) -> Answer:
    """A pause before each byte of the head."""
    return replace(answer, head_pace=fault.seconds)


def _broken_off(answer: Answer, after: int, ending: Ending) -> Answer:
    """Broken off behind so many pieces; a whole answer, in the middle of its JSON."""
    if answer.framing == "whole":
        return replace(answer, torn=half(answer.events[-1], "whole"), ending=ending)
    return replace(answer, events=up_to(answer.events, after), ending=ending)


def half(event: Event, framing: Framing) -> int:
    """Half of an event's bytes: in the middle of its JSON, whatever stands around it."""
    return len(event.bytes()) // 2 + {"sse": 2, "ndjson": 1, "whole": 0}[framing]
