"""What an author needs to ask a model over HTTP by a client of their own.

* `error_of`: a response with an error status, as the `ModelError` that it stands for;
* `error_of_exception`: the same for an exception of httpx, aiohttp, requests, an SDK, boto3 or gRPC. langplug does it
  by itself for what `respond` raises;
* `retry_after_of`: how long a server has asked to wait, by the error that it became, or an integration's own;
* `sse`: server-sent events from pieces of a body;
* `OutgoingRequest`: what the function is given that is passed as `on_request` to `ChatEndpoint` and `ChatHTTP`;
* `client_credentials`: tokens by OAuth 2.0, for `auth=` of `ChatEndpoint` and `ChatHTTP`, or for your own requests.

Nothing here needs an extra, except `client_credentials`, when it is used: `langplug[http]`.
"""

import json
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, overload

from langchain_core.exceptions import ModelError

from langplug._answer.client_errors import model_error_of, retry_after_of
from langplug._answer.server_errors import error_of_response
from langplug._http.client_credentials import ClientCredentials, client_credentials
from langplug._http.request_hook import OutgoingRequest
from langplug._stream.framing import EventStream, Frame

__all__ = [
    "ClientCredentials",
    "Event",
    "OutgoingRequest",
    "client_credentials",
    "error_of",
    "error_of_exception",
    "retry_after_of",
    "sse",
]


class Event(NamedTuple):
    """One server-sent event.

    Attributes:
        data: What it says; several `data:` lines are joined by line breaks.
        event: Its name; `"message"` if it has none.
        id: The last id that the stream has named by then, or an empty string.
    """

    data: str
    event: str = "message"
    id: str = ""

    def json(self) -> Any:
        """What `data` says as JSON.

        Raises:
            ValueError: If it is not JSON.
        """
        return json.loads(self.data)


def error_of(
    status: int, body: bytes | str | Any = b"", headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None
) -> ModelError:
    """The error that a response with an error status stands for, to be raised.

    It has the attributes `status_code`, `retry_after` (seconds that the server asks to wait, or None) and `request_id`
    (or None).

    Args:
        status: The HTTP status.
        body: The body: bytes, text, or what its JSON says. Its words refine the type: `ContextOverflowError`,
            `RefusalError`, a rate limit that no waiting cures.
        headers: The response's headers, for `Retry-After`: a mapping, or pairs, of texts or bytes. How their names are
            written does not matter.
    """
    if isinstance(body, str):
        body = body.encode(errors="replace")
    elif isinstance(body, bytearray | memoryview):
        body = bytes(body)
    elif not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False, default=str).encode(errors="replace")
    given: Any = headers or ()
    pairs = given.items() if hasattr(given, "items") else given
    return error_of_response(status, body, {_header_text(name): _header_text(value) for name, value in pairs})


def _header_text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def error_of_exception(error: BaseException) -> ModelError | None:
    """The error that an exception of an HTTP client's stands for; None for any other exception.

    To be raised `from error`. A `ModelError` is given back as it is.
    """
    return error if isinstance(error, ModelError) else model_error_of(error)


Chunk: TypeAlias = bytes | bytearray | memoryview | str


@overload
def sse(chunks: Chunk | Iterable[Chunk]) -> Iterator[Event]: ...
@overload
def sse(chunks: AsyncIterable[Chunk]) -> AsyncIterator[Event]: ...
def sse(chunks: Chunk | Iterable[Chunk] | AsyncIterable[Chunk]) -> Iterator[Event] | AsyncIterator[Event]:
    """The server-sent events in a body, each as soon as it is complete; however the body is cut, they are the same.

    By https://html.spec.whatwg.org/multipage/server-sent-events.html. An event that the end of the body left without
    its blank line is given, too: many servers leave that out after the last one. `[DONE]` is an event like any other.

    Args:
        chunks: The body as it comes, sync or async: `response.iter_bytes()` or `aiter_bytes()` of httpx,
            `iter_content(None)` of requests, `content.iter_any()` of aiohttp. Lines without their ends, as `iter_lines`
            gives them, are known by the empty ones between events, and read as well. A whole body may be given, too.

    Raises:
        ValueError: If the chunks are lines whose ends, and empty lines, were taken away: nobody can say what is one
            event.
        TypeError: If a chunk is not bytes or text.
    """
    if isinstance(chunks, AsyncIterable):
        return _AsyncEvents(chunks)
    if isinstance(chunks, bytes | bytearray | memoryview | str):
        whole: Any = chunks
        return _events([whole])
    return _events(chunks)


class _Body:
    """From chunks, or lines without their ends, to events."""

    _FIELD = re.compile(rb"(?:data|event|id|retry)\s?:")

    def __init__(self) -> None:
        self._stream = EventStream()
        # What has come before the first line break. No event is complete before, so it costs no time to hold it.
        self._start: list[bytes] | None = []
        self._has_lines = False

    def feed(self, chunk: Chunk) -> list[Frame]:
        if not isinstance(chunk, Chunk):
            raise TypeError(f"sse() reads chunks of bytes or text, not {type(chunk).__name__}; an event's text is str.")
        data = chunk.encode() if isinstance(chunk, str) else bytes(chunk)
        if self._has_lines:
            return self._stream.feed(data + b"\n")
        if self._start is None:
            return self._stream.feed(data)
        # An empty chunk in the middle of a line, and then the beginning of a field: these are lines.
        self._has_lines = self._start[-1:] == [b""] and any(self._start) and self._FIELD.match(data) is not None
        self._start.append(data)
        if not self._has_lines and b"\n" not in data and b"\r" not in data:
            return []
        held, self._start = self._start, None
        return self._stream.feed(b"\n".join([*held, b""]) if self._has_lines else b"".join(held))

    def end(self) -> list[Frame]:
        if self._start:
            if sum(self._FIELD.match(one) is not None for one in self._start) > 1:
                raise ValueError(
                    "sse() was given lines without their ends, and without the empty lines between events. Pass the "
                    "body as it comes: `iter_bytes()` of httpx, `iter_content(None)` of requests."
                )
            return [*self._stream.feed(b"".join(self._start)), *self._stream.flush()]
        return self._stream.flush()


def _events(chunks: Iterable[Chunk]) -> Iterator[Event]:
    body = _Body()
    for chunk in chunks:
        yield from map(_event_of, body.feed(chunk))
    yield from map(_event_of, body.end())


class _AsyncEvents(AsyncIterator[Event]):
    """Not an async generator, which whoever stops in the middle would have to close."""

    def __init__(self, chunks: AsyncIterable[Chunk]) -> None:
        self._chunks = aiter(chunks)
        self._body = _Body()
        self._ready: Iterator[Frame] = iter(())
        self._ended = False

    async def __anext__(self) -> Event:
        while True:
            for frame in self._ready:
                return _event_of(frame)
            if self._ended:
                raise StopAsyncIteration
            try:
                chunk = await anext(self._chunks)
            except StopAsyncIteration:
                self._ended = True
                self._ready = iter(self._body.end())
            else:
                self._ready = iter(self._body.feed(chunk))


def _event_of(frame: Frame) -> Event:
    data = frame.data if isinstance(frame.data, str) else frame.data.decode(errors="replace")
    return Event(data, frame.event or "message", frame.id)
