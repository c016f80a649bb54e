"""The paths to an answer, for tests of several models."""

import pytest
from tests.paths import PATHS, Path


@pytest.fixture(params=list(PATHS))
def call(request: pytest.FixtureRequest) -> Path:
    """Each path to an answer in turn."""
    return PATHS[request.param]
