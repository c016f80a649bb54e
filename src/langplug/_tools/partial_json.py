"""The object in a text that is still being written, read once from its beginning to its end.

langchain-core's `parse_partial_json` parses all of the text anew for each piece: 32 KB in tokens of four characters
took it 13 seconds.
"""

import json
import re
from collections.abc import Callable
from typing import Any

_BLANKS = re.compile(r"[ \t\n\r]*")
_PLAIN = re.compile(r'[^"\\]*')
_SCALAR = re.compile(r"[-+.\w]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_HEX = re.compile(r"\\u([0-9a-fA-F]{4})")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {
    "true": True, "false": False, "null": None, "NaN": float("nan"), "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}  # fmt: skip
_DEEPEST = 200
"""Objects and lists in one another that are shown as they grow; a snapshot copies each of them."""

_WIDEST = 5_000
"""Items in them up to which each change is shown; of ten times as many, each tenth piece."""

_LONGEST_NUMBER = 1_000
"""Characters: a number is read anew with each piece of it."""


class PartialObject:
    r"""The first object of a text that comes in pieces.

    It shows what langchain-core's `parse_partial_json` shows of the same text, but for this: a half `\\u` escape or
    pair of them is held back, where core takes back the whole member; where the JSON is broken, or more than 200 levels
    deep, it stays at what was read before; and of more than 5,000 items some pieces bring no change.
    """

    def __init__(self) -> None:
        self._text = ""  # what was not read yet: the beginning of a token
        self._at = 0
        self._open: list[Any] = []  # the object, and in it the containers that have not ended
        self._keys: list[str] = []  # of each of these, the key of the member that is being read; of lists, any
        self._is_placed = False  # whether the value that is being read stands in its container
        self._string = ""  # as far as it was read
        self._changed = False  # since it was last shown
        self._waited = 0
        self._step: Callable[[PartialObject], bool] | None = PartialObject._find_start

    def feed(self, piece: str) -> bool:
        """Read one more piece; whether it is time to show what has changed."""
        if self._step is None:  # it has ended, or is broken
            return False
        self._text, self._at = self._text[self._at :] + piece, 0
        while self._step is not None and self._step(self):
            pass
        self._waited += 1
        # A snapshot copies all that is open: of thousands of items, showing every single one would cost their square.
        if not self._changed or self._waited * _WIDEST < sum(map(len, self._open)):
            return False
        self._changed, self._waited = False, 0
        return True

    def snapshot(self) -> dict[str, Any]:
        """The object as it is now. What has ended within it is shared with later ones."""
        copies = [container.copy() for container in self._open]
        for outer, key, inner in zip(copies, self._keys, copies[1:], strict=False):
            outer[key if isinstance(outer, dict) else -1] = inner
        return copies[0] if copies else {}

    # --- steps: each reads one token and says whether it was all there ---

    def _find_start(self) -> bool:
        start = self._text.find("{", self._at)  # models write a fence or a word before it
        self._at = len(self._text) if start < 0 else start + 1
        if start >= 0:
            self._push({})
        return start >= 0

    def _key(self) -> bool:
        char = self._next_char()
        if char == "}" and not self._open[-1]:  # only at once: no comma stands before it
            return self._close()
        return self._enter(PartialObject._key_string, 1) if char == '"' else self._fail()

    def _key_string(self) -> bool:
        if not self._read_string():
            return False
        self._keys[-1], self._string, self._is_placed = self._string, "", False
        self._step = PartialObject._colon
        return True

    def _colon(self) -> bool:
        return self._enter(PartialObject._value, 1) if self._next_char() == ":" else self._fail()

    def _value(self) -> bool:
        match self._next_char():
            case '"':
                self._place("")
                return self._enter(PartialObject._value_string, 1)
            case "{" | "[" as bracket if len(self._open) < _DEEPEST:
                self._at += 1
                self._push({} if bracket == "{" else [])
                return True
            case "]" if self._open[-1] == []:
                return self._close()
            case "":
                return False
            case _:
                return self._scalar()

    def _value_string(self) -> bool:
        is_whole = self._read_string()
        self._place(self._string)
        if is_whole:
            self._string, self._step = "", PartialObject._after_value
        return is_whole

    def _scalar(self) -> bool:
        end = _SCALAR.match(self._text, self._at).end()  # type: ignore[union-attr]  # it matches the empty string, too
        token = self._text[self._at : end]
        number = _NUMBER.match(token)
        try:
            if token in _WORDS:
                self._place(_WORDS[token])
            elif number is not None:  # `1.` and `1e` are 1 as long as nothing follows
                self._place(json.loads(number[0]))
        except ValueError:  # more digits than Python reads
            return self._fail()
        if end == len(self._text) and len(token) < _LONGEST_NUMBER:  # there may be more of it to come
            return False
        if token not in _WORDS and (number is None or number[0] != token):
            return self._fail()
        self._at, self._step = end, PartialObject._after_value
        return True

    def _after_value(self) -> bool:
        container = self._open[-1]
        match self._next_char(), container:
            case ",", dict():
                return self._enter(PartialObject._key, 1)
            case ",", _:
                self._is_placed = False
                return self._enter(PartialObject._value, 1)
            case ("}", dict()) | ("]", list()):
                return self._close()
            case _:
                return self._fail()

    # --- what the steps are made of ---

    def _next_char(self) -> str:
        """The next character that is not blank; empty if it has not come yet."""
        self._at = _BLANKS.match(self._text, self._at).end()  # type: ignore[union-attr]  # as above
        return self._text[self._at : self._at + 1]

    def _enter(self, step: Callable[["PartialObject"], bool], length: int) -> bool:
        self._at += length
        self._step = step
        return True

    def _push(self, container: Any) -> None:
        if self._open:
            self._place(container)
        self._open.append(container)
        self._keys.append("")
        self._changed, self._is_placed = True, False
        self._step = PartialObject._key if isinstance(container, dict) else PartialObject._value

    def _close(self) -> bool:
        self._at += 1
        if len(self._open) == 1:  # the object itself: nothing after it is read
            self._step = None
        else:
            self._open.pop()
            self._keys.pop()
            self._is_placed, self._step = True, PartialObject._after_value
        return True

    def _fail(self) -> bool:
        if self._at < len(self._text):  # else it has only not come yet
            self._step = None
        return False

    def _place(self, value: Any) -> None:
        """Put what was read of the current value where it belongs."""
        container, is_new = self._open[-1], not self._is_placed
        self._is_placed = True
        if isinstance(container, list) and is_new:
            container.append(value)
            self._changed = True
            return
        place: Any = self._keys[-1] if isinstance(container, dict) else -1
        self._changed |= is_new or (container[place] is not value and container[place] != value)
        container[place] = value

    def _read_string(self) -> bool:
        """Read on in a string; whether its closing quote was read."""
        text, read, is_whole = self._text, [self._string], False
        while True:
            end = _PLAIN.match(text, self._at).end()  # type: ignore[union-attr]  # as above
            read.append(text[self._at : end])
            self._at = end
            if text[end : end + 1] == '"':
                self._at, is_whole = end + 1, True
                break
            char, length = self._read_escape()
            if not length:
                break
            read.append(char)
            self._at += length
        self._string = "".join(read)
        return is_whole

    def _read_escape(self) -> tuple[str, int]:
        """The character that an escape stands for, and its length; 0 if it has not all come, or is none."""
        text, at = self._text, self._at
        kind = text[at + 1 : at + 2]
        if kind in _ESCAPES:
            return _ESCAPES[kind], 2
        if not kind:
            return "", 0
        first = _HEX.match(text, at) if kind == "u" else None
        if first is None:
            self._step = self._step if kind == "u" and len(text) < at + 6 else None
            return "", 0
        code = int(first[1], 16)
        if not 0xD800 <= code < 0xDC00:
            return chr(code), 6
        second = _HEX.match(text, at + 6)
        if second is not None and 0xDC00 <= (low := int(second[1], 16)) < 0xE000:
            return chr(0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)), 12
        if second is None and len(text) < at + 12 and "\\u".startswith(text[at + 6 : at + 8]):
            return "", 0  # the other half of the pair may still come
        return chr(code), 6
