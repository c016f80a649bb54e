"""The body of an answer on any wire, read as parts by a description: how it is framed, and where the parts are."""

import codecs
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langchain_core.exceptions import ModelError

from langplug._answer.server_errors import error_of
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Part
from langplug._stream.framing import FRAMINGS, Frame, FrameDecoder, Framing, framing_of, sniffed_framing
from langplug._stream.paths import Extractor, Paths, UnreadableAnswerError

Load = Callable[[bytes | str], Any]

_DONE = "[DONE]"
"""What many servers send behind the last of their server-sent events."""


class DescribedReader:
    """A push parser for the bytes of one answer.

    How the body is framed is seen in its first bytes and its content type, as servers answer with JSON where a stream
    was asked for, and the reverse; the description counts where these leave it open.

    Args:
        framing: How a streamed answer is framed, as described. Plain text is taken as it comes.
        content_type: The response's `Content-Type`.
        streamed: Where the parts are in what a stream sends. None for plain text.
        whole: Where they are in an answer that is one JSON value.
        owner: Who is said to have answered, in errors.
        stops: The stop strings whose text is put back at the end where the server says that it ended there.
        load: The JSON parser.

    Attributes:
        finished: True once the wire's own end was seen, or an error, which `end` raises.
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
        load: Load = json.loads,
    ) -> None:
        self.finished = False
        self._described: Framing = framing
        self._named = framing_of(content_type)
        self._streamed = streamed
        self._whole = whole
        self._owner = owner
        self._stops = stops
        self._load = load
        self._start = b""
        self._decoder: FrameDecoder | None = None
        self._extractor: Extractor | None = None
        self._stopped_at = ""
        self._error: ModelError | None = None

    def feed(self, data: bytes) -> list[Part]:
        """Take the next bytes; return the parts that they complete.

        Raises:
            ModelError: If the server reports an error; typed by its words.
            UnreadableAnswerError: If a path finds something of another kind than it should.
            IncompleteAnswerError: If a frame is not JSON.
        """
        if self.finished:
            return []
        if self._decoder is None:
            self._start += data
            data = self._start.removeprefix(codecs.BOM_UTF8)
            framing = self._framing(data, at_end=False)
            if framing is None:
                return []
            self._begin(framing)
        return self._parts(self._decoder.feed(data) if self._decoder else [])

    def end(self) -> list[Part]:
        """Say that the body has ended; return what is left.

        Raises:
            IncompleteAnswerError: If the answer did not say that it is complete, where it should.
            UnreadableAnswerError: If nothing that was said was found.
        """
        self._raise_error()
        parts = [] if self.finished else self._rest()
        self._raise_error()
        if self._extractor is not None:
            self._extractor.end()
        if self._stopped_at:
            parts.append(self._stopped_at)
        return parts

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _rest(self) -> list[Part]:
        start = b""
        if self._decoder is None:
            start = self._start.removeprefix(codecs.BOM_UTF8)
            self._begin(self._framing(start, at_end=True) or self._described)
        assert self._decoder is not None
        return self._parts([*(self._decoder.feed(start) if start else []), *self._decoder.flush()])

    # --- framing ---

    def _framing(self, start: bytes, *, at_end: bool) -> Framing | None:
        """How the body is framed; None as long as too little of it has come to tell."""
        if self._described == "text":
            return "text"
        if codecs.BOM_UTF8.startswith(start) and not at_end:
            return None
        seen = sniffed_framing(start)
        if seen is None and not at_end:
            return None
        if seen == "text" and self._described == "sse":
            raise self._unreadable(start)
        if seen == "text" or seen is None:
            return self._described
        return self._kind_of_json(start, at_end=at_end) if seen == "json" else seen

    def _kind_of_json(self, start: bytes, *, at_end: bool) -> Framing | None:
        """One value, or several: by the content type, and where it may be wrong, by the first line."""
        start = start.lstrip()
        if self._described == "json-array":
            return "json-array" if start.startswith(b"[") else "json"
        if self._named == "ndjson":
            return "ndjson"
        if self._described != "ndjson":
            return "json"
        line, ended, _ = start.partition(b"\n")
        if not ended:
            return "json" if at_end else None
        return "ndjson" if self._is_json(line) else "json"

    def _is_json(self, line: bytes) -> bool:
        try:
            self._load(line)
        except (ValueError, RecursionError):
            return False
        return True

    def _begin(self, framing: Framing) -> None:
        self._start = b""
        self._decoder = FRAMINGS[framing]()
        paths = self._whole if framing == "json" else self._streamed
        if framing != "text" and paths is not None:
            self._extractor = Extractor(paths, owner=self._owner)

    # --- frames ---

    def _parts(self, frames: Iterable[Frame]) -> list[Part]:
        """The parts of `frames`. What came before an error is given on first; then `end` raises it."""
        parts: list[Part] = []
        try:
            for frame in frames:
                if self.finished:
                    break
                parts.extend(self._of_frame(frame))
        except ModelError as error:
            self.finished = True
            self._error = error
            if not parts:
                raise
        return parts

    def _of_frame(self, frame: Frame) -> Iterable[Part]:
        if self._extractor is None:
            return (str(frame.data),)
        if len(frame.data) < 20 and _text(frame.data).strip() == _DONE:
            self.finished = True
            return ()
        value = self._loaded(frame.data)
        if frame.event and isinstance(value, dict):
            value.setdefault("event", frame.event)
        parts = self._extractor.feed(value)
        self.finished = self._extractor.finished
        if frame.event == "error" and not parts:
            raise error_of((value.get("error") or value) if isinstance(value, dict) else value)
        if self._stops:
            self._note_stop(parts)
        return parts

    def _note_stop(self, parts: Iterable[Part]) -> None:
        for part in parts:
            if isinstance(part, Finish) and part.stop_sequence in self._stops:
                self._stopped_at = part.stop_sequence or ""

    def _loaded(self, data: bytes | str) -> Any:
        try:
            return self._load(data)
        except (ValueError, RecursionError):
            if not _text(data).lstrip().startswith(("{", "[")):
                raise self._unreadable(data) from None
            raise IncompleteAnswerError(
                f"{self._owner} sent {_shown(data)}, which is not JSON, so its answer is broken off there. "
                "What had come is this error's `partial`; asking again may help."
            ) from None

    def _unreadable(self, data: bytes | str) -> UnreadableAnswerError:
        return UnreadableAnswerError(
            f"{self._owner} sent {_shown(data)}, which is not what framing={self._described!r} says. "
            "Is the address right? Else correct the framing."
        )


def _shown(data: bytes | str) -> str:
    text = _text(data)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")


def _text(data: bytes | str) -> str:
    return data if isinstance(data, str) else data.decode(errors="replace")
