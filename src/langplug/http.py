"""What an author needs to ask a model over HTTP by a client of their own.

* `error_of`: a response with an error status, as the `ModelError` that it stands for;
* `error_of_exception`: the same for an exception of httpx, aiohttp, requests, an SDK, boto3 or gRPC. langplug does it
  by itself for what `respond` raises;
* `sse`: server-sent events from pieces of a body;
* `OutgoingRequest`: what the function is given that is passed as `on_request` to `ChatEndpoint` and `ChatHTTP`;
* `client_credentials`: tokens by OAuth 2.0, for `auth=` of `ChatEndpoint` and `ChatHTTP`, or for your own requests.

Nothing here needs an extra, except `client_credentials`, when it is used: `langplug[http]`.
"""

import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, overload

from langchain_core.exceptions import ModelError

from langplug._answer.client_errors import model_error_of
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


def error_of(status: int, body: bytes | str | Any = b"", headers: Mapping[str, str] | None = None) -> ModelError:
    """The error that a response with an error status stands for, to be raised.

    It has the attributes `status_code`, `retry_after` (seconds that the server asks to wait, or None) and `request_id`
    (or None).

    Args:
        status: The HTTP status.
        body: The body: bytes, text, or what its JSON says. Its words refine the type: `ContextOverflowError`,
            `RefusalError`, a rate limit that no waiting cures.
        headers: The response's headers, for `Retry-After`; how their names are written does not matter.
    """
    if isinstance(body, str):
        body = body.encode(errors="replace")
    elif not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False, default=str).encode(errors="replace")
    return error_of_response(status, body, headers or {})


def error_of_exception(error: BaseException) -> ModelError | None:
    """The error that an exception of an HTTP client's stands for; None for any other exception.

    To be raised `from error`. A `ModelError` is given back as it is.
    """
    return error if isinstance(error, ModelError) else model_error_of(error)


@overload
def sse(chunks: Iterable[bytes | str]) -> Iterator[Event]: ...
@overload
def sse(chunks: AsyncIterable[bytes | str]) -> AsyncIterator[Event]: ...
def sse(chunks: Iterable[bytes | str] | AsyncIterable[bytes | str]) -> Iterator[Event] | AsyncIterator[Event]:
    """The server-sent events in a body, each as soon as it is complete; however the body is cut, they are the same.

    By https://html.spec.whatwg.org/multipage/server-sent-events.html. An event that the end of the body left without
    its blank line is given, too: many servers leave that out after the last one. `[DONE]` is an event like any other.

    Args:
        chunks: The body as it comes, sync or async: `response.iter_bytes()` or `aiter_bytes()` of httpx,
            `iter_content(None)` of requests, `content.iter_any()` of aiohttp. Not its lines without their ends.
    """
    return _AsyncEvents(chunks) if isinstance(chunks, AsyncIterable) else _events(chunks)


def _events(chunks: Iterable[bytes | str]) -> Iterator[Event]:
    stream = EventStream()
    for chunk in chunks:
        yield from map(_event_of, stream.feed(chunk.encode() if isinstance(chunk, str) else chunk))
    yield from map(_event_of, stream.flush())


class _AsyncEvents(AsyncIterator[Event]):
    """Not an async generator, which whoever stops in the middle would have to close."""

    def __init__(self, chunks: AsyncIterable[bytes | str]) -> None:
        self._chunks = aiter(chunks)
        self._stream = EventStream()
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
                self._ready = iter(self._stream.flush())
            else:
                self._ready = iter(self._stream.feed(chunk.encode() if isinstance(chunk, str) else chunk))


def _event_of(frame: Frame) -> Event:
    data = frame.data if isinstance(frame.data, str) else frame.data.decode(errors="replace")
    return Event(data, frame.event or "message", frame.id)
