"""What Anthropic's and Cohere's APIs send besides text and calls: thoughts that must come back, sources, own tools."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from tests.models.endpoint.exact_server import exact_server

from langplug.models import ChatHTTP

Event = dict[str, Any]


def model_at(url: str, **settings: Any) -> ChatHTTP:
    return ChatHTTP.from_file("anthropic", base_url=url, model="claude", api_key="k", max_retries=0, **settings)


def events(*blocks: tuple[Event, list[Event]], reason: str = "end_turn") -> list[Event]:
    """A stream of blocks, each as it starts and with its deltas."""
    sent: list[Event] = [{"type": "message_start", "message": {"id": "m", "model": "claude", "content": []}}]
    for index, (start, deltas) in enumerate(blocks):
        sent.append({"type": "content_block_start", "index": index, "content_block": start})
        sent += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        sent.append({"type": "content_block_stop", "index": index})
    end = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}
    return [*sent, end, {"type": "message_stop"}]


THOUGHTS = [
    {"type": "thinking", "thinking": "One.", "signature": "s1"},
    {"type": "redacted_thinking", "data": "RU5D"},
    {"type": "thinking", "thinking": "Two.", "signature": "s2"},
]
USE = {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}
STARTED_USE = ({**USE, "input": {}}, [{"type": "input_json_delta", "partial_json": '{"a": 1}'}])


def thought(text: str, signature: str) -> tuple[Event, list[Event]]:
    pieces = [{"type": "thinking_delta", "thinking": piece} for piece in text]
    start = {"type": "thinking", "thinking": "", "signature": ""}
    return start, [*pieces, {"type": "signature_delta", "signature": signature}]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("version", [None, "v1"])
def test_thoughts_come_back_as_they_came(streams: bool, version: Any) -> None:
    """Several thoughts, each with its signature, and encrypted ones go back in order in the loop, to that API alone."""
    whole = {"content": [*THOUGHTS, USE], "stop_reason": "tool_use", "model": "claude"}
    pieces = events(thought("One.", "s1"), (THOUGHTS[1], []), thought("Two.", "s2"), STARTED_USE, reason="tool_use")
    with exact_server(lambda _: pieces if streams else whole) as server:
        model = model_at(server.url, output_version=version)
        said = add_up(model.stream("?")) if streams else model.invoke("?")
        history = [HumanMessage("?"), said, ToolMessage("1", tool_call_id="t1")]
        model.invoke(history)
        assert [*THOUGHTS, USE] == server.bodies[-1]["messages"][1]["content"]
        model.invoke([*history, AIMessage("1"), HumanMessage("and?")])
        assert [USE] == server.bodies[-1]["messages"][1]["content"]
    with exact_server(lambda _: whole) as other:
        model_at(other.url).invoke(history)
        assert [USE] == other.bodies[-1]["messages"][1]["content"]


def add_up(chunks: Any) -> Any:
    first, *rest = chunks
    return first + rest


PLACE = {"type": "web_search_result_location", "url": "https://e.example", "title": "E", "cited_text": "said"}
CITATION = {"type": "citation", "url": "https://e.example", "title": "E", "cited_text": "said"}
SEARCH = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "e"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "url": "u"}]}
SEARCHED = [
    {"type": "server_tool_call", "id": "s1", "name": "web_search", "args": {"query": "e"}},
    {
        "type": "server_tool_result",
        "tool_call_id": "s1",
        "output": FOUND["content"],
        "status": "success",
    },
]


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_a_search_is_no_call(streams: bool) -> None:
    """What the provider runs itself, and what it found, are blocks; what is said of that cites its sources."""
    whole = {
        "content": [SEARCH, FOUND, {"type": "text", "text": "It is E.", "citations": [PLACE]}, USE],
        "stop_reason": "tool_use",
        "model": "claude",
    }
    query = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"que', 'ry": "e"}')]
    text = [
        {"type": "text_delta", "text": "It is "},
        {"type": "citations_delta", "citation": PLACE},
        {"type": "text_delta", "text": "E."},
    ]
    pieces = events(({**SEARCH, "input": {}}, query), (FOUND, []), ({"type": "text", "text": ""}, text), STARTED_USE)
    with exact_server(lambda _: pieces if streams else whole) as server:
        model = model_at(server.url, output_version="v1")
        said = add_up(model.stream("?")) if streams else model.invoke("?")
    content: Any = said.content
    blocks = [{key: value for key, value in block.items() if key != "index"} for block in content]
    cited = {"type": "text", "text": "It is E.", "annotations": [CITATION]}
    assert [*SEARCHED, cited, {"type": "tool_call", "name": "add", "args": {"a": 1}, "id": "t1"}] == blocks
    assert ([], "It is E.") == (said.invalid_tool_calls, said.text)


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "streamed"])
def test_cohere_cites(streams: bool) -> None:
    """The documents that Cohere cites are annotations of the text."""
    cited = {"start": 0, "end": 2, "text": "It", "sources": [{"type": "document", "id": "d"}]}
    end = {"type": "message-end", "delta": {"finish_reason": "COMPLETE"}}
    pieces = [
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "It is E."}}}},
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": cited}}},
        end,
    ]
    message = {"role": "assistant", "content": [{"type": "text", "text": "It is E."}], "citations": [cited]}
    with exact_server(lambda _: pieces if streams else {"message": message, "finish_reason": "COMPLETE"}) as server:
        model = ChatHTTP.from_file("cohere", base_url=server.url, model="c", api_key="k", output_version="v1")
        said = add_up(model.stream("?")) if streams else model.invoke("?")
    extras = {"text": "It", "sources": cited["sources"]}
    note = {"type": "citation", "start_index": 0, "end_index": 2, "extras": extras}
    content: Any = said.content
    assert [("It is E.", [note])] == [(block["text"], block["annotations"]) for block in content]
