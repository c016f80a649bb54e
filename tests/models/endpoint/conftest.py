"""One misbehaving server on loopback for each file of tests, and models that ask it."""

import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path as File
from typing import Any

import pytest
from tests.models.endpoint.certificates import make_certificates
from tests.paths import PATHS, Path

from langplug.models import ChatEndpoint
from langplug_backend import Backend

MakeEndpoint = Callable[..., ChatEndpoint]

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


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


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a key nor a proxy of whoever runs the tests."""
    monkeypatch.delenv("LANGPLUG_API_KEY", raising=False)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def make(backend: Backend) -> Iterator[MakeEndpoint]:
    """Makes models of the server, and closes them. They never try again, unless they are told to."""
    made: list[ChatEndpoint] = []

    def make(**settings: Any) -> ChatEndpoint:
        base: dict[str, Any] = {"model": "m-1", "base_url": backend.openai_url, "max_retries": 0}
        made.append(ChatEndpoint(**{**base, **settings}))
        return made[-1]

    yield make
    for model in made:
        model.close()


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]


@pytest.fixture
def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> File:
    """An authority, and what it has signed: for the server, and for a client."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificates, is not here")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder
