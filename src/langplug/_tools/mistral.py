"""The format of Mistral: `[TOOL_CALLS]`, and a JSON list of calls or, since the tokenizer v11, `name[ARGS]{...}`.

https://docs.mistral.ai/guides/tokenization/ and https://github.com/mistralai/mistral-common
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langplug._parts import ToolCall
from langplug._tools.formats import Tool, ToolFormat, instructions_for, json_call, json_result, names_of
from langplug._tools.json_calls import JsonCalls
from langplug._tools.literals import arguments_of, read_value
from langplug._tools.markup import CallParser, Found, Markup, MarkupParser
from langplug._tools.scanner import Read, Scanner

OPENER = "[TOOL_CALLS]"
_ID, _ARGS = "[CALL_ID]", "[ARGS]"


class MistralCalls:
    """Reader of what follows `[TOOL_CALLS]`.

    The model's own ids are kept: it makes them up anew for each call.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._json = JsonCalls(names, sure=True, with_id=True)

    def read(self, scanner: Scanner) -> Read[Found]:
        """The first of the calls; the opener was read."""
        yield from scanner.blanks()
        if (yield from scanner.peek()) in ("[", "{"):
            return (yield from self._json.read_any(scanner))
        name = yield from scanner.one_of(self._names)
        return (yield from self._arguments(scanner, name)) if name else None

    def _arguments(self, scanner: Scanner, name: str) -> Read[Found]:
        """The call of `name`, which was read; its arguments stand behind `[ARGS]`, or right behind the name."""
        call_id = ""
        yield from scanner.blanks()
        if (yield from scanner.peek()) == "[":
            tag = yield from scanner.one_of((_ID, _ARGS))
            if tag is None and not scanner.at_end:
                return None
            if tag == _ID:
                call_id = (yield from scanner.until(_ARGS))[0].strip()
            yield from scanner.blanks()
        elif (yield from scanner.peek()) not in ("{", ""):
            return None
        return [ToolCall(name=name, args=(yield from _arguments(scanner)), id=call_id or None)]

    def behind(self) -> Sequence[Markup]:
        """What may stand directly behind a call."""
        return self._json.behind()


def _arguments(scanner: Scanner) -> Read[dict[str, Any] | str]:
    text, is_whole = yield from read_value(scanner)
    args = arguments_of(text) if is_whole else None
    return (text.strip() or scanner.marked()) if args is None else args


def call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
    """A list with one call."""
    return f"{OPENER} [{json_call(name, args, call_id)}]"


def result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result between its tags."""
    return f"[TOOL_RESULTS] {json_result(name, content, call_id, is_error)} [/TOOL_RESULTS]"


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of both ways of writing."""
    calls = MistralCalls(names_of(tools))
    return MarkupParser((Markup(OPENER, calls.read), *calls.behind()))


FORMAT = ToolFormat("mistral", instructions_for(call), call, result, parser)
