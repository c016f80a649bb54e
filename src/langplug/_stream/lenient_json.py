"""JSON as Python's and JavaScript's servers write it, for what a strict parser refuses."""

import codecs
import json
import re
from typing import Any

_MOST_DIGITS = 400
"""Longer whole numbers are read as floats: reading one takes the square of its length, and Python refuses 4,300."""

_MOST_LEVELS = 200

_SURROGATE = re.compile("[\ud800-\udfff]")

_Place = tuple[str | int, ...]


class LenientJson:
    """Reads the JSON values of one answer, each with what is wrong with it and can still be understood.

    Python writes NaN and Infinity, and integers of any length; some servers send raw control characters, a byte order
    mark, or a byte that is not UTF-8, which becomes U+FFFD. JavaScript cuts strings between the halves of a surrogate
    pair: in a stream, a half at the end of a string waits for the string in the same place of the next value.

    Attributes:
        halves: The halves that wait, by their places in a value.
    """

    def __init__(self) -> None:
        self.halves: dict[_Place, str] = {}

    def load(self, data: bytes, *, more_follows: bool = False) -> Any:
        """The value that `data` stands for.

        Args:
            data: UTF-8, more or less.
            more_follows: Whether the next value may go on with the strings of this one.

        Raises:
            ValueError: If it is not JSON, or nested too deeply.
        """
        text = data.removeprefix(codecs.BOM_UTF8).decode(errors="replace")
        try:
            value = json.loads(
                text,
                strict=False,
                parse_int=lambda digits: int(digits) if len(digits) <= _MOST_DIGITS else float(digits),
            )
        except RecursionError:
            raise ValueError("It is nested too deeply.") from None
        return self._mend(value, (), more_follows=more_follows)

    def _mend(self, value: Any, place: _Place, *, more_follows: bool) -> Any:
        """The value without surrogates, which no encoder takes: neither that of a checkpoint nor that of a terminal."""
        if len(place) > _MOST_LEVELS:
            raise ValueError("It is nested too deeply.")
        if isinstance(value, str):
            value = self.halves.pop(place, "") + value
            if more_follows and "\ud800" <= value[-1:] <= "\udbff":
                value, self.halves[place] = value[:-1], value[-1]
            return _join_halves(value)
        if isinstance(value, list):
            return [self._mend(item, (*place, at), more_follows=more_follows) for at, item in enumerate(value)]
        if isinstance(value, dict):
            return {
                _join_halves(key): self._mend(item, (*place, key), more_follows=more_follows)
                for key, item in value.items()
            }
        return value


def _join_halves(text: str) -> str:
    """`text` with the halves of pairs joined, and U+FFFD for those without another."""
    if _SURROGATE.search(text) is None:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
