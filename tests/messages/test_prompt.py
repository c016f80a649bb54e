"""A conversation as one string: built-in templates, one's own, and Jinja."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage

from langplug._messages.prompt import PromptTemplate, render_prompt

TALK = [SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("Bye")]
ADD = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
TOOL_TALK = [HumanMessage("1+1"), AIMessage("Well.", tool_calls=[ADD]), ToolMessage("2", tool_call_id="c1")]
TOOL = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] | trim"
    " + '<|eot_id|>' }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "System: Be brief.\nHuman: Hi\nAI: Hello\nHuman: Bye\nAI:"),
        (
            "chatml",
            (
                "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
                "<|im_start|>assistant\nHello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"
            ),
        ),
        ("mistral", "[INST] Be brief.\n\nHi [/INST] Hello</s>[INST] Bye [/INST]"),
    ],
)
def test_renders(template: str, expected: str) -> None:
    """The built-in templates give the strings that their models were trained on."""
    assert expected == render_prompt(TALK, template)


@pytest.mark.parametrize(("name", "jinja"), [("chatml", CHATML), ("llama3", LLAMA3)])
def test_agrees_with_the_models_own_template(name: str, jinja: str) -> None:
    """A built-in template gives what the Jinja template of such a model gives."""
    assert render_prompt(TALK, jinja) == render_prompt(TALK, name)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (
            "plain",
            'Human: 1+1\nAI: Well.\n<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\nTool: 2\nAI:',
        ),
        (
            "chatml",
            (
                "<|im_start|>user\n1+1<|im_end|>\n<|im_start|>assistant\nWell.\n"
                '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call><|im_end|>\n'
                "<|im_start|>user\n<tool_response>\n2\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
            ),
        ),
        (
            "llama3",
            (
                "<|start_header_id|>user<|end_header_id|>\n\n1+1<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
                'Well.\n{"name": "add", "parameters": {"a": 1}}<|eot_id|>'
                "<|start_header_id|>ipython<|end_header_id|>\n\n2<|eot_id|>"
                "<|start_header_id|>assistant<|end_header_id|>\n\n"
            ),
        ),
        (
            "mistral",
            (
                '[INST] 1+1 [/INST] Well.\n[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1}}]</s>'
                "[TOOL_RESULTS] 2[/TOOL_RESULTS]"
            ),
        ),
    ],
)
def test_renders_calls_and_results(template: str, expected: str) -> None:
    """Tool calls stand in the answer that made them, results in a turn of their own."""
    assert expected == render_prompt(TOOL_TALK, template)


def test_several_calls() -> None:
    """Several calls of one answer stand side by side."""
    calls = [ADD, ADD | {"id": "c2"}]
    text = render_prompt([AIMessage("", tool_calls=calls)], "mistral")
    call = '{"name": "add", "arguments": {"a": 1}}'
    assert f" [TOOL_CALLS] [{call}, {call}]</s>" == text


@pytest.mark.parametrize("template", ["plain", "chatml", "llama3", "mistral"])
def test_tools_join_the_instructions(template: str) -> None:
    """The tools stand after the instructions, in the same turn; without instructions they are a turn of their own."""
    with_system = render_prompt(TALK, template, tools=[TOOL])
    assert with_system.index("Be brief.") < with_system.index('"name": "add"') < with_system.index("Hi")
    alone = render_prompt(TALK[1:], template, tools=[TOOL])
    assert with_system == alone.replace("You can call", "Be brief.\n\nYou can call")


def test_merges_turns_of_one_role() -> None:
    """Where roles must alternate, turns of one role in a row become one."""
    messages = [HumanMessage("a"), HumanMessage("b"), AIMessage("c"), AIMessage("d"), SystemMessage("e")]
    assert "[INST] a\n\nb [/INST] c\n\nd</s>[INST] e [/INST]" == render_prompt(messages, "mistral")


def test_keeps_the_results_of_tools_apart() -> None:
    """Each tool's result stays a turn of its own, even where other turns merge."""
    results = [ToolMessage("1", tool_call_id="c1"), ToolMessage("2", tool_call_id="c2")]
    assert "[TOOL_RESULTS] 1[/TOOL_RESULTS][TOOL_RESULTS] 2[/TOOL_RESULTS]" == render_prompt(results, "mistral")


def test_takes_a_template_of_ones_own() -> None:
    """A PromptTemplate decides everything; without texts for tools, results become messages of the user."""
    template = PromptTemplate(user=("Q: ", "\n"), assistant=("A: ", "\n"), generation="A:", calls=("<", ",", ">"))
    assert 'Q: 1+1\nA: Well.\n<{"name": "add", "arguments": {"a": 1}}>\nQ: 2\nA:' == render_prompt(TOOL_TALK, template)
    assert "Q: a\n\nb\nA:" == render_prompt([SystemMessage("a"), HumanMessage("b")], replace(template, merge=True))


@pytest.mark.parametrize(("name", "near"), [("chatlm", "'chatml'"), ("lama3", "'llama3'"), ("Plain", "'plain'")])
def test_suggests_the_near_name(name: str, near: str) -> None:
    """A misspelt name is a ValueError that suggests the right one."""
    with pytest.raises(ValueError, match=f"{name!r}; expected 'plain', .* Did you mean {near}"):
        render_prompt(TALK, name)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (HumanMessage([{"type": "image", "url": "https://e.example/a.png"}]), r"messages\[1\] .*'image_url'"),
        (ChatMessage(content="x", role="narrator"), r"messages\[1\] .*'narrator'"),
        (HumanMessage([{"type": "hologram"}]), r"messages\[1\]\.content\[0\] .*'hologram'"),
    ],
)
def test_names_what_it_cannot_say(message: BaseMessage, says: str) -> None:
    """What one string cannot hold is a ValueError with its path."""
    with pytest.raises(ValueError, match=says):
        render_prompt([HumanMessage("a"), message], "plain")


def test_jinja_gets_tools_and_parsed_arguments() -> None:
    """A Jinja template gets the tools and the arguments of calls as data, and JSON that is not escaped for HTML."""
    template = (
        "{{ tools[0].function.name }} {% for m in messages if m.tool_calls %}"
        "{% for c in m.tool_calls %}{{ c.function.arguments.a + 1 }} {{ c.function.arguments | tojson }}{% endfor %}"
        "{% endfor %}"
    )
    talk = [AIMessage("", tool_calls=[ADD | {"args": {"a": 1, "b": "<'&>ß"}}])]
    assert 'add 2 {"a": 1, "b": "<\'&>ß"}' == render_prompt(talk, template, tools=[TOOL])
    assert "none" == render_prompt(TALK, "{{ 'some' if tools is not none else 'none' }}")


@pytest.mark.parametrize("broken", [False, True])
def test_jinja_may_join_arguments_to_text(broken: bool) -> None:
    """A template that concatenates arguments, as DeepSeek's do, gets them as JSON text; all calls of all turns."""
    calls = [{"name": "add", "args": {"a": "é"}, "id": "1"}, {"name": "now", "args": {}, "id": "2"}]
    invalid = [{"name": "add", "args": "{", "id": "3", "error": None}] if broken else []
    turns: list[BaseMessage] = [AIMessage("", tool_calls=calls, invalid_tool_calls=invalid), HumanMessage("?")]
    template = (
        "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.name + ' ' + c.function.arguments + ';' }}"
        "{% endfor %}{% endfor %}"
    )
    assert 'add {"a": "é"};now {};' + "add {;" * broken == render_prompt(turns, template)


def test_jinja_keeps_broken_arguments() -> None:
    """Arguments that are no JSON reach a Jinja template as the text that they are."""
    broken: Any = {"type": "invalid_tool_call", "name": "add", "args": '{"a"', "id": "1", "error": None}
    talk = [AIMessage("", invalid_tool_calls=[broken])]
    assert '{"a"' == render_prompt(talk, "{{ messages[0].tool_calls[0].function.arguments }}")


def test_jinja_has_what_transformers_gives() -> None:
    """strftime_now, break, the generation mark and the tokens are there."""
    assert render_prompt(TALK, "{{ strftime_now('%Y') }}").isdigit()
    assert "Be brief." == render_prompt(TALK, "{% for m in messages %}{{ m.content }}{% break %}{% endfor %}")
    assert "aHellob" == render_prompt(TALK, "a{% generation %}{{ messages[2].content }}{% endgeneration %}b")
    assert "x" == render_prompt(TALK, "{{ bos_token + 'x' + eos_token }}")
    assert "x</s>" == render_prompt(TALK, "{% set eos_token = '</s>' %}{{ 'x' + eos_token }}")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{ raise_exception('Roles must alternate') }}", "does not take this conversation: Roles must alternate"),
        ("{% for %}", "is broken in line 1"),
        ("{{ 'a' + none }}", "does not take this conversation"),
        ("{{ messages.__class__.__mro__ }}", "does not take this conversation: .*unsafe"),
        ("{{ messages.append(1) }}", "does not take this conversation: .*'append' of 'list' object is unsafe"),
    ],
)
def test_jinja_says_what_is_wrong(template: str, says: str) -> None:
    """A template that refuses, is broken or reaches out of its sandbox is a ValueError with the reason."""
    with pytest.raises(ValueError, match=says):
        render_prompt(TALK, template)


def test_says_how_to_get_jinja() -> None:
    """Without jinja2 all but Jinja templates works, and those say what to install."""
    program = """
import sys
sys.modules["jinja2"] = None
from langchain_core.messages import HumanMessage
from langplug._messages.prompt import render_prompt
assert render_prompt([HumanMessage("Hi")], "plain") == "Human: Hi\\nAI:"
try:
    render_prompt([HumanMessage("Hi")], "{{ messages }}")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("pip install jinja2\n")


PARTS = "{% for m in messages %}{% for part in m['content'] %}<{{ part.text or part.type }}>{% endfor %}{% endfor %}"


@pytest.mark.parametrize("content", ["Hi", [{"type": "text", "text": "Hi"}]])
def test_a_template_that_writes_parts_is_given_parts(content: Any) -> None:
    """A message of text alone is a list, too, where the template would take a text for a list of characters."""
    assert "<Hi>" == render_prompt([HumanMessage(content)], PARTS)
    knows_both = "{% if messages[0].content is string %}{{ messages[0].content }}{% else %}" + PARTS + "{% endif %}"
    assert "Hi" == render_prompt([HumanMessage(content)], knows_both)


def test_an_image_has_the_name_that_templates_look_for() -> None:
    """Templates put their token for an image where a part is called as transformers calls it."""
    image = {"type": "image", "base64": "AA==", "mime_type": "image/png"}
    asked = [HumanMessage(["See:", image])]
    assert "<See:><image>" == render_prompt(asked, PARTS)
