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
        counts = _read_counts(usage)
        details = {field: _read_details(usage, field) for field in _DETAILS}
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
        read, written = self._input_and_output()
        usage = UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)
        of_input, of_output = (self._details[field] for field in _DETAILS)
        if of_input:
            usage["input_token_details"] = InputTokenDetails(**of_input)  # type: ignore[typeddict-item]
        if of_output:
            usage["output_token_details"] = OutputTokenDetails(**of_output)  # type: ignore[typeddict-item]
        return usage

    def _input_and_output(self) -> tuple[int, int]:
        read, written, total = (self._counts.get(field) for field in _COUNTS)
        if read is None:
            read = max((total or 0) - (written or 0), 0)
        if written is None:
            written = max((total or 0) - read, 0)
        return read, written


def _update(known: dict[str, int], read: Mapping[str, int], delta: bool) -> None:
    for key, count in read.items():
        known[key] = known.get(key, 0) + count if delta else count


def _read_counts(usage: Usage) -> dict[str, int]:
    given = {field: getattr(usage, field) for field in _COUNTS}
    return {field: _count(field, value) for field, value in given.items() if value is not None}


def _read_details(usage: Usage, field: str) -> dict[str, int]:
    given: Any = getattr(usage, field) or {}
    if not hasattr(given, "items"):
        raise ValueError(f"Usage.{field} is {given!r}; expected a mapping such as {{'cache_read': 12}}.")
    return {str(key): _count(f"{field}[{key!r}]", value) for key, value in given.items() if value is not None}


def _count(field: str, value: Any) -> int:
    """Return `value` as an int. Whole floats, as some JSON has them, and other integer types are fine."""
    try:
        count = operator.index(_whole(value))
    except TypeError:
        count = -1
    if count < 0 or isinstance(value, bool):
        raise ValueError(
            f"Usage.{field} is {value!r}; expected a whole number of tokens, 0 or more. Leave it out if unknown."
        )
    return count


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
