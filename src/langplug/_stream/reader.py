"""The bytes of an answer's body, read as parts: what every wire has in common."""

import codecs
import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from langchain_core.exceptions import ModelAPIError, ModelError

from langplug._answer.server_errors import error_of, failure_in, message_of, parse_body
from langplug._errors import IncompleteAnswerError
from langplug._parts import Part, Usage
from langplug._stream.framing import (
    FRAMINGS,
    Frame,
    FrameDecoder,
    Framing,
    WholeBody,
    events_of_lines,
    framing_of,
    sniff_framing,
)
from langplug._stream.lenient_json import LenientJson

LoadJson = Callable[[bytes], Any]

_DONE = b"[DONE]"
"""What OpenAI, and many servers after its example, send as the last event of a stream."""

_KEEP_ALIVE = frozenset({"ping", "heartbeat", "keep-alive", "keepalive", "keep_alive"})
"""Names of events that say nothing but that the server is still there."""

_LONGEST_DONE = 20

_NOT_READ = object()

_FIELD_NAMES = re.compile(rb"(?:data:\s*+)*+")

_FIRST_LINES = 3
"""Of the lines of one event, the first that holds an event of its own is among so many, after comments."""

_LONGEST_QUOTE = 200

_LONGEST_START = 4096
"""Bytes of a body of another kind, such as a page, that are looked at for what it says."""


class Reader(Protocol):
    """A push parser: the bytes of one answer's body in, parts out.

    Attributes:
        finished: True once the wire's own end was seen (`[DONE]`, `message_stop`); nothing more need be read.
    """

    finished: bool

    def feed(self, data: bytes) -> Sequence[Part]:
        """Take the next bytes; return the parts that they complete.

        Raises:
            ModelError: If the server reports an error in the body, or the body is not of this wire.
        """
        ...

    def end(self) -> Sequence[Part]:
        """Say that the body has ended in good order; return what is left.

        Raises:
            IncompleteAnswerError: If the answer has not ended with it.
        """
        ...


class BodyReader(ABC):
    """A push parser for a body of JSON values, framed one way or another; a subclass says what a value means.

    How a body is framed is seen in its first bytes, since servers answer with JSON where a stream was asked for, and
    the reverse, and name either wrongly.

    Args:
        content_type: The response's `Content-Type`.
        owner: Who has answered, for errors.
        coalesce: Return the text that one `feed` completes as one part.
        load: The JSON parser. What it refuses is read once more, by `LenientJson`.
        max_event_bytes: How large one event, line or item of a stream may be; None: no limit.

    Attributes:
        finished: True once the wire's own end was read, or an error.
    """

    def __init__(
        self,
        content_type: str = "",
        *,
        owner: str = "The server",
        coalesce: bool = False,
        load: LoadJson = json.loads,
        max_event_bytes: int | None = None,
    ) -> None:
        self.finished = False
        self._named: Framing | None = framing_of(content_type)
        self._owner = owner
        self._coalesce = coalesce
        self._load = load
        self._start: list[bytes] = []  # what has come as long as the framing is open
        self._awaits_line = False
        self._decoder: FrameDecoder | None = None
        self._error: ModelError | None = None
        self._most_bytes = math.inf if max_event_bytes is None else max_event_bytes
        self._held = 0  # bytes since the last frame
        self._lenient = LenientJson()
        self._text_events: set[str] = set()  # the names of events whose data is text, where there are such
        self._expects_oddities = False  # whether there are such names, or halves of characters that wait

    def feed(self, data: bytes) -> Sequence[Part]:
        """Take the next bytes; return the parts that they complete.

        What came before an error is returned first; `end` then raises it.

        Raises:
            ModelError: If the server reports an error, of the type that its code and words say, or if the body is not
                what it should be.
            IncompleteAnswerError: If a frame is not JSON.
        """
        if self.finished:
            return []
        if self._decoder is None:
            self._held += len(data)
            data = self._find_framing(data)
            if self._decoder is None:
                if self._held > self._most_bytes:
                    raise self._too_large()
                return []
            self._held = 0
        frames = self._decoder.feed(data)
        if not frames:
            self._held += len(data)
            if self._held > self._most_bytes:
                raise self._too_large()
            return []
        if self._held:
            self._held = 0  # or a little more, which has come of the next one
        # A read mostly holds one event. Its error, if it is one, is raised here: nothing came before it.
        return self._read_frame(frames[0]) if len(frames) == 1 else self._read_frames(frames)

    def end(self) -> Sequence[Part]:
        """Say that the body has ended; return what is left.

        Raises:
            IncompleteAnswerError: If the answer is not complete.
            ModelError: The error after the parts that the last `feed` returned.
        """
        parts: Sequence[Part] = ()
        if not self.finished:
            frames: list[Frame] = []
            if self._decoder is None:
                rest = self._find_framing(b"", at_end=True)
                assert self._decoder is not None
                frames = self._decoder.feed(rest)
            parts = self._read_frames([*frames, *self._decoder.flush()])
        if self._error is not None:
            raise self._error
        return [*parts, *self.finish()]

    # --- what a wire says of itself ---

    @abstractmethod
    def choose_framing(self, seen: Framing | None, start: bytes, *, at_end: bool) -> Framing | None:
        """How the body is framed; None as long as the end of its first line is needed to tell.

        Args:
            seen: How it seems to be framed by its first bytes; None if they do not tell.
            start: What has come of it.
            at_end: Whether nothing more comes, so that None is not an answer.

        Raises:
            ModelError: If it is not of this wire.
        """

    def begin(self, framing: Framing) -> None:
        """Take the body as framed like this."""
        self._decoder = FRAMINGS[framing]()
        if framing == "json":  # one value, as large as an answer may be
            self._most_bytes = math.inf

    @abstractmethod
    def read_value(self, value: Any, frame: Frame) -> Sequence[Part]:
        """The parts in one JSON value, which came as `frame`."""

    def finish(self) -> Sequence[Part]:
        """What the end of a body without errors adds to the parts.

        Raises:
            IncompleteAnswerError: If the answer is not complete.
        """
        return ()

    def not_json(self, data: bytes) -> ModelError:
        """The error for a frame that should be JSON and is not."""
        return IncompleteAnswerError(
            f"{self._owner} sent {quote(data)}, which is not JSON, so its answer is broken off there. "
            "What had come is this error's `partial`; asking again may help."
        )

    def read_text(self, frame: Frame) -> Sequence[Part]:
        """The parts in a frame whose data is not JSON.

        Raises:
            ModelError: If it should be.
        """
        raise self.not_json(_bytes_of(frame))

    # --- from bytes to values ---

    def _too_large(self) -> ModelError:
        return too_large("max_event_bytes", self._most_bytes)

    def _find_framing(self, data: bytes, *, at_end: bool = False) -> bytes:
        """Make the decoder once enough has come; return all that has come."""
        self._start.append(data)
        # A first line of 20 MB comes in a thousand pieces: what is known of those before is not looked for again.
        if self._awaits_line and b"\n" not in data and not at_end:
            return b""
        start = b"".join(self._start)
        if codecs.BOM_UTF8.startswith(start) and not at_end:
            seen = framing = None
        else:
            start = start.removeprefix(codecs.BOM_UTF8)
            seen = sniff_framing(start)
            framing = self.choose_framing(seen, start, at_end=at_end)
        if framing is not None:
            self.begin(framing)
            self._start.clear()
        else:
            # Blanks say nothing, and those that keep a connection alive are not kept.
            self._start = [start if seen else start.lstrip()]
            self._awaits_line = seen is not None
        return start

    def _read_frames(self, frames: Sequence[Frame]) -> Sequence[Part]:
        parts: list[Part] = []
        try:
            for frame in frames:
                if self.finished:
                    break
                parts += self._read_frame(frame)
        except ModelError as error:
            self.finished = True
            if not parts:
                raise
            self._error = error
        return _join_text(parts) if self._coalesce else parts

    def _read_frame(self, frame: Frame) -> Sequence[Part]:
        data = frame.data
        if isinstance(data, str):  # plain text
            return (data,)
        size = len(data)
        if size < _LONGEST_DONE:
            if data.strip() == _DONE:
                self.finished = True
                return ()
        elif size > self._most_bytes:
            raise self._too_large()
        if self._expects_oddities:
            if frame.event in self._text_events:
                return self.read_text(frame)
            if self._lenient.halves:  # which are to be joined with what comes now
                return self._read_odd_frame(frame)
        try:
            value = self._load(data)
        except (ValueError, RecursionError):
            value = _NOT_READ
        # Out of the handler: the parser's error holds what the server sent, and would be the context of another one.
        return self._read_odd_frame(frame) if value is _NOT_READ else self.read_value(value, frame)

    def _read_odd_frame(self, frame: Frame) -> Sequence[Part]:
        """The parts of a frame that is not quite JSON, or not at all."""
        data = _bytes_of(frame).strip()
        if data.startswith(b"data:") and (marks := _FIELD_NAMES.match(data)):
            data = data[marks.end() :]  # a proxy has made events of another's events
        try:
            value = self._lenient.load(data, more_follows=not isinstance(self._decoder, WholeBody))
        except ValueError:
            pass
        else:
            self._expects_oddities = bool(self._lenient.halves or self._text_events)
            return self.read_value(value, frame)
        # What says nothing is passed over: comments in the place of data (OpenRouter's by way of gateways), empty data.
        if not data or frame.event in _KEEP_ALIVE or (data.startswith(b":") and b"\n" not in data):
            return ()
        if data == _DONE:
            self.finished = True
            return ()
        # Some servers leave out the blank line between two events; by the standard, these are one.
        lines = events_of_lines(frame)
        for line in lines[:_FIRST_LINES]:
            with suppress(ValueError):
                if isinstance(LenientJson().load(_bytes_of(line).strip()), dict):
                    return self._read_frames(lines)
        return self.read_text(frame)


class JsonObjectReader:
    """Reads a body that is one JSON object, and returns that as its only part."""

    def __init__(self) -> None:
        self.finished = False
        self._body: list[bytes] = []

    def feed(self, data: bytes) -> Sequence[Part]:
        """Take the next bytes; nothing is complete before the end."""
        self._body.append(data)
        return ()

    def end(self) -> Sequence[Part]:
        """Return the object.

        Raises:
            ModelAPIError: If the body is not one.
        """
        body = b"".join(self._body)
        try:
            value = LenientJson().load(body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            start = message_of(parse_body(body[:_LONGEST_START]))[:_LONGEST_QUOTE]
            raise ModelAPIError(f"The server's answer is not a JSON object; it begins {start!r}. Is `base_url` right?")
        return (value,)


def _bytes_of(frame: Frame) -> bytes:
    return frame.data.encode() if isinstance(frame.data, str) else frame.data


def too_large(setting: str, most: float) -> IncompleteAnswerError:
    """The error of an answer that is larger than a setting allows. Asking again would bring as much."""
    error = IncompleteAnswerError(
        f"The server sent more than {setting}={most:.0f} bytes, and what follows is not read. What had come is this "
        f"error's `partial`. If such answers are meant to be, raise `{setting}`, or set it to None for no limit."
    )
    error.is_retryable = False
    return error


def error_in(value: Any) -> ModelError:
    """The error that a value in the place of an answer stands for."""
    return error_of((failure_in(value) or value) if isinstance(value, Mapping) else value)


def quote(data: bytes | str) -> str:
    """What a server sent, or the beginning of it, as it is shown in an error."""
    data = data[: 4 * _LONGEST_QUOTE + 1]  # a character has four bytes at most
    text = data if isinstance(data, str) else data.decode(errors="replace")
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}…")


def _join_text(parts: list[Part]) -> list[Part]:
    """The parts with runs of text as one. Of the reports of usage within a run, the last one is kept, after it."""
    joined: list[Part] = []
    run: list[str] = []
    usage: list[Part] = []
    for part in [*parts, None]:
        if isinstance(part, str):
            run.append(part)
        elif isinstance(part, Usage) and run:
            usage = [part]  # counts are totals, so the last one says it all
        else:
            if run:
                joined += ["".join(run), *usage]
                run, usage = [], []
            if part is not None:
                joined.append(part)
    return joined
