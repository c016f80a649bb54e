"""HTTP/1.1 requests out of the bytes of a connection: https://www.rfc-editor.org/rfc/rfc9112."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

MAX_HEAD = 256 * 1024
"""The most bytes of a head. No client of ours sends more; without a limit, junk without a blank line would pile up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A complete request.

    Attributes:
        method: The method.
        target: Path and query, as they came.
        headers: Values by lower-case name; those of repeated headers are joined with a comma.
        body: The body, its chunks joined.
        keep: Whether the connection may stay open after it.
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
    """The bytes are not an HTTP request that this server accepts."""


class RequestParser:
    """A push parser of requests: bytes in, requests out, the same however the bytes are cut.

    Attributes:
        continues: Whether the client waits for `100 Continue` before it sends the body. Reset it once that is sent.
    """

    __slots__ = ("_chunks", "_data", "_head", "_left", "continues")

    def __init__(self) -> None:
        self._data = bytearray()
        self._head: tuple[str, str, dict[str, str]] | None = None
        self._chunks = bytearray()
        self._left: int | None = None
        self.continues = False

    @property
    def is_midway(self) -> bool:
        """Whether a request has begun to come, and is not whole."""
        return bool(self._data) or self._head is not None

    def feed(self, data: bytes) -> Iterator[HttpRequest]:
        """Take the next bytes; return the requests that they complete.

        Raises:
            BadRequest: If the bytes are not an HTTP/1.1 request.
        """
        self._data += data
        while True:
            if self._head is None:
                end = self._data.find(b"\r\n\r\n")
                if end < 0:
                    if len(self._data) > MAX_HEAD:
                        raise BadRequest(f"The head of the request has no end within {MAX_HEAD} bytes.")
                    return
                self._head = parse_head(self._take(end + 4)[:-4])
                self.continues = self._head[2].get("expect", "").lower() == "100-continue"
            method, target, headers = self._head
            body = self._take_body(headers)
            if body is None:
                return
            self._head = None
            keep = "close" not in headers.get("connection", "").lower()
            yield HttpRequest(method=method, target=target, headers=headers, body=body, keep=keep)

    def _take(self, length: int) -> bytes:
        taken = bytes(self._data[:length])
        del self._data[:length]
        return taken

    def _take_body(self, headers: Mapping[str, str]) -> bytes | None:
        """The body; None if it is not complete yet."""
        if "chunked" not in headers.get("transfer-encoding", "").lower():
            length = headers.get("content-length", "0")
            if not length.isdecimal():
                raise BadRequest(f"content-length is {length!r}, which is not a number.")
            return self._take(int(length)) if len(self._data) >= int(length) else None
        while True:  # a chunk at a time; `_left` remembers a size whose bytes have not come yet
            if self._left is None:
                end = self._data.find(b"\r\n")
                if end < 0:
                    return None
                line = self._take(end + 2)
                try:
                    self._left = int(line.split(b";")[0], 16)  # chunk extensions follow a semicolon
                except ValueError:
                    raise BadRequest(f"{line!r} is not the size of a chunk.") from None
            if len(self._data) < self._left + 2:
                return None
            size, self._left = self._left, None
            self._chunks += self._take(size + 2)[:-2]
            if not size:
                # Trailers would follow here, and be misread as the next request. No client of ours sends any.
                body = bytes(self._chunks)
                self._chunks.clear()
                return body


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers of a request's head, which comes without its blank line.

    Raises:
        BadRequest: If it is not the head of an HTTP/1.1 request.
    """
    # Latin-1 has a character for every byte. Blank lines before a request are to be ignored (RFC 9112, 2.2).
    first, *lines = head.decode("latin-1").lstrip("\r\n").split("\r\n")
    method, _, rest = first.partition(" ")
    target, _, version = rest.rpartition(" ")
    if not method or not target or version != "HTTP/1.1":
        raise BadRequest(f"{first!r} is not an HTTP/1.1 request line.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadRequest(f"{line!r} is not a header line.")
        known = headers.get(name.lower())
        headers[name.lower()] = value.strip() if known is None else f"{known}, {value.strip()}"
    return method, target, headers
