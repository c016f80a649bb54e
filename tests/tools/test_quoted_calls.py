"""A call that an answer quotes, as code or in a block quote, is an example and stays text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools.answers import cut, read, tool

from langplug import ToolCall
from langplug._tools import TOOL_FORMATS
from langplug._tools.markdown import MarkdownState

TOOLS = [tool("get_time", {"city": {"type": "string"}})]
FENCE_IS_MARKUP = {"json", "xlam"}
"""Formats in which a fence with a call in it is a call, whatever stands around it."""
QUOTED = {
    "code span": "My calls look like `{}`, as you see.",
    "long code span": "My calls look like ``{}``, as you see.",
    "code span at the end of a line": "I would write `{}`\nShall I?",
    "block quote": "You said:\n> {}\nDid you?",
    "fence": "Write it like this:\n```\n{}\n```\nDone.",
    "fence that says xml": "Like this:\n\n```xml\n{}\n```\n",
    "fence in a line": "To delete it I would write: ```xml\n{}\n``` Shall I?",
    "tildes": "Like this:\n~~~\n{}\n~~~",
    "fence in a fence": "Like this:\n````md\n```\n{}\n```\n````",
    "program": "```python\ns = '''{}'''\n```",
    "program of two lines": "```python\nimport re\ns = '''\n{}'''\n```",
    "open fence": "Like this:\n```\n{}",
}


@pytest.mark.parametrize("name", TOOL_FORMATS)
@pytest.mark.parametrize("case", QUOTED)
def test_a_quoted_call_is_text(case: str, name: str) -> None:
    """In every format, whole or in pieces, the text stays as it is, to the character."""
    if name in FENCE_IS_MARKUP and "fence" in case:
        pytest.skip("a fence is how this format writes calls, too")
    answer = QUOTED[case].format(TOOL_FORMATS[name].call("get_time", {"city": "Oslo"}, ""))
    for size in (1, 5, len(answer)):
        pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
        assert [answer] == read(TOOL_FORMATS[name].parser(TOOLS), pieces)


@pytest.mark.parametrize(
    "answer",
    [
        "```xml\n{}\n```",
        "```\n{}\n```",
        "Use `get_time` and ``a`b``.\n{}",
        "```python\nprint(1)\n```\n{}",
        "> You asked.\n\n{}",
        "It`s noon.\n\n{}",
        "~~~\nx\n~~~\nNow: {}",
    ],
)
def test_a_call_beside_code_is_a_call(answer: str) -> None:
    """So is one in a fence of its own with which the answer begins: models wrap calls in one."""
    written = answer.format(TOOL_FORMATS["hermes"].call("get_time", {"city": "Oslo"}, ""))
    parts = read(TOOL_FORMATS["hermes"].parser(TOOLS), [written])
    assert [ToolCall(name="get_time", args={"city": "Oslo"})] == [part for part in parts if isinstance(part, ToolCall)]


@given(st.text("`~> \nx", max_size=40), st.lists(st.integers(0, 40), max_size=8))
def test_the_cut_does_not_matter(text: str, places: list[int]) -> None:
    """Whether a place is code does not depend on the pieces, nor on when somebody asks."""
    whole, asked = MarkdownState(), MarkdownState()
    whole.add(text)
    for piece in cut(text, places):
        asked.add(piece)
        asked.is_code()
    assert whole.is_code() == asked.is_code()
