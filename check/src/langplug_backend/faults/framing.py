"""Oddities of framing. Nothing is wrong with them: every reader of events has to cope.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from langplug_backend.dialects.routes import DIALECTS
from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Argument, Fault
from langplug_backend.faults.kind import fault_kind
from langplug_backend.response import FakeResponse

SSE = tuple(name for name, dialect in DIALECTS.items() if dialect.framing == "sse")
"""The dialects that stream server-sent events."""

odd_stream = partial(fault_kind, streams=True)
odd_events = partial(fault_kind, streams=True, dialects=SSE)


@odd_stream()
def crlf(response: FakeResponse, *_: object) -> FakeResponse:
    """Lines end in CRLF."""
    # The default of sse-starlette, which many Python servers use (hey-api/hey-api#3054).
    return restyle(response, newline=b"\r\n")


@odd_events()
def cr(response: FakeResponse, *_: object) -> FakeResponse:
    """Lines end in CR."""
    # The third line end of the specification, and the hard one: a reader of pieces cannot know whether an LF follows.
    return restyle(response, newline=b"\r")


@odd_stream()
def comments(response: FakeResponse, *_: object) -> FakeResponse:
    """Comments (NDJSON: blank lines) between the events."""
    # `: keep-alive` is DeepSeek's, `: OPENROUTER PROCESSING` OpenRouter's (brainlid/langchain#569).
    return restyle(response, comments=True)


@odd_stream()
def pings(response: FakeResponse, _: Fault, context: Context) -> FakeResponse:
    """Events without content between the events."""
    spread = [[context.dialect.ping, event] if event.piece else [event] for event in response.events]
    return replace(response, events=tuple(event for pair in spread for event in pair))


@odd_events()
def multiline(response: FakeResponse, *_: object) -> FakeResponse:
    """The JSON of an event is spread over several `data` lines."""
    # A reader joins the lines with LF, which JSON takes for white space.
    return restyle(response, multiline=True)


@odd_events()
def no_space(response: FakeResponse, *_: object) -> FakeResponse:
    """No space after `data:`."""
    # Spring's servers leave it out (openai/openai-python#559).
    return restyle(response, space=False)


@odd_events()
def fields(response: FakeResponse, *_: object) -> FakeResponse:
    """`event`, `id` and `retry` with each event."""
    return restyle(response, fields=True)


@odd_stream()
def bom(response: FakeResponse, *_: object) -> FakeResponse:
    """A byte order mark first."""
    # "stream = [ bom ] *event": one is allowed, and to be ignored.
    return restyle(response, bom=True)


@odd_stream()
def unterminated(response: FakeResponse, *_: object) -> FakeResponse:
    """The last event lacks its line ends."""
    # A browser discards such an event, for lack of the blank line. Here it is `[DONE]` or the finish reason, so that
    # a client which does the same takes a complete answer for a cut-off one.
    return restyle(response, unterminated=True)


@fault_kind(Argument("size", int, "7", default=3, unit="bytes"))
def split(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """N bytes per write, so that characters are cut anywhere."""
    # Decoding each read by itself breaks every character that two reads share (ollama/ollama-js#255).
    return replace(response, write_size=fault.size, joined=False)


@fault_kind()
def one_byte(response: FakeResponse, *_: object) -> FakeResponse:
    """One byte per write."""
    return replace(response, write_size=1, joined=False)


@odd_stream()
def joined(response: FakeResponse, *_: object) -> FakeResponse:
    """Everything in one write."""
    # What a buffering proxy makes of any stream.
    return replace(response, pace=0.0, first=0.0, joined=True)


def restyle(response: FakeResponse, **style: Any) -> FakeResponse:
    """The response with fields of its `Style` changed."""
    return replace(response, style=replace(response.style, **style))
