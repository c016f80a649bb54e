"""What a model is told in text is read from the data in its prompt, whatever the sentences around it say."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, ToolMessage

from langplug import TOOL_FORMATS, ChatModel, Request, ToolFormat
from langplug.models import ChatEndpoint
from langplug_check import NotObserved, Result, Subject, all_checks
from langplug_check.prompts import find_choice, find_schema, find_tools
from langplug_check.runner import run_check
from langplug_check.stub_replies import stub_reply

ADD = {
    "name": "add",
    "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
CLOCK = {"name": "clock", "description": "Tells the time."}
TOOLS = [{"type": "function", "function": function} for function in (ADD, CLOCK)]
SCHEMA = {"title": "person", "type": "object", "properties": {"name": {"type": "string"}}, "default": CLOCK}


class Repeating(ChatModel):
    """Repeats what it is told."""

    def respond(self, request: Request, /) -> str:
        return request.text


class Prompted(Repeating):
    """Is told of tools and schemas in words."""

    tool_calling = "prompted"
    structured_output = "derived"


class Constrained(Repeating):
    """Is told of tools in words, and keeps to schemas by itself, to those of forced calls too."""

    tool_calling = "prompted"
    structured_output = "native"


class PromptedForObjects(Repeating):
    """Calls tools by itself, and is told of schemas in words."""

    tool_calling = "native"
    structured_output = "derived"


# --- whatever the words are ---

CHECKS = {name: check for name, check in all_checks().items() if name[0] in "IJ"}


def verdicts(target: Any) -> dict[str, Result]:
    """What the checks of tools and of structured output find."""
    with Subject(target) as subject:
        return {name: replace(run_check(check, subject), seconds=0) for name, check in CHECKS.items()}


def in_other_words(tools: Sequence[Mapping[str, Any]], choice: Any = None, parallel: bool | None = None) -> str:
    """Instructions that have nothing but their data in common with langplug's own."""
    if not tools or choice == "none":
        return ""
    functions = [tool["function"] for tool in tools]
    forced = {"auto": "Wie du magst.", "required": "Eines davon, jetzt."}.get(str(choice), f"Und zwar jetzt {choice}.")
    return f"Werkzeuge: {json.dumps(functions)} -- {forced}{' Nur eines.' if parallel is False else ''}"


@pytest.fixture
def reworded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every sentence that langplug puts into prompts is another one; the data in it stay."""
    for name, tool_format in TOOL_FORMATS.items():
        monkeypatch.setitem(TOOL_FORMATS, name, replace(tool_format, instructions=in_other_words))  # type: ignore[arg-type]  # it is a dict
    places = {
        (module, name): text
        for module_name, module in sys.modules.items()
        if module_name.startswith("langplug.")
        for name, text in vars(module).items()
        if isinstance(text, str) and re.search(r"\{(tools|schema)\}", text)
    }
    assert len(places) >= 2, "the sentences about tools and schemas stand elsewhere now: reword them there, too"
    for (module, name), text in places.items():
        monkeypatch.setattr(module, name, re.sub(r"\{\w+\}|(\w+)", lambda word: "bla" if word[1] else word[0], text))


@pytest.fixture(scope="module", params=[Prompted, Constrained, PromptedForObjects], ids=lambda cls: cls.__name__)
def in_langplugs_words(request: pytest.FixtureRequest) -> tuple[type, dict[str, Result]]:
    """A model, and what is found of it as langplug words its prompts."""
    return request.param, verdicts(request.param)


def test_no_check_depends_on_the_words_of_a_prompt(
    in_langplugs_words: tuple[type, dict[str, Result]], request: pytest.FixtureRequest
) -> None:
    """With each sentence of langplug's prompts reworded, the checks find the same; and they pass, for what they saw."""
    target, expected = in_langplugs_words
    request.getfixturevalue("reworded")
    assert verdicts(target) == expected
    assert {name: result for name, result in expected.items() if result.verdict == "fail"} == {}
    assert [expected[name].verdict for name in ("I02", "I12", "I13", "J01", "J02")] == ["pass"] * 5
    assert [expected[name].observed for name in ("I02", "I12")] == ["", ""]  # no choice was "refused"


def test_schemas_in_a_prompt_are_seen_over_a_wire() -> None:
    """A model that speaks to a server without schemas asks for objects in words, by each method, and says no other."""

    class OverAWire(ChatEndpoint):
        """Its server knows tools, and no schemas."""

        structured_output = "derived"

    with Subject(OverAWire) as subject:
        assert "pass" == run_check(all_checks()["J02"], subject).verdict


def test_the_words_are_other_ones(reworded: None) -> None:
    """The test above does reword what a model is told, of a tool and of a schema."""
    with Subject(Prompted) as subject:
        subject.says("hi").bind_tools([TOOLS[0]]).invoke("?")
        of_a_tool = subject.exchanges[0].request
        subject.gives({"name": "Bo"}).with_structured_output(SCHEMA).invoke("?")
        of_a_schema = subject.exchanges[0].request
    assert of_a_tool is not None
    assert of_a_schema is not None
    assert of_a_tool.messages[0].text.startswith("Werkzeuge: ")
    assert of_a_schema.messages[0].text.startswith("Answer bla bla bla")


def ignore_choice(tools: Sequence[Mapping[str, Any]], choice: Any = None, parallel: bool | None = None) -> str:
    return in_other_words(tools, "none" if choice == "none" else "auto", parallel)


def test_a_choice_that_the_prompt_does_not_tell_is_seen() -> None:
    """A format that writes the same for each choice tells none: langplug's own error is seen, and not a choice."""
    silent = replace(TOOL_FORMATS["hermes"], instructions=ignore_choice)
    with Subject(Prompted(tool_format=silent)) as subject:
        result = run_check(CHECKS["I02"], subject)
    assert "tool_choice='any' ends in " in result.observed


def test_what_cannot_be_read_was_not_observed() -> None:
    """Where the prompt cannot be read, nothing is said of the model: a check does not take that for a refusal."""
    numbers = count()
    fickle = replace(TOOL_FORMATS["hermes"], instructions=lambda *given: f"{in_other_words(*given)} {next(numbers)}")
    with Subject(Prompted(tool_format=fickle)) as subject:
        results = [run_check(CHECKS[name], subject) for name in ("I02", "I12")]
    assert ["not observed"] * 2 == [result.verdict for result in results]
    assert "in other words than the format 'hermes' does" in results[0].observed


# --- what is found ---


@pytest.mark.parametrize(
    "write", [json.dumps, lambda it: json.dumps({"tools": it}), lambda it: f"[A]{json.dumps(it)}[/A]"]
)
def test_tools_are_found_in_every_layout(write: Callable[[Any], str]) -> None:
    """Tools in OpenAI's form or bare, in a list, an object or lines of their own, among text, braces and examples."""
    bare = [ADD, CLOCK]
    for functions in (write(TOOLS), write(bare), "\n".join(map(json.dumps, bare))):
        prompt = f"Use {{these}}: {functions}\nlike {json.dumps({'name': 'add', 'parameters': {'a': 1}})} or {{"
        assert TOOLS == list(find_tools(prompt))


def test_a_schema_is_not_a_tool() -> None:
    """A schema is found beside tools, and what looks like a tool in its examples is not one."""
    both = f"{json.dumps(ADD)}\n{json.dumps(SCHEMA)}"
    assert (SCHEMA, [TOOLS[0]]) == (find_schema(both), list(find_tools(both)))
    assert None is find_schema(json.dumps(ADD))
    assert {"type": "object"} == find_schema('as {"type": "object"}')


@pytest.mark.parametrize("tool_format", TOOL_FORMATS.values(), ids=TOOL_FORMATS)
@pytest.mark.parametrize("parallel", [None, True, False])
def test_the_choice_is_found_in_every_format(tool_format: ToolFormat, parallel: bool | None) -> None:
    """Each format's instructions tell which choice they were written for."""
    choices = {"auto": "auto", "required": "required", "add": {"type": "function", "function": {"name": "add"}}}
    for word, choice in choices.items():
        prompt = f"Be kind.\n\n{tool_format.instructions(TOOLS, choice, parallel)}"
        assert TOOLS == list(find_tools(prompt))
        assert word == find_choice(prompt, TOOLS, tool_format)
    with pytest.raises(NotObserved):
        find_choice("Use them.", TOOLS, tool_format)


def test_a_result_in_words_ends_the_calls() -> None:
    """A stub that calls until there is a result sees it in the prompt of a model that reads text, in every format."""
    for name in TOOL_FORMATS:
        with Subject(Prompted(tool_format=name)) as subject:
            model = subject.says(stub_reply).bind_tools(TOOLS)
            answer = model.invoke("What time is it?")
            assert ["add"] == [call["name"] for call in answer.tool_calls]
            result = ToolMessage("noon", tool_call_id=str(answer.tool_calls[0]["id"]))
            assert [] == model.invoke([HumanMessage("What time is it?"), answer, result]).tool_calls
            asked = subject.exchanges[-1].request
            assert asked is not None
            assert "What time is it?" == asked.text
