"""An answer on its way to the socket: events, how they are framed, and how the connection ends.

Faults edit an `Answer`; `script` turns it into the bytes of each write.
"""

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

PLACE = secrets.token_hex(8)
"""Stands for the answer's own id until it is sent, so that the bytes of an answer can be prepared once for all."""


def name_of(number: int) -> str:
    """The id of the answer to the request of this number: as long as `PLACE`, so that lengths stay."""
    return f"{number:016x}"


Framing = Literal["sse", "ndjson", "whole"]
"""How events become a body: server-sent events, a line each, or the one as it is."""

Ending = Literal["keep", "close", "reset", "stall"]
"""What follows the last byte: the next request, a FIN, an RST, or nothing until the client goes."""

Line = tuple[str, str]
"""A header's name and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of an answer.

    Attributes:
        data: The JSON value.
        raw: Bytes in place of it.
        name: The event's name, for server-sent events that have one.
        piece: Whether it holds a piece of the answer, and is not about it.
    """

    data: Any = None
    raw: bytes | None = None
    name: str | None = None
    piece: bool = False

    def bytes(self, *, indent: int | None = None) -> bytes:
        """The data as it goes out."""
        return self.raw if self.raw is not None else dumps(self.data, indent=indent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """Oddities of framing that every reader has to take.

    Attributes:
        newline: What ends a line.
        space: Whether a space follows the colon.
        comments: Whether comments (in NDJSON: blank lines) stand between the events.
        lines: Whether the JSON is spread over several `data` lines.
        fields: Whether `event`, `id` and `retry` come with each event.
        bom: Whether a byte order mark comes first.
        unterminated: Whether the last event lacks the line ends behind it.
    """

    newline: bytes = b"\n"
    space: bool = True
    comments: bool = False
    lines: bool = False
    fields: bool = False
    bom: bool = False
    unterminated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A response, before it is bytes.

    Attributes:
        status: The HTTP status.
        headers: Further header lines; `content-type` is `type`.
        type: The content type.
        events: The events; a whole answer is a single one.
        framing: How they become a body.
        style: Oddities of the framing.
        body: How the body's end is told.
        pace: Seconds between two events.
        first: Seconds before the first event.
        joined: Whether everything goes out in one write.
        size: Bytes in a write, whatever the events; 0: a write is an event.
        head_pace: Seconds between two bytes of the head; 0: it goes out at once.
        headless: Whether not even the head goes out.
        headed: Whether nothing but the head goes out.
        torn: How many bytes of the last event are left out.
        ending: What follows the last byte. `keep` alone ends the body as HTTP wants it.
        close: Whether the connection closes behind a body that ended well.
    """

    status: int = 200
    headers: tuple[Line, ...] = ()
    type: str = "application/json"
    events: tuple[Event, ...] = ()
    framing: Framing = "whole"
    style: Style = field(default_factory=Style)
    body: Literal["chunked", "close", "length"] = "length"
    pace: float = 0.0
    first: float = 0.0
    joined: bool = True
    size: int = 0
    head_pace: float = 0.0
    headless: bool = False
    headed: bool = False
    torn: int = 0
    ending: Ending = "keep"
    close: bool = False


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
class Script:
    """What happens on the connection: writes, and then an ending.

    Attributes:
        status: The HTTP status.
        writes: The writes, in order.
        ending: What follows them.
        broken: Whether the answer is broken off.
    """

    status: int
    writes: tuple[Write, ...]
    ending: Ending
    broken: bool = False


def dumps(value: Any, *, indent: int | None = None) -> bytes:
    """A JSON value, compact and in UTF-8; lone surrogates, which UTF-8 cannot hold, are escaped."""
    separators = (",", ":") if indent is None else None
    try:
        return json.dumps(value, ensure_ascii=False, separators=separators, indent=indent).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=separators, indent=indent).encode()


def script(answer: Answer, name: str = PLACE) -> Script:
    """The bytes of each write, and how it ends; `name` is the answer's own id."""
    frames = framed(answer, name)
    length = sum(len(frame.data) for frame in frames)
    if answer.torn and frames:
        frames[-1] = Write(frames[-1].data[: -answer.torn], frames[-1].delay)
    body = [_wrapped(frame, answer) for frame in _sized(frames, answer.size)]
    writes = [] if answer.headless else [*_head(answer, length), *([] if answer.headed else body)]
    if answer.ending == "keep" and answer.body == "chunked":
        writes.append(Write(b"0\r\n\r\n"))
    ending: Ending = "close" if answer.ending == "keep" and (answer.close or answer.body == "close") else answer.ending
    writes = _merged(writes) if answer.joined else _tidied(writes)
    return Script(answer.status, tuple(writes), ending, answer.ending != "keep")


def framed(answer: Answer, name: str) -> list[Write]:
    """The events as the bytes of a body, one write each."""
    frames = [frame.replace(PLACE.encode(), name.encode()) for frame in _frames(answer)]
    if answer.style.bom and frames:
        frames[0] = b"\xef\xbb\xbf" + frames[0]
    if answer.style.unterminated and frames:
        frames[-1] = frames[-1].rstrip(b"\r\n")
    delays = [answer.first, *[answer.pace] * len(frames)]
    return [
        Write(frame, delay, 1, int(event.piece))
        for frame, delay, event in zip(frames, delays, answer.events, strict=False)
    ]


def _frames(answer: Answer) -> Iterator[bytes]:
    style = answer.style
    for number, event in enumerate(answer.events):
        if answer.framing == "sse":
            yield (b": keep-alive" + style.newline * 2 if style.comments else b"") + _sse(event, style, number)
        elif answer.framing == "ndjson":
            yield (style.newline if style.comments else b"") + event.bytes() + style.newline
        else:
            yield event.bytes()


def _sse(event: Event, style: Style, number: int) -> bytes:
    """One server-sent event: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    name = event.name or ("message" if style.fields else None)
    fields = [("event", name.encode())] if name else []
    fields += [("id", b"%d" % number), ("retry", b"3000")] if style.fields else []
    fields += [("data", line) for line in event.bytes(indent=1 if style.lines else None).split(b"\n")]
    colon = b": " if style.space else b":"
    return style.newline.join([field.encode() + colon + value for field, value in fields]) + style.newline * 2


def _sized(frames: list[Write], size: int) -> list[Write]:
    """The same bytes in writes of a size, wherever that cuts them."""
    if not size:
        return frames
    writes: list[Write] = []
    for frame in frames:
        cuts = [frame.data[at : at + size] for at in range(0, len(frame.data), size)]
        writes += [Write(cut, frame.delay if not number else 0.0) for number, cut in enumerate(cuts)]
        writes[-1] = Write(writes[-1].data, writes[-1].delay, frame.events, frame.pieces)
    return writes


def _wrapped(frame: Write, answer: Answer) -> Write:
    if answer.body != "chunked":
        return frame
    return Write(b"%x\r\n%s\r\n" % (len(frame.data), frame.data), frame.delay, frame.events, frame.pieces)


def _head(answer: Answer, length: int) -> list[Write]:
    lines = [f"HTTP/1.1 {answer.status} {_reason(answer.status)}", f"content-type: {answer.type}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += _length_lines(answer, length)
    head = ("\r\n".join(lines) + "\r\n\r\n").encode()
    if not answer.head_pace:
        return [Write(head)]
    return [Write(head[at : at + 1], answer.head_pace) for at in range(len(head))]


def _length_lines(answer: Answer, length: int) -> list[str]:
    if answer.body == "chunked":
        lines = ["transfer-encoding: chunked"]
    else:
        lines = [f"content-length: {length}"] if answer.body == "length" else []
    return [*lines, "connection: close"] if answer.close or answer.body == "close" else lines


def _reason(status: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def _merged(writes: Sequence[Write]) -> list[Write]:
    """Writes that nothing has to wait for, as one."""
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


def _tidied(writes: list[Write]) -> list[Write]:
    """The end of a chunked body goes out with what comes before it: real servers do not dally there."""
    if len(writes) > 1 and not writes[-1].events and not writes[-1].delay:
        return [*writes[:-2], *_merged(writes[-2:])]
    return writes
