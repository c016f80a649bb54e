"""A server on loopback that refuses what a real one refuses: each rule is a function from a body to a refusal."""

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]
Rule = Callable[[Json], "str | None"]
"""Returns what is wrong with a body; None: nothing."""


@dataclass(frozen=True)
class Call:
    """A call of a tool that the server's model makes."""

    name: str
    args: Json
    id: str


class StrictServer:
    """Answers one after the other what it is told to, and refuses what breaks a rule.

    Args:
        rules: What it refuses.
        answers: What it says, request by request; the last one again and again. Several calls are one answer.
        status: The status of a refusal.
    """

    def __init__(self, rules: Iterable[Rule] = (), answers: Iterable[Any] = ("ok",), status: int = 400) -> None:
        self.rules = list(rules)
        self.answers = list(answers)
        self.status = status
        self.bodies: list[Json] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.refusals: list[str] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        served = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, kind, data = served.respond(self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's own name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Its address, as `base_url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def respond(self, path: str, headers: dict[str, str], body: Json) -> tuple[int, str, bytes]:
        """The status, the content type and the body of a response."""
        with self._lock:
            self.paths.append(path)
            self.headers.append({name.lower(): value for name, value in headers.items()})
            self.bodies.append(body)
            for rule in self.rules:
                if refusal := rule(body):
                    self.refusals.append(refusal)
                    error = {"error": {"message": refusal, "type": "invalid_request_error"}}
                    return self.status, "application/json", json.dumps(error).encode()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        delta = message_of(answer)
        finish = "tool_calls" if "tool_calls" in delta else "stop"
        if not body.get("stream"):
            choice = {"index": 0, "message": delta, "finish_reason": finish}
            return 200, "application/json", json.dumps({"choices": [choice]}).encode()
        chunks = [({**delta}, None), ({}, finish)]
        events = [json.dumps({"choices": [{"index": 0, "delta": d, "finish_reason": reason}]}) for d, reason in chunks]
        return 200, "text/event-stream", "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"]).encode()


def message_of(answer: Any) -> Json:
    """An answer of the model's as a message of the wire: text, one call, or several."""
    if isinstance(answer, str):
        return {"role": "assistant", "content": answer}
    calls = [answer] if isinstance(answer, Call) else answer
    written = [
        {
            "index": n,
            "id": one.id,
            "type": "function",
            "function": {"name": one.name, "arguments": json.dumps(one.args)},
        }
        for n, one in enumerate(calls)
    ]
    return {"role": "assistant", "content": "", "reasoning_content": "hm", "tool_calls": written}
