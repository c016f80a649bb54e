"""What the statements of the contract are checked on: every animal of the zoo, on every path to an answer."""

import pytest
from tests.paths import PATHS, Path
from tests.zoo import ZOO, MakeModel

SECRET = "sk-MARKER-of-a-secret"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of every animal."""
    monkeypatch.setenv("ZOO_API_KEY", SECRET)
    return SECRET


@pytest.fixture(params=list(ZOO))
def make_model(request: pytest.FixtureRequest) -> MakeModel:
    """Each animal in turn."""
    return ZOO[request.param]


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn: what it is given goes to the method, what it returns is text and message."""
    return PATHS[request.param]
