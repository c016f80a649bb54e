"""Texts without the values of what is called like a secret: bodies in JSON, forms, headers, addresses, errors.

JSON is parsed, and what is hidden in it is what a repr of the same data hides: `to_plain` decides. What is not JSON,
such as a body that was cut off, is read entry by entry, in linear time, and rather hides too much.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from langplug._model.identity import to_plain
from langplug._secrets import MASK, NAMES_IN_RECORDS, VALUES_IN_RECORDS, hide_in_text, is_secret_name

_STARS = "***"
"""What stands in a text in the place of a secret."""

_OPENING = re.compile(r"[\[{]")
# Possessive (`*+`), so that a body of one quote after another costs no time squared.
_TEXT_ENTRY = re.compile(r'("([^"\\]{1,60})"\s*+:\s*+)"(?:[^"\\]|\\.)*+"')
_FIRST_COLON = re.compile(r'[^:]*?"\s*:\s')
_FORM_ENTRY = re.compile(r"(?<![^?&\s])(([\w.-]{1,60})=)[^&\s\"']++")

_IN_QUERIES = frozenset({"key", "ak", "sk", "sig", "signature"})
"""Names that stand for a secret in an address; elsewhere they may be anything."""


def hide_named(text: str) -> str:
    """`text` with `***` for each value that is called like a secret.

    That is in JSON, wherever it begins in `text`, in lines of JSON, and in strings of JSON, such as a call's arguments;
    in forms, queries and what else `hide_in_text` knows. What hides nothing stays as it is, to the last blank.
    """
    begins = _OPENING.search(text)
    start = begins.start() if begins else len(text)
    try:
        value = json.loads(text[start:], object_pairs_hook=_dict_of)
    except (ValueError, RecursionError):
        if begins and "\n" in text:  # perhaps one value a line
            return "\n".join(hide_named(line) for line in text.split("\n"))
        return _hide_in_words(_hide_entries(text))
    return _hide_in_words(text[:start]) + _hide_in_json(text[start:], value)


def _hide_in_words(text: str) -> str:
    def strike(entry: re.Match[str]) -> str:
        return f"{entry[1]}{_STARS}" if is_secret_name(entry[2]) or entry[2].lower() in _IN_QUERIES else entry[0]

    return _FORM_ENTRY.sub(strike, hide_in_text(text)).replace(MASK, _STARS)


# --- JSON ---


def _dict_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As JSON has it, but no name twice: the first value would be in the text, and not in what is looked into."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _hide_in_json(text: str, value: Any) -> str:
    """`text`, which says `value`. Mostly a string is to be hidden, and all around it can stay as it was written."""

    def strike(entry: re.Match[str]) -> str:
        return f'{entry[1]}"{_STARS}"' if is_secret_name(entry[2]) else entry[0]

    struck = _TEXT_ENTRY.sub(strike, text)
    shown = _map_texts(to_plain(value), hide_named)
    if shown == (value if struck == text else json.loads(struck)):
        return struck
    separators = (", ", ": ") if _FIRST_COLON.match(text) else (",", ":")  # as it was written
    return json.dumps(shown, ensure_ascii=text.isascii(), separators=separators)


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """JSON data with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_texts(item, change) for item in value]
    if isinstance(value, dict):
        return {name: _map_texts(item, change) for name, item in value.items()}
    return value


# --- what is not JSON: cut off, in single quotes, or in a string that is cut off itself ---

_QUOTE = re.compile(r"\\{0,7}[\"']")
_ENTRY = re.compile(r"(?P<quote>\\{0,7}[\"'])(?P<name>[^\"'\\]{1,60})(?P=quote)\s*+:\s*+")
_STRINGS = {
    '"': re.compile(r'"(?:[^"\\]|\\.)*+', re.DOTALL),
    "'": re.compile(r"'(?:[^'\\]|\\.)*+", re.DOTALL),
}
_CALLED = re.compile(r"\\{0,7}[\"']([^\"'\\]{1,60})\\{0,7}[\"']")
_BARE = re.compile(r"[^\s,\]}\"'\\]*+")
_IN_CONTAINER = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
_HARMLESS = frozenset({"true", "false", "null", "True", "False", "None", ""})


def _hide_entries(text: str) -> str:
    """`text` with each value hidden that follows a secret's name in quotes, whatever the value is, and to its end."""
    pieces: list[str] = []
    at = shown = 0
    names_secret = False
    while entry := _ENTRY.search(text, at):
        name, at = entry["name"], entry.end()
        if name in NAMES_IN_RECORDS:
            called = _CALLED.match(text, at)
            names_secret = called is not None and is_secret_name(called[1])
        # Only here is the end of a value looked for: it may be that of the text, which is then read once.
        if is_secret_name(name) or (names_secret and name in VALUES_IN_RECORDS):
            start, end = _span_of_value(text, at)
            if text[start:end] not in _HARMLESS:
                stars = _STARS if start > at else f"{entry['quote']}{_STARS}{entry['quote']}"  # in quotes, or bare
                pieces += [text[shown:start], stars]
                at = shown = end
    return "".join([*pieces, text[shown:]])


def _span_of_value(text: str, start: int) -> tuple[int, int]:
    """Where the value that begins at `start` stands; a string without its quotes. One that is cut off has no end."""
    if quote := _QUOTE.match(text, start):
        if (string := _STRINGS.get(quote[0])) is not None:
            found = string.match(text, start)
            assert found is not None
            return quote.end(), found.end()
        # In a string of JSON in JSON: its own quotes have more backslashes.
        closing = re.compile(rf"(?<!\\){re.escape(quote[0])}").search(text, quote.end())
        return quote.end(), closing.start() if closing else len(text)
    if text[start : start + 1] not in ("[", "{"):
        bare = _BARE.match(text, start)
        assert bare is not None
        return start, bare.end()
    depth = 0
    for mark in _IN_CONTAINER.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return start, mark.end()
    return start, len(text)
