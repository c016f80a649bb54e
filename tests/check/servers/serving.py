"""Servers on loopback, for the time of a test."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.aiohttp_server import running

from langplug.serve import app
from langplug.serve.aiohttp_driver import runner_of
from langplug_backend import Backend, Obedient
from langplug_backend.wrongs.edits import Edit

KEY = "s3cret-of-the-server"


@contextmanager
def serving(model: Any) -> Iterator[str]:
    """langplug's own server; gives its base URL."""
    exchange = app({"m": model}, api_key=KEY).exchange
    with running(lambda: runner_of(exchange)) as address:
        yield f"http://{address}/v1"


@contextmanager
def strict(wrong: str | Edit | None = None, reply: Any = None, **options: Any) -> Iterator[str]:
    """The backend as a strict server, or as one that is wrong in one way; gives its base URL."""
    with Backend(**{"models": ["m"], "key": KEY, "strict": True, "wrong": wrong, **options}) as backend:
        backend.reply = reply or Obedient()
        yield backend.openai_url
