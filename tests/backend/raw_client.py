"""A client of raw sockets: what the backend really puts on the wire, and how the connection ends."""

import json
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langplug_backend import Backend, Fault

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "ollama": "/api/chat"}

HEADERS = {"anthropic": {"anthropic-version": "2023-06-01", "x-api-key": "sk-test"}}

SILENCE_S = 0.15
"""Seconds without a byte that count as silence."""


@dataclass(frozen=True, kw_only=True)
class Raw:
    """All that came, each read with its time, and how it ended."""

    data: bytes
    reads: list[tuple[float, bytes]]
    end: Literal["fin", "reset", "silence"]

    @property
    def head(self) -> str:
        return self.data.partition(b"\r\n\r\n")[0].decode()

    @property
    def status(self) -> int:
        return int(self.head.split(" ")[1])

    @property
    def headers(self) -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.head.split("\r\n")[1:])

    @property
    def rest(self) -> bytes:
        """Everything after the head, as it came."""
        return self.data.partition(b"\r\n\r\n")[2]

    @property
    def chunks(self) -> list[bytes]:
        return list(chunks(self.rest))

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks) if "transfer-encoding" in self.headers else self.rest

    @property
    def whole(self) -> bool:
        """Whether the body is complete for HTTP itself."""
        if "transfer-encoding" in self.headers:
            return self.rest.endswith(b"0\r\n\r\n")
        return len(self.rest) == int(self.headers.get("content-length", len(self.rest)))

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data_lines(self) -> list[str]:
        """The data of server-sent events in their plain form."""
        return [line[6:] for line in self.body.decode().split("\n") if line.startswith("data: ")]

    @property
    def events(self) -> list[Any]:
        """The JSON of each server-sent event, or of each line."""
        lines = self.data_lines if self.headers["content-type"].startswith("text/event-stream") else self.lines
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def lines(self) -> list[str]:
        return [line for line in self.body.decode().split("\n") if line.strip()]


def chunks(rest: bytes) -> Iterator[bytes]:
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        yield rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]


def body_of(dialect: str, text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    limit = {"max_tokens": 1000} if dialect == "anthropic" else {}
    return {"model": "m", "messages": messages, "stream": True, **limit, **more}


def payload(method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> bytes:
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = {"host": "x", "content-length": str(len(raw)), **(headers or {})}
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return head.encode() + b"\r\n" + raw


def asking(dialect: str, text: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> bytes:
    lines = {"connection": "close", **HEADERS.get(dialect, {}), **(headers or {})}
    return payload("POST", PATHS[dialect], body_of(dialect, text, **more), lines)


def connected(backend: Backend) -> socket.socket:
    return socket.create_connection(("127.0.0.1", backend.port), timeout=10)


def send(backend: Backend, request: bytes, *, silence: float | None = None) -> Raw:
    """Send, and read to the end; `silence` seconds without a byte are an end too."""
    answered = 0 if silence is None else len(backend.requests)
    try:
        connection = connected(backend)
    except ConnectionResetError:  # it was closed before it was open on this side
        return Raw(data=b"", reads=[], end="reset")
    with connection:
        connection.settimeout(10 if silence is None else silence)
        reads: list[tuple[float, bytes]] = []
        end: Literal["fin", "reset", "silence"] = "fin"
        try:
            connection.sendall(request)
            if silence is not None:  # until the server has the request, silence means nothing
                backend.wait_for(lambda: len(backend.requests) > answered)
            while data := connection.recv(1 << 20):
                reads.append((time.monotonic(), data))
        except TimeoutError:
            assert silence is not None, f"nothing more came after {reads!r}"
            end = "silence"
        except (ConnectionResetError, BrokenPipeError):
            end = "reset"
        return Raw(data=b"".join(data for _, data in reads), reads=reads, end=end)


def ask(backend: Backend, dialect: str, text: str, *, silence: float | None = None, **more: Any) -> Raw:
    """Ask for an answer, as a stream unless `stream` says otherwise."""
    return send(backend, asking(dialect, text, **more), silence=silence)


def get(backend: Backend, path: str, headers: Mapping[str, str] | None = None) -> Raw:
    return send(backend, payload("GET", path, headers={"connection": "close", **(headers or {})}))


DIALECTS = tuple(PATHS)

TEXT = "one two thrée four"


def outcome(backend: Backend) -> str | None:
    assert backend.all_ended()
    return backend.last.outcome


def duration(backend: Backend) -> float:
    """Seconds from the last request to the end of its answer, by the server's clock: it does not depend on ours."""
    assert backend.all_ended()
    return (backend.last.ended_at or 0.0) - backend.last.at


def with_fault(backend: Backend, dialect: str, fault: Fault, text: str = TEXT, **more: Any) -> Raw:
    backend.fault = fault
    return ask(backend, dialect, text, silence=SILENCE_S if "stall" in fault.kind else None, **more)


def text_in(raw: Raw) -> str:
    """The text of all events, whatever the dialect."""
    said = ""
    for event in raw.events:
        choices = event.get("choices") or [{}]
        for found in (choices[0].get("delta", {}), event.get("delta", {}), event.get("message", {})):
            said += found.get("content") or found.get("text") or ""
    return said


def plain(backend: Backend, dialect: str, **more: Any) -> Raw:
    """The answer as it should be; ids count the requests, so the log is cleared."""
    backend.forget()
    raw = ask(backend, dialect, TEXT, **more)
    backend.forget()
    return raw
