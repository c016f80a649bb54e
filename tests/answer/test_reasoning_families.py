"""Reasoning as each family writes it: known by the model's name, never read as a call or as JSON."""

import time
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool

from langplug import Finish, Request, chat_model
from langplug._answer.reasoning import ReasoningSplitter
from langplug._families import FAMILIES, family_for
from langplug._parts import Reasoning

R1 = "{% for m in messages %}<｜User｜>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<｜Assistant｜>"
OPENING, PLAIN = R1 + "<think>\n{% endif %}", R1 + "{% endif %}"

STYLES = {
    "Qwen3-8B": ("<think>\n{}\n</think>\n\n", False),
    "DeepSeek-R1-0528": ("{}\n</think>\n\n", True),
    "Qwen3-30B-A3B-Thinking-2507": ("{}\n</think>\n\n", True),
    "QwQ-32B": ("{}\n</think>\n\n", True),
    "MiniMax-M2": ("{}\n</think>\n\n", True),
    "GLM-4.6": ("<think>{}</think>\n", False),
    "Magistral-Small-2509": ("[THINK]{}[/THINK]", False),
    "Seed-OSS-36B-Instruct": ("<seed:think>\n{}\n</seed:think>\n", False),
    "gpt-oss-20b": ("<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", False),
    "gemma-4-31B-it": ("<|channel>thought\n{}<channel|>", False),
    "c4ai-command-r7b-12-2024": ("<|START_THINKING|>{}<|END_THINKING|><|START_RESPONSE|>", False),
    "Apertus-8B-Instruct-2509": ("<|inner_prefix|>{}<|inner_suffix|>", False),
    "granite-3.3-8b-instruct": ("<think>{}</think><response>", False),
    "Hunyuan-A13B-Instruct": ("<think>\n{}\n</think>\n<answer>\n", False),
    "Kimi-VL-A3B-Thinking-2506": ("◁think▷{}◁/think▷", False),
    "LongCat-Flash-Thinking": ("<longcat_think>\n{}\n</longcat_think>\n", False),
    "EXAONE-Deep-7.8B": ("{}\n</thought>\n\n", True),
    "Apriel-1.5-15b-Thinker": ("Here are my reasoning steps:\n{}\n[BEGIN FINAL RESPONSE]\n", False),
    "granite-3.2-8b-instruct": ("Here is my thought process:\n{}\nHere is my response:\n", False),
    "MiniMax-M3": ("<mm:think>{}</mm:think>\n", False),
    "Mistral-Small-4-119B-2603": ("[THINK]{}[/THINK]", False),
    "HyperCLOVAX-SEED-Think-14B": ("/think\n{}<|im_end|>\n<|im_start|>assistant\n", False),
    "muse-glimmer": (" to=self<|message|>{}<|eom|><|start|>assistant to=user<|message|>", False),
    "NVIDIA-Nemotron-Nano-9B-v2": ("{}\n</think>\n\n", True),
    "Spark2.5": ("{}\n</think>\n\n", True),
    "Ling-3.0-flash": ("{}\n</think>\n\n", True),
    "MiniCPM5": ("{}\n</think>\n\n", True),
    "command-a-plus": ("{}<|END_THINKING|><|START_TEXT|>", True),
    "Apriel-1.6-15b-Thinker": ("{}\n[BEGIN FINAL RESPONSE]\n", True),
    "ERNIE-4.5-21B-A3B-Thinking": ("{}\n</think>\n\n<response>\n", True),
    "Kimi-K2.5": ("{}</think>", True),
    "Kimi-K2-Thinking": ("<think>{}</think>", False),
    "Olmo-3-32B-Think": ("{}\n</think>\n\n", True),
    "EXAONE-4.0-32B": ("{}\n</think>\n\n", True),
    "K-EXAONE-236B-A23B": ("{}\n</think>\n\n", True),
    "reka-edge-2603": ("{}\n</think>\n\n", True),
    "Qwen3-Next-80B-A3B-Thinking": ("{}\n</think>\n\n", True),
    "Qwen3-VL-8B-Thinking": ("{}\n</think>\n\n", True),
    "DeepSeek-V3.2-Speciale": ("{}</think>", True),
    "DeepSeek-V4-Flash": ("{}</think>", True),
    "my-own-finetune": ("<think>{}</think>", False),
}
"""How an answer begins, with a place for the thought; and whether the prompt has opened it."""

THOUGHTS = [
    "They greet me.",
    'I could <tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>',
    'So {"name": "add", "arguments": {"a": 1}} it is:\n```json\n{"n": 1}\n```',
]


@tool
def add(a: int) -> int:
    """Adds."""
    return a


def saying(name: str, text: str, size: int, **settings: Any) -> BaseChatModel:
    """A model of this name that says this, in pieces."""

    @chat_model(**settings)
    def says(request: Request, *, model: str = name) -> Any:
        yield from (text[at : at + size] for at in range(0, len(text), size))

    return says()  # type: ignore[no-any-return] # likewise


def split(message: AIMessage) -> tuple[str, str]:
    """Reasoning and text."""
    blocks = message.content_blocks
    return "".join(str(block.get("reasoning", "")) for block in blocks if block["type"] == "reasoning"), message.text


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("thought", THOUGHTS, ids=["prose", "a call", "JSON"])
@pytest.mark.parametrize("name", STYLES)
def test_reasoning_is_known_by_the_name(name: str, thought: str, size: int) -> None:
    """What stands in the family's tags is reasoning, calls and JSON in it included, and the rest is text."""
    said = STYLES[name][0].format(thought) + "Hi! 1 <2"
    for model in (saying(name, said, size), saying(name, said, size).bind_tools([add])):
        message = model.invoke("?")
        assert (thought, "Hi! 1 <2") == split(message)
        assert [] == message.tool_calls


@pytest.mark.parametrize("name", STYLES)
def test_an_answer_without_reasoning_is_text(name: str) -> None:
    """Without tags, the answer is text, also of families whose template opens them."""
    assert ("", "Hi! 1 <2\nBye.") == split(saying(name, "Hi! 1 <2\nBye.", 3).invoke("?"))


@pytest.mark.parametrize("name", [name for name, (_, opened) in STYLES.items() if opened])
def test_a_repeated_opener_goes(name: str) -> None:
    """Where the model writes the opener that the template has, too, nothing of it stays."""
    opener, _ = family_for(name).reasoning or ("", "")
    assert ("so", "Hi") == split(saying(name, f"{opener}\n{STYLES[name][0].format('so')}Hi", 2).invoke("?"))


@pytest.mark.parametrize(("template", "begins_inside"), [(OPENING, True), (PLAIN, False)])
@pytest.mark.parametrize("name", ["my-own-finetune", "DeepSeek-R1"])
def test_the_rendered_prompt_says_where_it_begins(name: str, template: str, begins_inside: bool) -> None:
    """Whether the prompt ended with the opener is known where it was rendered: then reasoning streams at once."""

    @chat_model
    def says(request: Request, *, model: str = name) -> Any:
        request.prompt(template)
        yield from ("so ", "on", "\n</think>\n", "Hi") if begins_inside else ("Hi ", "all")

    chunks = list(says().stream("?"))
    assert ("so on", "Hi") if begins_inside else ("", "Hi all") == split(says().invoke("?"))
    assert "so " if begins_inside else "Hi " == split(chunks[0])[0 if begins_inside else 1]  # type: ignore[arg-type]


def test_opened_is_the_authors() -> None:
    """`reasoning_opened` and `reasoning_tags` are the author's word against all that a name says."""
    assert ("so", "Hi") == split(
        saying("x", "so</think>Hi", 2).model_copy(update={"reasoning_opened": True}).invoke("?")
    )
    told = saying("DeepSeek-R1", "so</think>Hi", 2).model_copy(update={"reasoning_opened": False})
    assert ("", "so</think>Hi") == split(told.invoke("?"))
    own = saying("gpt-oss-20b", "<r>so</r>Hi", 2).model_copy(update={"reasoning_tags": ("<r>", "</r>")})
    assert ("so", "Hi") == split(own.invoke("?"))


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.reasoning], ids=lambda one: one.name)
@given(text=st.text("<>|/ \nthinkx[]`", max_size=30), size=st.integers(1, 9), random=st.randoms())
def test_no_cut_changes_a_family(family: Any, text: str, size: int, random: Random) -> None:
    """However an answer is cut, its text and its reasoning are the same, whether or not it may begin inside."""
    opener, closer = random.choice((family.reasoning, *family.more_reasoning))
    said = random.choice(
        (
            f"{opener}{text}{closer}{text}",
            f"{text}{closer}\n{text}",
            f"`{closer}`{text}{closer}\n{text}",
            f"Hi{text}{opener}{text}{closer}{text}",
        )
    )

    def parts(pieces: list[str], opened: Any) -> tuple[str, str]:
        splitter = ReasoningSplitter(
            opener, closer, others=family.more_reasoning, answers=family.answers, opened=opened
        )
        found = [part for piece in pieces for part in splitter.feed(piece)] + splitter.flush()
        return (
            "".join(part for part in found if isinstance(part, str)),
            "".join(part.text for part in found if isinstance(part, Reasoning)),
        )

    for opened in (False, True, "perhaps"):
        assert parts([said], opened) == parts([said[at : at + size] for at in range(0, len(said), size)], opened)


@pytest.mark.parametrize("piece", ["x", "<", "\n<", "<think>", "</think", "\n", "`</think>`", "`"])
def test_a_megabyte_that_may_be_reasoning(piece: str) -> None:
    """What is held back costs time in proportion to its length."""
    text = piece * (1_000_000 // len(piece))
    splitter = ReasoningSplitter(opened="perhaps", answers=[("<answer>", "</answer>")])
    started = time.process_time()
    for at in range(0, len(text), 100):
        splitter.feed(text[at : at + 100])
    splitter.flush()
    assert time.process_time() - started < 1


TEMPLATE = """{% for t in tools or [] %}{{ t | tojson }}
{% endfor %}{% for m in messages %}[{{ m.role }}] {{ m.content }}
{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }}{{ c.function.arguments | tojson }}</tool_call>
{% endfor %}{% endfor %}{% if enable_thinking is defined and not enable_thinking %}[no]{% endif %}"""


def templated(replies: list[str], prompts: list[str]) -> Any:
    """A model whose chat template takes tools."""
    rest = iter(replies)

    @chat_model(tool_calling="templated")
    def says(request: Request, *, model: str = "Qwen3-8B", thinking: bool | None = None) -> str:
        prompts.append(request.prompt(TEMPLATE))
        return next(rest)

    return says()


CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'


def test_templated_tools() -> None:
    """Tools and history go to the template as they are, with nothing beside it; calls are read out of the text."""
    prompts: list[str] = []
    model = templated([CALL, CALL, "It is 1."], prompts).bind_tools([add])
    history: list[Any] = [HumanMessage("one")]
    for _ in range(2):
        answer = model.invoke(history)
        assert [{"a": 1}] == [call["args"] for call in answer.tool_calls]
        assert "in the chat template" in answer.response_metadata["adaptations"][0]["action"]
        history += [answer, *(add.invoke(call) for call in answer.tool_calls)]
    assert "It is 1." == model.invoke(history).text
    assert 1 == prompts[2].count('"name": "add"')
    assert 2 == prompts[2].count('<tool_call>add{"a": 1}</tool_call>')
    assert 2 == prompts[2].count("[tool] 1")
    assert "You can call" not in prompts[2]


def test_templated_choices() -> None:
    """A forced call is asked for again, with the correction as a message; a forbidden one is not offered."""
    prompts: list[str] = []
    model = templated(["No.", CALL, CALL], prompts)
    (call,) = model.bind_tools([add], tool_choice="add").invoke("?").tool_calls
    assert {"a": 1} == call["args"]
    assert "[user] You called no tool" in prompts[1]
    forbidden = model.bind_tools([add], tool_choice="none").invoke("?")
    assert [] == forbidden.tool_calls
    assert '"name": "add"' not in prompts[2]


def test_thinking_is_the_templates_switch() -> None:
    """A model that declares `thinking` sets its template's switch by it, for itself or for one call."""
    prompts: list[str] = []
    model = templated(["a", "b", "c"], prompts)
    for settings in ({}, {"thinking": True}, {"thinking": False}):
        model.invoke("?", **settings)
    assert [False, False, True] == ["[no]" in prompt for prompt in prompts]


def test_a_native_model_has_no_format_to_turn_off_but_a_prompted_has() -> None:
    """`tool_format="off"` is for native models; a prompted one is told what it wants instead."""
    with pytest.raises(ValueError, match="set tool_calling='off'"):
        saying("x", "Hi", 2, tool_format="off").bind_tools([add]).invoke("?")


PREAMBLES = {
    "gpt-oss-20b": "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>analysis<|message|>{}"
    "<|end|><|start|>assistant<|channel|>final<|message|>Hi",
    "gemma-4-31B-it": "I look. <|channel>thought\n{}<channel|>Hi",
    "c4ai-command-r7b-12-2024": "I look.<|START_THINKING|>{}<|END_THINKING|><|START_TEXT|>Hi",
    "Apertus-8B-Instruct-2509": "I look. <|inner_prefix|>{}<|inner_suffix|>Hi",
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", PREAMBLES)
def test_tags_that_are_special_tokens_count_within_a_line(name: str, size: int) -> None:
    """What follows a text in the same line is reasoning if special tokens say so: no prose holds them."""
    thought, text = split(saying(name, PREAMBLES[name].format("secret"), size).invoke("?"))
    assert "secret" == thought
    assert ("I look.", "Hi") == (text[:7], text[-2:])


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", [name for name, (_, opened) in STYLES.items() if opened])
def test_a_closer_in_a_code_span_cuts_nothing(name: str, size: int) -> None:
    """Where an answer may begin within the reasoning, one that speaks of the closer stays whole."""
    _, closer = family_for(name).reasoning or ("", "")
    said = f"The tag `{closer}` ends it; so does `x {closer}`.\nBye."
    assert ("", said) == split(saying(name, said, size).invoke("?"))
    assert (said, "Hi") == split(saying(name, f"{said}\n{closer}\nHi", size).invoke("?"))


TEMPLATE_CALL = "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>"


@pytest.mark.parametrize(
    ("thought", "called"),
    [
        pytest.param("I add.\n\n{}", 1, id="a call"),
        pytest.param("I add.\n{}\n{}\n", 2, id="two calls"),
        pytest.param("{}", 1, id="nothing but a call"),
        pytest.param("I could say\n{}\nbut no.\n{}", 1, id="one is only thought of"),
        pytest.param("I could say\n{}\nbut no.", 0, id="text after it"),
        pytest.param("I could say {}", 0, id="text before it in the line"),
        pytest.param("I add.\n{}\n</think>\nHi", 0, id="closed"),
        pytest.param("I add.\n{}\n</think>", 0, id="closed at the end"),
    ],
)
@pytest.mark.parametrize(
    ("name", "call"), [("Qwen3.5-35B-A3B", TEMPLATE_CALL), ("Qwen3-8B", THOUGHTS[1].removeprefix("I could "))]
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_call_ends_reasoning_that_is_never_closed(name: str, call: str, thought: str, called: int, size: int) -> None:
    """If the answer is all reasoning, the calls at its end are calls; those that it thinks of are none."""
    said = thought.format(*[call] * 2)
    for opened, text in ((True, said), (None, f"<think>\n{said}")):
        model = saying(name, text, size).model_copy(update={"reasoning_opened": opened}).bind_tools([add])
        for message in (model.invoke("?"), sum_of(model.stream("?"))):
            assert [{"a": 1}] * called == [one["args"] for one in message.tool_calls]
            assert split(message)[0]


def sum_of(chunks: Any) -> Any:
    first, *others = chunks
    return sum(others, first)


def test_reasoning_that_was_cut_off_calls_nothing() -> None:
    """At the limit of tokens nothing says that the reasoning was over."""

    @chat_model
    def says(request: Request, *, model: str = "Qwen3.5") -> Any:
        yield f"I add.\n{TEMPLATE_CALL}"
        yield Finish(reason="length")

    model = says().model_copy(update={"reasoning_opened": True}).bind_tools([add])
    assert [] == model.invoke("?").tool_calls


ENDED = {
    "Apriel-1.6-15b-Thinker": ("so\n[BEGIN FINAL RESPONSE]\n{}\n[END FINAL RESPONSE]", "so"),
    "Apriel-1.5-15b-Thinker": ("[BEGIN FINAL RESPONSE]\n{}\n[END FINAL RESPONSE]\n", ""),
    "Hunyuan-A13B-Instruct": ("<think>so</think>\n<answer>\n{}\n</answer>", "so"),
    "granite-3.3-8b-instruct": ("<think>so</think><response>{}</response>", "so"),
    "MiniMax-M3": ("</mm:think>{}", ""),
    "muse-glimmer": (" to=user<|message|>{}<|eot|>", ""),
    "HyperCLOVAX-SEED-Think-14B": ("/think\nso<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>", "so"),
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", ENDED)
def test_tags_around_the_answer_go(name: str, size: int) -> None:
    """What a family puts around its answer is not shown, whether or not it has reasoned before."""
    said, thought = ENDED[name]
    assert (thought, "Hi! 1 <2") == split(saying(name, said.format("Hi! 1 <2"), size).invoke("?"))
