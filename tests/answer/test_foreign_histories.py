"""Histories of another provider's model: what only that knows is left out of its own turns, and noted."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from tests.paths import PATHS

from langplug import ChatModel, Request, UnsupportedError, chat_model

FOREIGN: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "1", "name": "web_search", "input": {"query": "x"}},
    {"type": "web_search_tool_result", "tool_use_id": "1", "content": []},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "executable_code", "executable_code": "1 + 1", "language": "PYTHON"},
    {"type": "code_execution_result", "code_execution_result": "2", "outcome": 1},
    {"type": "image_generation_call", "id": "ig_1", "result": "QUJD"},
    {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}"},
    {"type": "computer_call", "id": "c", "action": {}},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}},
    {"type": "search_result", "source": "x", "title": "t", "content": []},
    {"type": "container_upload", "file_id": "f"},
    {"type": "compaction", "content": "x"},
    {"type": "non_standard", "value": {"type": "anything"}},
    {"type": "image", "url": "http://localhost/a.png"},
    {"type": "a_kind_of_next_year", "x": 1},
]

TEXT = {"type": "text", "text": "It is so."}


class Mirror(ChatModel):
    """Says what it is sent."""

    def respond(self, request: Request) -> str:
        """The contents of the conversation."""
        return " | ".join(str(turn["content"]) for turn in request.openai_messages())


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("block", FOREIGN, ids=lambda block: block["type"])
def test_what_another_model_did_is_left_out_and_noted(block: dict[str, Any], path: str) -> None:
    """The rest of its turn stays, the caller's message is not touched, and the answer says what was left out."""
    turn = AIMessage([block, dict(TEXT)])
    answered = PATHS[path](Mirror(), [HumanMessage("a"), turn, HumanMessage("b")])
    assert answered.text == "a | It is so. | b"
    assert turn.content == [block, TEXT]
    (note,) = answered.message.response_metadata["adaptations"]
    assert note["feature"] == "messages"
    assert repr(block["type"]) in note["action"]


@pytest.mark.parametrize("block", FOREIGN, ids=lambda block: block["type"])
def test_what_the_model_did_itself_is_no_change(block: dict[str, Any]) -> None:
    """Its own answer, under the name that its server reports, is neither noted nor refused in the next turn."""
    model = Mirror(adaptations="refuse")
    said = {"model_name": f"{model.reported_name}-2026-01-01", "model_provider": model.reported_provider}
    turn = AIMessage([block, dict(TEXT)], response_metadata=said)
    answer = model.invoke([HumanMessage("a"), turn, HumanMessage("b")])
    assert answer.text == "a | It is so. | b"
    assert "adaptations" not in answer.response_metadata
    other = AIMessage([block, dict(TEXT)], response_metadata={**said, "model_provider": "another"})
    with pytest.raises(UnsupportedError, match="messages"):
        model.invoke([HumanMessage("a"), other, HumanMessage("b")])


@pytest.mark.parametrize("kind", ["output_text", "input_text"])
def test_text_by_another_name_is_text(kind: str) -> None:
    """The Responses API's names of text are known, in every message."""
    block = {"type": kind, "text": "hi"}
    answer = Mirror().invoke([HumanMessage([block]), AIMessage([block]), HumanMessage("b")])
    assert answer.text == "hi | hi | b"
    assert "adaptations" not in answer.response_metadata


@pytest.mark.parametrize("message", [HumanMessage, SystemMessage])
def test_what_the_model_is_told_is_never_cut(message: Any) -> None:
    """In the caller's own messages, content that the model does not take is an error; a tool's is said in words."""
    history: list[BaseMessage] = [HumanMessage("a"), message([{"type": "image", "url": "http://localhost/a.png"}])]
    with pytest.raises(ValueError, match="accepts"):
        Mirror().invoke(history)


def test_a_model_that_takes_it_is_given_it() -> None:
    """`accepts` names kinds of blocks, also for the model's own turns."""
    seen: list[Request] = []

    @chat_model(accepts=frozenset({"web_search_call"}))
    def model(request: Request) -> str:
        seen.append(request)
        return "hi"

    turn = AIMessage([{"type": "web_search_call", "id": "1"}])
    model().invoke([HumanMessage("a"), turn, HumanMessage("b")])
    assert seen[0].messages[1] is turn


def test_a_model_that_must_not_be_helped_refuses() -> None:
    """With `adaptations="refuse"` nothing is left out."""
    with pytest.raises(UnsupportedError, match="messages"):
        Mirror(adaptations="refuse").invoke([AIMessage([FOREIGN[0]]), HumanMessage("b")])
