"""The arguments of a call, read with those repairs that small models need and that leave no doubt."""

import json
import re
from typing import Any

from langplug._tools.scanner import Read, Scanner

QUOTES = frozenset("\"'")
# what may stand between brackets and strings; within a tag, `<` may begin the tag that closes it
_PLAIN = re.compile(r"""[^"'(){}\[\]]*""")
_PLAIN_IN_TAG = re.compile(r"""[^"'(){}\[\]<]*""")
_SCALAR = re.compile(r"[^\s,(){}\[\]<]*")
_BODY = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}


def read_value(scanner: Scanner, *, in_tag: bool = False) -> Read[tuple[str, bool]]:
    """The text of one JSON or Python literal, and whether it came to its end.

    Args:
        scanner: What to read; the value is next.
        in_tag: Whether a tag ends the value: then `<` cuts it off, unless within a string.
    """
    char = yield from scanner.peek()
    if char in QUOTES:
        return (yield from read_string(scanner))
    if char and char in "{[(":
        return (yield from read_nested(scanner, 0, in_tag=in_tag))
    return (yield from scanner.run(_SCALAR)), True


def read_nested(scanner: Scanner, depth: int, *, in_tag: bool = False) -> Read[tuple[str, bool]]:
    """The text up to the bracket that closes the last of `depth` open ones, and whether that came.

    Which bracket closes which is not looked at: models mix them up, and `literal` decides whether it is broken.
    """
    plain = _PLAIN_IN_TAG if in_tag else _PLAIN
    pieces: list[str] = []
    while True:
        pieces.append((yield from scanner.run(plain)))
        char = yield from scanner.peek()
        if char in QUOTES:
            pieces.append((yield from read_string(scanner))[0])
            continue
        if not char or char == "<":
            return "".join(pieces), False
        pieces.append((yield from scanner.take()))
        depth += 1 if char in "{[(" else -1
        if depth <= 0:
            return "".join(pieces), True


def read_string(scanner: Scanner) -> Read[tuple[str, bool]]:
    """The text of a string in double or single quotes, with the quotes, and whether it came to its end."""
    quote = yield from scanner.take()
    pieces = [quote]
    while True:
        pieces.append((yield from scanner.run(_BODY[quote])))
        char = yield from scanner.take()
        pieces.append(char)
        if char == "\\":  # the next character is escaped: it ends nothing
            pieces.append((yield from scanner.take()))
        elif char == quote or not char:
            return "".join(pieces), bool(char)


def arguments_of(text: str) -> dict[str, Any] | None:
    """The arguments in `text`: an object, a string that holds one, or `null`. None if they are broken."""
    value = literal(text)
    if value is None:
        return {} if text.strip() in ("null", "None") else None
    if isinstance(value, str):
        value = literal(value) if value.strip() else {}
    return value if isinstance(value, dict) else None


def literal(text: str) -> Any:
    """The value of a JSON text, or None if it is broken beyond doubt.

    Repaired: newlines within strings, commas before a closing bracket, and Python's way of writing (single quotes,
    `True`, `False`, `None`, tuples, `a=1` for `"a": 1`).
    """
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads("".join(_as_json(token) for token in _TOKENS.finditer(text)), strict=False)
    except (ValueError, RecursionError):
        return None


# `*+` never gives back what it matched: a long word that is not a key would else cost the square of its length
_TOKENS = re.compile(
    r"""(?P<string> "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' )
      | (?P<open> "(?:[^"\\]|\\.)*+ \\? \Z | '(?:[^'\\]|\\.)*+ \\? \Z )
      | (?<![\w.$-]) (?P<key> [A-Za-z_][\w.$-]*+ ) \s*+ = (?!=)
      | (?P<number> -?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?!\w) )
      | (?P<word> \w+ )
      | (?P<comma> , (?=\s*[)}\]]) )
      | (?P<round> [()] )
      | (?P<other> . )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS = {"true": "true", "True": "true", "false": "false", "False": "false", "null": "null", "None": "null"}


def _as_json(token: re.Match[str]) -> str:
    match token.lastgroup:
        case "open":  # at once, or each quote in what is left would be looked at as a beginning
            raise ValueError("A string has no end.")
        case "string":
            return f'"{_ESCAPES.sub(_escape, token[0][1:-1])}"'
        case "key":  # of a Python call: `a=1`
            return f'"{token["key"]}":'
        case "comma":
            return ""
        case "round":
            return "[" if token[0] == "(" else "]"
        case "word" if token[0] not in _WORDS:
            raise ValueError(f"{token[0]!r} is a name; expected a literal.")
        case "word":
            return _WORDS[token[0]]
        case _:
            return token[0]


_ESCAPES = re.compile(r'\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U000[0-9a-fA-F]{5}|U0010[0-9a-fA-F]{4}|.)|"', re.DOTALL)


def _escape(found: re.Match[str]) -> str:
    r"""One escape of Python or JSON, or a bare double quote, as JSON writes it; `\d` is a backslash and a `d`."""
    escape = found[0]
    if escape[:2] in ("\\x", "\\U") and len(escape) > 2:
        return json.dumps(chr(int(escape.lstrip("\\xU"), 16)))[1:-1]
    if escape == "\\'":
        return "'"
    if escape == '"':
        return '\\"'
    return escape if escape[1] in '"\\/bfnrt' or len(escape) > 2 else "\\" + escape
