"""A call of an unbound tool is never a call of a bound one whose name is a part of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tools.answers import Parts, cut, read, tool

from langplug import ToolCall
from langplug._tools import TOOL_FORMATS, LeakParser

BOUND = ["get", "get_time", "fs.read"]
TOOLS = [tool(name, {"city": {"type": "string"}}) for name in BOUND]
MORE = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,5}[a-z0-9]|[0-9]", fullmatch=True)
LONGER = st.builds(
    lambda name, glue, more, is_prefix: name + glue + more if is_prefix else more + glue + name,
    st.sampled_from(BOUND),
    st.sampled_from(["", ".", "-", "_", ":", "/"]),
    MORE,
    st.booleans(),
).filter(lambda name: name not in BOUND and not (":" in name and any(map(str.isdigit, name.partition(":")[2]))))
EVERY_FORMAT = pytest.mark.parametrize("name", TOOL_FORMATS)
FEW = settings(max_examples=settings().max_examples // 5)


def calls(parts: Parts) -> list[str | None]:
    return [part.name for part in parts if isinstance(part, ToolCall)]


@EVERY_FORMAT
@FEW
@given(LONGER, st.sampled_from([{}, {"city": "Oslo"}]), st.sampled_from(["", "call_1"]), st.lists(st.integers(0, 200)))
def test_a_longer_name_is_another_tool(
    name: str, unbound: str, args: dict[str, str], call_id: str, places: list[int]
) -> None:
    """In every format, prompted or left by a server, a name ends where it ends; the call of another tool is text."""
    written = TOOL_FORMATS[name].call(unbound, args, call_id)
    pieces = list(filter(None, cut(written, places)))
    assert [] == calls(read(TOOL_FORMATS[name].parser(TOOLS), pieces))
    assert [] == calls(read(LeakParser(TOOL_FORMATS[name], TOOLS), pieces))


@pytest.mark.parametrize("where", ["<|channel|>commentary to=", "<|channel|>analysis to=", "to="])
@pytest.mark.parametrize(
    "rest", ["", " ", " <|constrain|>json", "<|channel|>commentary <|constrain|>json", " json", " code"]
)
@pytest.mark.parametrize("unbound", ["get_time_zone", "get_timezone", "get.time", "get-time", "get2", "get time"])
def test_harmony_has_a_name_and_then_its_header(where: str, rest: str, unbound: str) -> None:
    """Whatever stands between the recipient and the message, the recipient is the whole word."""
    for name, expected in ((unbound, []), ("get_time", ["get_time"])):
        text = f'{where}functions.{name}{rest}<|message|>{{"city": "Oslo"}}<|call|>'
        assert expected == calls(read(TOOL_FORMATS["harmony"].parser(TOOLS), [text]))


def test_kimi_has_a_name_and_then_an_id() -> None:
    """A name ends at the colon before its id, and nowhere earlier."""
    for name, expected in (("get_time:0", ["get_time"]), ("get_time:call_1", ["get_time"]), ("get_time_zone:0", [])):
        text = f'<|tool_call_begin|>functions.{name}<|tool_call_argument_begin|>{{"city": "Oslo"}}<|tool_call_end|>'
        assert expected == calls(read(TOOL_FORMATS["kimi_k2"].parser(TOOLS), [text]))
