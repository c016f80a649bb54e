"""Calls that a server has left in the text of a model that calls tools natively."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langplug import ToolCall
from langplug._tools import TOOL_FORMATS, LeakParser
from langplug.models import ChatScripted


@tool
def read_file(path: str) -> str:
    """Reads a file."""
    return path


@tool
def add(a: int, b: int = 0) -> int:
    """Adds."""
    return a + b


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


TOOLS = [read_file, add, now]
LEAKED = {
    "hermes": '<tool_call>\n{"name": "read_file", "arguments": {"path": "main.py"}}\n</tool_call>',
    "qwen": "<tool_call>\n<function=read_file>\n<parameter=path>\nmain.py\n</parameter>\n</function>\n</tool_call>",
    "bare function": "<function=read_file>\n<parameter=path>\nmain.py\n</parameter>\n</function>",
}
READ = [("read_file", {"path": "main.py"})]


def answer(text: str, size: int = 0, *, streamed: bool = False, **settings: Any) -> AIMessage:
    """What a native model gives whose server says `text`, in pieces of `size` characters."""
    pieces: list[Any] = [text[at : at + size] for at in range(0, len(text), size)] if size else [text]
    model = ChatScripted(replies=[pieces], tool_calling="native", **settings).bind_tools(TOOLS)
    if not streamed:
        return model.invoke("?")
    message: Any = None
    for chunk in model.stream("?"):
        message = chunk if message is None else message + chunk
    return AIMessage(**{**message.model_dump(), "type": "ai"})


def calls(message: AIMessage) -> list[tuple[str, Any]]:
    """Names and arguments."""
    return [(call["name"], call["args"]) for call in message.tool_calls]


@pytest.mark.parametrize("before", ["", "Let me look.\n", "Let me look.", "Let me look:\n\n  ", "看。"])
@pytest.mark.parametrize("size", [0, 1, 2, 7])
@pytest.mark.parametrize("way", LEAKED)
def test_a_leaked_call_is_read(way: str, size: int, before: str) -> None:
    """A whole call of a bound tool that ends the answer is a call, not text, and the answer notes it."""
    message = answer(before + LEAKED[way] + "\n", size)
    assert READ == calls(message)
    assert before.strip() == message.text.strip()
    assert "calls left in the text, and read there: 1" == message.response_metadata["adaptations"][0]["action"]
    assert "tool_calls" == message.response_metadata["finish_reason"]


@pytest.mark.parametrize("size", [0, 3])
@pytest.mark.parametrize("way", ["hermes", "qwen"])
def test_several_leaked_calls_are_read(way: str, size: int) -> None:
    """Calls one after another are all read; streamed and not."""
    text = "\n".join([LEAKED[way]] * 2)
    assert READ * 2 == calls(answer(text, size)) == calls(answer(text, size, streamed=True))


WEAK = {"llama3", "json", "xlam", "command_r", "pythonic", "react"}
"""Formats whose calls look like what people write, too: JSON, lists, lines with a colon."""


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("name", sorted(TOOL_FORMATS))
def test_every_format_with_markup_of_its_own_is_read(name: str, size: int) -> None:
    """What a family writes is read, from a model that is known to be of it; bare JSON and the like stay text."""
    tool_format = TOOL_FORMATS[name]
    text = tool_format.call("read_file", {"path": "main.py"}, "")
    if tool_format.calls:
        text = tool_format.calls([("read_file", {"path": "main.py"}, "")])
    message = answer(f"Let me look.\n{text}", size, tool_format=name)
    assert ([] if name in WEAK else READ) == calls(message)
    assert (f"Let me look.\n{text}" if name in WEAK else "Let me look.\n") == message.text


GOOD = LEAKED["hermes"]
PROSE = {
    "mentioned": "The tag <tool_call> begins a call.",
    "in mid-sentence": f"Hermes writes {GOOD}",
    "within backticks": f"Write `{GOOD}`",
    "fenced": f"Like this:\n```xml\n{GOOD}\n```",
    "fenced to the end": f"Like this:\n```\n{GOOD}",
    "followed by prose": f"{GOOD}\nThat is how a file is read.",
    "of no tool": GOOD.replace("read_file", "write_file"),
    "broken": GOOD.replace("}}", ""),
    "cut off": GOOD[:-25],
    "without what the tool needs": GOOD.replace('"path": "main.py"', ""),
    "of a wrong type": GOOD.replace('"main.py"', "3"),
    "bare JSON": '{"name": "read_file", "arguments": {"path": "main.py"}}',
    "fenced JSON": '```json\n{"name": "now", "arguments": {}}\n```',
    "python": "[now()]",
    "code": "if a <b:\n    <tool_call\n",
    "a comparison": "1 <2 and 3> 2\n<",
    "tags": "<tool_call>\n<tool_call>\n</tool_call>",
    "after half a sentence": f"To read it I would write\n\n{GOOD}",
    "after a colon in the line": f"The markup would be: {GOOD}",
    "after a colon and a newline": f"Hermes has this format:\n{GOOD}",
    "indented as code": f"You can write this.\n\n    {GOOD}",
    "indented with a tab": f"You can write this.\n\t{GOOD}",
    "at first, but indented": f"    {GOOD}",
    "in HTML": f"<pre>\nLike this.\n{GOOD}",
    "in HTML code": f"Like <code>this.\n{GOOD}",
    "in a comment": f"<!-- An example. -->\n<!-- So.\n{GOOD}",
    "after a comment": f"<!-- example -->\n{GOOD}",
    "an item": f"So.\n- {GOOD}",
    "a numbered item": f"So.\n1. {GOOD}",
    "an item with a sentence": f"So.\n* Read it. {GOOD}",
    "quoted": f"So.\n> {GOOD}",
    "quoted with a sentence": f"> So. {GOOD}",
    "in tildes": f"So.\n~~~xml\n{GOOD}\n~~~",
    "in a longer fence": f"So.\n````md\n```\nSo.\n```\n{GOOD}",
    "in a span that began earlier": f"Write `So. {GOOD}",
    "markup of others": "<function_call> " + '{"name": "read_file", "arguments": {"path": "main.py"}}',
    "XML": '<invoke name="read_file">\n<parameter name="path">main.py</parameter>\n</invoke>',
    "a template": "<tool_call>\n{call}\n</tool_call>",
}


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize("case", PROSE)
def test_all_else_is_text(case: str, size: int) -> None:
    """Text about calls, code, and calls that are not whole stay the text that they are, to the character."""
    message = answer(PROSE[case], size)
    assert PROSE[case] == message.text
    assert [] == message.tool_calls
    assert [] == message.invalid_tool_calls
    assert "adaptations" not in message.response_metadata


KIMI = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.read_file:0<|tool_call_argument_begin|>"
    '{"path": "main.py"}<|tool_call_end|><|tool_calls_section_end|>'
)
HARMONY = '<|channel|>commentary to=functions.read_file <|constrain|>json<|message|>{"path": "main.py"}<|call|>'


@pytest.mark.parametrize("size", [0, 1, 5])
@pytest.mark.parametrize(
    ("name", "text", "rest"),
    [
        ("kimi_k2", f"I will check it{KIMI}", "I will check it"),
        ("kimi_k2", f"{KIMI}<|im_end|>", ""),
        ("hermes", f"Let me look.\n{GOOD}<|im_end|>\n", "Let me look.\n"),
        ("hermes", f"**Let me look.**\n{GOOD}</s>", "**Let me look.**\n"),
        ("harmony", HARMONY, ""),
        ("harmony", f"Look<|end|><|start|>assistant{HARMONY}", "Look"),
        ("harmony", f"<|start|>assistant{HARMONY}", ""),
    ],
)
def test_tokens_of_a_family_are_not_prose(name: str, text: str, rest: str, size: int) -> None:
    """A call in tokens of its own needs no sentence before it, and the tokens that end an answer may follow any."""
    message = answer(text, size, tool_format=name)
    assert READ == calls(message)
    assert rest == message.text


def test_it_can_be_turned_off() -> None:
    """With `tool_format="off"`, and where adaptations are refused, the text stays as it is."""
    assert GOOD == answer(GOOD, tool_format="off").text
    assert GOOD == answer(GOOD, adaptations="refuse").text


def test_a_native_call_is_the_call() -> None:
    """Beside a native call, before it or after it, the text is text."""
    native = ToolCall(name="now", args={})
    for pieces in ([GOOD, native], [native, GOOD], [GOOD[:20], native]):
        model = ChatScripted(replies=[list(pieces)], tool_calling="native").bind_tools(TOOLS)
        message = model.invoke("?")
        assert [("now", {})] == calls(message)
        assert "".join(piece for piece in pieces if isinstance(piece, str)) == message.text


def test_without_tools_nothing_is_read() -> None:
    """Only calls of bound tools are recognised."""
    assert GOOD == ChatScripted(replies=[GOOD], tool_calling="native").invoke("?").text


def read(parser: LeakParser, pieces: list[str]) -> Iterator[Any]:
    for piece in pieces:
        yield from parser.feed(piece)
    yield from parser.flush()


TOKENS = [
    "<tool_call>",
    "</tool_call>",
    "\n",
    " ",
    ".",
    "x",
    "```",
    "`",
    "<",
    GOOD,
    LEAKED["qwen"],
    "<function=now>",
    "{",
]
DICTS = [{"function": {"name": "read_file", "parameters": {"properties": {"path": {"type": "string"}}}}}]


@given(st.lists(st.sampled_from(TOKENS), max_size=10).map("".join), st.integers(1, 9))
def test_the_cut_does_not_matter(text: str, size: int) -> None:
    """However the answer is cut, text and calls are the same, and without calls nothing is lost."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    whole = list(read(LeakParser(TOOL_FORMATS["default"], DICTS), [text]))
    cut = list(read(LeakParser(TOOL_FORMATS["default"], DICTS), pieces))
    texts = ["".join(part for part in parts if isinstance(part, str)) for parts in (whole, cut)]
    assert texts[0] == texts[1]
    found = [[part.args for part in parts if isinstance(part, ToolCall)] for parts in (whole, cut)]
    assert found[0] == found[1]
    assert found[0] or text == texts[0]


def test_text_is_not_delayed() -> None:
    """A piece that cannot be markup comes out at once; one that could comes out as soon as it cannot be any more."""
    parser = LeakParser(TOOL_FORMATS["default"], DICTS)
    assert ["Hi "] == parser.feed("Hi ")
    assert ["a <b."] == parser.feed("a <b.")
    assert ["\n"] == parser.feed("\n<tool")
    assert ["<toolbox"] == parser.feed("box")
    assert [".\n"] == parser.feed(".\n<tool_call>")
    assert ["<tool_call>x"] == parser.feed("x")


@pytest.mark.parametrize(
    "piece", ["<", "\n<", "{", "[", "<tool_call>", "\n<tool_call>", "\n<function=", "```\n", ". <"]
)
def test_a_megabyte_takes_a_second(piece: str) -> None:
    """The time is in proportion to the text, whatever it holds."""
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    assert text == "".join(read(LeakParser(TOOL_FORMATS["default"], DICTS), [text]))
    assert time.process_time() - started < 2
