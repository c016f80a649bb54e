"""The format of Llama 4, ToolACE and LFM2: a list of Python calls, `[add(a=1, b=2), now()]`.

https://www.llama.com/docs/model-cards-and-prompt-formats/llama4/
"""

from collections.abc import Mapping, Sequence
from typing import Any

from langplug._parts import ToolCall
from langplug._tools.literals import arguments_of, read_nested
from langplug._tools.markup import BoundTools, CallParser, Found, Grammar, Markup, MarkupParser
from langplug._tools.scanner import Read, Scanner
from langplug._tools.tool_format import Instructions, ToolFormat, json_result
from langplug._tools.toolbox import Tool, schemas_of

LLAMA4, LFM2 = ("<|python_start|>", "<|python_end|>"), ("<|tool_call_start|>", "<|tool_call_end|>")


def read_tag(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call of a list in a tag; the `[` is still to be read."""
    return (yield from read_list(scanner, tools)) if (yield from scanner.skip("[")) else None


def read_list(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call of a list; its `[` was read.

    Arguments that are not literals make an invalid tool call of the text in the parentheses.
    """
    yield from scanner.blanks()
    name = yield from scanner.one_of(tools)
    if not name or not (yield from scanner.skip("(")):
        return None
    text, is_whole = yield from read_nested(scanner, 1)
    args = arguments_of(f"{{{text[:-1]}}}") if is_whole else None
    return [ToolCall(name=name, args=f"({text}" if args is None else args)]


def read_next(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """One more call; the comma before it was read."""
    yield from scanner.blanks()
    return [] if scanner.at_end else (yield from read_list(scanner, tools))


GRAMMAR = Grammar(
    Markup("[", read_list, "line start"),
    Markup(",", read_next, "after a call"),
    Markup("]", where="after a call"),
    *[Markup(opener, read_tag) for opener, _ in (LLAMA4, LFM2)],
    *[Markup(closer, where="after a call") for _, closer in (LLAMA4, LFM2)],
)


def write_call(name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:  # noqa: ARG001 - there is no place for ids
    """A list with one call."""
    if isinstance(args, str):
        return f"[{name}({args.removeprefix('(').removesuffix(')')})]"
    return f"[{name}({', '.join(f'{key}={value!r}' for key, value in args.items())})]"


def write_result(name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
    """A result as a JSON object."""
    return f"Tool result: {json_result(name, content, call_id, is_error)}"


def make_parser(tools: Sequence[Tool]) -> CallParser:
    """A parser of lists of Python calls."""
    return MarkupParser(GRAMMAR, schemas_of(tools))


FORMAT = ToolFormat("pythonic", Instructions(write_call), write_call, write_result, make_parser)
