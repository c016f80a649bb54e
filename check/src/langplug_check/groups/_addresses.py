"""Memory addresses, which differ from process to process: they make cache keys useless and reports unequal."""

import re

ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
"""A memory address, as in `<function add at 0x7f...>`."""


def without_addresses(text: str) -> str:
    """The text without ` at 0x7f...`, so that the same error reads the same each time."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)
