"""The log: what came in, and how each exchange ended."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from langplug_backend.request import Asked, DialectName

Outcome = Literal["complete", "client_gone", "fault"]
"""How an exchange ended: all was sent; the client went first; the backend broke it off, as it was told."""


@dataclass(slots=True, kw_only=True)
class Exchange:
    """One request and what became of it. It changes until it has ended, and belongs to the backend: look, do not touch.

    Attributes:
        number: The how manieth request of the backend, from 0.
        connection: The how manieth connection it came on, from 0: equal numbers mean that it was kept alive.
        method: The HTTP method.
        path: The path of the URL, without the query.
        headers: The header lines by lower-case name.
        raw: The body's bytes.
        body: The body as JSON; None where it is none.
        dialect: The wire, where the path is one of a dialect's.
        asked: The request in neutral words, where it is one for an answer.
        at: When it was there, whole, by `time.monotonic()`.
        status: The HTTP status of the answer.
        faults: The kinds of the faults in the answer.
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
    asked: Asked | None = None
    at: float = 0.0
    status: int = 0
    faults: tuple[str, ...] = ()
    events_sent: int = 0
    pieces_sent: int = 0
    outcome: Outcome | None = None
    ended_at: float | None = None

    @property
    def streaming(self) -> bool:
        """Whether a stream was asked for."""
        return self.asked is not None and self.asked.streaming

    @property
    def text(self) -> str:
        """The text that was asked: that of the last message of a user."""
        return self.asked.text if self.asked else ""


@dataclass(slots=True)
class Log:
    """The exchanges, and a condition to wait for."""

    exchanges: list[Exchange] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    connections_made: int = 0
    connections_open: int = 0
    _waiting: int = 0
    _condition: threading.Condition = field(default_factory=threading.Condition)

    def changed(self) -> None:
        """Wake who waits. Costs next to nothing where nobody does."""
        if self._waiting:
            with self._condition:
                self._condition.notify_all()

    def end(self, exchange: Exchange, outcome: Outcome) -> None:
        """Write down how an exchange ended, and when."""
        exchange.ended_at = time.monotonic()
        exchange.outcome = outcome
        self.changed()

    def wait_for(self, predicate: Callable[[], Any], timeout: float) -> bool:
        """Wait until something is true of the log; False if it is not within so many seconds."""
        with self._condition:
            self._waiting += 1
            try:
                return bool(self._condition.wait_for(predicate, timeout))
            finally:
                self._waiting -= 1
