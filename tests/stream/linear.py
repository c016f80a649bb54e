"""Whether work grows as its input does: measured as CPU time at two sizes, since it is done in C."""

import gc
import time
from collections.abc import Callable, Sequence

PIECE = 512
"""Bytes in each piece: small, so that work done for each piece on all before it would show."""


def assert_linear(feed: Callable[[Sequence[bytes]], object], body_of: Callable[[int], bytes]) -> None:
    """Feed a body of 256 KB and one of 2 MB in pieces: the second may take 8 times as long, and not 64 times.

    Args:
        feed: Makes a new decoder and gives it all pieces.
        body_of: A body with about this many bytes.
    """
    small, large = (pieces_of(body_of(size)) for size in (1 << 18, 1 << 21))
    floor_s = 0.002  # below it, the clock's own grain would count
    assert time_s(feed, large) < 30 * max(floor_s, min(time_s(feed, small) for _ in range(3)))


def pieces_of(body: bytes) -> list[bytes]:
    return [body[at : at + PIECE] for at in range(0, len(body), PIECE)]


def time_s(feed: Callable[[Sequence[bytes]], object], pieces: Sequence[bytes]) -> float:
    gc.disable()  # it looks through all that other tests have left, the more often the more is made here
    try:
        began = time.process_time()
        feed(pieces)
        return time.process_time() - began
    finally:
        gc.enable()
