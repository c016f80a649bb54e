"""Requests and responses as they go over the wire, for `LANGPLUG_LOG=wire`: whole, and without secrets."""

from collections.abc import Mapping, Sequence
from itertools import count

from langplug._log import strike_out, wire
from langplug._parts import Part
from langplug._redaction import AnySecret
from langplug._secrets import is_secret_name
from langplug._stream.framing import FRAMINGS, Frame, framing_of
from langplug._stream.reader import Reader

_numbers = count(1)


class WireLog:
    """One request and its response, under one number, since those of many calls are mixed.

    To be made where `wire.isEnabledFor(logging.DEBUG)`, so that nothing is formatted while the log is off.
    """

    def __init__(self, secrets: Sequence[AnySecret]) -> None:
        self._secrets = secrets
        self._number = next(_numbers)
        self._content_type = ""

    def request(self, method: str, url: str, headers: Mapping[str, str | AnySecret], body: bytes | None) -> None:
        """Show a request."""
        self.line(f"> {method} {url}")
        self.headers(">", headers)
        if body is not None:
            self.line(f"> {body.decode(errors='replace')}")

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Show the head of the response."""
        self._content_type = headers.get("Content-Type", "")
        self.line(f"< HTTP {status}")
        self.headers("<", headers)

    def body(self, body: bytes) -> None:
        """Show a body that was read whole."""
        self.line(f"< {body.decode(errors='replace')}")

    def around(self, reader: Reader) -> Reader:
        """`reader`, and each event, line or body that it reads is shown."""
        return _ShownReader(reader, self, self._content_type)

    def headers(self, sign: str, headers: Mapping[str, str | AnySecret]) -> None:
        """Show headers; of those that are secret only that they are there."""
        for name, value in headers.items():
            self.line(f"{sign} {name}: {value if isinstance(value, str) and not is_secret_name(name) else '***'}")

    def failure(self, error: Exception) -> None:
        """Show why there is no response."""
        self.line(f"! {type(error).__name__}: {error}")

    def line(self, text: str) -> None:
        """Show a line of it."""
        wire.debug("#%d %s", self._number, strike_out(text, self._secrets))


class _ShownReader:
    """A reader that shows what it reads. Its own decoder cuts the bytes: in half an event no secret can be found."""

    def __init__(self, reader: Reader, shown: WireLog, content_type: str) -> None:
        self._reader = reader
        self._shown = shown
        self._decoder = FRAMINGS[framing_of(content_type) or "ndjson"]()  # what is nothing else has lines
        self.finished = reader.finished

    def feed(self, data: bytes) -> Sequence[Part]:
        self._show(self._decoder.feed(data))
        parts = self._reader.feed(data)
        self.finished = self._reader.finished
        return parts

    def end(self) -> Sequence[Part]:
        self._show(self._decoder.flush())
        return self._reader.end()

    def _show(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            named = f"event: {frame.event} " if frame.event else ""
            data = frame.data if isinstance(frame.data, str) else frame.data.decode(errors="replace")
            self._shown.line(f"< {named}{data}")
