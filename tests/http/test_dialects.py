"""The conversation in the words of other wires: Anthropic's, Ollama's, Cohere's."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call

from langplug import Request
from langplug._http.dialects import DIALECTS, system_text
from langplug._wires.messages import FINISH_BY_STOP_REASON
from langplug.models.descriptions import read_description

ADD = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}
NOW = {"type": "function", "function": {"name": "now"}}
PIXEL = "iVBORw0KGgo="
DATA_URL = f"data:image/png;base64,{PIXEL}"


def call(name: str, number: int, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": f"call_{number}", "type": "tool_call"}


HISTORY: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("One and two?"),
    AIMessage("Let me see.", tool_calls=[call("add", 1, a=1, b=2), call("now", 2)]),
    ToolMessage("3", tool_call_id="call_1", name="add"),
    ToolMessage("no clock", tool_call_id="call_2", status="error"),
    AIMessage("3."),
    HumanMessage("Thanks."),
]


def said(dialect: str, part: str, messages: Sequence[BaseMessage], **more: Any) -> Any:
    return DIALECTS[dialect][part](Request(messages=tuple(messages), **more))


# --- Anthropic ---


def test_anthropic_has_the_instructions_apart_and_turns_that_alternate() -> None:
    """Instructions are hoisted; calls are blocks; results of tools in a row are one turn of the user."""
    assert said("anthropic", "system", HISTORY) == "Be brief."
    assert said("anthropic", "messages", HISTORY) == [
        {"role": "user", "content": [{"type": "text", "text": "One and two?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1, "b": 2}},
                {"type": "tool_use", "id": "call_2", "name": "now", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "3"}]},
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "content": [{"type": "text", "text": "Error: no clock"}],
                    "is_error": True,
                },
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "3."}]},
        {"role": "user", "content": [{"type": "text", "text": "Thanks."}]},
    ]


def test_system_text_joins_all_instructions() -> None:
    """Wherever they stand, with a blank line between them; None if there are none."""
    messages = [SystemMessage("a"), HumanMessage("x"), SystemMessage([{"type": "text", "text": "b"}])]
    assert system_text(Request(messages=tuple(messages))) == "a\n\nb"
    assert system_text(Request(messages=(HumanMessage("x"),))) is None


def test_anthropic_merges_turns_of_one_role_and_leaves_empty_ones_out() -> None:
    """The API refuses empty text, and takes turns of one role in a row as one."""
    messages = [HumanMessage("a"), HumanMessage("b"), AIMessage(""), HumanMessage("c")]
    content = [{"type": "text", "text": text} for text in "abc"]
    assert said("anthropic", "messages", messages) == [{"role": "user", "content": content}]


@pytest.mark.parametrize(
    ("block", "sent"),
    [
        (
            {"type": "image", "base64": PIXEL, "mime_type": "image/png"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.example/a.png"}},
        ),
        (
            {"type": "file", "base64": "JVBERg==", "mime_type": "application/pdf", "filename": "a.pdf"},
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="},
                "title": "a.pdf",
            },
        ),
        ({"type": "file", "file_id": "file_1"}, {"type": "document", "source": {"type": "file", "file_id": "file_1"}}),
    ],
)
def test_anthropic_takes_images_and_files(block: dict[str, Any], sent: dict[str, Any]) -> None:
    """As data or by their address, in the API's own blocks."""
    assert said("anthropic", "messages", [HumanMessage([block])])[0]["content"] == [sent]


SIGNED = {"reasoning_content": "hm", "reasoning_extras": {"signature": "s1"}}
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s1"}


@pytest.mark.parametrize(
    "message",
    [
        AIMessage("a", additional_kwargs=SIGNED),
        AIMessage([{"type": "reasoning", "reasoning": "hm", "extras": {"signature": "s1"}}, "a"]),
        AIMessage([THINKING, {"type": "text", "text": "a"}]),
    ],
)  # fmt: skip
def test_anthropic_is_sent_its_thoughts_back_with_their_signature(message: AIMessage) -> None:
    """As far as the policy keeps them, first in their turn, from wherever LangChain holds them."""
    text = {"type": "text", "text": "a"}
    messages = [HumanMessage("x"), message]
    assert said("anthropic", "messages", messages, keep_reasoning="current")[1]["content"] == [THINKING, text]
    assert said("anthropic", "messages", messages, keep_reasoning="never")[1]["content"] == [text]
    later = [*messages, HumanMessage("y")]
    assert said("anthropic", "messages", later, keep_reasoning="current")[1]["content"] == [text]
    assert said("anthropic", "messages", later, keep_reasoning="all")[1]["content"] == [THINKING, text]


def test_anthropic_gets_no_thought_without_a_signature() -> None:
    """The API would refuse it; what it hid itself goes back as it came."""
    unsigned = AIMessage("a", additional_kwargs={"reasoning_content": "hm"})
    hidden = AIMessage([{"type": "redacted_thinking", "data": "xyz"}, {"type": "text", "text": "b"}])
    sent = said("anthropic", "messages", [unsigned, HumanMessage("x"), hidden], keep_reasoning="all")
    assert [block["type"] for turn in sent for block in turn["content"]] == [
        "text",
        "text",
        "redacted_thinking",
        "text",
    ]


@pytest.mark.parametrize(
    ("choice", "parallel", "sent"),
    [
        (None, None, None),
        ("auto", None, {"type": "auto"}),
        ("required", None, {"type": "any"}),
        ("none", False, {"type": "none"}),
        ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
        (None, True, {"type": "auto", "disable_parallel_tool_use": False}),
        ({"type": "function", "function": {"name": "add"}}, None, {"type": "tool", "name": "add"}),
    ],
)
def test_anthropic_s_tools_and_choice(choice: Any, parallel: bool | None, sent: Any) -> None:
    """Schemas go as `input_schema`; a choice in the API's words; nothing without tools."""
    asked = {"tools": [ADD, NOW], "tool_choice": choice, "parallel_tool_calls": parallel}
    assert said("anthropic", "tool_choice", HISTORY, **asked) == sent
    assert said("anthropic", "tool_choice", HISTORY, **{**asked, "tools": []}) is None
    assert said("anthropic", "tools", HISTORY, **asked) == [
        {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}},
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
    ]
    strict: dict[str, Any] = {"type": "function", "function": {"name": "add", "strict": True}}
    assert said("anthropic", "tools", HISTORY, tools=[strict])[0]["strict"] is True
    assert said("anthropic", "tools", HISTORY) is None


# --- Ollama ---


def test_ollama_has_arguments_as_objects_and_names_of_tools() -> None:
    """The role of results is `tool`, with the call's id and the tool's name, looked up where the result has none."""
    assert said("ollama", "messages", HISTORY) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One and two?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "call_1", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}},
                {"id": "call_2", "function": {"name": "now", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "3", "tool_call_id": "call_1", "tool_name": "add"},
        {"role": "tool", "content": "Error: no clock", "tool_call_id": "call_2", "tool_name": "now"},
        {"role": "assistant", "content": "3."},
        {"role": "user", "content": "Thanks."},
    ]


def test_ollama_has_images_beside_the_text() -> None:
    """As base64 without the type; an address it would not fetch, so that is an error."""
    blocks = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": DATA_URL}}]
    sent = said("ollama", "messages", [HumanMessage([*blocks, {"type": "text", "text": "b"}])])  # type: ignore[list-item]
    assert sent == [{"role": "user", "content": "a\nb", "images": [PIXEL]}]
    with pytest.raises(ValueError, match=r"\$.messages\[0\] holds a part of the type 'image_url'.*base64 data"):
        said("ollama", "messages", [HumanMessage([{"type": "image_url", "image_url": {"url": "https://x.example"}}])])


def test_ollama_is_shown_its_thoughts_where_they_are_kept() -> None:
    """As `thinking` of the message that they belong to."""
    messages = [HumanMessage("x"), AIMessage("a", additional_kwargs={"reasoning_content": "hm"})]
    assert said("ollama", "messages", messages, keep_reasoning="all")[1] == {
        "role": "assistant",
        "content": "a",
        "thinking": "hm",
    }
    assert "thinking" not in said("ollama", "messages", messages)[1]


# --- Cohere ---


def test_cohere_is_close_to_openai_but_has_no_empty_content() -> None:
    """Calls and results are as OpenAI's; a turn of calls alone has no content."""
    messages = [
        HumanMessage("x"),
        AIMessage("", tool_calls=[call("add", 1, a=1)]),
        ToolMessage("3", tool_call_id="call_1"),
    ]
    assert said("cohere", "messages", messages) == [
        {"role": "user", "content": "x"},
        {
            "role": "assistant",
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            ],
        },
        {"role": "tool", "content": "3", "tool_call_id": "call_1"},
    ]  # fmt: skip


def test_cohere_is_shown_its_thoughts_where_they_are_kept() -> None:
    """As content of its own kind; those before a call as the plan that they were."""
    thought = {"reasoning_content": "hm"}
    messages = [
        AIMessage("a", additional_kwargs=thought),
        AIMessage("", additional_kwargs=thought, tool_calls=[call("add", 1)]),
    ]
    spoken, called = said("cohere", "messages", messages, keep_reasoning="all")
    assert spoken["content"] == [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]
    assert called["tool_plan"] == "hm"
    assert "content" not in called


@pytest.mark.parametrize(
    ("choice", "sent", "tools"),
    [
        (None, None, ["add", "now"]),
        ("auto", None, ["add", "now"]),
        ("required", "REQUIRED", ["add", "now"]),
        ("none", "NONE", ["add", "now"]),
        ({"type": "function", "function": {"name": "now"}}, "REQUIRED", ["now"]),
    ],
)
def test_cohere_is_asked_for_one_tool_by_being_given_no_other(choice: Any, sent: Any, tools: list[str]) -> None:
    """It knows no choice by name."""
    asked = {"tools": [ADD, NOW], "tool_choice": choice}
    assert said("cohere", "tool_choice", HISTORY, **asked) == sent
    assert [tool["function"]["name"] for tool in said("cohere", "tools", HISTORY, **asked)] == tools
    assert said("cohere", "tool_choice", HISTORY, tool_choice=choice) is None


# --- all of them ---


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_kind_of_message_has_its_place(dialect: str) -> None:
    """Chat and function messages too, and calls with arguments that are no JSON."""
    messages = [
        *HISTORY,
        AIMessage("", invalid_tool_calls=[invalid_tool_call(name="add", args='{"a": ', id="call_9", error=None)]),
        ToolMessage("again", tool_call_id="call_9"),
        ChatMessage("hello", role="user"),
        AIMessage("", additional_kwargs={"function_call": {"name": "now", "arguments": "{}"}}),
        FunctionMessage("noon", name="now"),
    ]
    sent = said(dialect, "messages", messages)
    assert "noon" in str(sent[-1])
    assert '{"a": ' in str(sent)


@pytest.mark.parametrize("dialect", ["anthropic", "ollama", "cohere"])
def test_what_has_no_place_is_named(dialect: str) -> None:
    """Content that a wire cannot hold is an error with its place, never dropped."""
    audio = {"type": "audio", "base64": "UklGRg==", "mime_type": "audio/wav"}
    with pytest.raises(ValueError, match=r"\$.messages\[1\] holds a part of the type 'input_audio'"):
        said(dialect, "messages", [HumanMessage("x"), HumanMessage([audio])])


def test_anthropic_knows_no_other_roles() -> None:
    """A chat message with a role of its own is an error that lists those that there are."""
    with pytest.raises(ValueError, match="has the role 'critic'; expected one of user, tool, assistant, system"):
        said("anthropic", "messages", [ChatMessage("x", role="critic")])


def test_both_sides_of_anthropics_wire_end_answers_alike() -> None:
    """The description that reads Anthropic's answers has the finish reasons by which they are written."""
    assert read_description("anthropic")["reasons"] == FINISH_BY_STOP_REASON
