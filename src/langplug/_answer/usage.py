"""Token counts, reported in whatever way a source reports them, made into one figure."""

import operator
from collections.abc import Mapping
from typing import Any

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from langplug._parts import Usage

_COUNTS = ("input_tokens", "output_tokens", "total_tokens")
_DETAILS = ("input_token_details", "output_token_details")


class UsageMeter:
    """Takes every report of one answer and gives one `UsageMetadata`.

    Of reports that are totals (`delta=False`) the last value of each field counts, and of each key of the details;
    so a first report of the input and a last one of the output combine, and a repeated final one changes nothing.
    Reports with `delta=True` are added to what was there; a total that comes later replaces all of it.
    """

    __slots__ = ("_counts", "_details")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._details: dict[str, dict[str, int]] = {field: {} for field in _DETAILS}

    def add(self, usage: Usage) -> None:
        """Take the next report, all of it or, if a count is wrong, nothing.

        Raises:
            ValueError: If a count is negative or not a whole number; the field is named.
        """
        reported = {field: getattr(usage, field) for field in _COUNTS}
        counts = {field: count_of(f"Usage.{field}", value) for field, value in reported.items() if value is not None}
        details: dict[str, dict[str, int]] = {}
        for field in _DETAILS:
            given: Any = getattr(usage, field) or {}
            if not hasattr(given, "items"):
                raise ValueError(f"Usage.{field} is {given!r}; expected a mapping such as {{'cache_read': 12}}.")
            details[field] = {
                str(key): count_of(f"Usage.{field}[{key!r}]", value)
                for key, value in given.items()
                if value is not None
            }
        # Only now is anything kept: a report that is refused must not leave half of itself behind.
        _update(self._counts, counts, usage.delta)
        for field, read in details.items():
            _update(self._details[field], read, usage.delta)

    def result(self) -> UsageMetadata | None:
        """Return the figures, or None if no count was reported.

        The total is always input plus output; a reported one only serves to work out a count that was not reported.
        A count that stays unknown is 0, and a total alone stands as input, as `UsageMetadata` must have all three.
        """
        if not self._counts:
            return None
        read, written, total = (self._counts.get(field) for field in _COUNTS)
        if read is None:
            read = max((total or 0) - (written or 0), 0)
        if written is None:
            written = max((total or 0) - read, 0)
        usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
        of_input, of_output = (self._details[field] for field in _DETAILS)
        if of_input:
            usage["input_token_details"] = InputTokenDetails(**of_input)  # type: ignore[typeddict-item] # keys of others
        if of_output:
            usage["output_token_details"] = OutputTokenDetails(**of_output)  # type: ignore[typeddict-item] # likewise
        return usage


def count_of(name: str, value: Any) -> int:
    """Return `value` as a number of tokens. Whole floats, as some JSON has them, and other integer types are fine.

    Raises:
        ValueError: If it cannot be one; `name` is named.
    """
    if type(value) is int and 0 <= value < 2**63:
        return value
    whole: Any = int(value) if isinstance(value, float) and value.is_integer() else value
    try:
        count = operator.index(whole)
    except TypeError:
        count = -1
    if not 0 <= count < 2**63 or isinstance(value, bool):  # beyond that, no checkpointer could write it
        raise ValueError(f"{name} is {value!r}; expected a whole number of tokens, 0 or more. Leave it out if unknown.")
    return count


def _update(known: dict[str, int], read: Mapping[str, int], delta: bool) -> None:
    # A total that falls is taken, too: servers that correct an estimate report less than before.
    for key, count in read.items():
        known[key] = known.get(key, 0) + count if delta else count
