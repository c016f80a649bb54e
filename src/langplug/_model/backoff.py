"""How long to wait before a model is asked again."""

from dataclasses import dataclass
from random import random

LONGEST_ASKED_S = 60.0
"""The longest `Retry-After` that is waited for, in seconds. A longer wait is the caller's decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that double, with jitter, so that many clients do not come back at once.

    The n-th wait is `first_s * 2 ** (n - 1)`, at most `longest_s`, times a random factor between 0.5 and 1.
    If a server says how long to wait, the wait is at least that long.

    Attributes:
        retries: How often to try again.
        first_s: Seconds of the first wait.
        longest_s: Seconds of the longest.
    """

    retries: int = 2
    first_s: float = 0.5
    longest_s: float = 8.0

    def wait_s(self, failures: int, asked_s: float | None = None) -> float | None:
        """Seconds to wait after a number of `failures`; None to give up.

        Args:
            failures: How often the request has failed by now, 1 or more.
            asked_s: Seconds that the server asked to wait. More than `LONGEST_ASKED_S` means to give up.
        """
        if failures > self.retries or (asked_s or 0) > LONGEST_ASKED_S:
            return None
        doubled = self.first_s * 2.0 ** min(failures - 1, 60)  # beyond, it would overflow; it is capped long before
        wait: float = min(doubled, self.longest_s) * (0.5 + random() / 2)  # noqa: S311 - jitter
        return wait if asked_s is None else max(asked_s, wait)
