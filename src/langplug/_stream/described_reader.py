"""The body of an answer on any wire, read as parts by a description: how it is framed, and where the parts are."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.exceptions import ModelError

from langplug._parts import Finish, Part
from langplug._stream.framing import Frame, Framing
from langplug._stream.paths import Paths, UnreadableAnswerError, ValueParser
from langplug._stream.reader import BodyReader, LoadJson, error_in, quote


class DescribedReader(BodyReader):
    """A push parser for the bytes of one answer.

    The description counts where the first bytes and the content type leave open how the body is framed.

    Args:
        framing: How a streamed answer is framed, as described. Plain text is taken as it comes.
        content_type: The response's `Content-Type`.
        streamed: Where the parts are in what a stream sends. None for plain text.
        whole: Where they are in an answer that is one JSON value.
        owner: Who has answered, for errors.
        stops: The stop strings whose text is put back at the end where the server says that it ended there.
        load: The JSON parser.
        max_event_bytes: How large one event, line or item may be.
    """

    def __init__(
        self,
        framing: Framing,
        content_type: str = "",
        *,
        streamed: Paths | None,
        whole: Paths | None,
        owner: str = "The server",
        stops: Sequence[str] = (),
        load: LoadJson = json.loads,
        max_event_bytes: int | None = None,
    ) -> None:
        super().__init__(content_type, owner=owner, load=load, max_event_bytes=max_event_bytes)
        self._described: Framing = framing
        self._streamed = streamed
        self._whole = whole
        self._stops = stops
        self._parser: ValueParser | None = None
        self._stopped_at = ""
        self._is_sse = False
        self._json_events: set[str] = set()  # the names of events that have held JSON

    # --- framing ---

    def choose_framing(self, seen: Framing | None, start: bytes, *, at_end: bool) -> Framing | None:
        """As the first bytes say; as described, where they leave it open."""
        if self._described == "text":
            return "text"
        if seen is None:
            return self._described if at_end else None
        if seen == "text":
            if self._described == "sse":
                raise self._not_as_described(start)
            return self._described
        return self._choose_json_framing(start, at_end=at_end) if seen == "json" else seen

    def _choose_json_framing(self, start: bytes, *, at_end: bool) -> Framing | None:
        """How a body that begins with a bracket is framed: it may be a whole answer, or the start of a stream."""
        start = start.lstrip()
        if self._described == "json-array":
            return "json-array" if start.startswith(b"[") else "json"
        if self._named == "ndjson":
            return "ndjson"
        if self._described != "ndjson":
            return "json"
        # The type may be wrong: a stream's first line is JSON, while that of a whole answer may be a mere `{`.
        line, ended, _ = start.partition(b"\n")
        if not ended:
            return "json" if at_end else None
        try:
            self._load(line)
        except (ValueError, RecursionError):
            return "json"
        return "ndjson"

    def begin(self, framing: Framing) -> None:
        """Take the body as framed like this, with the paths for a stream or for a whole answer."""
        super().begin(framing)
        self._is_sse = framing == "sse"
        paths = self._whole if framing == "json" else self._streamed
        if framing != "text" and paths is not None:
            self._parser = ValueParser(paths, owner=self._owner)

    # --- values ---

    def read_value(self, value: Any, frame: Frame) -> Sequence[Part]:
        """The parts that the paths find."""
        assert self._parser is not None
        if self._is_sse and frame.event not in self._json_events:
            if isinstance(value, int | float):
                return self.read_text(frame)  # the text of an answer may be a number, or `true`
            if isinstance(value, dict | list):
                self._json_events.add(frame.event)
        if isinstance(value, str) and frame.event:
            value = {"data": value}
        if frame.event and isinstance(value, dict):
            value.setdefault("event", frame.event)  # so that paths can tell the events apart
        parts = self._parser.feed(value)
        self.finished = self._parser.finished
        if frame.event == "error" and not parts:
            raise error_in(value)
        if self._stops:
            for part in parts:
                if isinstance(part, Finish) and part.stop_sequence in self._stops:
                    self._stopped_at = part.stop_sequence or ""
        return parts

    def read_text(self, frame: Frame) -> Sequence[Part]:
        """The data of an event that is text: a string or, if the event has a name, `{event: ..., data: ...}`.

        An event's first data settles whether all data of its name is text, since text may look like JSON.

        Raises:
            ModelError: If it was broken off, or if no path finds anything in it and it has no name to be told by.
        """
        text = frame.data if isinstance(frame.data, str) else frame.data.decode(errors="replace")
        if frame.event == "error" and "error" not in self._text_events:
            raise error_in(text)
        if frame.event not in self._text_events:
            begins_as_json = text.lstrip().startswith(("{", "["))
            if not self._is_sse or begins_as_json or frame.event in self._json_events or self._parser is None:
                raise self.not_json(text.encode())
        parts = self._parser.feed({"event": frame.event, "data": text} if frame.event else text) if self._parser else []
        if not frame.event and not parts and text.strip() and not self._text_events:
            raise self._not_as_described(text.encode())
        self._text_events.add(frame.event)
        self._expects_oddities = True
        return parts

    def finish(self) -> Sequence[Part]:
        """The stop string that the server has named; checks that the answer is complete and that anything was found."""
        if self._parser is not None:
            self._parser.end()
        return (self._stopped_at,) if self._stopped_at else ()

    def not_json(self, data: bytes) -> ModelError:
        """A frame that begins as JSON does is broken off; any other was never JSON."""
        begins_as_json = data.lstrip().startswith((b"{", b"["))
        return super().not_json(data) if begins_as_json else self._not_as_described(data)

    def _not_as_described(self, data: bytes) -> UnreadableAnswerError:
        return UnreadableAnswerError(
            f"{self._owner} sent {quote(data)}, which is not what framing={self._described!r} says. "
            "Is the address right? Else correct the framing."
        )
