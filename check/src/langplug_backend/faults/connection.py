"""Faults of the connection: it is closed, reset, silent or slow.

What a client can notice of a body that ends too early is told by https://www.rfc-editor.org/rfc/rfc9112#section-8.
"""

from dataclasses import replace
from functools import partial

from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import Fault
from langplug_backend.faults.kind import AFTER_PIECES, SECONDS, fault_kind
from langplug_backend.response import Ending, Event, FakeResponse

broken_connection = partial(fault_kind, error=True, at="connection")


def events_before(events: tuple[Event, ...], pieces: int) -> tuple[Event, ...]:
    """The events before the piece of this number, counted from 0; before the finish reason if there are fewer."""
    seen = 0
    for number, event in enumerate(events):
        if event.finish or (event.piece and seen == pieces):
            return events[:number]
        seen += event.piece
    return events


@fault_kind(error=True, at="accept")
def close_at_accept(response: FakeResponse, *_: object) -> FakeResponse:
    """The connection is closed as soon as it is accepted."""
    # This handler sees only connections that were open before the fault was set: they are closed at their next
    # request. New ones never get as far as a response (`Service.greet`).
    return replace(response, omit_head=True, ending="close")


@fault_kind(error=True, at="accept")
def reset_at_accept(response: FakeResponse, *_: object) -> FakeResponse:
    """The connection is reset as soon as it is accepted."""
    return replace(response, omit_head=True, ending="reset")


@broken_connection()
def close_before_headers(response: FakeResponse, *_: object) -> FakeResponse:
    """The connection is closed before the headers."""
    # To a client, this looks like a kept-alive connection that timed out just as the request was sent; whether the
    # request was processed, it cannot know: https://www.rfc-editor.org/rfc/rfc9112#section-9.3.1.
    return replace(response, omit_head=True, ending="close")


@broken_connection()
def reset_before_headers(response: FakeResponse, *_: object) -> FakeResponse:
    """A TCP reset before the headers."""
    return replace(response, omit_head=True, ending="reset")


@broken_connection()
def reset_after_headers(response: FakeResponse, *_: object) -> FakeResponse:
    """A TCP reset after the headers."""
    return replace(response, head_only=True, ending="reset")


@broken_connection(AFTER_PIECES)
def reset(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """A TCP reset after N pieces."""
    return break_off(response, fault.after, "reset")


@broken_connection()
def stall_before_headers(response: FakeResponse, *_: object) -> FakeResponse:
    """No answer at all, and the connection stays open."""
    return replace(response, omit_head=True, ending="stall")


@broken_connection()
def stall_after_headers(response: FakeResponse, *_: object) -> FakeResponse:
    """Nothing after the headers, and the connection stays open."""
    return replace(response, head_only=True, ending="stall")


@broken_connection(AFTER_PIECES)
def stall(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """Nothing more after N pieces, and the connection stays open."""
    return break_off(response, fault.after, "stall")


@fault_kind(SECONDS, at="connection")
def slow(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """A pause of N seconds before each event."""
    return replace(response, pace=fault.seconds, first=fault.seconds, joined=False)


@fault_kind(SECONDS, at="connection")
def slow_headers(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """The headers come byte by byte, N seconds apart."""
    # A limit on the time between two reads never fires here; only one on the whole response does.
    return replace(response, head_pace=fault.seconds)


@broken_connection(AFTER_PIECES)
def cut_chunked(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """A chunked body that ends after N pieces, without its last chunk."""
    # What clients see when a server's process dies: httpx says "incomplete chunked read" (konveyor/kai#622).
    return replace(break_off(response, fault.after, "close"), body="chunked")


@broken_connection(AFTER_PIECES)
def cut_close(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
    """A body without a length, closed in the middle of the event after N pieces."""
    # HTTP takes such a body for whole, as closing is the only end that it has: the client has to look at the JSON.
    whole = response.framing == "whole"
    events = response.events if whole else events_before(response.events, fault.after + 1)
    cut = half_of(events[-1], response)
    return replace(response, events=events, body="close", cut_bytes=cut, ending="close", close_after=True)


@broken_connection(AFTER_PIECES)
def cut_length(response: FakeResponse, fault: Fault, context: Context) -> FakeResponse:
    """A body shorter than its content-length, cut in the middle of the event after N pieces."""
    return replace(cut_close(response, fault, context), body="length")


def break_off(response: FakeResponse, pieces: int, ending: Ending) -> FakeResponse:
    """The response broken off after some pieces; a whole answer in the middle of its JSON."""
    if response.framing == "whole":
        return replace(response, cut_bytes=half_of(response.events[-1], response), ending=ending)
    return replace(response, events=events_before(response.events, pieces), ending=ending)


def half_of(event: Event, response: FakeResponse) -> int:
    """Half of an event's bytes, counted from the end of its frame: the cut is in the JSON, not in the framing."""
    line_ends = {"sse": 2, "ndjson": 1, "whole": 0}[response.framing]
    return len(event.bytes()) // 2 + line_ends
