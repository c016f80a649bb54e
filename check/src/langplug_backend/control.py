"""How a backend in a process of its own is told what to do, and says what it saw: `/_backend`."""

import json
import time
from typing import Any

from langplug_backend.faults.fault import Fault
from langplug_backend.log import Exchange, Log
from langplug_backend.markers import marked
from langplug_backend.reply import Reply
from langplug_backend.request import Asked

PATH = "/_backend"
"""The path: GET for what it saw, POST to begin anew with other words."""


def scripted(text: str) -> tuple[Reply, tuple[Fault, ...]]:
    """A reply and standing faults, from a text that may hold markers: `"[[words 100]] [[pace 0.02]]"`."""
    asked = Asked(dialect="openai", path="", model="", messages=(), text=text, streaming=True)
    reply, faults = marked(asked, Reply(), plain=True)
    return reply, tuple(faults)


def state(log: Log) -> dict[str, Any]:
    """What it saw, as JSON: the exchanges' times are of the system's monotonic clock, and so the same for all."""
    return {
        "connections_open": log.connections_open,
        "connections_made": log.connections_made,
        "now": time.monotonic(),
        "cpu_s": time.process_time(),
        "exchanges": [shown(exchange) for exchange in log.exchanges if exchange.asked],
    }


def shown(exchange: Exchange) -> dict[str, Any]:
    """An exchange, without headers and bodies."""
    return {
        "number": exchange.number,
        "connection": exchange.connection,
        "dialect": exchange.dialect,
        "path": exchange.path,
        "text": exchange.text,
        "streaming": exchange.streaming,
        "at": exchange.at,
        "status": exchange.status,
        "faults": exchange.faults,
        "events_sent": exchange.events_sent,
        "pieces_sent": exchange.pieces_sent,
        "outcome": exchange.outcome,
        "ended_at": exchange.ended_at,
    }


def told(body: Any) -> str | None:
    """What a POST says: the text of the reply, or None for the echo."""
    text = body.get("reply") if isinstance(body, dict) else None
    return text if isinstance(text, str) else None


def line(port: int) -> str:
    """What the process prints when it listens."""
    return json.dumps({"port": port, "url": f"http://127.0.0.1:{port}"})
