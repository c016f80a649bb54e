"""Group C of the contract: the conversation that goes into a call."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    FunctionMessageChunk,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)
from tests.echo_models import PIXEL, MakeModel
from tests.paths import PATHS, Path

from langplug import Request, chat_model

CALL = {"name": "add", "args": {"a": 1}, "id": "call_1", "type": "tool_call"}
LEGAL: dict[str, list[BaseMessage]] = {
    "system": [SystemMessage("be kind"), HumanMessage("hi")],
    "system, several": [SystemMessage("be kind"), SystemMessage("be short"), HumanMessage("hi")],
    "system, late": [HumanMessage("hi"), AIMessage("ho"), SystemMessage("be kind"), HumanMessage("hi")],
    "system alone": [SystemMessage("be kind")],
    "human twice": [HumanMessage("hi"), HumanMessage("ho")],
    "AI first": [AIMessage("ho"), HumanMessage("hi")],
    "AI last": [HumanMessage("hi"), AIMessage("ho")],
    "AI with calls": [AIMessage("", tool_calls=[CALL]), ToolMessage("3", tool_call_id="call_1")],
    "AI with calls, no content": [AIMessage([], tool_calls=[CALL]), ToolMessage("3", tool_call_id="call_1")],
    "AI with broken calls": [
        AIMessage("ho", invalid_tool_calls=[{"name": "add", "args": "{", "id": "c", "error": None}]),
        HumanMessage("hi"),
    ],
    "tool, list": [ToolMessage(["3", {"type": "text", "text": "4"}], tool_call_id="call_1")],
    "tool, error": [ToolMessage("no", tool_call_id="call_1", status="error")],
    "function": [FunctionMessage("3", name="add")],
    "chat": [ChatMessage("hi", role="critic")],
    "human chunk": [HumanMessageChunk("hi")],
    "system chunk": [SystemMessageChunk("be kind"), HumanMessage("hi")],
    "AI chunk": [HumanMessage("hi"), AIMessageChunk("ho"), HumanMessage("hi")],
    "tool chunk": [ToolMessageChunk("3", tool_call_id="call_1")],
    "function chunk": [FunctionMessageChunk("3", name="add")],
    "chat chunk": [ChatMessageChunk("hi", role="critic")],
    "name": [HumanMessage("hi", name="ann"), AIMessage("ho", name="bob"), HumanMessage("hi")],
    "v1 reasoning": [
        AIMessage([{"type": "reasoning", "reasoning": "hmm"}, {"type": "text", "text": "ho"}]),
        HumanMessage("hi"),
    ],
    "v1 call": [
        AIMessage([{"type": "text", "text": "ho"}, {**CALL}], response_metadata={"output_version": "v1"}),
        ToolMessage("3", tool_call_id="call_1"),
    ],
    "Anthropic's blocks": [
        AIMessage(
            [
                {"type": "thinking", "thinking": "hmm", "signature": "x"},
                {"type": "text", "text": "ho"},
                {"type": "tool_use", "id": "call_1", "name": "add", "input": {"a": 1}},
            ]
        ),
        ToolMessage("3", tool_call_id="call_1"),
    ],
}


@pytest.mark.parametrize("tool_calling", ["native", "off"])
@pytest.mark.parametrize("messages", LEGAL.values(), ids=LEGAL)
def test_c11_histories_are_not_rewritten(messages: list[BaseMessage], tool_calling: Any) -> None:
    """A model whose tool calls are its own business gets the caller's messages as they are."""
    seen: list[BaseMessage] = []

    @chat_model(tool_calling=tool_calling)
    def recording(request: Request) -> str:
        seen.extend(request.messages)
        return "ok"

    recording().invoke(messages)
    assert messages == seen


SENDABLE = {name: messages for name, messages in LEGAL.items() if not isinstance(messages[-1], ChatMessage)}


@pytest.mark.parametrize("messages", [*SENDABLE.values(), [ChatMessage("hi", role="user")]], ids=[*SENDABLE, "chat"])
def test_c11_every_legal_history_can_be_sent_on(messages: list[BaseMessage]) -> None:
    """Histories of roles that others know have a form for OpenAI's wire and one for models that only complete text."""
    sent = mirror().invoke(messages)
    assert json.loads(sent.text)["messages"]
    assert json.loads(sent.text)["prompt"]


@chat_model
def mirror(request: Request) -> str:
    """Says what it would send."""
    return json.dumps({"messages": request.openai_messages(), "prompt": request.prompt()})


class Strange(BaseMessage):
    """A message of no known type."""

    type: str = "strange"


@pytest.mark.parametrize("stranger", [RemoveMessage(id="1"), Strange("hi")], ids=["remove", "unknown"])
def test_c12_messages_that_no_model_understands_are_refused(
    make_model: MakeModel, call: Path, stranger: BaseMessage
) -> None:
    """A control message, or one of an unknown type, is an error that names it and its place."""
    with pytest.raises(ValueError, match=rf"cannot be given a {type(stranger).__name__} \(\$\.messages\[1\]\)"):
        call(make_model(), [HumanMessage("hi"), stranger])


MEDIA: dict[str, tuple[str, dict[str, Any]]] = {
    "image": ("image", {"type": "image", "base64": PIXEL, "mime_type": "image/png"}),
    "image_url": ("image", {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}),
    "input_image": ("image", {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}),
    "audio": ("audio", {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}),
    "input_audio": ("audio", {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    "audio_url": ("audio", {"type": "audio_url", "audio_url": {"url": "https://films.example/a.wav"}}),
    "video": ("video", {"type": "video", "url": "https://films.example/a.mp4"}),
    "input_video": ("video", {"type": "input_video", "video_url": "https://films.example/a.mp4"}),
    "media": ("video", {"type": "media", "mime_type": "video/mp4", "data": "AAAA"}),
    "file": ("file", {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}),
    "input_file": (
        "file",
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
    ),
    "document": ("file", {"type": "document", "source": {"type": "url", "url": "https://acme.example/a.pdf"}}),
    "non_standard": ("non_standard", {"type": "non_standard", "value": {"a": 1}}),
    "unknown": ("hologram", {"type": "hologram", "data": "x"}),
}


@pytest.mark.parametrize(("medium", "block"), MEDIA.values(), ids=MEDIA)
@pytest.mark.parametrize("message", [HumanMessage, SystemMessage])
def test_c13_content_that_a_model_cannot_take_is_refused(
    make_model: MakeModel, medium: str, block: dict[str, Any], message: Callable[[Any], BaseMessage]
) -> None:
    """An image, and whatever else the model has not declared, is an error that says what to declare: never dropped."""
    expected = rf"not content of type .*\[1\].* `accepts = frozenset\(\{{{medium!r}\}}\)`"
    for path in PATHS.values():
        with pytest.raises(ValueError, match=expected):
            path(make_model(), [message([{"type": "text", "text": "what is this?"}, block])])


RESULTS: dict[str, Callable[[Any], BaseMessage]] = {
    "tool": lambda content: ToolMessage(content, tool_call_id="1"),
    "function": lambda content: FunctionMessage(content=content, name="look"),
    "tool_result": lambda content: HumanMessage([{"type": "tool_result", "tool_use_id": "1", "content": content}]),
}
"""The messages that hold what a tool gave."""


@pytest.mark.parametrize(("medium", "block"), MEDIA.values(), ids=MEDIA)
@pytest.mark.parametrize("result", RESULTS)
def test_c13_what_a_tool_gave_and_a_model_cannot_take_is_said_in_words(
    call: Path, result: str, medium: str, block: dict[str, Any]
) -> None:
    """It does not end an agent: the result names what it was, its text stays, and the answer notes it."""

    @chat_model(accepts=frozenset({"image", "audio", "video", "file", "non_standard"} - {medium}))
    def reader(request: Request) -> str:
        return json.dumps(request.openai_messages()) + request.prompt()

    answer = call(reader(), [RESULTS[result]([{"type": "text", "text": "Look:"}, block])])
    assert answer.text.count("Look:") == answer.text.count("[The tool also gave content that cannot be shown") == 2
    [note] = answer.message.response_metadata["adaptations"]
    said = "said in words what tools gave and the model does not take: "
    names = (block["type"], medium)  # langchain-core writes some of OpenAI's as its standard blocks
    assert note["feature"] == "messages"
    assert note["action"] in [f"{said}{name!r}" for name in names]
    assert any(name in answer.text for name in names)


@pytest.mark.parametrize(("medium", "block"), MEDIA.values(), ids=MEDIA)
def test_c13_content_that_a_model_takes_reaches_it(call: Path, medium: str, block: dict[str, Any]) -> None:
    """What the model has declared is in the messages that its author gets."""

    @chat_model(accepts=frozenset({medium}))
    def looker(request: Request) -> str:
        return repr(request.messages[-1].content)

    shown = call(looker(), [HumanMessage([{"type": "text", "text": "what is this?"}, block])]).text
    data = json.dumps(block).split('"')[-2]
    assert data in shown
