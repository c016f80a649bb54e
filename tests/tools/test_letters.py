"""What stands in an argument is read to the letter, whatever its format puts around it."""

import pytest
from tests.tools.answers import read, tool

from langplug import ToolCall
from langplug._tools import TOOL_FORMATS

TOOLS = [tool("write", {"text": {"type": "string"}, "more": {"type": "object"}})]
DSML = (
    '<｜DSML｜function_calls>\n<｜DSML｜invoke name="write">\n<｜DSML｜parameter name="text" string="true">{}'
    "</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>"
)
K3 = '<|open|>tools<|sep|><|open|>call tool="write" index="1"<|sep|>{}<|close|>call<|sep|><|close|>tools<|sep|>'
K3_TEXT = K3.format('<|open|>argument key="text" type="string"<|sep|>{}<|close|>argument<|sep|>')
TEXTS = ["\na\n", "\n\n", " a ", "\r\na\r\n", "a</param>b", "</arg_value>"]


def pieces(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("name", TOOL_FORMATS)
@pytest.mark.parametrize("text", TEXTS[:-2])
def test_blanks_at_the_ends_are_kept(text: str, name: str) -> None:
    """What a format writes it reads: no blank at the ends of a string gets lost."""
    written = TOOL_FORMATS[name].call("write", {"text": text}, "")
    assert [ToolCall(name="write", args={"text": text})] == read(TOOL_FORMATS[name].parser(TOOLS), [written])


@pytest.mark.parametrize(("name", "template"), [("deepseek_v3_2", DSML), ("kimi_k3", K3_TEXT)])
@pytest.mark.parametrize("text", TEXTS)
def test_a_string_that_is_marked_as_one_is_verbatim(text: str, name: str, template: str) -> None:
    """Newlines around it are the string's own."""
    for size in (1, 1000):
        parts = read(TOOL_FORMATS[name].parser(TOOLS), pieces(template.format(text), size))
        assert [ToolCall(name="write", args={"text": text})] == parts


@pytest.mark.parametrize("text", ["a</param>b", "<b>x</b>", "</param></param>", "</function>"])
def test_cdata_may_hold_tags(text: str) -> None:
    """Closing tags in CDATA are text, read and written."""
    written = f'<function name="write"><param name="text"><![CDATA[{text}]]></param></function>'
    assert written == TOOL_FORMATS["minicpm5"].call("write", {"text": text}, "")
    for size in (1, 1000):
        parts = read(TOOL_FORMATS["minicpm5"].parser(TOOLS), pieces(written, size))
        assert [ToolCall(name="write", args={"text": text})] == parts


def test_kimi_k3_may_write_json() -> None:
    """All arguments may be one object in a tag."""
    args = '<|open|>json type="object"<|sep|>{"text": "a", "more": {"b": 1}}<|close|>json<|sep|>'
    for size in (1, 1000):
        parts = read(TOOL_FORMATS["kimi_k3"].parser(TOOLS), pieces(K3.format(args), size))
        assert [ToolCall(name="write", args={"text": "a", "more": {"b": 1}})] == parts


@pytest.mark.parametrize("channel", ["final", "commentary"])
@pytest.mark.parametrize("kind", ["", " <|constrain|>json", "<|constrain|>json", " json"])
def test_harmony_has_no_frame_around_structured_output(kind: str, channel: str) -> None:
    """The content type in a header is a part of the frame."""
    text = f'<|channel|>{channel}{kind}<|message|>{{"a": 1}}<|return|>'
    for size in (1, 1000):
        assert ['{"a": 1}'] == read(TOOL_FORMATS["harmony"].parser(TOOLS), pieces(text, size))
