"""A server on loopback that says what it is told to, byte for byte, and keeps what it was asked."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Canned:
    """An answer: its body goes out in these pieces, one chunk each, with a pause before each but the first."""

    pieces: Sequence[bytes]
    type: str = "application/json"
    status: int = 200
    pause_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)
    """More headers of the response."""
    ends: bool = True
    """Whether the last chunk of the chunked body comes; else the connection is closed in its place."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class CannedServer:
    """`with CannedServer() as server:`; what it says is `server.answer`, what it was asked is `server.received`."""

    answer: Canned = field(default_factory=lambda: Canned(pieces=[b"{}"]))
    received: list[Received] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away in the middle of an answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def last(self) -> Received:
        return self.received[-1]

    def __enter__(self) -> Self:
        told = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                told.serve(self)

            do_GET = do_POST = do_PUT = answer  # noqa: N815 - the standard library's names

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client may go at any time
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.received.append(Received(method=handler.command, path=handler.path, headers=headers, body=body))
        answer = self.answer
        handler.send_response(answer.status)
        handler.send_header("Content-Type", answer.type)
        handler.send_header("Transfer-Encoding", "chunked")
        for name, value in answer.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        try:
            for number, piece in enumerate(answer.pieces):
                time.sleep(answer.pause_s if number else 0)
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if answer.ends:
                handler.wfile.write(b"0\r\n\r\n")
        except OSError:
            self.left.set()
        handler.close_connection = not answer.ends
