"""Answers as models write them, in each of the formats, whole and character by character."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.tools.answers import Parts, is_invalid, read, tool

from langplug._parts import ToolCall
from langplug._tools import TOOL_FORMATS

CITY = {"city": {"type": "string"}, "days": {"type": "integer"}}
TOOLS = [
    tool("get_weather", CITY),
    tool("add", {"a": {"type": "integer"}, "b": {"type": "integer"}}),
    tool("now", {}),
]


def call(name: str, **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args)


def check(name: str, answer: str, expected: Parts) -> None:
    assert expected == read(TOOL_FORMATS[name].parser(TOOLS), [answer])
    assert expected == read(TOOL_FORMATS[name].parser(TOOLS), answer)


PARIS = call("get_weather", city="Paris")
WRITTEN = '{"name": "get_weather", "arguments": {"city": "Paris"}}'

HERMES = {
    "as trained": (f"<tool_call>\n{WRITTEN}\n</tool_call>", [PARIS]),
    "text before": (f"Let me look.\n\n<tool_call>\n{WRITTEN}\n</tool_call>", ["Let me look.", PARIS]),
    "two": (
        f'<tool_call>\n{WRITTEN}\n</tool_call>\n<tool_call>\n{{"name": "now"}}\n</tool_call>\n',
        [PARIS, call("now")],
    ),
    "a list, as SmolLM2": (f'<tool_call>[\n{WRITTEN},\n{{"name": "now"}}\n]</tool_call>', [PARIS, call("now")]),
    "objects in one tag": (f"<tool_call>\n{WRITTEN}\n{WRITTEN}\n</tool_call>", [PARIS, PARIS]),
    "text after": (f"<tool_call>{WRITTEN}</tool_call>\nOne moment.", [PARIS, "One moment."]),
    "no closing tag": (f"<tool_call>\n{WRITTEN}", [PARIS]),
    "closing tag cut off": (f"<tool_call>\n{WRITTEN}\n</tool_", [PARIS]),
    "missing brace": (f"<tool_call>\n{WRITTEN[:-1]}\n</tool_call>", [PARIS]),
    "brace too many": (f"<tool_call>\n{WRITTEN}}}\n</tool_call> ok", [PARIS, "ok"]),
    "Python's way": (
        "<tool_call>{'name': 'add', 'arguments': {'a': 1, 'b': None,}}</tool_call>",
        [call("add", a=1, b=None)],
    ),
    "newline in a string": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "a\nb"}}</tool_call>',
        [call("get_weather", city="a\nb")],
    ),
    "arguments as a string": (
        r'<tool_call>{"name": "add", "arguments": "{\"a\": 1}"}</tool_call>',
        [call("add", a=1)],
    ),
    "arguments first": ('<tool_call>{"arguments": {"a": 1}, "name": "add"}</tool_call>', [call("add", a=1)]),
    "other keys": (
        '<tool_call>{"thought": "so", "name": "add", "args": {"a": 1}, "x": 1}</tool_call>',
        [call("add", a=1)],
    ),
    "OpenAI's shape": (
        '<tool_call>{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}</tool_call>',
        [call("add")],
    ),
    "a tag in a string": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "</tool_call>"}}</tool_call>',
        [call("get_weather", city="</tool_call>")],
    ),
    "unbound": (f"<tool_call>{WRITTEN.replace('Paris', 'x').replace('get', 'set')}</tool_call>",) * 2,
    "mentioned": ("Write `<tool_call>` and {} then `</tool_call>`.",) * 2,
    "empty list, as SmolLM2": ("<tool_call>[]</tool_call>",) * 2,
    "bare": (WRITTEN,) * 2,
}
XML = "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>"
XML_CALL = call("get_weather", city="Paris", days=3)
QWEN_CODER = {
    "as trained": (f"I look.\n<tool_call>\n{XML}\n</tool_call>", ["I look.", XML_CALL]),
    "no outer tag": (f"{XML}\n{XML}\n", [XML_CALL, XML_CALL]),
    "only the closing outer tag": (f"{XML}\n</tool_call>\nok", [XML_CALL, "ok"]),
    "in one line": (XML.replace("\n", ""), [XML_CALL]),
    "no parameters": ("<tool_call>\n<function=now>\n</function>\n</tool_call>", [call("now")]),
    "text of many lines": (
        "<function=get_weather>\n<parameter=city>\n\n a <b>\n}\n\n</parameter>\n</function>",
        [call("get_weather", city="\n a <b>\n}\n")],
    ),
    "a string that looks like a number": (
        "<function=get_weather><parameter=city>7</parameter></function>",
        [call("get_weather", city="7")],
    ),
    "a number that is none": ("<function=add><parameter=a>one</parameter></function>", [call("add", a="one")]),
    "no closing function": (
        "<tool_call><function=add><parameter=a>1</parameter></tool_call>",
        [call("add", a=1)],
    ),
    "JSON, as Llama 3.1": ('<function=add>{"a": 1, "b": 2}</function>', [call("add", a=1, b=2)]),
    "JSON in the tag": (f"<tool_call>\n{WRITTEN}\n</tool_call>", [PARIS]),
    "unbound": ("<tool_call>\n<function=nope>\n</function>\n</tool_call>",) * 2,
}
LLAMA3 = {
    "as trained": ('{"name": "add", "parameters": {"a": 1}}', [call("add", a=1)]),
    "python tag": ('<|python_tag|>{"name": "add", "parameters": {"a": 1}}', [call("add", a=1)]),
    "two": (
        '{"name": "now", "parameters": {}}; {"name": "add", "parameters": {"a": 1}}',
        [call("now"), call("add", a=1)],
    ),
    "with a type": ('{"type": "function", "name": "add", "parameters": {"a": 1}}', [call("add", a=1)]),
    "code": ('<|python_tag|>print("hi")',) * 2,
    "in a line": ('Say {"name": "now", "parameters": {}}.',) * 2,
}
MISTRAL = {
    "list": (
        'Sure.[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}, "id": "abcDEF123"}, {"name": "now"}]',
        ["Sure.", ToolCall(name="add", args={"a": 1}, id="abcDEF123"), call("now")],
    ),
    "one object": ('[TOOL_CALLS]{"name": "now", "arguments": {}}', [call("now")]),
    "v13": ('[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]add[ARGS]{"a": 1}', [call("now"), call("add", a=1)]),
    "v11": ('[TOOL_CALLS]add[CALL_ID]abcDEF123[ARGS]{"a": 1}', [ToolCall(name="add", args={"a": 1}, id="abcDEF123")]),
    "no [ARGS]": ('[TOOL_CALLS]add{"a": 1}', [call("add", a=1)]),
    "unbound": ("[TOOL_CALLS]nope[ARGS]{}",) * 2,
    "longer name": ("[TOOL_CALLS]adder[ARGS]{}",) * 2,
}
JSON = {
    "fenced": (f"So:\n```json\n{WRITTEN}\n```\nok", ["So:", PARIS, "\nok"]),
    "fenced as a call": (f"```tool_call\n{WRITTEN}\n```", [PARIS]),
    "fenced without a word": (f"```\n[{WRITTEN}, {WRITTEN}]\n```", [PARIS, PARIS]),
    "after another fence": (f"```py\nx = 1\n```\n{WRITTEN}", ["```py\nx = 1\n```", PARIS]),
    "other JSON": ('```json\n{"city": "Paris"}\n```',) * 2,
    "bare": (f"Calling.\n{WRITTEN}\nDone.", ["Calling.", PARIS, "\nDone."]),
    "over lines": ('{\n  "name": "add",\n  "arguments": {\n    "a": 1\n  }\n}', [call("add", a=1)]),
    "list over lines": ('[\n  {"name": "now"},\n  {"name": "now"}\n]', [call("now"), call("now")]),
    "lost opener": (f"{WRITTEN}\n</tool_call>", [PARIS]),
    "other names": ('{"tool": "add", "args": {"a": 1}}\n{"function": "now"}', [call("add", a=1), call("now")]),
    "null": ('{"name": "now", "arguments": null}', [call("now")]),
    "nested in another": ('{\n  "tools": [\n    {"name": "now"}\n  ]\n}',) * 2,
    "a person": ('{"name": "adda", "age": 36}',) * 2,
    "the tool's own schema": ('{"name": "add", "description": "Adds.", "parameters": {"type": "object"}}',) * 2,
    "another type": ('{"type": "object", "name": "add"}',) * 2,
    "list with another": (f'[{WRITTEN}, {{"name": "nope"}}]', [PARIS, ', {"name": "nope"}]']),
    "unbound first in a list": (f'[{{"name": "nope"}}, {WRITTEN}]',) * 2,
}
PYTHONIC = {
    "as trained": ('[add(a=1, b=2), get_weather(city="Paris")]', [call("add", a=1, b=2), PARIS]),
    "literals": (
        "[add(a=-1.5e3, b=[True, None, (1,), {'k': 'it\\'s \\x41'}],)]",
        [call("add", a=-1500.0, b=[True, None, [1], {"k": "it's A"}])],
    ),
    "tags of Llama 4": ("<|python_start|>[now()]<|python_end|>", [call("now")]),
    "tags of LFM2": ("<|tool_call_start|>[now()]<|tool_call_end|>ok", [call("now"), "ok"]),
    "text around": ("Well:\n[now()]\nThere.", ["Well:", call("now"), "\nThere."]),
    "a link": ("[add](https://example.test) and [now]",) * 2,
    "unbound": ("[nope(a=1)]",) * 2,
    "longer name": ("[adder(a=1)]",) * 2,
}
DEFAULT = {
    "tags": (f"<tool_call>\n{WRITTEN}\n</tool_call>", [PARIS]),
    "XML": (XML, [XML_CALL]),
    "fenced": (f"```json\n{WRITTEN}\n```", [PARIS]),
    "bare": (WRITTEN, [PARIS]),
    "one after another": (f"{WRITTEN}\n<tool_call>{WRITTEN}</tool_call>\n```\n{WRITTEN}\n```", [PARIS, PARIS, PARIS]),
}
SAMPLES: dict[str, Mapping[str, tuple[Any, ...]]] = {
    "hermes": HERMES,
    "qwen_coder": QWEN_CODER,
    "llama3": LLAMA3,
    "mistral": MISTRAL,
    "json": JSON,
    "pythonic": PYTHONIC,
    "default": DEFAULT,
}


@pytest.mark.parametrize(
    ("name", "answer", "expected"),
    [
        pytest.param(name, answer, [expected] if isinstance(expected, str) else expected, id=f"{name}, {sample}")
        for name, samples in SAMPLES.items()
        for sample, (answer, expected) in samples.items()
    ],
)
def test_sample(name: str, answer: str, expected: Parts) -> None:
    """The answer gives this text and these calls."""
    check(name, answer, expected)


@pytest.mark.parametrize(
    ("name", "answer", "args", "after"),
    [
        ("hermes", '<tool_call>{"name": "add", "arguments": {"a": }}</tool_call>ok', '{"a": }', ["ok"]),
        ("hermes", '<tool_call>{"name": "add", "arguments": {"a": "x}}</tool_call> ok', '{"a": "x}}', ["ok"]),
        ("hermes", '<tool_call>{"name": "add", "arguments": {"a": 1', '{"a": 1', []),
        ("hermes", '<tool_call>{"name": "add"', '<tool_call>{"name": "add"', []),
        ("hermes", '<tool_call>{"name": "add", "a": 1}</tool_call>', '<tool_call>{"name": "add", "a": 1}', []),
        ("hermes", '<tool_call>{"name": "add", "arguments": [1]}</tool_call>', "[1]", []),
        ("hermes", '<tool_call>{"name": "add", so</tool_call>ok', '<tool_call>{"name": "add", so</tool_call>', ["ok"]),
        ("qwen_coder", "<function=add>\n<parameter=a>\n1", "<parameter=a>\n1", []),
        ("qwen_coder", "<function=add>\n", "<function=add>\n", []),
        ("qwen_coder", "<function=add>so</function>ok", "so", ["ok"]),
        ("qwen_coder", "<tool_call><function=add><parameter=a>1</tool_call>ok", "<parameter=a>1", ["ok"]),
        ("llama3", '{"name": "add", "parameters": {"a": "1', '{"a": "1', []),
        ("mistral", '[TOOL_CALLS]add[ARGS]{"a": ', '{"a":', []),
        ("mistral", "[TOOL_CALLS]add[ARGS]", "[TOOL_CALLS]add[ARGS]", []),
        ("json", '{"name": "add", "arguments": {"a": one}}\nok', '{"a": one}', ["ok"]),
        ("json", '{"name": "add", "arguments": }', '{"name": "add", "arguments": }', []),
        ("json", '{"name": "add" + 1} ok', '{"name": "add" + 1}', ["ok"]),
        ("pythonic", "[add(1, 2)]ok", "(1, 2)", ["ok"]),
        ("pythonic", '[add({"a": 1})]', '({"a": 1})', []),
        ("pythonic", "[add(a=open('x'))]", "(a=open('x'))", []),
        ("pythonic", "[add(a=1", "(a=1", []),
    ],
)
def test_what_is_broken_ends_as_an_invalid_call(name: str, answer: str, args: str, after: Parts) -> None:
    """A call of a bound tool that is cut off or broken keeps its raw arguments, and the text after it stays."""
    broken = ToolCall(name="add", args=args)
    assert is_invalid(broken)
    check(name, answer, [broken, *after])


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("hermes", '<tool_call>{"name": "ad'),
        ("hermes", '<tool_call>{"name": "add'),
        ("hermes", '<tool_call>{"arguments": {"a": 1}'),
        ("hermes", "<tool_"),
        ("qwen_coder", "<tool_call>\n<function=add"),
        ("llama3", "<|python_"),
        ("mistral", "[TOOL_CALLS]ad"),
        ("json", '```json\n{"name": "'),
        ("json", '{"type": "function", "function": {'),
        ("pythonic", "[add"),
    ],
)
def test_cut_off_before_the_name_is_text(name: str, answer: str) -> None:
    """Markup that ends before the name is known comes out as it was."""
    check(name, answer, [answer])
