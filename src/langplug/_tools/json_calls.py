"""Tool calls as JSON objects: `{"name": ..., "arguments": {...}}`, alone or in a list."""

from collections.abc import Collection, Sequence
from typing import Literal, TypeAlias

from langplug._parts import ToolCall
from langplug._tools.literals import QUOTES, arguments_of, literal, read_nested, read_string, read_value
from langplug._tools.markup import Found, Markup
from langplug._tools.scanner import Read, Scanner

_NAME_KEYS = ("name", "function", "tool", "tool_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args")
_KNOWN_KEYS = frozenset(
    f"{quote}{key}{quote}" for key in (*_NAME_KEYS, *_ARGUMENT_KEYS, "id", "type") for quote in QUOTES
)
_TYPES = frozenset(
    f"{quote}{kind}{quote}" for kind in ("function", "function_call", "tool_call", "tool_use") for quote in QUOTES
)

_End: TypeAlias = Literal["whole", "broken", "text"]


class JsonCalls:
    """Readers of such calls, for a format's `Markup`s.

    The name may also be `"function"`, `"tool"` or `"tool_name"`, the arguments `"parameters"` or `"args"`; OpenAI's
    `{"type": "function", "function": {...}}` is read as well. The arguments are an object, or a string that holds one;
    left out or null, they are `{}`. Broken arguments come out as they stand, and what is broken otherwise with the
    markup before it, which is no JSON: either ends as an invalid tool call.

    Mended: what `literals.literal` mends, a missing comma between members, a missing last `}` where the arguments
    are whole, and closing brackets too many.

    Args:
        names: The tools that are bound.
        sure: Whether the markup before it says that it is a call; then keys that no call has are passed over. Else
            they show that it is none, unless they stand behind name and arguments, and so does a strange `"type"`.
        closer: The tag that ends the call, if one does.
        with_id: Whether the model's own ids are worth keeping: most copy one from the conversation.
    """

    def __init__(self, names: Collection[str], *, sure: bool = False, closer: str = "", with_id: bool = False) -> None:
        self._names = frozenset(f"{quote}{name}{quote}" for name in names for quote in QUOTES)
        self._sure = sure
        self._closer = closer
        self._with_id = with_id

    def read_any(self, scanner: Scanner) -> Read[Found]:
        """One call, or the first of a list of them, behind blanks."""
        yield from scanner.blanks()
        bracket = yield from scanner.one_of(("{", "["))
        if bracket == "{":
            return (yield from self.read_object(scanner))
        return (yield from self.read_list(scanner)) if bracket else None

    def read_list(self, scanner: Scanner) -> Read[Found]:
        """The first call of a list; its `[` was read."""
        return (yield from self.read_object(scanner)) if (yield from scanner.skip("{")) else None

    def read_next(self, scanner: Scanner) -> Read[Found]:
        """One more call; what parts it from the last one was read."""
        yield from scanner.blanks()
        if scanner.at_end:
            return []
        return (yield from self.read_list(scanner))

    def read_object(self, scanner: Scanner) -> Read[Found]:
        """One call; its `{` was read."""
        reader = _CallReader(scanner, self._names, sure=self._sure, closer=self._closer, with_id=self._with_id)
        call = yield from reader.read()
        return None if call is None else [call]

    def behind(self) -> Sequence[Markup]:
        """What may stand directly behind a call: another one, and all that parts or closes lists of them."""
        more = [Markup(opener, self.read_next, "behind a call") for opener in ",;"]
        return (
            *more,
            Markup("{", self.read_object, "behind a call"),
            *[Markup(end, where="behind a call") for end in "]}"],
        )


class _CallReader:
    """Reads one call, member by member."""

    def __init__(self, scanner: Scanner, names: frozenset[str], *, sure: bool, closer: str, with_id: bool) -> None:
        self._tape = scanner
        self._names = names
        self._sure = sure
        self._closer = closer
        self._with_id = with_id
        self._depth = 1
        self._name = ""
        self._id: str | None = None
        self._args: str | None = None
        self._args_are_whole = True
        self._has_strangers = False

    def read(self) -> Read[ToolCall | None]:
        """The call, or None if it is none of a bound tool; its `{` was read."""
        end = yield from self._members()
        if end == "text" or not self._name:
            return None
        if self._args is None and end == "whole" and not self._has_strangers:
            return ToolCall(name=self._name, args={}, id=self._id)
        parsed = arguments_of(self._args) if self._args is not None and self._args_are_whole else None
        if parsed is not None:
            return ToolCall(name=self._name, args=parsed, id=self._id)
        rest = (yield from self._rest()) if end == "broken" else ""
        raw = "" if self._args is None else (self._args + rest).strip()
        return ToolCall(name=self._name, args=raw or self._tape.marked(), id=self._id)

    def _members(self) -> Read[_End]:
        scanner = self._tape
        while True:
            yield from scanner.blanks()
            char = yield from scanner.peek()
            if char == "}":
                yield from scanner.take()
                return "whole"
            if char not in QUOTES:
                return "broken"
            key = yield from self._key()
            if not key:
                return self._cut_or_text()
            if not (yield from scanner.skip(":")):
                return "broken"
            yield from scanner.blanks()
            if (end := (yield from self._value(key))) != "whole":
                return end
            yield from scanner.skip(",")

    def _cut_or_text(self) -> _End:
        return "broken" if self._tape.at_end else "text"

    def _key(self) -> Read[str]:
        """The key that stands here. Empty: it is cut off, or none that a call has."""
        if self._sure or (self._name and self._args is not None):
            text, is_whole = yield from read_string(self._tape)
            return text[1:-1] if is_whole else ""
        return ((yield from self._tape.one_of(_KNOWN_KEYS)) or "")[1:-1]

    def _value(self, key: str) -> Read[_End]:
        if key in _NAME_KEYS and not self._name:
            return (yield from self._name_value(key))
        if key == "type" and not self._sure:
            return "whole" if (yield from self._tape.one_of(_TYPES)) else self._cut_or_text()
        text, is_whole = yield from read_value(self._tape, in_tag=bool(self._closer))
        if key in _ARGUMENT_KEYS:
            self._args, self._args_are_whole = text, is_whole
        elif key == "id":
            self._id = _string(text) if self._with_id else None
        elif key != "type":
            self._has_strangers = True
        return "whole" if is_whole else "broken"

    def _name_value(self, key: str) -> Read[_End]:
        if key == "function" and self._depth == 1 and (yield from self._tape.peek()) == "{":
            yield from self._tape.take()
            self._depth = 2
            if (end := (yield from self._members())) == "whole":
                self._depth = 1
            return end
        self._name = ((yield from self._tape.one_of(self._names)) or "")[1:-1]
        return "whole" if self._name else "text"

    def _rest(self) -> Read[str]:
        """What is left of a broken call: up to the tag that closes it, or else to its last bracket."""
        if self._closer:
            return (yield from self._tape.until(self._closer))[0]
        return (yield from read_nested(self._tape, self._depth))[0]


def _string(text: str) -> str | None:
    value = literal(text)
    return value if isinstance(value, str) else None
