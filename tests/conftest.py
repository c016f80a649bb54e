"""What every test has: no tracing, reproducible properties, and a guard of the event loop on request."""

import os
from collections.abc import Iterator

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx

# Tracing that a developer has switched on would send the tests' prompts away, and wait for an answer.
for _variable in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
    os.environ.pop(_variable, None)

# A slow machine is no failure. In CI the examples are the same in each run: what fails there comes of the change.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Fail the test if langplug blocks an event loop (sleeps, reads a file, waits for a lock ...)."""
    with blockbuster_ctx("langplug") as blockbuster:
        yield blockbuster


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name functions and classes by their names: pytest may write their address, which differs between workers."""
    return getattr(val, "__name__", None) if callable(val) else None
