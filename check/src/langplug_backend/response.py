"""A response on its way to the socket: its events, how they are framed, and how the connection ends.

Faults edit a `FakeResponse`; `render` turns it into the bytes of each write.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Literal

ID_PLACEHOLDER = secrets.token_hex(8)
"""Stands for the response's own id until it is sent, so that prepared bytes can serve many requests."""


def response_id(number: int) -> str:
    """The id of the response to the request of this number: as long as `ID_PLACEHOLDER`, so that lengths stay right."""
    return f"{number:016x}"


Framing = Literal["sse", "ndjson", "whole"]
"""How events become a body: as server-sent events, as a line each, or as the only one."""

Ending = Literal["keep", "close", "reset", "stall"]
"""What follows the last byte: the next request, a FIN, an RST, or nothing until the client disconnects."""

HeaderLine = tuple[str, str]
"""A header's name and value."""


_PHRASES = {status.value: status.phrase for status in HTTPStatus}
"""The reason phrases of the statuses that Python knows; 529, which is Anthropic's, is not among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a response.

    Attributes:
        data: The JSON value.
        raw: Bytes in place of it.
        name: The event's name, for server-sent events that have one.
        piece: Whether it holds a piece of the answer; the others are about the answer.
        finish: Whether it says why the answer ended.
        end_marker: Whether it marks the end of the stream and says nothing else.
    """

    data: Any = None
    raw: bytes | None = None
    name: str | None = None
    piece: bool = False
    finish: bool = False
    end_marker: bool = False

    def bytes(self, *, indent: int | None = None) -> bytes:
        """The data as it is sent."""
        return self.raw if self.raw is not None else to_json_bytes(self.data, indent=indent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Oddities of framing that every reader has to accept.

    Attributes:
        newline: What ends a line.
        space: Whether a space follows the colon.
        comments: Whether comments (in NDJSON: blank lines) stand between the events.
        multiline: Whether the JSON is spread over several `data` lines.
        fields: Whether `event`, `id` and `retry` come with each event.
        bom: Whether a byte order mark comes first.
        unterminated: Whether the last event lacks its line ends.
    """

    newline: bytes = b"\n"
    space: bool = True
    comments: bool = False
    multiline: bool = False
    fields: bool = False
    bom: bool = False
    unterminated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeResponse:
    """An HTTP response, before it is bytes.

    Attributes:
        status: The HTTP status.
        headers: Further header lines.
        content_type: The content type.
        events: The events; a whole answer is a single one.
        framing: How they become a body.
        style: Oddities of the framing.
        body: How the body ends.
        pace: Seconds between two events.
        first: Seconds before the first event.
        joined: Whether everything goes out in one write.
        write_size: Bytes per write, regardless of the events; 0: one event per write.
        head_pace: Seconds between two bytes of the head; 0: it goes out at once.
        omit_head: Whether nothing at all is sent, not even the head.
        head_only: Whether the head is sent and no body.
        cut_bytes: How many bytes of the last event are left out.
        ending: What follows the last byte. Only `keep` ends the body as HTTP requires.
        close_after: Whether the connection closes after a body that ended well.
        goes_on: Whether its answer is made to its end for a client that has left.
    """

    status: int = 200
    headers: tuple[HeaderLine, ...] = ()
    content_type: str = "application/json"
    events: tuple[Event, ...] = ()
    framing: Framing = "whole"
    style: Style = field(default_factory=Style)
    body: Literal["chunked", "close", "length"] = "length"
    pace: float = 0.0
    first: float = 0.0
    joined: bool = True
    write_size: int = 0
    head_pace: float = 0.0
    omit_head: bool = False
    head_only: bool = False
    cut_bytes: int = 0
    ending: Ending = "keep"
    close_after: bool = False
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """One write to the socket.

    Attributes:
        data: The bytes.
        delay: Seconds to wait before it.
        events: How many events it completes.
        pieces: How many of them hold a piece of the answer.
    """

    data: bytes
    delay: float = 0.0
    events: int = 0
    pieces: int = 0


@dataclass(frozen=True, slots=True)
class Transmission:
    """What happens on the connection: writes, and then an ending.

    Attributes:
        status: The HTTP status.
        writes: The writes, in order.
        ending: What follows them.
        broken: Whether the response is broken off.
        goes_on: Whether its answer is made to its end for a client that has left.
    """

    status: int
    writes: tuple[Write, ...]
    ending: Ending
    broken: bool = False
    goes_on: bool = False


def to_json_bytes(value: Any, *, indent: int | None = None) -> bytes:
    """A JSON value, compact and in UTF-8."""
    separators = (",", ":") if indent is None else None
    try:
        return json.dumps(value, ensure_ascii=False, separators=separators, indent=indent).encode()
    except UnicodeEncodeError:
        # UTF-8 has no lone surrogates, but JSON can escape them, as everything else then.
        return json.dumps(value, separators=separators, indent=indent).encode()


def render(response: FakeResponse, own_id: str = ID_PLACEHOLDER) -> Transmission:
    """The bytes of each write, and how the connection ends; `own_id` is the response's id."""
    frames = _frame_events(response, own_id)
    length = sum(len(frame.data) for frame in frames)  # before anything is cut: content-length promises the whole body
    if response.cut_bytes and frames:
        frames[-1] = Write(frames[-1].data[: -response.cut_bytes], frames[-1].delay)
    if response.write_size:
        frames = _resize(frames, response.write_size)
    if response.body == "chunked":
        frames = [
            Write(b"%x\r\n%s\r\n" % (len(frame.data), frame.data), frame.delay, frame.events, frame.pieces)
            for frame in frames
        ]
    writes = [] if response.omit_head else _head(response, length)
    if not response.omit_head and not response.head_only:
        writes += frames
    if response.ending == "keep" and response.body == "chunked":
        writes.append(Write(b"0\r\n\r\n"))
    if response.joined:
        writes = _merge(writes)
    elif len(writes) > 1 and not writes[-1].events and not writes[-1].delay:
        # Real servers send the last chunk together with what comes before it; a client must not rely on a read between.
        writes[-2:] = _merge(writes[-2:])
    ends_by_closing = response.close_after or response.body == "close"
    ending: Ending = "close" if response.ending == "keep" and ends_by_closing else response.ending
    return Transmission(response.status, tuple(writes), ending, response.ending != "keep", response.goes_on)


def _frame_events(response: FakeResponse, own_id: str) -> list[Write]:
    """The events as the bytes of a body, one write each."""
    style, frames = response.style, []
    for number, event in enumerate(response.events):
        if response.framing == "sse":
            comment = b": keep-alive" + style.newline * 2 if style.comments else b""
            frame = comment + _server_sent(event, style, number)
        elif response.framing == "ndjson":
            frame = (style.newline if style.comments else b"") + event.bytes() + style.newline
        else:
            frame = event.bytes()
        if style.bom and not number:
            frame = b"\xef\xbb\xbf" + frame
        if style.unterminated and number == len(response.events) - 1:
            frame = frame.rstrip(b"\r\n")
        delay = response.pace if number else response.first
        frames.append(Write(frame.replace(ID_PLACEHOLDER.encode(), own_id.encode()), delay, 1, int(event.piece)))
    return frames


def _server_sent(event: Event, style: Style, number: int) -> bytes:
    """One server-sent event: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    name = event.name or ("message" if style.fields else None)
    fields = [("event", name.encode())] if name else []
    fields += [("id", b"%d" % number), ("retry", b"3000")] if style.fields else []
    # Indented JSON is JSON over several lines, each of which gets a `data` field of its own.
    fields += [("data", line) for line in event.bytes(indent=1 if style.multiline else None).split(b"\n")]
    colon = b": " if style.space else b":"
    return style.newline.join([name.encode() + colon + value for name, value in fields]) + style.newline * 2


def _resize(frames: list[Write], size: int) -> list[Write]:
    """The same bytes in writes of one size, wherever that cuts them."""
    writes: list[Write] = []
    for frame in frames:
        # Each frame is cut by itself, and waits before its first byte alone: so the pace of the events stays.
        cuts = [frame.data[at : at + size] for at in range(0, len(frame.data), size)]
        writes += [Write(cut, 0.0 if number else frame.delay) for number, cut in enumerate(cuts)]
        writes[-1] = Write(writes[-1].data, writes[-1].delay, frame.events, frame.pieces)
    return writes


def _head(response: FakeResponse, length: int) -> list[Write]:
    lines = [f"HTTP/1.1 {response.status} {_PHRASES.get(response.status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in (("content-type", response.content_type), *response.headers)]
    if response.body == "chunked":
        lines.append("transfer-encoding: chunked")
    elif response.body == "length":
        lines.append(f"content-length: {length}")
    if response.close_after or response.body == "close":
        lines.append("connection: close")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if not response.head_pace:
        return [Write(head)]
    return [Write(head[at : at + 1], response.head_pace) for at in range(len(head))]


def _merge(writes: Sequence[Write]) -> list[Write]:
    """Writes that need no pause between them, as one."""
    merged: list[Write] = []
    for write in writes:
        if merged and not write.delay:
            last = merged[-1]
            merged[-1] = Write(
                last.data + write.data, last.delay, last.events + write.events, last.pieces + write.pieces
            )
        else:
            merged.append(write)
    return merged
