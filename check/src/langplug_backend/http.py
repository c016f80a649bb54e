"""HTTP/1.1 requests, pushed in as they come: https://www.rfc-editor.org/rfc/rfc9112."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MOST_HEAD = 256 * 1024
"""Bytes of a head that are taken: beyond them, the client is no client of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request, whole.

    Attributes:
        method: The method.
        target: Path and query, as they came.
        headers: Header lines by lower-case name; of repeated ones, the values with a comma between.
        body: The body, its chunks put together.
        keep: Whether the connection may stay open behind it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    keep: bool

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class BadRequest(ValueError):
    """What came is no HTTP request that this server takes."""


class RequestParser:
    """Requests out of the bytes of a connection; any split of the bytes gives the same requests.

    Attributes:
        continues: Whether the client waits for `100 Continue` before it sends the body. Set it back once said.
    """

    __slots__ = ("_chunks", "_data", "_head", "_left", "continues")

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._chunks = bytearray()
        self._left: int | None = None
        self.continues = False

    def feed(self, data: bytes) -> Iterator[HttpRequest]:
        """Take the next bytes; return the requests that they complete.

        Raises:
            BadRequest: If the bytes are no HTTP/1.1 request.
        """
        self._data += data
        while request := self._next():
            yield request

    def _next(self) -> HttpRequest | None:
        if self._head is None and not self._read_head():
            return None
        assert self._head
        body = self._body()
        if body is None:
            return None
        (method, target, headers), self._head = self._head, None
        closes = "close" in headers.get("connection", "").lower()
        return HttpRequest(method=method, target=target, headers=headers, body=body, keep=not closes)

    def _read_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            if len(self._data) > MOST_HEAD:
                raise BadRequest("The head of the request does not end.")
            return False
        lines = bytes(self._data[:end]).decode("latin-1").lstrip("\r\n").split("\r\n")
        del self._data[: end + 4]
        self._head = (*_request_line(lines[0]), _headers(lines[1:]))
        self.continues = self._head[2].get("expect", "").lower() == "100-continue"
        return True

    def _body(self) -> bytes | None:
        assert self._head
        headers = self._head[2]
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._chunked()
        length = _length(headers.get("content-length", "0"))
        return self._taken(length) if len(self._data) >= length else None

    def _taken(self, length: int) -> bytes:
        taken = bytes(self._data[:length])
        del self._data[:length]
        return taken

    def _chunked(self) -> bytes | None:
        """The chunks that came so far; the body, once the last one is there. Trailers are not taken."""
        while True:
            if self._left is None:
                end = self._data.find(b"\r\n")
                if end < 0:
                    return None
                self._left = _size(self._taken(end + 2))
            if len(self._data) < self._left + 2:
                return None
            chunk, size = self._taken(self._left + 2), self._left
            self._left = None
            self._chunks += chunk[:-2]
            if not size:
                body = bytes(self._chunks)
                self._chunks.clear()
                return body


def _request_line(line: str) -> tuple[str, str]:
    method, _, rest = line.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not method or not target or version != "HTTP/1.1":
        raise BadRequest(f"{line!r} is no HTTP/1.1 request line.")
    return method, target


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(f"{line!r} is no header line.")
        known = headers.get(name.lower())
        headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
    return headers


def _length(value: str) -> int:
    if not value.isdecimal():
        raise BadRequest(f"{value!r} is no content-length.")
    return int(value)


def _size(line: bytes) -> int:
    try:
        return int(line.split(b";")[0], 16)
    except ValueError:
        raise BadRequest(f"{line!r} is no chunk's size.") from None
