"""Tool calls as JSON objects: `{"name": ..., "arguments": {...}}`, alone, in a list or in a Markdown fence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from langplug._parts import ToolCall
from langplug._tools.literals import QUOTES, arguments_of, literal, read_nested, read_string, read_value
from langplug._tools.markup import BoundTools, Found, Markup
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


@dataclass(frozen=True, slots=True)
class JsonCalls:
    """Readers of such calls, for a format's `Markup`s.

    The name may also be `"function"`, `"tool"` or `"tool_name"`, the arguments `"parameters"` or `"args"`; OpenAI's
    `{"type": "function", "function": {...}}` is read as well. The arguments are an object, or a string that holds one;
    left out or null, they are `{}`. Broken arguments come out as they stand, and what is broken otherwise with the
    markup before it, which is not JSON: either ends as an invalid tool call.

    Repaired: what `literals.literal` repairs, a missing comma between members, a missing last `}` where the arguments
    are whole, and closing brackets too many.

    Attributes:
        sure: Whether the markup before it says that it is a call; then keys that no call has are passed over. Else
            they show that it is not one, unless they stand after name and arguments; so does an unknown `"type"`.
        keyed: Whether the name is the one key, and the arguments are its value: `{"add": {"a": 1}}`.
        closer: The tag that ends the call, if one does.
        with_id: Whether the model's own ids are worth keeping: most copy one from the conversation.
    """

    sure: bool = False
    keyed: bool = False
    closer: str = ""
    with_id: bool = False

    def read_any(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """One call, or the first of a list of them, after blanks."""
        yield from scanner.blanks()
        bracket = yield from scanner.one_of(("{", "["))
        if bracket == "{":
            return (yield from self.read_object(scanner, tools))
        return (yield from self.read_list(scanner, tools)) if bracket else None

    def read_list(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """The first call of a list; its `[` was read."""
        return (yield from self.read_object(scanner, tools)) if (yield from scanner.skip("{")) else None

    def read_next(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """One more call; what separates it from the last one was read."""
        yield from scanner.blanks()
        if scanner.at_end:
            return []
        return (yield from self.read_list(scanner, tools))

    def read_object(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """One call; its `{` was read."""
        call = yield from _CallReader(scanner, tools, self).read()
        return None if call is None else [call]

    def after_call(self) -> Sequence[Markup]:
        """What may stand directly after a call: another one, and all that separates or closes lists of them."""
        return (
            *[Markup(separator, self.read_next, "after a call") for separator in ",;"],
            Markup("{", self.read_object, "after a call"),
            *[Markup(end, where="after a call") for end in "]}"],
        )


class _CallReader:
    """Reads one call, member by member."""

    def __init__(self, scanner: Scanner, tools: BoundTools, form: JsonCalls) -> None:
        self._scanner = scanner
        self._tools = tools
        self._form = form
        self._depth = 1
        self._name = ""
        self._id: str | None = None
        self._args: str | None = None
        self._args_are_whole = True
        self._has_strangers = False

    def read(self) -> Read[ToolCall | None]:
        """The call, or None if it is not a call of a bound tool; its `{` was read."""
        end = yield from (self._keyed_member() if self._form.keyed else self._members())
        if end == "text" or not self._name:
            return None
        if self._args is None and end == "whole" and not self._has_strangers:
            return ToolCall(name=self._name, args={}, id=self._id)
        parsed = arguments_of(self._args) if self._args is not None and self._args_are_whole else None
        if parsed is not None:
            return ToolCall(name=self._name, args=parsed, id=self._id)
        rest = ""
        if end == "broken" and self._form.closer:
            rest, _ = yield from self._scanner.until(self._form.closer)
        elif end == "broken":
            rest, _ = yield from read_nested(self._scanner, self._depth)  # up to its last bracket
        raw = "" if self._args is None else (self._args + rest).strip()
        return ToolCall(name=self._name, args=raw or self._scanner.marked(), id=self._id)

    def _members(self) -> Read[_End]:
        scanner = self._scanner
        while True:
            yield from scanner.blanks()
            char = yield from scanner.peek()
            if char == "}":
                yield from scanner.take()
                return "whole"
            if char not in QUOTES:
                return "broken"
            # a person is `{"name": "add", "age": 36}`, a tool `{"name": "add", "description": ...}`: in doubt, a key
            # that no call has says so at once, and the text need not be held back any longer
            if self._form.sure or (self._name and self._args is not None):
                text, is_whole = yield from read_string(scanner)
                key = text[1:-1] if is_whole else ""
            else:
                key = ((yield from scanner.one_of(_KNOWN_KEYS)) or "")[1:-1]
            if not key:
                return self._cut_or_text()
            if not (yield from scanner.skip(":")):
                return "broken"
            yield from scanner.blanks()
            if (end := (yield from self._value(key))) != "whole":
                return end
            yield from scanner.skip(",")  # small models leave it out

    def _value(self, key: str) -> Read[_End]:
        scanner = self._scanner
        if key == "function" and not self._name and self._depth == 1 and (yield from scanner.peek()) == "{":
            yield from scanner.take()
            self._depth = 2  # OpenAI's shape: name and arguments stand one level deeper
            if (end := (yield from self._members())) == "whole":
                self._depth = 1
            return end
        if key in _NAME_KEYS and not self._name:
            self._name = yield from self._bound_name()
            return "whole" if self._name else "text"
        if key == "type" and not self._form.sure:
            return "whole" if (yield from scanner.one_of(_TYPES)) else self._cut_or_text()
        text, is_whole = yield from read_value(scanner, in_tag=bool(self._form.closer))
        if key in _ARGUMENT_KEYS:
            self._args, self._args_are_whole = text, is_whole  # of two the last counts, as in JSON
        elif key == "id":
            value = literal(text) if self._form.with_id else None
            self._id = value if isinstance(value, str) else None
        elif key != "type":
            self._has_strangers = True
        return "whole" if is_whole else "broken"

    def _keyed_member(self) -> Read[_End]:
        yield from self._scanner.blanks()
        self._name = yield from self._bound_name()
        if not self._name:
            return "text"
        if not (yield from self._scanner.skip(":")):
            return "broken"
        yield from self._scanner.blanks()
        end = yield from self._value("arguments")
        return "whole" if end == "whole" and (yield from self._scanner.skip("}")) else "broken"

    def _bound_name(self) -> Read[str]:
        names = frozenset(f"{quote}{name}{quote}" for name in self._tools for quote in QUOTES)
        return ((yield from self._scanner.one_of(names)) or "")[1:-1]

    def _cut_or_text(self) -> _End:
        return "broken" if self._scanner.at_end else "text"


# --- JSON that stands by itself ---

_JSON = JsonCalls()
_FENCE = "```"
_WORD = re.compile(r"[\w+-]*")
_WORDS = frozenset(("", "json", "tool", "tool_call", "tool_calls", "function_call"))


def read_fence(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call in a fence, or the end of a fence; the backticks were read."""
    open_fence, scanner.fence = scanner.fence, ""
    word = yield from scanner.run(_WORD)
    if open_fence and not word:
        return [] if open_fence == "calls" else None  # the end goes with the calls, or stays with the text
    scanner.fence = "text"
    calls = (yield from _JSON.read_any(scanner, tools)) if word in _WORDS else None
    if calls is not None:
        scanner.fence = "calls"
    return calls


BARE = (
    Markup("{", _JSON.read_object, "line start", "[\"'}]"),
    Markup("[", _JSON.read_list, "line start", "{"),
    *_JSON.after_call(),
    Markup("</tool_call>", where="after a call"),
)
"""Objects, or a list of them, at the start of a line; a closing tag that lost its opener is left out with them."""

FENCED = (Markup(_FENCE, read_fence, "line start"), *_JSON.after_call())
"""Objects, or a list of them, between fences that say `json`, `tool_call` or the like, or nothing."""
