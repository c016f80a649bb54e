"""What the calls of a format look like, as data from which they are both written and read.

A shape is the text of a call with fields in it. `format_of` makes a `ToolFormat` of one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

from langplug._tools.json_calls import JsonCalls
from langplug._tools.markup import BoundTools, CallParser, Found, Grammar, Markup, MarkupParser
from langplug._tools.scanner import Read, Scanner
from langplug._tools.schema import dump
from langplug._tools.tool_format import Instructions, ToolFormat, json_result
from langplug._tools.toolbox import Tool, schemas_of

WrittenCall: TypeAlias = tuple[str, Mapping[str, Any] | str, str]
"""Name, arguments (a string if they were broken) and id (empty if there is none to show) of a call of the past."""

Place: TypeAlias = Literal["anywhere", "line start", "after a call"]


class Shape(Protocol):
    """What a `ToolFormat` is made of. It is hashable and can be pickled, as models hold their format."""

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once, at least one."""
        ...

    def markups(self) -> Sequence[Markup]:
        """What to recognise in an answer."""
        ...


# --- JSON within tags ---


@dataclass(frozen=True, slots=True, kw_only=True)
class TaggedJson:
    r"""Calls as JSON objects within tags: `<TOOLCALL>[{calls}]</TOOLCALL>`, or `<tool_call>\n{call}\n</tool_call>`.

    Attributes:
        text: The tags around all calls, with `{calls}` for the objects of a list, or around one, with `{call}`.
        openers: What is read as an opening tag as well.
        closers: What is read as a closing tag as well, and whatever else is left out after a call.
        frames: Tags around the text that a user is to see, which are left out of it.
        name_key, args_key: The keys that are written; those that are read are the same in all formats.
        id_key: The key of the id, if one is to be written.
        keyed: Whether an object is `{name: arguments}`.
        separator: What stands between two calls.
        where: Where the opening tag counts.
    """

    text: str
    openers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    name_key: str = "name"
    args_key: str = "arguments"
    id_key: str = "id"
    keyed: bool = False
    separator: str = ", "
    where: Place = "anywhere"

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        objects: list[str] = []
        for name, args, call_id in calls:
            written = args if isinstance(args, str) else dump(args)
            member = f', "{self.id_key}": {dump(call_id)}' if call_id else ""
            one = f'{{"{self.name_key}": {dump(name)}, "{self.args_key}": {written}{member}}}'
            objects.append(f"{{{dump(name)}: {written}}}" if self.keyed else one)
        if "{calls}" in self.text:
            return self.text.replace("{calls}", self.separator.join(objects))
        return "\n".join(self.text.replace("{call}", one) for one in objects)

    def markups(self) -> Sequence[Markup]:
        """The opening tags, each with a reader, and all that may stand between and after calls."""
        before, _, after = self.text.replace("{calls}", "{call}").partition("{call}")
        closer = after.lstrip("]").strip()
        json_calls = JsonCalls(sure=True, keyed=self.keyed, closer=closer)
        return (
            *[
                Markup(opener, ClosedReader(json_calls, opener, closer).read, self.where, r"[{\[]")
                for opener in (before.rstrip("[").strip(), *self.openers)
            ],
            *json_calls.after_call(),
            *[Markup(tag, where="after a call") for tag in (closer, *self.closers) if tag],
            *map(Markup, self.frames),
        )


@dataclass(frozen=True, slots=True)
class ClosedReader:
    """A reader of JSON in a tag, which ends where the tag is closed, except within a JSON string.

    If such a string is never closed, the answer is read again from the opener on, and from there on a closing tag ends
    a call wherever it stands.
    """

    json_calls: JsonCalls
    opener: str
    closer: str

    def read(self, scanner: Scanner, tools: BoundTools) -> Read[Found]:
        """The first call; the opener was read."""
        if not self.closer:
            return (yield from self.json_calls.read_any(scanner, tools))
        if not scanner.rewound:
            calls = yield from self.json_calls.read_any(scanner, tools)
            is_whole = bool(calls) and not any(isinstance(call.args, str) for call in calls or ())
            if is_whole or not scanner.at_end or self.closer not in scanner.marked():
                return calls
            scanner.rewind(len(self.opener))
        scanner.narrow(re.compile(re.escape(self.closer)))
        calls = yield from self.json_calls.read_any(scanner, tools)
        scanner.widen()
        return calls


# --- formats ---


@dataclass(frozen=True, slots=True)
class OneCall:
    """Writes one call."""

    shape: Shape

    def __call__(self, name: str, args: Mapping[str, Any] | str, call_id: str = "") -> str:
        """The call, with all that stands around the calls of one answer."""
        return self.shape.write([(name, args, call_id)])


@dataclass(frozen=True, slots=True)
class ManyCalls:
    """Writes calls that were made at once."""

    shape: Shape

    def __call__(self, calls: Sequence[WrittenCall]) -> str:
        """The calls, with all that stands around them."""
        return self.shape.write(calls)


@dataclass(frozen=True, slots=True)
class JsonResult:
    """Writes a result as a JSON object between two tags."""

    opener: str
    closer: str
    key: str = "content"

    def __call__(self, name: str, content: str, call_id: str = "", is_error: bool = False) -> str:
        """The result; one that failed has its content under `"error"`."""
        return f"{self.opener}{json_result(name, content, call_id, is_error, key=self.key)}{self.closer}"


@dataclass(frozen=True, slots=True)
class ReadShapes:
    """Makes parsers of calls in any of some shapes."""

    shapes: tuple[Shape, ...]

    def __call__(self, tools: Sequence[Tool]) -> CallParser:
        """The parser of one answer."""
        return MarkupParser(grammar_of(self.shapes), schemas_of(tools))


@lru_cache(maxsize=256)
def grammar_of(shapes: tuple[Shape, ...]) -> Grammar:
    """The grammar of these shapes, made once."""
    return Grammar(*[markup for shape in shapes for markup in shape.markups()])


IN_A_LIST = "For several calls, put all of them into the one list."


def format_of(
    name: str,
    shape: Shape,
    result: Any,
    *,
    reads: Sequence[Shape] = (),
    tools: tuple[str, str] = ("<tools>", "</tools>"),
    several: str = "For several calls, write one after the other.",
) -> ToolFormat:
    """The format whose calls have `shape`, its results as `result` writes them.

    Args:
        name: What it is called.
        shape: How calls are written and read.
        result: Writes a result, or the two tags between which it stands as a JSON object.
        reads: What is read; as a rule what is written.
        tools: What stands around the tools in the instructions.
        several: What the model is told of several calls.
    """
    shapes = tuple(reads) or (shape,)
    grammar_of(shapes)  # now, and not with the first answer
    return ToolFormat(
        name,
        Instructions(OneCall(shape), tools, several),
        OneCall(shape),
        JsonResult(*result) if isinstance(result, tuple) else result,
        ReadShapes(shapes),
        ManyCalls(shape),
    )
