"""The backend's Anthropic dialect, as the API documents it."""

from typing import Any

import pytest
from tests.backend.raw_client import HEADERS, Raw, ask, body_of, get, payload, send

from langplug_backend import Backend, Call, Refusal, Reply, Tokens

THOUGHT_AND_CALL = Reply(thinking="hm hm", text="I add", calls=(Call(name="add", args={"a": 1}, id="toolu_1", cut=4),))


def named(raw: Raw) -> list[tuple[str, Any]]:
    """Each event's name with its data."""
    names = [line[7:] for line in raw.body.decode().split("\n") if line.startswith("event: ")]
    return list(zip(names, raw.events, strict=True))


def test_a_whole_answer(backend: Backend) -> None:
    """A whole answer is a `message` with its blocks; what came from a cache is not among the input tokens."""
    backend.reply = Reply(text="Hello world", usage=Tokens(input=9, output=7, cached=4))
    assert ask(backend, "anthropic", "x", stream=False).json == {
        "id": "msg_0000000000000000",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hello world"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 4,
            "output_tokens": 7,
        },
    }


def test_blocks_of_a_whole_answer(backend: Backend) -> None:
    """Thinking, text and calls are blocks in their order."""
    backend.reply = THOUGHT_AND_CALL
    message = ask(backend, "anthropic", "x", stream=False).json
    assert message["content"] == [
        {"type": "thinking", "thinking": "hm hm", "signature": "c2lnbmF0dXJl"},
        {"type": "text", "text": "I add"},
        {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {"a": 1}},
    ]
    assert "tool_use" == message["stop_reason"]


def test_a_stream(backend: Backend) -> None:
    """A stream opens and closes the message and each block, and every event's name is its type."""
    backend.reply = THOUGHT_AND_CALL
    events = named(ask(backend, "anthropic", "a b c"))
    assert all(name == data["type"] for name, data in events)
    (_, start), *middle, (_, delta), (_, stop) = events
    assert ([], None) == (start["message"]["content"], start["message"]["stop_reason"])
    assert (3, 1) == (start["message"]["usage"]["input_tokens"], start["message"]["usage"]["output_tokens"])
    assert [{**data, "type": name} for name, data in middle] == [
        {"type": "ping"},
        opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
        added(0, {"type": "thinking_delta", "thinking": "hm"}),
        added(0, {"type": "thinking_delta", "thinking": " hm"}),
        added(0, {"type": "signature_delta", "signature": "c2lnbmF0dXJl"}),
        {"type": "content_block_stop", "index": 0},
        opened(1, {"type": "text", "text": ""}),
        added(1, {"type": "text_delta", "text": "I"}),
        added(1, {"type": "text_delta", "text": " add"}),
        {"type": "content_block_stop", "index": 1},
        opened(2, {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}}),
        added(2, {"type": "input_json_delta", "partial_json": ""}),
        added(2, {"type": "input_json_delta", "partial_json": '{"a"'}),
        added(2, {"type": "input_json_delta", "partial_json": ": 1}"}),
        {"type": "content_block_stop", "index": 2},
    ]
    assert {"stop_reason": "tool_use", "stop_sequence": None} == delta["delta"]
    assert (3, 6) == (delta["usage"]["input_tokens"], delta["usage"]["output_tokens"])
    assert {"type": "message_stop"} == stop


def opened(index: int, block: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def added(index: int, delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("reply", "more", "expected"),
    [
        (Reply(text="one END two"), {"stop_sequences": ["END"]}, ("stop_sequence", "END")),
        (Reply(text="one two three"), {"max_tokens": 2}, ("max_tokens", None)),
        (Reply(text="one", finish="content_filter"), {}, ("refusal", None)),
        (Reply(text="one", finish="pause_turn"), {}, ("pause_turn", None)),
    ],
)
def test_why_it_ended(
    reply: Reply, more: dict[str, Any], expected: tuple[str, Any], streaming: bool, backend: Backend
) -> None:
    """The stop reason is in Anthropic's words, and the stop sequence is named."""
    backend.reply = reply
    raw = ask(backend, "anthropic", "x", stream=streaming, **more)
    end = raw.events[-2]["delta"] if streaming else raw.json
    assert expected == (end["stop_reason"], end["stop_sequence"])


def test_usage_that_says_less(backend: Backend) -> None:
    """A final usage leaves out the input tokens at the end; none says zero, since the wire wants a number."""
    backend.queue(Reply(text="a b", usage_mode="final"), Reply(text="a b", usage_mode="none"))
    assert {"output_tokens": 2} == ask(backend, "anthropic", "x").events[-2]["usage"]
    none = ask(backend, "anthropic", "x").events
    assert (0, 0) == (none[0]["message"]["usage"]["input_tokens"], none[-2]["usage"]["output_tokens"])


@pytest.mark.parametrize(
    ("headers", "left_out", "message"),
    [
        ({"x-api-key": "k"}, None, "anthropic-version: header is required"),
        (HEADERS["anthropic"], "max_tokens", "max_tokens: Field required"),
        (HEADERS["anthropic"], "model", "model: Field required"),
        (HEADERS["anthropic"], "messages", "messages: Field required"),
    ],
)
def test_refuses_what_is_incomplete(
    headers: dict[str, str], left_out: str | None, message: str, backend: Backend
) -> None:
    """Without its version header, model, messages or token limit, a request is invalid."""
    body = {key: value for key, value in body_of("anthropic", "x").items() if key != left_out}
    raw = send(backend, payload("POST", "/v1/messages", body, {"connection": "close", **headers}))
    error = {"type": "invalid_request_error", "message": message}
    assert (400, {"type": "error", "error": error, "request_id": "req_0000000000000000"}) == (raw.status, raw.json)


def test_reads_the_request(backend: Backend) -> None:
    """The log holds the request in neutral terms; results of tools are not the user's text."""
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "add it"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "add", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "3"}]},
    ]
    more = {"system": [{"type": "text", "text": "be short"}], "tool_choice": {"type": "any"}, "temperature": 0.5}
    ask(backend, "anthropic", "", messages=messages, **more)
    asked = backend.last.request
    assert asked is not None
    assert ["be short", "add it", "", "3"] == [said.text for said in asked.messages]
    assert ("add it", "required", 1000) == (asked.text, asked.tool_choice, asked.max_tokens)
    assert {"temperature": 0.5} == asked.params
    ask(backend, "anthropic", "x", tool_choice={"type": "tool", "name": "add"})
    assert "add" == (backend.last.request and backend.last.request.tool_choice)


@pytest.mark.parametrize("streaming", [False, True])
def test_a_refusal(streaming: bool, backend: Backend) -> None:
    """A model that declines says so where a message ends, with its words and the category, and in no block."""
    backend.reply = Reply(pieces=("Well, ", Refusal("I will", category="cyber"), Refusal(" not.", category="cyber")))
    raw = ask(backend, "anthropic", "x", stream=streaming)
    end = raw.events[-2]["delta"] if streaming else raw.json
    assert ("refusal", None) == (end["stop_reason"], end["stop_sequence"])
    assert {"type": "refusal", "category": "cyber", "explanation": "I will not."} == end["stop_details"]
    if streaming:
        assert ["Well, "] == [event["delta"]["text"] for event in raw.events if event["type"] == "content_block_delta"]
    else:
        assert [{"type": "text", "text": "Well, "}] == end["content"]


def test_calls_and_tools_are_counted(backend: Backend) -> None:
    """A count of tokens grows with each call of the history and with each tool that is offered."""
    call = {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1}}
    asked = {"messages": [{"role": "assistant", "content": [call]}]}
    twice = {"messages": [{"role": "assistant", "content": [call, call]}]}

    def count(body: dict[str, Any]) -> int:
        headers = {"connection": "close", **HEADERS["anthropic"]}
        counted: int = send(backend, payload("POST", "/v1/messages/count_tokens", body, headers)).json["input_tokens"]
        return counted

    assert 0 < count(asked) < count(twice)
    assert count(asked) < count({**asked, "tools": [{"name": "add", "input_schema": {"type": "object"}}]})


def test_models_and_tokens(backend: Backend) -> None:
    """There is a list of models, told from OpenAI's by the version header, and a count of a request's tokens."""
    listed = get(backend, "/v1/models", HEADERS["anthropic"]).json
    assert (["backend-1"], False) == ([model["id"] for model in listed["data"]], listed["has_more"])
    counted = send(
        backend,
        payload(
            "POST",
            "/v1/messages/count_tokens",
            {"system": "be short", "messages": [{"role": "user", "content": "a b c"}]},
            {"connection": "close", **HEADERS["anthropic"]},
        ),
    )
    assert {"input_tokens": 5} == counted.json
