"""Answers of models that call tools in words, for the tests of their parsers."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from langplug._answer.tool_calls import CallAssembler
from langplug._parts import ToolCall
from langplug._tools import TOOL_FORMATS, CallParser
from langplug._tools.shapes import grammar_of

Parts = list[str | ToolCall]

PROPERTIES = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "ratio": {"type": "number"},
    "loud": {"type": "boolean"},
    "tags": {"type": "array"},
    "more": {"type": "object"},
    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
}


def tool(name: str, properties: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An OpenAI tool dict."""
    parameters = {"type": "object", "properties": PROPERTIES if properties is None else properties, **more}
    return {"type": "function", "function": {"name": name, "description": f"Do {name}.", "parameters": parameters}}


TOOLS = [tool("add"), tool("add_two"), tool("get.weather-now"), tool("f")]


def parser(name: str) -> CallParser:
    """A new parser of a format, for `TOOLS`."""
    return TOOL_FORMATS[name].parser(TOOLS)


def openers_of(name: str) -> frozenset[str]:
    """What calls of a format begin with at the start of a line."""
    shapes = getattr(TOOL_FORMATS[name].parser, "shapes", ())
    return grammar_of(shapes).line_start.openers


def read(parser: CallParser, pieces: Iterable[str]) -> Parts:
    """What comes out, with text that follows on text joined."""
    return joined([part for piece in pieces for part in parser.feed(piece)] + parser.flush())


def joined(given: Parts) -> Parts:
    """The parts, with text that follows on text joined."""
    assert "" not in given
    joined: Parts = []
    for part in given:
        last = joined[-1] if joined else None
        if isinstance(part, str) and isinstance(last, str):
            joined[-1] = last + part
        else:
            joined.append(part)
    return joined


def cut(answer: str, places: list[int]) -> list[str]:
    """The answer as the pieces between `places`."""
    edges = [0, *sorted(place % (len(answer) + 1) for place in places), len(answer)]
    return [answer[a:b] for a, b in pairwise(edges)]


def is_invalid(call: ToolCall) -> bool:
    """Whether it ends as an invalid tool call."""
    assembler = CallAssembler()
    whole = [*assembler.feed(call), *assembler.flush()]
    return [None] == [each.parsed for each in whole]


_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    [
        '"',
        "'",
        "\\",
        "{",
        "}]",
        "a\nb",
        "</tool_call>",
        "```",
        "[ARGS]",
        "x=1, y",
        "None",
        "true",
        "12",
        "é\u2028😀",
        "\x85",
    ]
)
_NUMBERS = st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
_VALUES = st.recursive(
    st.none() | st.booleans() | _NUMBERS | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)

ARGUMENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "text": _TEXTS,
        "count": st.integers(-1000, 1000),
        "ratio": _FLOATS,
        "loud": st.booleans(),
        "tags": st.lists(_VALUES, max_size=3),
        "more": st.dictionaries(_TEXTS, _VALUES, max_size=3),
        "note": st.none() | st.sampled_from(["", "5", "a\n\nb", "\n\n", "\r\n"]),
    },
)
"""Arguments that fit `PROPERTIES`."""

CALLS = st.builds(
    lambda name, args: ToolCall(name=name, args=args),
    st.sampled_from([each["function"]["name"] for each in TOOLS]),
    ARGUMENTS,
)
PROSE = st.from_regex(r"[A-Za-zé][A-Za-z ,.;:!?\"'<>=*(){}\[\]-]{0,20}[a-z.]", fullmatch=True)
"""Text of one line that holds no markup."""

FRAGMENTS = [
    *("<tool_call>", "</tool_call>", "<tool_", "</", "<function=", "</function>", "<parameter=", "</parameter>", ">"),
    *("```", "```json\n", "`", "[TOOL_CALLS]", "[TOOL_", "[ARGS]", "[CALL_ID]", "<|python_tag|>", "<|python_start|>"),
    *("{", "}", "[", "]", "(", ")", ",", ";", ":", "=", '"', "'", "\\", "\n", "\r\n", " ", "\t", "a", "1", "None"),
    *('"name"', '"function"', '"arguments": ', '"type": ', '"id"', '{"name": "', "'name'", '"args": {}', '"x": 1'),
]
NAMES = ["add", "add_two", '"add"', '"f"', "f", '{"name": "add", "arguments": ', '{"a": 1}', "add(", "<function=f>"]
