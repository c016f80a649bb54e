"""The format for unknown models: they are told to write as Hermes does, and are read with more patience.

Small models drift: asked for tags they write bare JSON, or fence it. Others write as they were trained, whatever they
are told: where the opening tag tells the format, it is read here as well.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from langplug._tools.call_templates import CallTemplate
from langplug._tools.formats.gemma import FORMATS as GEMMA
from langplug._tools.formats.invocations import FORMATS as INVOCATIONS
from langplug._tools.formats.key_values import FORMATS as KEY_VALUES
from langplug._tools.formats.key_values import GLM
from langplug._tools.formats.plain_json import BareJson, FencedJson
from langplug._tools.formats.tagged_json import FORMATS as TAGGED_JSON
from langplug._tools.formats.tagged_json import QWEN_CODER, RESPONSE, TOOL_CALL
from langplug._tools.formats.tokens import FORMATS as TOKENS
from langplug._tools.markup import BoundTools, Found, Markup
from langplug._tools.scanner import Read, Scanner
from langplug._tools.shapes import ReadShapes, Shape, TaggedJson, WrittenCall, format_of


@dataclass(frozen=True, slots=True)
class AnyToolCall:
    """`<tool_call>` with JSON in it, as Hermes writes, or XML, as Qwen3-Coder, or names and values, as GLM."""

    def write(self, calls: Sequence[WrittenCall]) -> str:
        """Calls that were made at once."""
        return TOOL_CALL.write(calls)

    def markups(self) -> Sequence[Markup]:
        """The tag, and what else the three consist of."""
        return (
            Markup("<tool_call>", read_tool_call, follows=r"[\w{\[]|<(?:f|\Z)"),
            *_XML,
            *GLM.markups(),
            # DeepSeek's, before the backticks in it are taken for a fence
            Markup("```<｜tool▁call▁end｜>", where="after a call"),
        )


_XML = QWEN_CODER.markups()
_READ_XML, _READ_NAME = (
    next(markup.read for markup in markups if markup.opener == "<tool_call>" and markup.read)
    for markups in (_XML, GLM.markups())
)


def read_tool_call(scanner: Scanner, tools: BoundTools) -> Read[Found]:
    """The first call of a tag, which was read."""
    yield from scanner.blanks()
    read = _READ_XML if (yield from scanner.peek()) == "<" else _READ_NAME
    return (yield from read(scanner, tools))


def others() -> Iterator[Shape]:
    """What else is recognised by its opening tag.

    A word may open prose as well, and frames may be what is asked for.
    """
    for each in (*KEY_VALUES, *INVOCATIONS, *TOKENS, *GEMMA, *TAGGED_JSON):
        for shape in each.parser.shapes if isinstance(each.parser, ReadShapes) else ():
            if isinstance(shape, CallTemplate | TaggedJson) and shape.markups()[0].opener[0] in "<[]":
                tags = tuple(opener for opener in shape.openers if opener[0] in "<[]")
                yield replace(shape, openers=tags, frames=())


# of two markups with the same opener the first counts: bare JSON is read with more doubt than JSON in a tag
READ: Sequence[Shape] = (BareJson(), FencedJson(), AnyToolCall(), TaggedJson(text="[TOOL_CALLS][{calls}]"), *others())

FORMATS = (format_of("default", TOOL_CALL, RESPONSE, reads=READ),)
