"""What the statements of the contract are checked on: every echo model, on every path to an answer."""

import pytest
from tests.echo_models import ECHO_MODELS, MakeModel
from tests.paths import PATHS, Path

SECRET = "sk-MARKER-of-a-secret"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of every echo model."""
    monkeypatch.setenv("ECHO_API_KEY", SECRET)
    return SECRET


@pytest.fixture(params=list(ECHO_MODELS))
def make_model(request: pytest.FixtureRequest) -> MakeModel:
    """Each echo model in turn."""
    return ECHO_MODELS[request.param]


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn: what it is given goes to the method, what it returns is text and message."""
    return PATHS[request.param]
