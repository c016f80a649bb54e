"""What the tests of the checks have in common."""

import pytest
from tests.check.bench import KEY_VARIABLE


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference's key, which it has from its environment."""
    monkeypatch.setenv(KEY_VARIABLE, "sk-reference")
