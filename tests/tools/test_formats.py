"""What a model is told of its tools, and which format it is taken to write in."""

import dataclasses
import importlib
import json
import re
from collections.abc import Mapping
from itertools import combinations, permutations
from pathlib import Path

import pytest
from tests.tools.answers import read, tool

import langplug
from langplug._parts import ToolCall
from langplug._tools import TOOL_FORMATS, ToolChoice, format_for
from langplug._tools.markup import Grammar

ADD = tool(
    "add",
    {"a": {"type": "integer"}, "b": {"$ref": "#/$defs/B"}},
    required=["a", "b"],
    **{"$defs": {"B": {"enum": ["x", "y"]}}},
)
NOW = tool("now", {})
EVERY_FORMAT = pytest.mark.parametrize("name", TOOL_FORMATS)


@EVERY_FORMAT
def test_what_a_format_looks_like_is_made_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parser is made for each answer, and its grammar, with the patterns in it, once for all of them."""
    made: list[object] = []
    monkeypatch.setattr(Grammar, "__init__", lambda self, *_: made.append(self))
    monkeypatch.setattr(re, "compile", lambda *pattern: made.append(pattern))
    parsers = [TOOL_FORMATS[name].parser([ADD, NOW]) for _ in range(3)]
    assert 3 == len({id(parser) for parser in parsers})
    assert [] == made


@EVERY_FORMAT
@pytest.mark.parametrize("tools", [[ADD, NOW], [NOW, ADD]])
def test_instructions_hold_a_line_for_each_tool_and_an_example_that_is_a_call(
    name: str, tools: list[dict[str, object]]
) -> None:
    """Each tool is one line of JSON; the example, read back, is a call of the first tool that fits its schema."""
    told = TOOL_FORMATS[name].instructions(tools, None, None)
    lines = told.splitlines()
    assert all(json.dumps(each["function"]) in lines for each in tools)
    example = told.partition("wait for the result:\n")[2]
    calls = [part for part in read(TOOL_FORMATS[name].parser(tools), [example]) if isinstance(part, ToolCall)]
    args = {"a": 1, "b": "x"} if tools[0] is ADD else {}
    assert [ToolCall(name=tools[0]["function"]["name"], args=args)] == calls  # type: ignore[index]


@EVERY_FORMAT
def test_instructions_do_not_look_like_calls(name: str) -> None:
    """The list of tools, repeated by the model, is not a call."""
    listed = TOOL_FORMATS[name].instructions([ADD, NOW], None, None).partition("To call")[0]
    assert [listed] == read(TOOL_FORMATS[name].parser([ADD, NOW]), listed)


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (None, "If no tool is needed"),
        ("auto", "If no tool is needed"),
        ("required", "must call a tool"),
        ("any", "must call a tool"),
        ("now", 'must call the tool "now"'),
        ({"type": "function", "function": {"name": "now"}}, 'must call the tool "now"'),
        ({"type": "tool", "name": "now"}, 'must call the tool "now"'),
    ],
)
def test_instructions_say_what_was_chosen(choice: ToolChoice, said: str) -> None:
    """The instructions state a forced choice, by name if it has one; the example shows the chosen tool."""
    told = TOOL_FORMATS["hermes"].instructions([ADD, NOW], choice, None)
    assert said in told
    assert ('{"name": "now", "arguments": {}}' in told) == ('"now"' in said)


def test_instructions_are_empty_without_tools_or_when_none_may_be_called() -> None:
    """Without tools, and where none may be called, there are no instructions."""
    assert "" == TOOL_FORMATS["default"].instructions([], "auto", None)
    assert "" == TOOL_FORMATS["default"].instructions([ADD], "none", None)


def test_instructions_say_how_many_calls() -> None:
    """Parallel calls are allowed unless they are switched off."""
    one, many = (TOOL_FORMATS["default"].instructions([ADD], None, parallel) for parallel in (False, True))
    assert "one tool at most" in one
    assert "several calls" in many
    assert many == TOOL_FORMATS["default"].instructions([ADD], None, None)


@EVERY_FORMAT
def test_a_failed_result_is_seen_to_have_failed(name: str) -> None:
    """A result bears the name and, if given, the id; a failed one says that it is an error."""
    result = TOOL_FORMATS[name].result
    good, bad, linked = result("add", "3", "", False), result("add", "3", "", True), result("add", "3", "call_1", False)
    assert "error" not in good
    assert "error" in bad
    assert all("add" in shown and "3" in shown for shown in (good, bad, linked))
    assert "call_1" not in good
    assert "call_1" in linked


@EVERY_FORMAT
@pytest.mark.parametrize("content", ["", 'a "b"\nc', '{"a": 1.10}', '"x"', "12345678901234567890.5"])
def test_a_result_holds_its_content_unchanged(name: str, content: str) -> None:
    """JSON content stands there as it was; other content as it was, or as a JSON string of it."""
    shown = TOOL_FORMATS[name].result("add", content, "", False)
    assert content in shown or json.dumps(content) in shown


@pytest.mark.parametrize(
    ("hint", "name"),
    [
        ("Qwen/Qwen3-Coder-30B-A3B-Instruct", "qwen_coder"),
        ("qwen3.5:9b", "qwen_coder"),
        ("Qwen2.5-Coder-7B", "hermes"),
        ("NousResearch/Hermes-3-Llama-3.1-8B", "hermes"),
        ("SmolLM2-135M-Instruct", "hermes"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3"),
        ("llama3.2", "llama3"),
        ("Llama-4-Scout-17B", "pythonic"),
        ("LiquidAI/LFM2-1.2B", "pythonic"),
        ("Mixtral-8x7B-Instruct-v0.1", "mistral"),
        ("Ministral-3-14B", "mistral"),
        ("phi-2", "default"),
        ("", "default"),
        ("{% if tools %}<tool_call>\n<function=name>{% endif %}", "qwen_coder"),
        ("{% if tools %}<tool_call>{% endif %}", "hermes"),
        ("{{ bos }}<|start_header_id|>{{ '<|python_tag|>' }}", "llama3"),
        ("{{ '[TOOL_CALLS]' }}", "mistral"),
        ("{# unlike mistral #}{{ messages }}", "default"),
    ],
)
def test_format_for(hint: str, name: str) -> None:
    """A model's name or its chat template tells the format that it speaks; else it is the default."""
    assert TOOL_FORMATS[name] is format_for(hint)


BY_NAME = {
    "qwen3coder": "qwen_coder",
    "qwen3.5": "qwen_coder",
    "hermes": "hermes",
    "qwen": "hermes",
    "qwq": "hermes",
    "smollm": "hermes",
    "llama4": "pythonic",
    "toolace": "pythonic",
    "lfm2": "pythonic",
    "llama3": "llama3",
    "mistral": "mistral",
    "mixtral": "mistral",
    "ministral": "mistral",
    "magistral": "mistral",
    "devstral": "mistral",
    "codestral": "mistral",
    "pixtral": "mistral",
}
"""The format of each part of a model's name; of two parts, the first here counts."""

BY_TEMPLATE = {
    "<tool_call><function=": "qwen_coder",
    "<tool_call>": "hermes",
    "<|python_start|>": "pythonic",
    "<|tool_call_start|>": "pythonic",
    "<|python_tag|>": "llama3",
    "[TOOL_CALLS]": "mistral",
    "<|start_header_id|>": "llama3",
}
"""The format of each marker in a chat template; of two markers, the first here counts."""


@pytest.mark.parametrize(("order", "glue"), [(BY_NAME, "/{}/{}"), (BY_TEMPLATE, "{{% if tools %}}{}{}")])
def test_the_most_special_sign_counts(order: Mapping[str, str], glue: str) -> None:
    """Where a model's name or its template holds the signs of two formats, the same one is always taken."""
    for sign, name in order.items():
        assert format_for(glue.format(sign, "")).name == name
    for first, second in combinations(order, 2):
        for pair in permutations((first, second)):
            assert format_for(glue.format(*pair)).name == order[first], pair


def test_every_file_declares_formats_of_its_own() -> None:
    """No two formats have one name, and no file of the folder is without one."""
    folder = Path(langplug.__file__).parent / "_tools" / "formats"
    files = [path.stem for path in folder.glob("*.py") if path.stem != "__init__"]
    declared = [importlib.import_module(f"langplug._tools.formats.{stem}").FORMATS for stem in files]
    assert all(declared)
    assert sorted(TOOL_FORMATS) == sorted(each.name for formats in declared for each in formats)


@EVERY_FORMAT
def test_a_format_reads_what_it_writes(name: str) -> None:
    """The call that `reference/formats.md` shows of a format is one that it reads."""
    written = TOOL_FORMATS[name].call("add", {"a": 1}, "").replace("\n", " ")
    found = read(TOOL_FORMATS[name].parser([tool("add", {"a": {"type": "integer"}})]), [written])
    assert [ToolCall(name="add", args={"a": 1})] == found


def test_a_format_can_be_changed() -> None:
    """A format is data: with other instructions it parses as before."""
    changed = dataclasses.replace(TOOL_FORMATS["hermes"], instructions=lambda tools, choice, parallel: "Say add(1).")
    assert "Say add(1)." == changed.instructions([ADD], None, None)
    assert TOOL_FORMATS["hermes"].parser is changed.parser
