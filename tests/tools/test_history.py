"""Conversations with tool calls, for models that know only text."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langplug._tools import TOOL_FORMATS, rewrite_history, with_instructions

HERMES = TOOL_FORMATS["hermes"]
IMAGE = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}


def ask(name: str, call_id: str, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id}


def said(name: str, args: dict[str, Any] | str, call_id: str = "") -> str:
    return HERMES.call(name, args, call_id)


def gave(name: str, content: str, call_id: str = "", *, is_error: bool = False) -> str:
    return HERMES.result(name, content, call_id, is_error)


def rewritten(*messages: BaseMessage) -> list[tuple[str, Any]]:
    before = [message.model_copy(deep=True) for message in messages]
    shown = rewrite_history(messages, HERMES)
    assert before == list(messages)
    assert not any(
        message.tool_calls or message.invalid_tool_calls for message in shown if isinstance(message, AIMessage)
    )
    return [(message.type, message.content) for message in shown]


@pytest.mark.parametrize("name", TOOL_FORMATS)
def test_calls_and_results_are_said_as_the_format_says_them(name: str) -> None:
    """A call stands after the text of its message, its result in a human message; all else is the same object."""
    tool_format = TOOL_FORMATS[name]
    system, human, end = SystemMessage("Be brief."), HumanMessage("1+2?"), AIMessage("3")
    history = [
        system,
        human,
        AIMessage("Adding.", tool_calls=[ask("add", "c1", a=1, b=2)]),
        ToolMessage("3", tool_call_id="c1"),
        end,
    ]
    shown = rewrite_history(history, tool_format)
    assert [system, human, end] == [shown[0], shown[1], shown[4]]
    assert all(a is b for a, b in zip((system, human, end), (shown[0], shown[1], shown[4]), strict=True))
    assert AIMessage("Adding.\n" + tool_format.call("add", {"a": 1, "b": 2}, "")) == shown[2]
    assert HumanMessage(tool_format.result("add", "3", "", False)) == shown[3]


def test_results_in_a_row_become_one_message() -> None:
    """Parallel calls stand one after the other, and so do their results, with the names of their tools."""
    assert [
        ("ai", f"{said('add', {'a': 1})}\n{said('now', {})}"),
        ("human", f"{gave('now', 'noon')}\n{gave('add', 'no b', is_error=True)}"),
        ("human", "Go on."),
    ] == rewritten(
        AIMessage("", tool_calls=[ask("add", "c1", a=1), ask("now", "c2")]),
        ToolMessage("noon", tool_call_id="c2"),
        ToolMessage("no b", tool_call_id="c1", status="error"),
        HumanMessage("Go on."),
    )


def test_calls_of_one_tool_are_linked_by_id() -> None:
    """Where two calls have one name, calls and results bear their ids; a result whose call is gone bears its own."""
    assert [
        ("human", gave("", "lost", "c0")),
        ("ai", f"{said('add', {'a': 1}, 'c1')}\n{said('add', {'a': 2}, 'c2')}"),
        ("human", f"{gave('add', '2', 'c2')}\n{gave('add', '1', 'c1')}"),
    ] == rewritten(
        ToolMessage("lost", tool_call_id="c0"),
        AIMessage("", tool_calls=[ask("add", "c1", a=1), ask("add", "c2", a=2)]),
        ToolMessage("2", tool_call_id="c2"),
        ToolMessage("1", tool_call_id="c1"),
    )


def test_broken_calls_are_shown_as_they_were() -> None:
    """An invalid call stands in the conversation with its raw arguments."""
    broken = {"name": "add", "args": '{"a": ', "id": "c1", "error": None}
    assert [("ai", said("add", '{"a": '))] == rewritten(AIMessage("", invalid_tool_calls=[broken]))  # type: ignore[list-item]


def test_calls_in_content_blocks_and_chunks() -> None:
    """Calls are found where other providers put them, each once; text in blocks becomes text."""
    use = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    chunk = {"name": "add", "args": '{"a": 1}', "id": "c1", "index": 0, "type": "tool_call_chunk"}
    expected = ("ai", "Hm.\n" + said("add", {"a": 1}))
    for message in (
        AIMessage(["Hm.", use]),
        AIMessage([{"type": "text", "text": "Hm."}, use], tool_calls=[ask("add", "c1", a=1)]),
        AIMessage(content_blocks=[{"type": "text", "text": "Hm."}, {"type": "tool_call", **ask("add", "c1", a=1)}]),  # type: ignore[typeddict-item, misc, list-item]
        AIMessageChunk("Hm.", tool_call_chunks=[chunk]),  # type: ignore[list-item]
        AIMessage("Hm.", additional_kwargs={"function_call": {"name": "add", "arguments": '{"a": 1}'}}),
    ):
        shown = rewritten(message)
        assert [expected] == [("ai", content) for _, content in shown]


def test_what_is_no_text_stays_a_block() -> None:
    """Reasoning next to a call, and an image in a result, stay blocks, in their place."""
    reasoning = {"type": "reasoning", "reasoning": "Hm."}
    call_text = {"type": "text", "text": said("see", {})}
    result_text = {"type": "text", "text": gave("see", 'Look:\n{"n": 1}')}
    assert [("ai", [reasoning, call_text]), ("human", [result_text, IMAGE])] == rewritten(
        AIMessage([reasoning], tool_calls=[ask("see", "c1")]),
        ToolMessage(["Look:", {"type": "json", "json": {"n": 1}}, IMAGE], tool_call_id="c1"),
    )


def test_other_ways_to_give_results() -> None:
    """A `FunctionMessage`, and Anthropic's `tool_result` blocks in a `HumanMessage`, are results as well."""
    use = {"type": "tool_use", "id": "c1", "name": "add", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "3"}], "is_error": True}
    assert [
        ("human", gave("now", "noon")),
        ("ai", said("add", {})),
        ("human", gave("add", "3", is_error=True)),
        ("human", [{"type": "text", "text": "And?"}]),
    ] == rewritten(
        FunctionMessage(name="now", content="noon"),
        AIMessage([use]),
        HumanMessage([result, {"type": "text", "text": "And?"}]),
    )


def test_what_else_a_message_holds_is_kept() -> None:
    """Name, id, metadata and what a provider added stay; a provider's own copy of the calls goes."""
    message = AIMessage(
        "",
        tool_calls=[ask("now", "c1")],
        name="bob",
        id="m1",
        response_metadata={"model_name": "m"},
        additional_kwargs={"tool_calls": [{}], "reasoning_content": "Hm."},
    )
    (shown,) = rewrite_history([message], HERMES)
    assert isinstance(shown, AIMessage)
    assert (said("now", {}), "bob", "m1") == (shown.content, shown.name, shown.id)
    assert ({"model_name": "m"}, {"reasoning_content": "Hm."}) == (shown.response_metadata, shown.additional_kwargs)


def test_instructions_join_the_first_system_message() -> None:
    """They stand at its end, in its own kind of content; without one, they are the first message; none, no change."""
    human = HumanMessage("Hi")
    system = SystemMessage("Be brief.", id="s1")
    assert [SystemMessage("Be brief.\n\nTOOLS", id="s1"), human] == with_instructions([system, human], "TOOLS")
    assert SystemMessage("Be brief.", id="s1") == system
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": "Be brief."}]
    assert [SystemMessage([*blocks, {"type": "text", "text": "TOOLS"}])] == with_instructions(
        [SystemMessage(blocks)], "TOOLS"
    )
    assert [SystemMessage("TOOLS"), human] == with_instructions([human], "TOOLS")
    assert [human, SystemMessage("TOOLS")] == with_instructions([human, SystemMessage("")], "TOOLS")
    assert [human] == with_instructions([human], "")
