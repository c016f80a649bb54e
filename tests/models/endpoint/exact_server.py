"""A server on loopback that answers with exactly the JSON that a test gives, whole or as a stream."""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[dict[str, Any]], Any]
"""From the request's body to an answer: whole (a dict), as chunks (a list), or why it is refused (a str)."""


@dataclass
class ExactServer:
    """Where it is, and what it was asked."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)


@contextmanager
def exact_server(answer: Answer) -> Generator[ExactServer]:
    """A server that gives each request to `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.bodies.append(body)
            given = answer(body)
            if isinstance(given, str):
                self._send(400, "application/json", json.dumps({"error": {"message": given}}))
            elif isinstance(given, list):
                events = [f"data: {json.dumps(chunk)}\n\n" for chunk in given]
                self._send(200, "text/event-stream", "".join([*events, "data: [DONE]\n\n"]))
            else:
                self._send(200, "application/json", json.dumps(given))

        def _send(self, status: int, content_type: str, text: str) -> None:
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = ExactServer(f"http://127.0.0.1:{http.server_port}/v1")
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def always(answer: Any, _: dict[str, Any]) -> Any:
    """With `partial`, a server that gives the same answer to each request."""
    return answer


def completion(message: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole answer with this message."""
    reason = "tool_calls" if message.get("tool_calls") else "stop"
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return {"object": "chat.completion", "model": "m", "choices": [choice], **more}


def stream(*deltas: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    """A stream of these deltas, and its end."""
    reason = "tool_calls" if any(delta.get("tool_calls") for delta in deltas) else "stop"
    ends: list[tuple[dict[str, Any], str | None]] = [*((delta, None) for delta in deltas), ({}, reason)]
    return [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": end}], **more}
        for delta, end in ends
    ]
