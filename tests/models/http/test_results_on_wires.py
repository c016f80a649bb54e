"""What tools give, on each wire: media, MCP's resources, and what a model cannot be shown."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from tests.models.http.canned import Canned, CannedServer

from langplug import Request
from langplug.models import ChatEndpoint, ChatHTTP

PNG = "iVBORw0KGgo="
PICTURE: dict[str, Any] = {"type": "image", "base64": PNG, "mime_type": "image/png"}
SENT = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
OPENAI = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"ok"},"finish_reason":"stop"}]}'
ANTHROPIC = b'{"type":"message","role":"assistant","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn"}'

Make = Callable[..., BaseChatModel]


def calls(*names: str) -> AIMessage:
    called = [{"name": name, "args": {}, "id": f"id_{name}", "type": "tool_call"} for name in names]
    return AIMessage("", tool_calls=called)


def result(name: str, *content: Any, **more: Any) -> ToolMessage:
    return ToolMessage(list(content), tool_call_id=f"id_{name}", **more)


@pytest.fixture
def server() -> Iterator[CannedServer]:
    """A server that answers on either wire."""
    with CannedServer() as server:
        yield server


@pytest.fixture
def make(server: CannedServer) -> Iterator[Make]:
    """Makes a model of either wire."""
    made: list[Any] = []

    def make(wire: str, **settings: Any) -> BaseChatModel:
        given: dict[str, Any] = {"model": "m", "max_retries": 0, **settings}
        server.answer = Canned(pieces=[OPENAI if wire == "openai" else ANTHROPIC])
        if wire == "openai":
            made.append(ChatEndpoint(base_url=f"{server.url}/v1", **given))
        else:
            made.append(ChatHTTP.from_file("anthropic", base_url=server.url, api_key="k", **given))
        return made[-1]  # type: ignore[no-any-return]

    yield make
    for model in made:
        model.close()


def sent(server: CannedServer) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = json.loads(server.last.body)["messages"]
    return messages


# --- media ---


def test_media_of_results_move_into_a_message_of_the_user(make: Make, server: CannedServer) -> None:
    """After the whole run of results, each with a sentence that names its call; text stays, and nothing is lost."""
    make("openai").invoke(
        [
            HumanMessage("Look."),
            calls("shot", "name", "draw"),
            result("shot", "Here:", PICTURE, "done"),
            ToolMessage("n", tool_call_id="id_name"),
            result("draw", PICTURE),
            HumanMessage("Well?"),
        ]
    )
    _, asked, *results, moved, last = sent(server)
    assert [call["id"] for call in asked["tool_calls"]] == ["id_shot", "id_name", "id_draw"]
    assert [turn["role"] for turn in results] == ["tool"] * 3
    assert [turn["content"] for turn in results[:2]] == ["Here:\ndone", "n"]
    assert results[2]["content"]
    assert isinstance(results[2]["content"], str)
    first, one, second, two = moved["content"]
    assert (moved["role"], one, two) == ("user", SENT, SENT)
    assert "shot" in first["text"]
    assert "id_shot" in first["text"]
    assert "draw" in second["text"]
    assert last == {"role": "user", "content": "Well?"}


def test_media_at_the_end_of_a_conversation_move_as_well(make: Make, server: CannedServer) -> None:
    """As in an agent, where the results come last; a failed call still says that it failed."""
    make("openai").invoke([HumanMessage("Look."), calls("shot"), result("shot", PICTURE, status="error")])
    failed, moved = sent(server)[-2:]
    assert failed["content"].startswith("Error")
    assert moved["content"][1] == SENT


def test_pictures_of_an_answer_move_as_well(make: Make, server: CannedServer) -> None:
    """OpenAI's API takes images from users alone: one that the model has drawn comes before what the user says next."""
    drawn = AIMessage([{"type": "text", "text": "Here."}, PICTURE])
    make("openai").invoke([HumanMessage("Draw."), drawn, HumanMessage("Bigger.")])
    assert [turn["role"] for turn in sent(server)] == ["user", "assistant", "user", "user"]
    assert sent(server)[1]["content"] == "Here."
    assert sent(server)[2]["content"][1] == SENT


def test_media_of_the_user_stay_where_they_are(make: Make, server: CannedServer) -> None:
    """Nothing moves that need not, and nothing is added."""
    make("openai").invoke([HumanMessage(["Look:", PICTURE])])
    assert sent(server) == [{"role": "user", "content": [{"type": "text", "text": "Look:"}, SENT]}]


def test_where_media_go_is_a_parameter() -> None:
    """For servers that take them in any message, as authors say in `respond`."""
    request = Request(messages=(HumanMessage("Look."), calls("shot"), result("shot", "Here:", PICTURE)))
    assert request.openai_messages(media_in="any")[-1]["content"] == [{"type": "text", "text": "Here:"}, SENT]
    assert request.openai_messages()[-2]["content"] == "Here:"
    assert request.openai_messages()[-1]["role"] == "user"


def test_anthropic_takes_media_in_results(make: Make, server: CannedServer) -> None:
    """There they stay in the result, which says whether the tool failed."""
    make("anthropic").invoke([HumanMessage("Look."), calls("shot"), result("shot", "Here:", PICTURE, status="error")])
    [block] = sent(server)[-1]["content"]
    assert (block["type"], block["tool_use_id"], block["is_error"]) == ("tool_result", "id_shot", True)
    assert block["content"][-1] == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
    }


# --- MCP's blocks, raw and as langchain-mcp-adapters writes them ---

LINK = {
    "type": "resource_link",
    "uri": "file:///project/main.rs",
    "name": "main.rs",
    "description": "Primary entry point",
    "mimeType": "text/x-rust",
}
MCP: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "resource_link": (LINK, ("file:///project/main.rs", "main.rs", "Primary entry point", "text/x-rust")),
    "resource_link of a name": ({"type": "resource_link", "uri": "a://b", "name": "b"}, ("a://b",)),
    "resource of text": (
        {"type": "resource", "resource": {"uri": "a://b", "mimeType": "text/plain", "text": "fn main()"}},
        ("a://b", "fn main()"),
    ),
    "resource of text as a blob": (
        {"type": "resource", "resource": {"uri": "a://b", "mimeType": "text/plain", "blob": "Zm4gbWFpbigp"}},
        ("a://b", "fn main()"),
    ),
    "file at an address": ({"type": "file", "url": "https://e.example/a.pdf"}, ("https://e.example/a.pdf",)),
    "file at an address, with a type": (
        {"type": "file", "id": "lc_1", "url": "a://b", "mime_type": "text/x-rust"},
        ("a://b", "text/x-rust"),
    ),
    "resource whose blob is broken": (
        {"type": "resource", "resource": {"uri": "a://b", "mimeType": "text/plain", "blob": "Z"}},
        ("a://b", "cannot be shown"),
    ),
    "structured": ({"temperature": 21}, ('"temperature": 21',)),
}


@pytest.mark.parametrize("accepts", [frozenset(), frozenset({"image", "audio", "file"})], ids=["text", "media"])
@pytest.mark.parametrize("kind", MCP)
def test_resources_of_mcp_are_told_to_any_model(
    kind: str, accepts: frozenset[str], make: Make, server: CannedServer
) -> None:
    """A link as a line that names it, a resource as its text: whatever the model accepts, nothing ends the agent."""
    block, words = MCP[kind]
    make("openai", accepts=accepts).invoke([HumanMessage("Go."), calls("read"), result("read", "Read:", block)])
    content = sent(server)[-1]["content"]
    assert content.startswith("Read:\n")
    for word in words:
        assert word in content


@pytest.mark.parametrize(
    ("resource", "part"),
    [
        ({"mimeType": "image/png", "blob": PNG}, SENT),
        (
            {"mimeType": "audio/wav", "blob": "QUJD"},
            {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}},
        ),
        (
            {"mimeType": "application/pdf", "blob": "QUJD"},
            {"type": "file", "file": {"filename": "x.pdf", "file_data": "data:application/pdf;base64,QUJD"}},
        ),
    ],
)
def test_a_blob_is_the_medium_that_it_holds(
    resource: dict[str, Any], part: dict[str, Any], make: Make, server: CannedServer
) -> None:
    """For a model that takes it; for another one, a sentence in its place, which is noted."""
    block = {"type": "resource", "resource": {"uri": "file:///x.pdf", **resource}}
    conversation = [HumanMessage("Go."), calls("read"), result("read", "Read:", block)]
    answer = make("openai").invoke(conversation)
    assert sent(server)[-1]["content"][-1] == part
    assert "adaptations" not in answer.response_metadata
    answer = make("openai", accepts=frozenset()).invoke(conversation)
    assert "cannot be shown" in sent(server)[-1]["content"]
    assert resource["mimeType"] in sent(server)[-1]["content"]
    [note] = answer.response_metadata["adaptations"]
    assert "tools gave" in note["action"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text"},
        {"type": "text", "text": None},
        {"type": "output_text", "text": 3},
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "thinking", "thinking": "hm"},
        {"type": "tool_call", "name": "f", "args": {}, "id": "1"},
        {"type": "tool_use", "name": "f", "input": {}, "id": "1"},
        {"type": "refusal", "refusal": "no"},
        {"type": "resource", "resource": {"uri": "file:///a.txt", "mimeType": "text/plain", "blob": "Q"}},
        {"type": "resource"},
        {"type": "a_kind_of_next_year"},
    ],
    ids=str,
)
@pytest.mark.parametrize("wire", ["openai", "anthropic"])
def test_what_no_result_can_hold_is_said_and_noted(
    block: dict[str, Any], wire: str, make: Make, server: CannedServer
) -> None:
    """On each wire: the agent goes on, and the answer says what its model was not shown."""
    answer = make(wire).invoke([HumanMessage("Go."), calls("read"), result("read", "Read:", block)])
    assert "cannot be shown" in str(sent(server)[-1]["content"])
    [note] = answer.response_metadata["adaptations"]
    assert repr(block["type"]) in note["action"]


def test_a_resource_without_its_body_is_an_address(make: Make, server: CannedServer) -> None:
    """As a link to it would be; an empty text is its text."""
    resource: dict[str, Any] = {"uri": "file:///a.pdf", "mimeType": "application/pdf"}
    for more, said in (
        ({}, "Resource link: file:///a.pdf (application/pdf)"),
        ({"text": ""}, "Resource file:///a.pdf:\n"),
    ):
        block = {"type": "resource", "resource": {**resource, **more}}
        make("openai").invoke([HumanMessage("Go."), calls("read"), result("read", block)])
        assert sent(server)[-1]["content"] == said


def test_raw_media_of_mcp_are_media(make: Make, server: CannedServer) -> None:
    """Their MIME type is called `mimeType` there."""
    raw = {"type": "image", "data": PNG, "mimeType": "image/png", "annotations": {"audience": ["user"]}, "_meta": {}}
    make("openai").invoke([HumanMessage("Go."), calls("shot"), result("shot", "Here:", raw)])
    assert sent(server)[-1]["content"][-1] == SENT


@pytest.mark.parametrize("block", [LINK, MCP["resource of text"][0], {"type": "file", "url": "https://e.example/a"}])
def test_what_the_user_says_is_refused_all_the_same(block: dict[str, Any], make: Make) -> None:
    """A user's content that cannot be shown stays an error: the model would answer about what it never saw."""
    with pytest.raises(ValueError, match=r"content\[1\]"):
        make("openai").invoke([HumanMessage(["Look:", block])])


def test_an_agent_goes_on_after_what_its_model_cannot_be_shown(
    make: Make, server: CannedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop ends with the model's answer, which notes what was said in words."""

    @tool
    def look() -> list[dict[str, Any]]:
        """Looks."""
        return [{"type": "text", "text": "Here:"}, PICTURE]

    model = make("openai", accepts=frozenset())
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    asked = {"index": 0, "message": {"role": "assistant", "tool_calls": [call]}, "finish_reason": "tool_calls"}
    answers, serve = [json.dumps({"choices": [asked]}).encode(), OPENAI], server.serve

    def serve_next(handler: Any) -> None:
        server.answer = Canned(pieces=[answers.pop(0)])
        serve(handler)

    monkeypatch.setattr(server, "serve", serve_next)
    state = create_agent(model, [look]).invoke({"messages": [HumanMessage("Look.")]})
    assert state["messages"][-1].text == "ok"
    assert "cannot be shown" in sent(server)[-1]["content"]
    assert state["messages"][-1].response_metadata["adaptations"]


@pytest.mark.parametrize("kind", ["server_tool_call", "server_tool_result"])
def test_steps_of_a_provider_s_own_tools_are_left_out_with_a_note(kind: str, make: Make, server: CannedServer) -> None:
    """As every other block of a model's own that this one does not know."""
    step = {"type": kind, "id": "s1", "tool_call_id": "s1", "name": "web_search", "args": {}, "status": "success"}
    history: list[BaseMessage] = [HumanMessage("Hi"), AIMessage([step, {"type": "text", "text": "So."}])]
    answer = make("openai").invoke([*history, HumanMessage("And?")])
    assert sent(server)[1] == {"role": "assistant", "content": "So."}
    [note] = answer.response_metadata["adaptations"]
    assert kind in note["action"]
