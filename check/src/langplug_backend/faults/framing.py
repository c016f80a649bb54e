"""Oddities of framing: nothing is wrong with them, and every reader has to take them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.response import Answer, Event


def styled(**style: Any) -> Callable[[Answer, Fault, Context], Answer]:
    """Fields of `Style`, set."""
    return lambda answer, *_: replace(answer, style=replace(answer.style, **style))


def pings(answer: Answer, _fault: Fault, context: Context) -> Answer:
    """Before each piece, what the dialect sends to keep a connection open."""
    quiet = {
        "openai": Event(raw=b'{"id":"","object":"chat.completion.chunk","created":0,"model":"","choices":[]}'),
        "anthropic": Event(data={"type": "ping"}, name="ping"),
        "ollama": Event(raw=b'{"message":{"role":"assistant","content":""},"done":false}'),
        "cohere": Event(data={"type": "debug", "prompt": ""}, name="debug"),
        "tgi": Event(raw=b'{"index":0,"token":{"id":0,"text":"","logprob":0.0,"special":true}}'),
    }[context.dialect.name]
    spread = [[quiet, event] if event.piece else [event] for event in answer.events]
    return replace(answer, events=tuple(event for pair in spread for event in pair))


def split(answer: Answer, fault: Fault, *_: object) -> Answer:
    """Writes of so many bytes."""
    return replace(answer, size=fault.size or 3, joined=False)


def one_byte(answer: Answer, *_: object) -> Answer:
    """Writes of one byte."""
    return replace(answer, size=1, joined=False)


def joined(answer: Answer, *_: object) -> Answer:
    """One write."""
    return replace(answer, pace=0.0, first=0.0, joined=True)
