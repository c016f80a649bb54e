"""Usage on the OpenAI wire, whichever way a server reports it in a stream."""

from collections.abc import Mapping
from typing import Any


class UsageReports:
    """Turns the reports of one stream into running totals.

    Servers report once at the end; or with every chunk what has come since the beginning (vLLM's
    `continuous_usage_stats`); or with every chunk what came with it alone. The last two are told apart by the
    chunks that carry content: each holds at least one token, so a total grows by at least one from each to the next,
    and a count that does not is the chunk's own.
    """

    def __init__(self) -> None:
        self._reports = 0
        self._first = 0
        self._summed = 0
        self._read = 0
        self._each = False  # whether chunks are known to report their own tokens alone

    def total(self, usage: Mapping[str, Any], *, with_content: bool) -> Mapping[str, Any]:
        """The report as a total of all so far.

        Args:
            usage: The `usage` object of a chunk.
            with_content: Whether the chunk carries a piece of the answer.
        """
        wrote, read = usage.get("completion_tokens"), usage.get("prompt_tokens")
        if not isinstance(wrote, int) or isinstance(wrote, bool):
            return usage
        self._read = max(self._read, read if isinstance(read, int) else 0)
        if with_content:
            self._count(wrote)
        elif self._each and wrote < self._summed:  # the last chunk's own, and no total
            self._summed += wrote
        elif self._each:
            return usage
        if not self._each:
            return usage
        return {**usage, "prompt_tokens": self._read, "completion_tokens": self._summed, "total_tokens": None}

    def _count(self, wrote: int) -> None:
        self._first = self._first if self._reports else wrote
        self._reports += 1
        self._summed += wrote
        self._each = self._each or wrote < self._first + self._reports - 1
