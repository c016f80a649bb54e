"""Strings and numbers of JSON as grammars in EBNF: by length, by pattern, and between bounds.

The form is that of llama.cpp's GBNF, which xgrammar reads:
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md. Patterns are those that JSON schema recommends,
https://json-schema.org/understanding-json-schema/reference/regular_expressions, with classes, groups and counts.
"""

import json
import re
from collections.abc import Callable
from contextlib import suppress
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

Rule = Callable[[str], str]
"""Makes a rule of the grammar; returns its name."""

Ranges = list[tuple[int, int]]
"""Characters, by their numbers, from and to."""

CHARACTER: Final = r'([^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4}))'
"""Any character, as it stands between the quotes of a JSON string."""

_ESCAPES: Final = {0x22: r"\"", 0x5C: r"\\", 0x08: r"\b", 0x0C: r"\f", 0x0A: r"\n", 0x0D: r"\r", 0x09: r"\t"}
"""What JSON writes in place of a character."""

_HIGHEST: Final = 0x10FFFF
_DIGIT: Ranges = [(0x30, 0x39)]
_WORD: Ranges = [*_DIGIT, (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A)]
_SPACE: Ranges = [(0x09, 0x0D), (0x20, 0x20)]
_CLASSES: Final = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "0": "\0"}

_FEW: Final = 32
"""Repetitions up to which a count is written as one."""

MOST: Final = 1000
"""Repetitions above which a count is not kept: a grammar grows with it."""

_DIGITS: Final = 15
"""Digits that a number without a bound has at most. A double holds as many exactly."""


class UnknownPatternError(ValueError):
    """A pattern holds what cannot be written as a grammar, such as a look-ahead."""


def literal(text: str) -> str:
    """`text` itself."""
    return json.dumps(text, ensure_ascii=False)


# --- strings ---


def repeated(item: str, least: int, most: int | None, rule: Rule) -> str:
    """An item that often; None for as often as it likes."""
    if max(least, most or 0) <= _FEW:
        return f"{item}{{{least},{'' if most is None else most}}}"
    # xgrammar reads the whole vocabulary for each place in a count, 30 ms of it, but within a rule for once.
    one = rule(item)
    ten = rule(" ".join([one] * 10))
    parts = [f"{ten}{{{least // 10}}}" * (least >= 10), f"{one}{{{least % 10}}}" * (least % 10 > 0)]
    if most is None:
        parts.append(f"{one}*")
    elif room := most - least:
        tens = max(0, (room - 9) // 10)  # nine single ones at least, to make up any number
        parts += [f"{ten}{{0,{tens}}}" * (tens > 0), f"{one}{{0,{room - 10 * tens}}}"]
    return f"({' '.join(filter(None, parts))})"


def string_of_length(least: int, most: int | None, rule: Rule) -> str:
    """A JSON string of that many characters."""
    return literal('""') if most == 0 else f'"\\"" {repeated(CHARACTER, least, most, rule)} "\\""'


def string_of_pattern(pattern: str, rule: Rule) -> str:
    """A JSON string in which `pattern` is found.

    Raises:
        UnknownPatternError: If it cannot be written as a grammar.
    """
    begins, ends = pattern.startswith("^"), bool(re.search(r"(?<!\\)(?:\\\\)*\$\Z", pattern))
    inner = pattern[begins : len(pattern) - ends]
    parts = ["" if begins else f"{CHARACTER}*", _Pattern(inner, rule).read(), "" if ends else f"{CHARACTER}*"]
    return " ".join(filter(None, ['"\\""', *parts, '"\\""']))


class _Pattern:
    """Reads a regular expression from its first character on."""

    def __init__(self, pattern: str, rule: Rule) -> None:
        self._pattern = pattern
        self._rule = rule
        self._at = 0

    def read(self) -> str:
        """The whole pattern as a grammar."""
        written = self.alternatives()
        if self._at < len(self._pattern):
            raise UnknownPatternError(f"{self._pattern!r} has a ')' too many")
        return written

    def alternatives(self) -> str:
        branches = [self.sequence()]
        while self.take("|"):
            branches.append(self.sequence())
        return f"({' | '.join(branches)})"

    def sequence(self) -> str:
        items: list[str] = []
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            items.append(self.counted(self.atom()))
        return " ".join(items) or '""'

    def counted(self, atom: str) -> str:
        """An atom as often as is said behind it: `*`, `+`, `?`, `{2}`, `{2,}`, `{2,3}`, or once. Greed is no matter."""
        found = re.compile(r"([*+?]|\{(\d+)(,(\d*))?\})\??").match(self._pattern, self._at)
        if found is None:
            return atom
        self._at = found.end()
        if found[2] is None:
            return atom + found[1]
        least, last = int(found[2]), found[4] if found[3] else found[2]
        most = int(last) if last else None
        if most == 0 or max(least, most or 0) > MOST:
            raise UnknownPatternError(f"{self._pattern!r} has what never stands there, or too often")
        return repeated(atom, least, most, self._rule)

    def atom(self) -> str:
        if self.take("("):
            if not self.take("?:") and self._pattern[self._at : self._at + 1] == "?":
                raise UnknownPatternError(f"{self._pattern!r} looks ahead or behind, or names a group")
            inner = self.alternatives()
            if not self.take(")"):
                raise UnknownPatternError(f"{self._pattern!r} lacks a ')'")
            return inner
        if self.take("["):
            return self.characters()
        char = self._pattern[self._at]
        if char in "^$*+?{":
            raise UnknownPatternError(f"{self._pattern!r} has a {char!r} in the middle")
        self._at += 1
        if char == ".":
            return written_as_json(_others([(0x0A, 0x0A), (0x0D, 0x0D)]))
        return written_as_json(self.escaped() if char == "\\" else [(ord(char), ord(char))])

    def characters(self) -> str:
        is_negated = self.take("^")
        ranges: Ranges = []
        while not self.take("]"):
            first = self.member()
            if self._pattern[self._at : self._at + 1] == "-" and self._pattern[self._at + 1 : self._at + 2] != "]":
                self._at += 1
                first = [(first[0][0], self.member()[-1][1])]
            ranges += first
        return written_as_json(_others(ranges) if is_negated else ranges)

    def member(self) -> Ranges:
        if self._at >= len(self._pattern):
            raise UnknownPatternError(f"{self._pattern!r} lacks a ']'")
        char = self._pattern[self._at]
        self._at += 1
        return self.escaped() if char == "\\" else [(ord(char), ord(char))]

    def escaped(self) -> Ranges:
        """What a backslash, which was read, makes of the next characters."""
        if found := re.compile(r"u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})").match(self._pattern, self._at):
            self._at = found.end()
            number = int(found[1] or found[2], 16)
            return [(number, number)]
        char = self._pattern[self._at : self._at + 1]
        self._at += 1
        if char.lower() in _CLASSES and char:
            ranges = _CLASSES[char.lower()]
            return ranges if char.islower() else _others(ranges)
        if char in _CONTROLS or (char and not char.isalnum()):
            number = ord(_CONTROLS.get(char, char))
            return [(number, number)]
        raise UnknownPatternError(f"{self._pattern!r} has '\\{char}'")

    def take(self, text: str) -> bool:
        taken = self._pattern.startswith(text, self._at)
        self._at += len(text) * taken
        return taken


def _others(ranges: Ranges) -> Ranges:
    """All characters but these."""
    left: Ranges = []
    at = 0
    for first, last in sorted(ranges):
        if first > at:
            left.append((at, first - 1))
        at = max(at, last + 1)
    return [*left, (at, _HIGHEST)] if at <= _HIGHEST else left


def written_as_json(ranges: Ranges) -> str:
    """One character of `ranges`, as it stands in a JSON string: some stand there escaped, and others cannot."""
    bare = _others([*_others(ranges), (0, 0x1F), (0x22, 0x22), (0x5C, 0x5C)])
    escaped = [literal(written) for number, written in _ESCAPES.items() if any(a <= number <= z for a, z in ranges)]
    members = "".join(_member(first) + (f"-{_member(last)}" if last > first else "") for first, last in bare)
    forms = [*([f"[{members}]"] if bare else []), *escaped]
    if not forms:
        raise UnknownPatternError("a class holds no character that JSON can write")
    return forms[0] if len(forms) == 1 else f"({' | '.join(forms)})"


def _member(number: int) -> str:
    """A character within a class of the grammar."""
    if number < 0x80:  # letters and digits too: behind \x, xgrammar reads as many of them as come
        return f"\\x{number:02X}"
    return f"\\u{number:04X}" if 0xD800 <= number <= 0xDFFF else chr(number)


# --- numbers ---

Column = tuple[str, str]
"""The digits that may stand in one place, from and to."""


def number_between(
    least: Decimal | None, most: Decimal | None, *, whole: bool, above: bool = False, below: bool = False
) -> str:
    """A number between bounds: a whole one, or one with as many decimals as the bounds have, and two at least.

    Args:
        least: The lower bound; None for none.
        most: The upper bound; None for none.
        whole: Whether it must be a whole one.
        above: Whether the lower bound itself is left out.
        below: Whether the upper one is.

    Raises:
        ValueError: If there is none.
    """
    bounds = [bound for bound in (least, most) if bound is not None]
    decimals = max([2, *(-int(bound.as_tuple().exponent) for bound in bounds)])
    forms: list[str] = []
    for places in (0,) if whole else (0, decimals):
        with suppress(ValueError):
            low, high = counted_bounds(least, most, places, above=above, below=below)
            forms.append(_between(low, high, decimals=places))
    if not forms:
        raise ValueError(f"there is no number between {least} and {most} with {decimals} decimals")
    return f"({' | '.join(forms)})"


def counted_bounds(
    least: Decimal | None, most: Decimal | None, places: int, *, above: bool, below: bool
) -> tuple[int | None, int | None]:
    """The lowest and the highest number of so many decimal places between bounds, counted in the last of them."""
    low = high = None
    if least is not None:
        scaled = least.scaleb(places)
        low = int(scaled.to_integral_value(ROUND_CEILING))
        low += above and low == scaled
    if most is not None:
        scaled = most.scaleb(places)
        high = int(scaled.to_integral_value(ROUND_FLOOR))
        high -= below and high == scaled
    return low, high


def _between(least: int | None, most: int | None, *, decimals: int) -> str:
    """Numbers between bounds that count in the last of so many decimals."""
    largest = int("9" * (_DIGITS + decimals))
    low = -largest if least is None else least
    high = largest if most is None else most
    if low > high:
        raise ValueError(f"there is no number between {least} and {most}")
    forms: list[str] = []
    if low < 0:
        forms += [f'"-" {form}' for form in _columns_between(max(1, -high), -low, decimals)]
    if high >= 0:
        forms += _columns_between(max(0, low), high, decimals)
    return f"({' | '.join(forms)})"


def _columns_between(low: int, high: int, decimals: int) -> list[str]:
    """The numbers from `low` to `high`, neither of which is negative, by their digits."""
    if low > high:
        return []
    forms: list[str] = []
    for length in range(max(len(str(low)), decimals + 1), max(len(str(high)), decimals + 1) + 1):
        first = max(low, 10 ** (length - 1) if length > decimals + 1 else 0)
        last = min(high, 10**length - 1)
        if first <= last:
            for columns in _same_length(str(first).zfill(length), str(last).zfill(length)):
                digits = [f'"{a}"' if a == z else f"[{a}-{z}]" for a, z in columns]
                if decimals:
                    digits.insert(length - decimals, '"."')
                forms.append(" ".join(digits))
    return forms


def _same_length(low: str, high: str) -> list[list[Column]]:
    """The strings of digits from `low` to `high`, which are of one length, as few lists of columns."""
    if not low:
        return [[]]
    rest = len(low) - 1
    if low[0] == high[0]:
        return [[(low[0], low[0]), *columns] for columns in _same_length(low[1:], high[1:])]
    first, last = int(low[0]), int(high[0])
    found: list[list[Column]] = []
    if low[1:] != "0" * rest:
        found += [[(low[0], low[0]), *columns] for columns in _same_length(low[1:], "9" * rest)]
        first += 1
    ends_early = high[1:] != "9" * rest
    if first <= last - ends_early:
        found.append([(str(first), str(last - ends_early)), *[("0", "9")] * rest])
    if ends_early:
        found += [[(high[0], high[0]), *columns] for columns in _same_length("0" * rest, high[1:])]
    return found
