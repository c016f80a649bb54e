"""The log: the requests that came in, and how each exchange ended."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langplug_backend.request import ChatRequest, DialectName

Outcome = Literal["complete", "client_gone", "fault"]
"""How an exchange ended: all was sent; the client disconnected first; the backend broke it off, as a fault says."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what became of it. It changes until it has ended, and belongs to the backend: read it only.

    Attributes:
        number: The number of the request, counted from 0.
        connection: The number of its connection, counted from 0: equal numbers mean that it was kept alive.
        method: The HTTP method.
        path: The path of the URL, without the query.
        headers: The headers by lower-case name.
        raw: The body's bytes.
        body: The body as JSON; None if it is not JSON.
        dialect: The wire, if the path belongs to a dialect.
        request: The request in neutral terms, if it asks for an answer.
        at: When it had come completely, by `time.monotonic()`.
        status: The HTTP status of the response.
        faults: The kinds of the faults in the response.
        events_sent: How many events went to the socket.
        pieces_sent: How many of them held a piece of the answer.
        outcome: How it ended; None: it goes on.
        ended_at: When it ended, by `time.monotonic()`.
    """

    number: int
    connection: int
    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: Any = None
    dialect: DialectName | None = None
    request: ChatRequest | None = None
    at: float = 0.0
    status: int = 0
    faults: tuple[str, ...] = ()
    events_sent: int = 0
    pieces_sent: int = 0
    outcome: Outcome | None = None
    ended_at: float | None = None

    @property
    def streaming(self) -> bool:
        """Whether a stream was requested."""
        return self.request is not None and self.request.streaming

    @property
    def text(self) -> str:
        """The text of the user's last message."""
        return self.request.text if self.request else ""


@dataclass(slots=True)
class Log:
    """The exchanges, and a condition to wait for.

    Attributes:
        exchanges: The exchanges, oldest first.
        failures: What replies raised that are functions.
        connections_made: How many connections there were, the open ones included.
        connections_open: How many connections are open.
        requests_left: How many requests ended before they had come whole.
    """

    exchanges: list[Exchange] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    connections_made: int = 0
    connections_open: int = 0
    requests_left: int = 0
    _waiting: int = 0
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def changed(self) -> None:
        """Wake whoever waits."""
        # Called for each write, while hardly ever anybody waits: so the lock is taken only if somebody does. Whoever
        # begins to wait just now looks at the log first, with the lock held, and so misses nothing.
        if self._waiting:
            with self._condition:
                self._condition.notify_all()

    def end(self, exchange: Exchange, outcome: Outcome) -> None:
        """Record how an exchange ended, and when."""
        exchange.ended_at = time.monotonic()
        exchange.outcome = outcome  # last: whoever sees an outcome finds the time too
        self.changed()

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait until the predicate is true; False if it is not within `timeout` seconds."""
        with self._condition:
            self._waiting += 1
            try:
                return bool(self._condition.wait_for(predicate, timeout))
            finally:
                self._waiting -= 1
