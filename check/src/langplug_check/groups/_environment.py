"""Environment variables, set for a moment."""

import os
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def environment(name: str, value: str | None) -> Generator[None, None, None]:
    """Set one environment variable, or unset it with None; restore it afterwards."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before
