"""The conversation as Anthropic's Messages API takes it: what it refuses is not sent, and what it has is."""

import base64
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from tests.models.http.canned import Canned, CannedServer

from langplug import Request
from langplug._http.dialects import DIALECTS
from langplug.models import ChatHTTP

ANSWER = b'{"type":"message","role":"assistant","content":[{"type":"text","text":"ok"}],"stop_reason":"end_turn"}'
CACHED = {"type": "ephemeral"}
URL = "https://e.example/a.pdf"
NOTHING = {"role": "user", "content": [{"type": "text", "text": "(nothing)"}]}

Send = Callable[..., dict[str, Any]]


@pytest.fixture
def send() -> Iterator[Send]:
    """Sends a conversation, and gives the body that the server got."""
    with CannedServer() as server:
        server.answer = Canned(pieces=[ANSWER])

        def send(*messages: BaseMessage, **settings: Any) -> dict[str, Any]:
            base: dict[str, Any] = {"model": "m", "base_url": server.url, "api_key": "k", "max_retries": 0}
            model = ChatHTTP.from_file("anthropic", **{**base, **settings})
            model.invoke(list(messages))
            model.close()
            body: dict[str, Any] = json.loads(server.last.body)
            return body

        yield send


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def calling(call_id: str, *content: Any, **kwargs: Any) -> AIMessage:
    call = {"name": "add", "args": {}, "id": call_id, "type": "tool_call"}
    return AIMessage(list(content), tool_calls=[call], additional_kwargs=kwargs)


# --- documents and images ---

PDF = {"type": "base64", "media_type": "application/pdf", "data": "QUJD"}
ABOUT = {"title": "A", "context": "Of 2026.", "citations": {"enabled": True}, "cache_control": CACHED}
TEXT_SOURCE = {"type": "text", "media_type": "text/plain", "data": "a"}
SENT: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "document", "source": TEXT_SOURCE, **ABOUT}, {"type": "document", "source": TEXT_SOURCE, **ABOUT}),
    (
        {"type": "document", "source": {"type": "content", "content": [text("a")]}, **ABOUT},
        {"type": "document", "source": {"type": "content", "content": [text("a")]}, **ABOUT},
    ),
    (
        {"type": "document", "source": {"type": "url", "url": URL}},
        {"type": "document", "source": {"type": "url", "url": URL}},
    ),
    ({"type": "document", "source": PDF, "id": "x", "index": 0}, {"type": "document", "source": PDF}),
    ({"type": "file", "url": URL, **ABOUT}, {"type": "document", "source": {"type": "url", "url": URL}, **ABOUT}),
    (
        {"type": "file", "base64": "QUJD", "mime_type": "application/pdf", "extras": ABOUT},
        {"type": "document", "source": PDF, **ABOUT},
    ),
    (
        {"type": "file", "file_id": "f1", "extras": {"citations": {"enabled": True}}},
        {"type": "document", "source": {"type": "file", "file_id": "f1"}, "citations": {"enabled": True}},
    ),
    (
        {"type": "file", "base64": base64.b64encode(b"a").decode(), "mime_type": "text/plain", "filename": "a.txt"},
        {"type": "document", "source": TEXT_SOURCE, "title": "a.txt"},
    ),
    (
        {"type": "text-plain", "text": "a", "mime_type": "text/plain", **ABOUT},
        {"type": "document", "source": TEXT_SOURCE, **ABOUT},
    ),
    ({"type": "text-plain", "text": "a", "mime_type": "text/plain"}, text("a")),
    ({"type": "image", "file_id": "f1"}, {"type": "image", "source": {"type": "file", "file_id": "f1"}}),
    ({"type": "image", "url": URL}, {"type": "image", "source": {"type": "url", "url": URL}}),
    (
        {"type": "image", "source": {"type": "url", "url": URL}, "cache_control": CACHED},
        {"type": "image", "source": {"type": "url", "url": URL}, "cache_control": CACHED},
    ),
]


@pytest.mark.parametrize(("block", "sent"), SENT, ids=lambda block: str(block)[:60])
@pytest.mark.parametrize("in_result", [False, True])
def test_documents_and_images_are_sent_whole(
    block: dict[str, Any], sent: dict[str, Any], in_result: bool, send: Send
) -> None:
    """In Anthropic's own form and in LangChain's, with title, context and citations; also in the result of a tool."""
    if not in_result:
        assert send(HumanMessage(["Look:", block]))["messages"][0]["content"][-1] == sent or sent == text("a")
        return
    body = send(HumanMessage("Hi"), calling("c1"), ToolMessage(["Look:", block], tool_call_id="c1"))
    [given] = body["messages"][-1]["content"]
    assert given["content"][-1] == {key: sent[key] for key in sent if key != "cache_control"} or sent == text("a")
    assert given.get("cache_control") == sent.get("cache_control")


def test_blocks_of_the_api_s_own_pass(send: Send) -> None:
    """What the model is said to accept, and langplug does not know, goes as it is."""
    found = {
        "type": "search_result",
        "source": URL,
        "title": "A",
        "content": [text("a")],
        "citations": {"enabled": True},
    }
    body = send(HumanMessage(["See:", found]), accepts=frozenset({"search_result"}))
    assert body["messages"][0]["content"][-1] == found


# --- what the API refuses ---


@pytest.mark.parametrize("blank", ["", " ", "\n\t", [], [""], [{"type": "text", "text": " "}]])
def test_an_empty_input_is_said_in_words(blank: Any, send: Send) -> None:
    """The API refuses an empty conversation and blank text: a user who says nothing is shown to say so."""
    assert send(HumanMessage(blank))["messages"] == [NOTHING]
    assert send(SystemMessage("Be brief."), HumanMessage(blank))["messages"] == [NOTHING]
    assert send(SystemMessage("Be brief."))["messages"] == [NOTHING]
    hello = [HumanMessage("Hi"), AIMessage("Hello")]
    assert send(*hello, HumanMessage(blank))["messages"][-1] == NOTHING
    assert send(HumanMessage(blank), HumanMessage("Hi"))["messages"] == [{"role": "user", "content": [text("Hi")]}]
    assert send(HumanMessage("Hi"), HumanMessage(blank))["messages"] == [{"role": "user", "content": [text("Hi")]}]
    assert "system" not in send(SystemMessage(blank), HumanMessage("Hi"))


def test_space_at_the_end_of_the_last_answer_is_left_out(send: Send) -> None:
    """The API refuses it where the model is to go on with the answer; elsewhere, text is as it was."""
    body = send(HumanMessage("Hi "), AIMessage("Hello \n"), HumanMessage("Say it."), AIMessage("It is \n"))
    assert [message["content"][0]["text"] for message in body["messages"]] == ["Hi ", "Hello \n", "Say it.", "It is"]


@pytest.mark.parametrize("call_id", ["functions.add:0", "call 1", "ü", "a" * 70 + "."])
def test_ids_of_other_providers_are_written_in_letters_that_the_api_takes(call_id: str, send: Send) -> None:
    """In the call and in its result alike; two that differ stay two."""
    other = f"{call_id}!"
    body = send(
        HumanMessage("Hi"),
        AIMessage(
            "", tool_calls=[*calling(call_id).tool_calls, *calling(other).tool_calls, *calling("ok_-1").tool_calls]
        ),
        *(ToolMessage("2", tool_call_id=one) for one in (call_id, other, "ok_-1")),
    )
    ids = [block["id"] for block in body["messages"][1]["content"]]
    assert ids == [block["tool_use_id"] for block in body["messages"][2]["content"]]
    assert len(set(ids)) == 3
    assert ids[2] == "ok_-1"
    assert all(one.replace("-", "").replace("_", "").isascii() and one.replace("_", "a").isalnum() for one in ids[:2])


@pytest.mark.parametrize("failed", [ToolMessage("no", tool_call_id="c1", status="error"), HumanMessage(
    [{"type": "tool_result", "tool_use_id": "c1", "content": "no", "is_error": True}])])  # fmt: skip
def test_a_failed_tool_is_said_to_have_failed(failed: BaseMessage, send: Send) -> None:
    """In the API's own word for it, whoever wrote the result."""
    [block] = send(HumanMessage("Hi"), calling("c1"), failed)["messages"][-1]["content"]
    assert block["is_error"] is True


# --- reasoning ---

SIGNED = {"type": "thinking", "thinking": "so", "signature": "c2ln"}
HIDDEN = {"type": "redacted_thinking", "data": "ZGF0YQ=="}
STANDARD = {"type": "reasoning", "reasoning": "so", "extras": {"signature": "c2ln"}}


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ([SIGNED, text("Well.")], [SIGNED, text("Well.")]),
        ([{**SIGNED, "index": 0}, HIDDEN, text("Well.")], [SIGNED, HIDDEN, text("Well.")]),
        ([STANDARD, text("Well.")], [SIGNED, text("Well.")]),
        ([text("a"), SIGNED, text("b"), HIDDEN], [text("a"), SIGNED, text("b"), HIDDEN]),
        ([{"type": "non_standard", "value": HIDDEN}, text("Well.")], [HIDDEN, text("Well.")]),
        ([{"type": "reasoning", "reasoning": "unsigned"}, text("Well.")], [text("Well.")]),
    ],
    ids=["signed", "hidden", "standard", "between", "non_standard", "unsigned"],
)
def test_thoughts_go_back_in_their_places(content: list[Any], sent: list[Any], send: Send) -> None:
    """Signed and encrypted ones as they came and in their order, before the call; unsigned ones not at all."""
    settings = {"accepts": frozenset({"non_standard"})}
    body = send(HumanMessage("Hi"), calling("c1", *content), ToolMessage("2", tool_call_id="c1"), **settings)
    *blocks, call = body["messages"][1]["content"]
    assert call["type"] == "tool_use"
    assert blocks == sent
    body = send(HumanMessage("Hi"), calling("c1", *content), HumanMessage("?"), **settings)
    assert not {"thinking", "redacted_thinking"} & {block["type"] for block in body["messages"][1]["content"]}


def lines_of(blocks: list[dict[str, Any]]) -> Iterator[bytes]:
    """An answer of these blocks as the events of a stream, in which text, thoughts and arguments come in pieces."""
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {"id": "m", "role": "assistant"}}]
    for number, block in enumerate(blocks):
        of_kind: dict[str, list[tuple[str, str, Any]]] = {
            "text": [("text_delta", "text", one) for one in block.get("text", "")],
            "thinking": [
                *(("thinking_delta", "thinking", one) for one in block.get("thinking", "")),
                ("signature_delta", "signature", block.get("signature")),
            ],
            "tool_use": [("input_json_delta", "partial_json", one) for one in ("", "{", "}")],
        }
        empty = {"text": {"text": ""}, "thinking": {"thinking": "", "signature": ""}}.get(block["type"], {})
        deltas = of_kind.get(block["type"], [])
        events.append({"type": "content_block_start", "index": number, "content_block": {**block, **empty}})
        for kind, name, piece in deltas:
            events.append({"type": "content_block_delta", "index": number, "delta": {"type": kind, name: piece}})
        events.append({"type": "content_block_stop", "index": number})
    reason = "tool_use" if any(block["type"] == "tool_use" for block in blocks) else "end_turn"
    events += [{"type": "message_delta", "delta": {"stop_reason": reason}}, {"type": "message_stop"}]
    return (f"event: {one['type']}\ndata: {json.dumps(one)}\n\n".encode() for one in events)


def in_order(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same with what stands between two thoughts in one form: its text as one, then its calls."""
    ordered: list[dict[str, Any]] = []
    said, calls = "", list[dict[str, Any]]()
    for block in [*blocks, None]:
        if block is not None and block["type"] == "text":
            said += block["text"]
        elif block is not None and block["type"] == "tool_use":
            calls.append(block)
        else:
            ordered += [*([text(said)] if said.strip() else []), *calls, *([block] if block else [])]
            said, calls = "", []
    return ordered


ANSWERS = st.lists(st.sampled_from(["text", "blank", "thinking", "redacted", "call"]), min_size=1, max_size=7).map(
    lambda kinds: [
        {
            "text": text(f"Text {number}"),
            "blank": text("\n\n"),
            "thinking": {"type": "thinking", "thinking": f"Thought {number}", "signature": f"s{number}"},
            "redacted": {"type": "redacted_thinking", "data": f"d{number}"},
            "call": {"type": "tool_use", "id": f"c{number}", "name": "add", "input": {}},
        }[kind]
        for number, kind in enumerate([*kinds, "call"])
    ]
)


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("streams", [False, True])
def test_thoughts_of_any_answer_go_back_between_what_they_came_between(version: Any, streams: bool) -> None:
    """The API checks that the thoughts of a turn under way are as it gave them, in their places among the rest."""
    with CannedServer() as server:
        model = ChatHTTP.from_file(
            "anthropic", model="m", base_url=server.url, api_key="k", max_retries=0, output_version=version
        )

        @limits(max_examples=40)
        @given(ANSWERS)
        def check(blocks: list[dict[str, Any]]) -> None:
            whole = {"type": "message", "role": "assistant", "content": blocks, "stop_reason": "tool_use"}
            server.answer = Canned(pieces=[json.dumps(whole).encode()])
            if streams:
                server.answer = Canned(pieces=list(lines_of(blocks)), type="text/event-stream")
            answer: Any = None
            for chunk in model.stream("Hi") if streams else [model.invoke("Hi")]:
                answer = chunk if answer is None else answer + chunk
            results = [ToolMessage("2", tool_call_id=call["id"]) for call in answer.tool_calls]
            server.answer = Canned(pieces=[ANSWER])
            model.invoke([HumanMessage("Hi"), answer, *results])
            assert in_order(json.loads(server.last.body)["messages"][1]["content"]) == in_order(blocks)

        check()
        model.close()


def test_the_system_is_blocks_only_where_keys_are(send: Send) -> None:
    """Else it is the one text that it was, or a cached prompt would count as another one."""
    several = [SystemMessage("a"), SystemMessage(["b", "c"])]
    assert send(*several, HumanMessage("Hi"))["system"] == "a\n\nb\nc"
    cached = SystemMessage([{**text("d"), "cache_control": CACHED}])
    assert send(*several, cached, HumanMessage("Hi"))["system"] == [
        text("a"),
        text("b\nc"),
        {**text("d"), "cache_control": CACHED},
    ]


# --- any conversation ---

SAID: st.SearchStrategy[Any] = st.sampled_from(["", " ", "a", "b \n"]).flatmap(
    lambda said: st.sampled_from([said, [said], [text(said), "c"]])
)
MESSAGES = st.lists(
    SAID.map(HumanMessage)
    | SAID.map(AIMessage)
    | SAID.map(SystemMessage)
    | SAID.map(lambda said: ChatMessage(role="user", content=said))
    | SAID.map(lambda said: ToolMessage(said, tool_call_id="c.1", status="error"))
    | st.just(calling("c.1"))
    | st.just(calling("c2", SIGNED)),
    max_size=7,
)


@given(MESSAGES, st.sampled_from(["never", "current", "all"]))
def test_no_conversation_is_refused_for_its_form(messages: list[BaseMessage], keep: Any) -> None:
    """Roles alternate, nothing is empty or blank, and the last answer has no space at its end."""
    sent = DIALECTS["anthropic"]["messages"](Request(messages=tuple(messages), keep_reasoning=keep))
    roles = [message["role"] for message in sent]
    assert all(one != other for one, other in pairwise(roles))
    assert sent
    for message in sent:
        assert message["content"]
        assert all(block["text"].strip() for block in message["content"] if block["type"] == "text")
    last = sent[-1]["content"][-1]
    if roles[-1] == "assistant" and last["type"] == "text":
        assert last["text"] == last["text"].rstrip()
