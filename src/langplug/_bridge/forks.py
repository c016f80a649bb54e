"""What a forked child has to forget: it has its parent's memory and locks, and none of its threads."""

import os
from collections.abc import Callable
from typing import TypeVar

Reset = TypeVar("Reset", bound=Callable[[], None])


def in_forked_child(reset: Reset) -> Reset:
    """Have `reset` called in every forked child, before anything else runs there. A decorator."""
    if hasattr(os, "register_at_fork"):  # Windows cannot fork
        os.register_at_fork(after_in_child=reset)
    return reset
