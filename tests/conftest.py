"""What every test has: no tracing, a sample of the cases, reproducible properties, and a guard of the event loop."""

import gc
import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from tests import sampling

# A suite that was started in the background ignores Ctrl-C, and so would the programs that its tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Tracing that a developer has switched on would send the tests' prompts away, and wait for an answer.
for _variable in ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2"):
    os.environ.pop(_variable, None)


pytest_addoption = sampling.pytest_addoption
pytest_collection_modifyitems = sampling.pytest_collection_modifyitems


def pytest_configure(config: pytest.Config) -> None:
    """Say how many examples each property gets."""
    sampling.pytest_configure(config)
    # A slow machine is no failure. The few examples are the same in each run: what fails there comes of the change.
    if config.getoption("--all"):
        hypothesis.settings.register_profile("langplug", deadline=None, max_examples=200, print_blob=True)
    else:
        hypothesis.settings.register_profile("langplug", deadline=None, max_examples=30, derandomize=True)
    hypothesis.settings.load_profile("langplug")


def pytest_collection_finish() -> None:
    """Take what collecting has made out of the garbage collector's sight.

    There are 60,000 cases before the sample: with them, one `gc.collect()`, of which many tests need several, takes two
    seconds.
    """
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name functions and classes by their names: pytest may write their address, which differs between workers."""
    return getattr(val, "__name__", None) if callable(val) else None


@pytest.fixture
def no_blocking() -> Iterator[BlockBuster]:
    """Fail the test if langplug blocks an event loop (sleeps, reads a file, waits for a lock ...)."""
    with blockbuster_ctx("langplug") as blockbuster:
        yield blockbuster
