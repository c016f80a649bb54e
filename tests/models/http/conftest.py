"""One misbehaving server for each file of tests, one that says what it is told to, and models that ask them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.models.http.canned import CannedServer
from tests.paths import PATHS, Path

from langplug.models import ChatHTTP
from langplug_backend import Backend

WIRES = ("ollama", "anthropic", "cohere", "tgi")
"""The shipped descriptions that the backend speaks."""

KEY = "sk-not-to-be-seen"

Make = Callable[..., ChatHTTP]


@pytest.fixture(scope="module")
def one_backend() -> Iterator[Backend]:
    """The server of this file's tests."""
    with Backend() as backend:
        yield backend


@pytest.fixture
def backend(one_backend: Backend) -> Backend:
    """The same, knowing nothing of earlier tests."""
    one_backend.key = None
    one_backend.forget()
    return one_backend


@pytest.fixture
def server() -> Iterator[CannedServer]:
    """A server that says what it is told to."""
    with CannedServer() as server:
        yield server


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor a proxy of whoever runs the tests."""
    for name in ("LANGPLUG_API_KEY", "ANTHROPIC_API_KEY", "CO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def keep() -> Iterator[Callable[[ChatHTTP], ChatHTTP]]:
    """Closes the models that it is given."""
    made: list[ChatHTTP] = []

    def keep(model: ChatHTTP) -> ChatHTTP:
        made.append(model)
        return model

    yield keep
    for model in made:
        model.close()


@pytest.fixture
def wired(backend: Backend, keep: Callable[[ChatHTTP], ChatHTTP]) -> Make:
    """Makes models of shipped descriptions, on the backend. They never try again, unless they are told to."""

    def wired(name: str, **settings: Any) -> ChatHTTP:
        base = {"base_url": backend.url, "model": "backend-1", "api_key": KEY, "max_retries": 0}
        return keep(ChatHTTP.from_file(name, **{**base, **settings}))

    return wired


@pytest.fixture
def described(server: CannedServer, keep: Callable[[ChatHTTP], ChatHTTP]) -> Make:
    """Makes models of a description of one's own, on the server that says what it is told to."""

    def described(**more: Any) -> ChatHTTP:
        return keep(ChatHTTP(**{"base_url": server.url, "url": "/say", "framing": "ndjson", "text": "t", **more}))

    return described


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]
