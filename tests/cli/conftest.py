"""What every test of the command line has."""

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("MODEL", "SYSTEM", "HISTORY", "DEBUG"):
        monkeypatch.delenv(f"LANGPLUG_{variable}", raising=False)
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(variable, raising=False)
