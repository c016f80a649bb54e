"""Stop strings, cut out of a text that comes in pieces.

A stop string is literal: no character of it is special (langchain-core's own `enforce_stop_tokens` read it as
a regular expression, so that `<|end|>` cut at any `<`).
"""

import re
from collections.abc import Sequence


class StopCutter:
    """Ends a text at the stop string that starts first; of two that start together, at the shorter one.

    What comes out does not depend on how the text is cut into pieces. Text is held back only while it can still
    become a stop string: never more than the longest of them less one character. A stop string that is complete
    waits for a longer one that started before it: of `"abcd"` and `"bc"`, `"abcd"` ends the text `"abcd"`
    and `"bc"` the text `"abcX"`.

    Args:
        stops: The stop strings.
        include: Whether the text ends right after the stop string, or right before it.

    Attributes:
        hit: The stop string that ended the text, or None as long as there was none.

    Raises:
        ValueError: If a stop string is empty or not a string.
    """

    __slots__ = ("_beginning", "_held", "_include", "_stops", "hit")

    def __init__(self, stops: Sequence[str], *, include: bool = True) -> None:
        if isinstance(stops, str):  # a string is a sequence of strings, and would stop at each of its characters
            raise ValueError(f"stop is the string {stops!r}; expected a list of strings. Write stop=[{stops!r}].")
        for stop in stops:
            if not isinstance(stop, str) or not stop:
                raise ValueError(f"stop holds {stop!r}; expected strings that are not empty. Leave it out.")
        self._stops = tuple(sorted(stops, key=len))
        self._beginning = re.compile("|".join({re.escape(stop[0]) for stop in self._stops}) or r"(?!)")
        self._include = include
        self._held = ""
        self.hit: str | None = None

    def feed(self, text: str) -> str:
        """Take the next piece; return what may be shown now. After a hit: `""`."""
        if self.hit is not None:
            return ""
        if not self._held and not self._beginning.search(text):  # as nearly always
            return text
        text = self._held + text
        start, stop = self._first(text)
        pending = min(partial_start(text, stop) for stop in self._stops)
        if stop and start <= pending:  # no longer one that began before it is still possible
            return self._cut(text, start, stop)
        self._held = text[pending:]
        return text[:pending]

    def flush(self) -> str:
        """Say that the text is over; return what was held back, cut at a stop string if there is one in it."""
        text, self._held = self._held, ""
        start, stop = self._first(text)
        return self._cut(text, start, stop) if stop else text

    def _first(self, text: str) -> tuple[int, str]:
        """Return where the first stop string starts, and which one it is (`""`: none)."""
        start, found = len(text), ""
        for stop in self._stops:  # shortest first, so that a longer one has to start before it
            at = text.find(stop, 0, start + len(stop) - 1)
            if at >= 0:
                start, found = at, stop
        return start, found

    def _cut(self, text: str, start: int, stop: str) -> str:
        self.hit, self._held = stop, ""
        return text[: start + len(stop)] if self._include else text[:start]


def partial_start(text: str, needle: str) -> int:
    """Return where the end of `text` begins that may become `needle`, or `len(text)` if it cannot.

    The earliest such place; a whole `needle` within `text` is not looked for. Costs one `find` where no
    character of the last `len(needle) - 1` is the needle's first.
    """
    at = text.find(needle[0], max(0, len(text) - len(needle) + 1))
    while at >= 0 and not needle.startswith(text[at:]):
        at = text.find(needle[0], at + 1)
    return at if at >= 0 else len(text)
