"""How a backend in a process of its own is told what to do, and reports what it saw: the path `/_backend`."""

import time
from typing import Any

from langplug_backend.log import Log

PATH = "/_backend"
"""GET reports what the backend saw; POST with `{"reply": ...}` clears the log and sets another reply."""

REPORTED = (
    *("number", "connection", "dialect", "path", "text", "streaming", "at", "status", "faults"),
    *("events_sent", "pieces_sent", "outcome", "ended_at"),
)
"""What is reported of an `Exchange`: all but its headers and bodies."""


def report(log: Log) -> dict[str, Any]:
    """What the backend saw, as JSON.

    Times are those of `time.monotonic()`, which all processes of a system share, so they can be compared with the
    caller's own.
    """
    return {
        "connections_open": log.connections_open,
        "connections_made": log.connections_made,
        "now": time.monotonic(),
        "cpu_s": time.process_time(),
        "exchanges": [
            {name: getattr(exchange, name) for name in REPORTED} for exchange in log.exchanges if exchange.request
        ],
    }
