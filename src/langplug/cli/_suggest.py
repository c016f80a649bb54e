"""What was probably meant."""

import difflib
from collections.abc import Iterable


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """`", did you mean 'x'?"` for the nearest of `known`, or nothing where none is near."""
    near = difflib.get_close_matches(wrong, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
