"""Which dialect a path speaks, and what stands there."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langplug_backend.dialects import anthropic, cohere, ollama, openai, tgi
from langplug_backend.dialects.dialect import Dialect, Words
from langplug_backend.response import Event

Page = Callable[[Sequence[str], int, Any], Event]
"""What is said about the models: from their names, their context length and the request's JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a request goes.

    Attributes:
        dialect: The wire.
        page: What stands there; None: answers of a model.
        refused: Why nothing stands there.
    """

    dialect: Dialect
    page: Page | None = None
    refused: Words | None = None


ROUTES: tuple[tuple[str, str, Route], ...] = (
    ("POST", "/chat/completions", Route(dialect=openai.OPENAI)),
    ("GET", "/models", Route(dialect=openai.OPENAI, page=openai.models)),
    ("POST", "/messages", Route(dialect=anthropic.ANTHROPIC)),
    ("POST", "/messages/count_tokens", Route(dialect=anthropic.ANTHROPIC, page=anthropic.count_tokens)),
    ("GET", "/models", Route(dialect=anthropic.ANTHROPIC, page=anthropic.models)),
    ("POST", "/api/chat", Route(dialect=ollama.OLLAMA)),
    ("GET", "/api/tags", Route(dialect=ollama.OLLAMA, page=ollama.tags)),
    ("POST", "/api/show", Route(dialect=ollama.OLLAMA, page=ollama.show)),
    ("GET", "/api/version", Route(dialect=ollama.OLLAMA, page=ollama.version)),
    ("POST", "/v2/chat", Route(dialect=cohere.COHERE)),
    ("POST", "/generate", Route(dialect=tgi.TGI)),
    ("POST", "/generate_stream", Route(dialect=tgi.TGI)),
)
"""Method, end of the path, and what stands there."""


def route(method: str, path: str, headers: Mapping[str, str]) -> Route:
    """Where a request goes. Paths count from their end, so that any base URL will do."""
    fitting = [row for row in ROUTES if path.endswith(row[1])]
    if "anthropic-version" in headers:  # `/v1/models` is on two wires
        fitting = [row for row in fitting if row[2].dialect is anthropic.ANTHROPIC]
    for allowed, _, found in fitting:
        if allowed == method:
            return found
    dialect = fitting[0][2].dialect if fitting else _likely(path, headers)
    words = dialect.words["not_found"]
    if fitting:
        return Route(dialect=dialect, refused=replace(words, status=405, message=f"Not allowed: {method} {path}"))
    return Route(dialect=dialect, refused=replace(words, message=f"Nothing is at {path}", code=None))


def _likely(path: str, headers: Mapping[str, str]) -> Dialect:
    """Which wire a path belongs to where nothing stands."""
    if "/api/" in path:
        return ollama.OLLAMA
    if "/v2/" in path:
        return cohere.COHERE
    if "/generate" in path:
        return tgi.TGI
    return anthropic.ANTHROPIC if "anthropic-version" in headers else openai.OPENAI
