"""From the bytes of a body to its frames: push decoders, one for each way in which servers cut a body into messages.

`feed` takes bytes as they come and returns the frames that are complete; `flush` says that no more come and returns
what is left. However the bytes are cut, the frames are the same. What stands in a frame is not looked at here.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, Protocol, TypeAlias

Framing: TypeAlias = Literal["sse", "ndjson", "json-array", "json", "text"]

_LF = ord("\n")


class Frame(NamedTuple):
    """One message of a body.

    Attributes:
        data: What it says: UTF-8 bytes; of plain text, the text.
        event: The event's name, where server-sent events are named.
        id: The last id that a server-sent event has had by then.
        block: The event's own lines, if several of them hold data: see `events_of_lines`.
    """

    data: bytes | str
    event: str = ""
    id: str = ""
    block: bytes = b""


class FrameDecoder(Protocol):
    """Bytes in, frames out."""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the frames that they complete."""
        ...

    def flush(self) -> list[Frame]:
        """Say that no more bytes come; return what is left."""
        ...


class EventStream:
    """Server-sent events, by https://html.spec.whatwg.org/multipage/server-sent-events.html.

    Comments and `retry:` are dropped. Unlike a browser, it returns an event that the end of the body left
    without its blank line: many servers leave that out after the last one.
    """

    def __init__(self) -> None:
        self._held: list[bytes] = []  # pieces of one event, joined once: an image may be 20 MB in 1,000 pieces
        self._ended_in_cr = False
        self._begun = False
        self._id = ""

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the events that they complete."""
        # Most reads hold one event of one line, of which nothing has to be cut or joined.
        if (
            data.startswith(b"data: ")
            and data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n")
            and not self._held
            and b"\r" not in data
        ):
            self._begun = True
            self._ended_in_cr = False
            return [Frame(data[6:-2], "", self._id)]
        if not data:
            return []
        if self._ended_in_cr and data[0] == _LF:
            data = data[1:]  # the second half of a CRLF
        self._ended_in_cr = data.endswith(b"\r")
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not data:
            return []
        if self._held:
            # What is held has no blank line in it, so one that comes now is in `data` or across its beginning.
            crosses = data[0] == _LF and self._held[-1][-1] == _LF
            self._held.append(data)
            if not crosses and b"\n\n" not in data:
                return []
            data = b"".join(self._held)
        elif b"\n\n" not in data:
            self._held.append(data)
            return []
        *blocks, rest = data.split(b"\n\n")
        self._held = [rest] if rest else []
        return [frame for block in blocks if (frame := self._event(block)) is not None]

    def flush(self) -> list[Frame]:
        """Return the last event, if its blank line never came."""
        block, self._held = b"".join(self._held), []
        frame = self._event(block)
        return [] if frame is None else [frame]

    def _event(self, block: bytes) -> Frame | None:
        if not self._begun:
            self._begun = True
            block = block.removeprefix(codecs.BOM_UTF8)
        if block.startswith(b"data: ") and b"\n" not in block:  # as nearly all are
            return Frame(block[6:], "", self._id) if self._id else Frame(block[6:])
        # An event of 20 MB may have millions of lines.
        if block.startswith(b"data: ") and block.count(b"\ndata: ") == block.count(b"\n"):
            return Frame(block[6:].replace(b"\ndata: ", b"\n"), "", self._id, block)
        lines: list[bytes] = []
        name = b""
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                lines.append(value)
            elif field == b"event":
                name = value
            elif field == b"error" and value.startswith(b"{"):  # no field of the standard's: of older llama.cpp
                lines, name = [value], b"error"
            elif field == b"id" and b"\0" not in value:
                self._id = value.decode(errors="replace")
        if not lines:
            return None
        several = block if len(lines) > 1 else b""
        return Frame(b"\n".join(lines), name.decode(errors="replace"), self._id, several)


def events_of_lines(frame: Frame) -> list[Frame]:
    """Each line of an event's data as an event of its own, for servers that leave out the blank lines between them.

    The name that counts is that which stands before the data. Empty if the event has one line of data.
    """
    events: list[Frame] = []
    name = b""
    for line in frame.block.split(b"\n") if frame.block else ():
        field, _, value = line.partition(b":")
        if field == b"event":
            name = value.strip()
        elif field == b"data":
            events.append(Frame(value.removeprefix(b" "), name.decode(errors="replace"), frame.id))
            name = b""
    return events


class JsonLines:
    """JSON values, one a line (NDJSON); empty lines are dropped."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the lines that they complete."""
        if b"\n" not in data:
            self._held.append(data)
            return []
        *lines, rest = b"".join([*self._held, data]).split(b"\n")
        self._held = [rest]
        return [Frame(line) for line in map(bytes.strip, lines) if line]

    def flush(self) -> list[Frame]:
        """Return the last line, if its end never came."""
        line, self._held = b"".join(self._held).strip(), []
        return [Frame(line)] if line else []


class JsonArray:
    """The items of one JSON array, each as soon as it is whole."""

    # Possessive (`*+`), or the engine would remember a place to come back to for each character of a long string.
    _IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
    _MARKS = re.compile(rb'["\[\]{},]')
    _MARKS_INSIDE = re.compile(rb'["\[\]{}]')  # of an item, whose commas end nothing

    def __init__(self) -> None:
        self._held: list[bytes] = []  # what has come of the item that is read now
        self._depth = 0
        self._in_string = False
        self._escapes_next = False

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the items that they complete."""
        if not data:
            return []
        frames: list[Frame] = []
        start = 0  # of the item that is read now
        at = int(self._escapes_next)
        self._escapes_next = False
        while True:
            if self._in_string:
                run = self._IN_STRING.match(data, at)
                assert run is not None  # it may be empty
                at = run.end()
                if data[at : at + 1] != b'"':
                    self._escapes_next = at < len(data)  # a backslash is the last byte; what it escapes comes next
                    break
                self._in_string = False
                at += 1
            mark = (self._MARKS_INSIDE if self._depth > 1 else self._MARKS).search(data, at)
            if mark is None:
                break
            at = mark.end()
            sign = mark.group()
            if sign == b'"':
                self._in_string = True
                continue
            ends_item = self._depth == 1 and sign in b",]"
            self._depth += (sign in b"[{") - (sign in b"]}")
            if ends_item:
                self._held.append(data[start : at - 1])
                if item := b"".join(self._held).strip():
                    frames.append(Frame(item))
            if ends_item or (sign == b"[" and self._depth == 1):
                self._held, start = [], at
        self._held.append(data[start:])
        return frames

    def flush(self) -> list[Frame]:
        """Return what is left, if the array never ended."""
        rest, self._held = b"".join(self._held).strip(), []
        return [Frame(rest)] if rest else []


class WholeBody:
    """One message, which is the whole body."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; nothing is complete before the end."""
        self._held.append(data)
        return []

    def flush(self) -> list[Frame]:
        """Return the body, if there is any."""
        body, self._held = b"".join(self._held).strip(), []
        return [Frame(body)] if body else []


class PlainText:
    """Text as it comes, with characters kept whole. Bytes that are not UTF-8 become U+FFFD."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes; return the text that they complete."""
        text = self._decoder.decode(data)
        return [Frame(text)] if text else []

    def flush(self) -> list[Frame]:
        """Return what is left of a character that was cut off."""
        text = self._decoder.decode(b"", final=True)
        return [Frame(text)] if text else []


FRAMINGS: Mapping[Framing, Callable[[], FrameDecoder]] = {
    "sse": EventStream,
    "ndjson": JsonLines,
    "json-array": JsonArray,
    "json": WholeBody,
    "text": PlainText,
}

_CONTENT_TYPES: Mapping[str, Framing] = {
    "text/event-stream": "sse",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json": "json",
}


def framing_of(content_type: str) -> Framing | None:
    """How a body of this `Content-Type` is cut into messages; None if the type does not tell."""
    return _CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower())


_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b"error:")


def sniff_framing(start: bytes) -> Framing | None:
    """How a body is cut into messages, by its first bytes, for servers whose content type is wrong.

    Returns:
        None if the bytes are too few to tell. JSON lines begin as a single JSON value does, and are taken for one:
        only the content type tells these two apart.
    """
    start = start.removeprefix(codecs.BOM_UTF8).lstrip()
    if not start or (len(start) < 3 and codecs.BOM_UTF8.startswith(start)):
        return None
    if start[:1] in (b"{", b"["):
        return "json"
    if start.startswith(b"error:") and (said := start[6:].lstrip()):
        return "sse" if said.startswith(b"{") else "text"
    # A field may be cut (`da`), and its whole name may still be text, such as `database`: the colon tells.
    if any(start.startswith(field) or field.startswith(start) for field in _FIELDS):
        return "sse" if b":" in start else None
    return "sse" if start.startswith(b":") else "text"
