"""The format of Llama 4, ToolACE and LFM2: a list of Python calls, `[add(a=1, b=2), now()]`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama4/
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from langplug._parts import ToolCall
from langplug._tools.formats import Tool, ToolFormat, instructions_for, json_result, names_of
from langplug._tools.literals import arguments_of, read_nested
from langplug._tools.markup import CallParser, Found, Markup, MarkupParser
from langplug._tools.scanner import Read, Scanner

_TAGS = (("<|python_start|>", "<|python_end|>"), ("<|tool_call_start|>", "<|tool_call_end|>"))


class PythonCalls:
    """Readers of Python calls whose arguments are literals, each with its name.

    Other arguments make an invalid tool call of the text in the parentheses.
    """

    def __init__(self, names: Collection[str]) -> None:
        self._names = frozenset(names)

    def tagged(self, scanner: Scanner) -> Read[Found]:
        """The first call of a list, whose `[` is still to be read."""
        return (yield from self.read_list(scanner)) if (yield from scanner.skip("[")) else None

    def read_list(self, scanner: Scanner) -> Read[Found]:
        """The first call of a list; its `[` was read."""
        yield from scanner.blanks()
        name = yield from scanner.one_of(self._names)
        if not name or not (yield from scanner.skip("(")):
            return None
        text, is_whole = yield from read_nested(scanner, 1)
        args = arguments_of(f"{{{text[:-1]}}}") if is_whole else None
        return [ToolCall(name=name, args=f"({text}" if args is None else args)]

    def read_next(self, scanner: Scanner) -> Read[Found]:
        """One more call; the comma before it was read."""
        yield from scanner.blanks()
        return [] if scanner.at_end else (yield from self.read_list(scanner))


def python_calls(names: Collection[str]) -> Sequence[Markup]:
    """A list at the start of a line, or behind a tag."""
    calls = PythonCalls(names)
    return (
        Markup("[", calls.read_list, "line start"),
        Markup(",", calls.read_next, "behind a call"),
        Markup("]", where="behind a call"),
        *[Markup(opener, calls.tagged) for opener, _ in _TAGS],
        *[Markup(closer, where="behind a call") for _, closer in _TAGS],
    )


def call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:  # noqa: ARG001 - there is no place for ids
    """A list with one call."""
    if isinstance(args, str):
        return f"[{name}({args.removeprefix('(').removesuffix(')')})]"
    return f"[{name}({', '.join(f'{key}={value!r}' for key, value in args.items())})]"


def result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result as a JSON object."""
    return f"Tool result: {json_result(name, content, call_id, is_error)}"


def parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of lists of Python calls."""
    return MarkupParser(python_calls(names_of(tools)))


FORMAT = ToolFormat("pythonic", instructions_for(call), call, result, parser)
