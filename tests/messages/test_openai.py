"""LangChain messages as OpenAI messages: every kind of message and of content block."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
    convert_to_openai_messages,
)

from langplug._messages.openai import to_openai_messages

ADD = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
ADD_SENT = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
PNG = "data:image/png;base64,QUJD"


def one(message: BaseMessage) -> dict[str, Any]:
    [sent] = to_openai_messages([message])
    return sent


def content(*blocks: Any) -> Any:
    return one(HumanMessage(list(blocks)))["content"]


SAME_AS_CORE = [
    SystemMessage("Be brief."),
    SystemMessage("Be brief.", additional_kwargs={"__openai_role__": "developer"}),
    HumanMessage("Hi", name="ann"),
    HumanMessage(["one", {"type": "text", "text": "two"}]),
    HumanMessage(["see", {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}}]),
    HumanMessage([{"type": "image", "url": "https://e.example/a.png"}]),
    HumanMessage([{"type": "image", "base64": "QUJD", "mime_type": "image/png"}]),
    HumanMessage([{"type": "image", "source_type": "base64", "data": "QUJD", "mime_type": "image/png"}]),
    HumanMessage([{"type": "image", "source_type": "url", "url": "https://e.example/a.png"}]),
    HumanMessage([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}]),
    HumanMessage([{"type": "audio", "base64": "QUJD", "mime_type": "audio/wav"}]),
    HumanMessage([{"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}}]),
    HumanMessage([{"type": "file", "base64": "QUJD", "mime_type": "application/pdf", "filename": "a.pdf"}]),
    HumanMessage([{"type": "file", "base64": "QUJD", "mime_type": "text/csv", "extras": {"filename": "a.csv"}}]),
    HumanMessage([{"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QUJD"}}]),
    AIMessage("Hello"),
    AIMessage("", tool_calls=[ADD]),
    AIMessage([], tool_calls=[ADD]),
    AIMessage("No.", additional_kwargs={"refusal": "I may not."}),
    AIMessage([{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}], tool_calls=[ADD]),
    AIMessage([{"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}]),
    ToolMessage("2", tool_call_id="c1", name="add"),
    ToolMessage(["two", {"type": "text", "text": "lines"}], tool_call_id="c1"),
    ChatMessage(content="Hi", role="user"),
    HumanMessageChunk(content="Hi"),
    SystemMessageChunk(content="Be brief."),
    ToolMessageChunk(content="2", tool_call_id="c1"),
    AIMessageChunk(content="", tool_call_chunks=[{"name": "add", "args": '{"a": 1}', "id": "c1", "index": 0}]),
]


def normal(sent: dict[str, Any]) -> dict[str, Any]:
    """Core writes `[]` where only tool calls are left; nothing else differs."""
    return sent | {"content": sent["content"] or ""}


@pytest.mark.parametrize("message", SAME_AS_CORE, ids=lambda m: f"{type(m).__name__}-{str(m.content)[:40]}")
def test_agrees_with_core(message: BaseMessage) -> None:
    """The common shapes come out as langchain-core's own converter writes them."""
    assert [normal(m) for m in convert_to_openai_messages([message])] == [normal(one(message))]


@given(st.lists(st.sampled_from(SAME_AS_CORE), max_size=6))
def test_never_touches_its_input(messages: list[BaseMessage]) -> None:
    """The messages are the same afterwards, and changing what came out does not reach them."""
    before = copy.deepcopy(messages)
    for sent in to_openai_messages(messages):
        for part in sent["content"] if isinstance(sent["content"], list) else []:
            part.get("image_url", part).update(url="changed")
            part.update(type="changed")
    assert before == messages


def test_text_of_an_answer_is_one_text() -> None:
    """Text blocks of an AIMessage join with nothing between; an answer of nothing is an empty string."""
    answer = AIMessage([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}])
    assert {"role": "assistant", "content": "Hello"} == one(answer)
    assert {"role": "assistant", "content": ""} == one(AIMessage([]))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "so"},
        {"type": "thinking", "thinking": "so", "signature": "s"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "server_tool_call", "name": "search", "args": {}, "id": "s1"},
        {"type": "non_standard", "value": {"type": "thinking", "thinking": "so"}},
    ],
)
def test_reasoning_is_left_out(block: dict[str, Any]) -> None:
    """Reasoning and the provider's own tools leave no trace in the content."""
    assert {"role": "assistant", "content": "Hi"} == one(AIMessage([block, {"type": "text", "text": "Hi"}]))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
        {"type": "tool_use", "id": "c1", "name": "add", "input": {}, "partial_json": '{"a": 1}'},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "tool_call_chunk", "id": "c1", "name": "add", "args": '{"a": 1}', "index": 0},
        {"type": "non_standard", "value": {"type": "input_json_delta", "partial_json": "{"}},
    ],
)
def test_a_call_is_sent_once(block: dict[str, Any]) -> None:
    """A call that stands in the content as well is not doubled."""
    assert {"role": "assistant", "content": "", "tool_calls": [ADD_SENT]} == one(AIMessage([block], tool_calls=[ADD]))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "invalid_tool_call", "id": "c1", "name": "add", "args": '{"a": 1}', "error": None},
    ],
)
def test_a_call_in_the_content_alone_is_sent(block: dict[str, Any]) -> None:
    """A call that stands in the content only is sent as a tool call."""
    assert [ADD_SENT] == one(AIMessage([block]))["tool_calls"]


def test_invalid_calls_are_sent_as_they_came() -> None:
    """Calls with broken arguments keep their text; a call without an id does not hide another."""
    broken = {"type": "invalid_tool_call", "name": "add", "args": '{"a"', "id": None, "error": "cut"}
    sent = one(AIMessage("", tool_calls=[ADD, ADD | {"id": None}], invalid_tool_calls=[broken]))["tool_calls"]
    assert ["c1", "", ""] == [call["id"] for call in sent]
    assert ['{"a": 1}', '{"a": 1}', '{"a"'] == [call["function"]["arguments"] for call in sent]


def test_text_outside_ascii_stays_readable() -> None:
    """Arguments are JSON with their characters as they are: fewer tokens, and what the model wrote."""
    [call] = one(AIMessage("", tool_calls=[ADD | {"args": {"a": "ß漢"}}]))["tool_calls"]
    assert '{"a": "ß漢"}' == call["function"]["arguments"]


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("no such file", "Error: no such file"),
        ("Error: no such file", "Error: no such file"),
        ("ERROR 404", "ERROR 404"),
        (["no", "file"], "Error: no\nfile"),
        ("", "Error: "),
    ],
)
def test_a_failed_tool_says_so(result: Any, expected: str) -> None:
    """The model can see that a tool failed."""
    assert expected == one(ToolMessage(result, tool_call_id="c1", status="error"))["content"]


def test_a_failed_tool_with_an_image_says_so() -> None:
    """Content that is not text has the failure in front of it."""
    image = {"type": "image_url", "image_url": {"url": PNG}}
    sent = one(ToolMessage([image], tool_call_id="c1", status="error"))
    assert [{"type": "text", "text": "Error:"}, image] == sent["content"]


def test_tool_results_come_before_what_the_user_says() -> None:
    """Anthropic's tool results within a user's message become tool messages in front of it."""
    message = HumanMessage(
        [
            {"type": "text", "text": "And now?"},
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "2"}]},
            {"type": "tool_result", "tool_use_id": "c2", "content": "gone", "is_error": True},
        ]
    )
    assert [
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {"role": "tool", "content": "Error: gone", "tool_call_id": "c2"},
        {"role": "user", "content": "And now?"},
    ] == to_openai_messages([message])
    assert ["tool"] == [m["role"] for m in to_openai_messages([HumanMessage(message.content[1:2])])]


def test_functions_become_tools() -> None:
    """The deprecated function_call and its FunctionMessage become a tool call and its result, linked by id."""
    call = AIMessage("", additional_kwargs={"function_call": {"name": "add", "arguments": '{"a": 1}'}})
    asked, answered = to_openai_messages([call, FunctionMessage(content="2", name="add")])
    assert [ADD_SENT | {"id": "function_add"}] == asked["tool_calls"]
    assert {"role": "tool", "name": "add", "content": "2", "tool_call_id": "function_add"} == answered


@pytest.mark.parametrize(
    ("block", "part"),
    [
        ({"type": "file", "file_id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
        ({"type": "file", "source_type": "id", "id": "f1"}, {"type": "file", "file": {"file_id": "f1"}}),
        ({"type": "image_url", "image_url": PNG}, {"type": "image_url", "image_url": {"url": PNG}}),
        (
            {"type": "image", "source": {"type": "url", "url": "https://e.example/a.png"}},
            {"type": "image_url", "image_url": {"url": "https://e.example/a.png"}},
        ),
        (
            {"type": "image", "url": PNG, "extras": {"detail": "low"}},
            {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        ),
        (
            {"type": "audio", "base64": "QUJD", "mime_type": "audio/mpeg"},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        ),
        (
            {"type": "file", "base64": "QUJD", "mime_type": "application/pdf"},
            {"type": "file", "file": {"filename": "file.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        ),
        (
            {"type": "video", "url": "https://e.example/a.mp4"},
            {"type": "video_url", "video_url": {"url": "https://e.example/a.mp4"}},
        ),
    ],
)
def test_reads_blocks_that_core_does_not(block: dict[str, Any], part: dict[str, Any]) -> None:
    """Blocks that core passes on unread, or shortens, become parts that servers take."""
    assert [part] == content(block)


def test_plain_text_documents_are_text() -> None:
    """A text document becomes text; so does JSON from a tool."""
    blocks = [{"type": "text-plain", "mime_type": "text/plain", "text": "a"}, {"type": "json", "json": {"b": 1}}]
    assert 'a\n{"b": 1}' == content(*blocks)


@pytest.mark.parametrize(
    ("message", "path", "says"),
    [
        (RemoveMessage(id="1"), "$.messages[1]", "RemoveMessage"),
        (HumanMessage([{"type": "hologram"}]), "$.messages[1].content[0]", "'hologram'"),
        (HumanMessage(["a", {"text": "b"}]), "$.messages[1].content[1]", "None"),
        (HumanMessage([{"type": ["text"]}]), "$.messages[1].content[0]", "['text']"),
        (HumanMessage([{"type": "text"}]), "$.messages[1].content[0].text", "is missing"),
        (HumanMessage([{"type": "text", "text": 3}]), "$.messages[1].content[0].text", "is 3"),
        (HumanMessage([{"type": "image", "base64": "QUJD"}]), "$.messages[1].content[0]", "'mime_type'"),
        (HumanMessage([{"type": "image_url", "image_url": {}}]), "$.messages[1].content[0].image_url", "{}"),
        (HumanMessage([{"type": "audio", "url": "https://e.example/a"}]), "$.messages[1].content[0]", "'base64'"),
        (
            HumanMessage([{"type": "input_audio", "input_audio": {}}]),
            "$.messages[1].content[0].input_audio.data",
            "missing",
        ),
        (HumanMessage([{"type": "file", "url": "https://e.example/a"}]), "$.messages[1].content[0]", "'base64'"),
        (HumanMessage([{"type": "reasoning", "reasoning": "so"}]), "$.messages[1].content[0]", "'reasoning'"),
        (SystemMessage([{"type": "tool_use", "id": "1"}]), "$.messages[1].content[0]", "'tool_use'"),
        (AIMessage([{"type": "tool_use", "id": "1"}]), "$.messages[1].content[0].name", "missing"),
        (AIMessage([{"type": "non_standard", "value": {"type": "x"}}]), "$.messages[1].content[0].value", "'x'"),
        (
            HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": [{"type": "x"}]}]),
            "$.messages[1].content[0].content[0]",
            "'x'",
        ),
        (HumanMessage([{"type": "tool_result"}]), "$.messages[1].content[0].tool_use_id", "missing"),
    ],
)
def test_names_what_it_cannot_send(message: BaseMessage, path: str, says: str) -> None:
    """What has no counterpart is a ValueError with its path, what it is, and what is accepted."""
    with pytest.raises(ValueError, match=re.escape(path) + " .*" + re.escape(says)) as caught:
        to_openai_messages([HumanMessage("Hi"), message])
    assert "accepted" in str(caught.value) or "expected" in str(caught.value)


def test_refuses_other_messages() -> None:
    """A message class of somebody's own is named."""

    class Odd(BaseMessage):
        type: str = "odd"

    with pytest.raises(ValueError, match=r"\$\.messages\[0\] is a Odd, .* accepted: SystemMessage, HumanMessage"):
        to_openai_messages([Odd(content="x")])


# --- earlier reasoning ---

THOUGHT = {"reasoning_content": "hm"}


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("reasoning_content", {"content": "hi", "reasoning_content": "hm"}),
        ("reasoning", {"content": "hi", "reasoning": "hm"}),
        ("both", {"content": "hi", "reasoning_content": "hm", "reasoning": "hm"}),
        ("think_tags", {"content": "<think>\nhm\n</think>\n\nhi"}),
    ],
)
@pytest.mark.parametrize("content", ["hi", [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "hi"}]])
def test_reasoning_goes_where_the_server_reads_it(place: Any, expected: dict[str, Any], content: Any) -> None:
    """Reasoning that is kept is sent under the server's name for it, or in the text; wherever the message has it."""
    message = AIMessage(content, additional_kwargs=THOUGHT if content == "hi" else {})
    sent = to_openai_messages([HumanMessage("?"), message], "all", reasoning_as=place)
    assert {"role": "assistant", **expected} == sent[1]
    assert to_openai_messages([message], "never", reasoning_as=place) == [{"role": "assistant", "content": "hi"}]


def test_tags_stand_before_the_parts() -> None:
    """Where the content is parts, the reasoning is a text before them."""
    image = {"type": "image_url", "image_url": {"url": PNG}}
    [sent] = to_openai_messages([AIMessage([image, "hi"], additional_kwargs=THOUGHT)], "all", reasoning_as="think_tags")
    assert [{"type": "text", "text": "<think>\nhm\n</think>\n\n"}, image, {"type": "text", "text": "hi"}] == sent[
        "content"
    ]


def test_a_turn_with_calls_says_that_nothing_was_thought() -> None:
    """With a policy that keeps reasoning, each turn with calls that it covers has the field, be it empty."""
    called = AIMessage("", tool_calls=[ADD])
    messages = [HumanMessage("1"), called, AIMessage("a"), HumanMessage("2"), called, AIMessage("b")]
    for policy, expected in (("never", []), ("current", [4]), ("all", [1, 4])):
        sent = to_openai_messages(messages, policy)  # type: ignore[arg-type] # one of the literals
        assert expected == [n for n, turn in enumerate(sent) if turn.get("reasoning_content") == ""]
