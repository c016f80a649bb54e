"""Families of models: each by its name alone, with the calls that it writes, and as an agent of three turns."""

import pickle
import time
from collections.abc import Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool as as_tool
from tests.tools.answers import Parts, cut, is_invalid, read, tool
from tests.tools.written_calls import OSLO, WRITTEN

from langplug import chat_model
from langplug._families import FAMILIES, UNKNOWN, family_for, plain_name
from langplug._parts import ToolCall
from langplug._tools import TOOL_FORMATS, ToolFormat, format_for
from langplug._tools.shapes import grammar_of
from langplug.models import ChatScripted

TOOLS = [
    tool("get_weather", {"city": {"type": "string"}, "days": {"type": "integer"}, "more": {"type": "object"}}),
    tool("now", {}),
]
CALL = ToolCall(name="get_weather", args=OSLO)
AT_LINE_STARTS = {"default", "json", "llama3", "pythonic", "xlam", "command_r", "gemma", "harmony"}
"""Formats in which a call may have no opening tag: then it counts at the start of a line."""
BY_NAME = pytest.mark.parametrize(
    ("model", "name", "text"), WRITTEN, ids=[f"{model}, {n}" for n, (model, _, _) in enumerate(WRITTEN)]
)
EVERY_FORMAT = pytest.mark.parametrize("name", TOOL_FORMATS)


def pieces(text: str) -> Iterator[list[str]]:
    """The text whole, and in pieces of 1, 2, 5 and 7 characters."""
    for length in (len(text), 1, 2, 5, 7):
        yield cut(text, list(range(length, len(text), length)))


def check(model: str, answer: str, expected: Parts) -> None:
    for answer_in_pieces in pieces(answer):
        assert expected == read(format_for(model).parser(TOOLS), answer_in_pieces)


# --- what each family writes ---


@BY_NAME
def test_a_call_is_read_by_the_name_of_the_model_alone(model: str, name: str, text: str) -> None:
    """The call comes out with its arguments typed, however it is cut, and no markup is left in the text."""
    assert name == format_for(model).name
    check(model, text, [CALL])


@BY_NAME
def test_prose_around_a_call_stays(model: str, name: str, text: str) -> None:
    """What stands before and after a call comes out, without the blanks around the call."""
    gap = "\n\n " if text.startswith(" ") else "\n\n"
    check(model, f"Let me look.\n\n{text}\nDone.", ["Let me look.", CALL, f"{gap}Done."])
    if name not in AT_LINE_STARTS:
        check(model, f"I look: {text}", ["I look:", CALL])


@BY_NAME
def test_two_calls_are_two(model: str, name: str, text: str) -> None:
    """Two calls, one after the other, both come out."""
    check(model, f"{text}\n{text}", [CALL, CALL])


@BY_NAME
def test_only_bound_tools_are_recognised(model: str, name: str, text: str) -> None:
    """A call of a tool that is not bound stays text, as it was; frames around what a user is to see go."""
    frames = {markup.opener for markup in grammar_of(shapes_of(name)).markups if markup.read is None}
    for answer in pieces(text):
        found = read(TOOL_FORMATS[name].parser([tool("other")]), answer)
        shown = "".join(map(str, found))
        bare = text
        for frame in frames:
            shown, bare = shown.replace(frame, ""), bare.replace(frame, "")
        assert bare.split() == shown.split()


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("gpt-oss-20b", "<|start|>assistant<|channel|>final<|message|>It rains.<|return|>"),
        ("gpt-oss-20b", "<|channel|>commentary<|message|>It rains.<|end|>"),
        ("c4ai-command-r7b-12-2024", "<|START_RESPONSE|>It rains.<|END_RESPONSE|>"),
        ("command-a-plus-05-2026", "<|START_TEXT|>It rains.<|END_TEXT|>"),
        ("Kimi-K3", "<|open|>response<|sep|>It rains.<|close|>response<|sep|>"),
        ("Inkling", "<|content_text|>It rains.<|end_message|>"),
        ("functionary-small-v3.2", ">>>all\nIt rains."),
    ],
)
def test_frames_around_what_a_user_sees_go(model: str, text: str) -> None:
    """Where a family frames its visible text, and says so, the parser leaves the frames out, with and without tools."""
    assert family_for(model).framed
    check(model, text, ["It rains."])
    assert ["It rains."] == read(format_for(model).parser([]), text)


@BY_NAME
def test_a_cut_off_call_is_never_executed(model: str, name: str, text: str) -> None:
    """A call that breaks off anywhere is text, an invalid call, or the call if all of its arguments are there."""
    for length in range(1, len(text)):
        for part in read(TOOL_FORMATS[name].parser(TOOLS), [text[:length]]):
            assert isinstance(part, str) or part == CALL or is_invalid(part)


def shapes_of(name: str) -> Any:
    return getattr(TOOL_FORMATS[name].parser, "shapes", ())


# --- each format ---

SEVERAL: list[tuple[str, dict[str, Any], str]] = [
    ("get_weather", {"city": "Zürich 東京 😀", "days": 3}, ""),
    ("now", {}, ""),
    ("get_weather", {"city": 'a "b" \\ {c}', "more": {"deep": [1, {"er": None}], "so": "3"}}, "call_1"),
]


@EVERY_FORMAT
def test_calls_at_once_are_read_as_they_are_written(name: str) -> None:
    """Several calls of one answer, as they stand in the conversation: none, nested and Unicode arguments."""
    written = TOOL_FORMATS[name].calls
    text = written(SEVERAL) if written else "\n".join(TOOL_FORMATS[name].call(*call) for call in SEVERAL)
    for answer in pieces(text):
        found = read(TOOL_FORMATS[name].parser(TOOLS), answer)
        assert [(called, args) for called, args, _ in SEVERAL] == [(part.name, part.args) for part in found]  # type: ignore[union-attr]  # a string has neither, and that fails


@EVERY_FORMAT
def test_a_format_can_be_pickled(name: str) -> None:
    """Models hold their format, and go to other processes."""
    copied: ToolFormat = pickle.loads(pickle.dumps(TOOL_FORMATS[name]))
    text = copied.call("now", {}, "")
    assert [ToolCall(name="now", args={})] == read(copied.parser(TOOLS), text)


@EVERY_FORMAT
def test_an_agent_of_three_turns(name: str) -> None:
    """Call, result, call, result, answer: the model sees its calls and their results in its own format."""
    seen: list[str] = []

    @as_tool
    def look(city: str, days: int) -> str:
        """Look."""
        seen.append(f"{city} {days}")
        return f"rain {len(seen)}"

    write, result = TOOL_FORMATS[name].call, TOOL_FORMATS[name].result
    calls = [write("look", {"city": "Oslo", "days": days}, "") for days in (1, 2)]
    model = ChatScripted(replies=[f"Well.\n{calls[0]}", calls[1], "It rains."], tool_format=name)
    messages = create_agent(model, [look]).invoke({"messages": [HumanMessage("?")]})["messages"]
    assert ["Oslo 1", "Oslo 2"] == seen
    assert "It rains." == messages[-1].text
    assert "Well." == messages[1].text.strip()
    last = model.requests[-1].messages
    assert [calls[0], calls[1]] == [message.text.removeprefix("Well.\n") for message in last if is_answer(message)]
    shown = [message.text for message in last if message.type == "human"][1:]
    assert [result("look", "rain 1", "", False), result("look", "rain 2", "", False)] == shown


def is_answer(message: Any) -> bool:
    return isinstance(message, AIMessage)


@pytest.mark.parametrize(("model", "text"), [("GLM-4.6", WRITTEN[21][2]), ("Kimi-K2-Instruct", WRITTEN[25][2])])
def test_a_model_is_known_by_the_name_that_it_reports(model: str, text: str) -> None:
    """`@chat_model` with a name is enough: its agent calls the tool."""

    @chat_model
    def written(request: Any, *, model: str) -> Any:
        yield from cut("It rains." if len(request.messages) > 3 else text, list(range(0, 400, 5)))

    @as_tool
    def get_weather(city: str, days: int) -> str:
        """Look."""
        return f"{city} {days}"

    messages = create_agent(written(model=model), [get_weather]).invoke({"messages": [HumanMessage("?")]})["messages"]
    assert ["Oslo 3", "It rains."] == [message.text for message in messages[2:]]


# --- what is no call ---

CODE = """def add(a, b):
    return {"name": a, "value": [b, "x"]}

items = [now() for now in clocks if a < b and b > c]
<div class="tool">{{ now }}</div>
if a<b: print("<tool>", d["get_weather"])
```python
x = [get_weather, {"name": "get_weather"}]
y = {"arguments": {}, "city": now}
```
| name | `get_weather` | call |
* [now](https://example.test/now) calls `get_weather(city)`; to=now, >>> now, Action: now
Use <tool_call> tags or [TOOL_CALLS], then </tool_call>.
function get_weather(city) { return now(city); }
curl -d '{"name": "adder", "arguments": {"a": 1}}'
<invoke>now</invoke> <parameter name="a">1</parameter>
{"type": "object", "properties": {"name": {"type": "string"}}}
"""


@EVERY_FORMAT
def test_prose_and_code_are_no_calls(name: str) -> None:
    """A thousand answers of prose and code, with tools' names and markup in them, hold no call, and lose nothing."""
    lines = CODE.splitlines()
    answers = [
        "\n".join(lines[(n * k) % len(lines)] for k in range(1, 5)) for n in range(1000 // len(TOOL_FORMATS) + 1)
    ]
    for answer in answers:
        assert [answer] == read(TOOL_FORMATS[name].parser(TOOLS), [answer])


# --- time ---


def half_open(name: str, length: int) -> Iterator[str]:
    """Texts of about that length that might go on as calls, over and over."""
    written = TOOL_FORMATS[name].call("get_weather", {"city": "x"}, "")
    for unit in ("<", "{", "[", '{"', written[: len(written) // 3], written[: len(written) // 2], written[:-3]):
        yield unit * (length // len(unit))


def cost(name: str, text: str) -> float:
    """Seconds of CPU."""
    started = time.process_time()
    read(TOOL_FORMATS[name].parser(TOOLS), [text])
    return time.process_time() - started


@EVERY_FORMAT
def test_time_is_in_proportion_to_length(name: str) -> None:
    """Eight times as much half-open markup costs about eight times as much: a quadratic scan takes 64 times."""
    for short, long in zip(half_open(name, 8_000), half_open(name, 64_000), strict=True):
        assert cost(name, long) < 24 * max(cost(name, short), 0.003)


@pytest.mark.thorough
@EVERY_FORMAT
def test_a_megabyte_takes_a_second_at_most(name: str) -> None:
    """A megabyte of half-open markup costs a second of CPU at most, on a machine that is not slow."""
    for text in list(half_open(name, 1_000_000))[:-1]:  # the last may hold thirty thousand calls
        assert cost(name, text) < 1


# --- the table of families ---


def test_families_are_told_apart() -> None:
    """Each has a name of its own, a format that there is, and a way to be recognised."""
    assert len(FAMILIES) == len({family.name for family in FAMILIES})
    for family in FAMILIES:
        assert family.tool_format in TOOL_FORMATS
        assert family.names or family.templates or family.architectures
        assert family.source
        for name in family.names.split():
            assert family is family_for(name), name
            assert name == plain_name(name)
        for markers in family.templates:
            assert family is family_for(f"{{{{ messages }}}} {markers}"), markers
        for architecture in family.architectures.split():
            assert family is family_for(architecture)


@pytest.mark.parametrize(
    ("hints", "family"),
    [
        (("{{ x }}<tool_call>{{ name }}<arg_key>", "glm4", "Hermes-3"), "glm-4.5"),
        (("{{ messages }}", "glm4moe", "Hermes-3-Llama-3.1-8B"), "glm-4.5"),
        (("{{ messages }}", "llama", "Hermes-3-Llama-3.1-8B"), "hermes"),
        (("Hermes-3-Llama-3.1-8B",), "hermes"),
        (("DeepSeek-R1-Distill-Qwen-7B",), "deepseek-r1"),
        (("deepseek-v3p1",), "deepseek-v3.1"),
        (("internlm2_5-7b-chat",), "internlm"),
        (("", ""), "unknown"),
        (("deepseek2", "Kimi-K2-Instruct"), "kimi-k2"),
        (("qwen35moe", "model"), "qwen-3.5"),
    ],
)
def test_a_template_says_more_than_an_architecture_and_that_more_than_a_name(
    hints: tuple[str, ...], family: str
) -> None:
    """Of what is known of a model, the chat template counts first, and of two lines that fit the more special."""
    assert family == family_for(*hints).name
    assert UNKNOWN.name == family_for("phi-2").name


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("deepseek/deepseek-chat-v3.1:free", "deepseek-v3.1"),
        ("deepseek/deepseek-chat-v3-0324", "deepseek-v3"),
        ("inclusionAI/Ring-2.5-1T", "ling"),
        ("google/medgemma-27b-it", "gemma-3"),
        ("gemma3n:e2b", "gemma-3"),
        ("nvidia/Qwen3-Nemotron-32B-RLBFF", "qwen-3"),
        ("nvidia/NVIDIA-Nemotron-Nano-9B-v2", "nemotron-nano-2"),
        ("XiaomiMiMo/MiMo-7B-RL", "mimo"),
        ("tencent/Hy3-preview", "hunyuan-3"),
        ("tencent/Hunyuan3D", "unknown"),
        ("hy3d", "unknown"),
        ("spring1t", "unknown"),
        ("starling-1t", "unknown"),
        ("mimosa-7b", "unknown"),
        ("cohere2moe", "command-a-plus"),
        ("deepseek32", "deepseek-v3.2"),
        ("Qwen/Qwen3-Omni-30B-A3B-Thinking", "qwen-3-thinking"),
        ("mistralai/Voxtral-Small-24B-2507", "mistral"),
        ("alibaba-pai/DistilQwen2.5-7B-Instruct", "hermes"),
    ],
)
def test_a_name_counts_at_the_borders_of_words(name: str, family: str) -> None:
    """Part of a word, or of a number, names no family."""
    assert family == family_for(name).name


@pytest.mark.parametrize("around", ["x{}", "{}x", "9{}", "{}9x"])
@pytest.mark.parametrize("name", ["hermes", "qwq", "trinity", "jamba", "ling1t", "smollm", "toolace"])
def test_within_a_word_a_name_is_not_that_name(name: str, around: str) -> None:
    """Letters and digits before a name, and letters after it, make it another word."""
    known = around == "{}9x"  # as in `hermes2`: a number may follow
    assert known == (family_for(around.format(name)) is family_for(name) is not UNKNOWN)


@pytest.mark.parametrize("base", ["Qwen3-8B", "Qwen2.5-7B-Instruct", "Llama-3.1-8B", "gemma-3-27b", "Qwen3.5-9B"])
@pytest.mark.parametrize("teacher", ["gpt-oss", "DeepSeek-v3.2", "Kimi-K2", "GLM5.1", "Claude-4.5-Opus-High"])
@pytest.mark.parametrize(
    "name",
    ["{base}-{teacher}-Distill", "{teacher}-distill-{base}", "someone/{base}-{teacher}-Reasoning-Distilled-GGUF"],
)
def test_a_distilled_model_is_of_the_family_of_its_base(name: str, teacher: str, base: str) -> None:
    """The teacher's answers change what a model knows, and not the template in which it calls tools."""
    assert family_for(base) is family_for(name.format(base=base, teacher=teacher))
