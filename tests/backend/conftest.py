"""What the tests of the kit have: a backend."""

from collections.abc import Iterator

import pytest

from langplug_backend import Backend


@pytest.fixture
def backend() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend
