"""The backend's Ollama dialect, as the API documents it."""

from typing import Any

import pytest
from tests.backend.raw_client import ask, get, payload, send

from langplug_backend import Backend, Call, Reply, Tokens

FRAME = {"model": "m", "created_at": "2025-06-15T15:06:40.000000Z"}

END = {
    "done_reason": "stop",
    "done": True,
    "total_duration": 4_883_583_458,
    "load_duration": 1_334_875,
    "prompt_eval_count": 9,
    "prompt_eval_duration": 342_546_000,
    "eval_count": 7,
    "eval_duration": 4_535_599_000,
}


def line(**message: Any) -> dict[str, Any]:
    return {**FRAME, "message": {"role": "assistant", "content": "", **message}, "done": False}


REPLY = Reply(thinking="hm", text="I add", calls=(Call(name="add", args={"a": 1}),), usage=Tokens(input=9, output=7))
CALL = {"function": {"name": "add", "arguments": {"a": 1}}}


def test_a_stream(backend: Backend) -> None:
    """A stream is a line for each piece, calls whole, and a last one with the counts. It is the default."""
    backend.reply = REPLY
    raw = ask(backend, "ollama", "x")
    assert "application/x-ndjson" == raw.headers["content-type"]
    assert raw.events == [
        line(thinking="hm"),
        line(content="I"),
        line(content=" add"),
        line(tool_calls=[CALL]),
        {**FRAME, "message": {"role": "assistant", "content": ""}, **END},
    ]


def test_a_whole_answer(backend: Backend) -> None:
    """A whole answer is one object that holds it all."""
    backend.reply = REPLY
    message = {"role": "assistant", "content": "I add", "thinking": "hm", "tool_calls": [CALL]}
    assert {**FRAME, "message": message, **END} == ask(backend, "ollama", "x", stream=False).json


def test_streams_unless_told_otherwise(backend: Backend) -> None:
    """A request that says nothing of streaming gets a stream."""
    body = {"model": "m", "messages": [{"role": "user", "content": "a b"}]}
    raw = send(backend, payload("POST", "/api/chat", body, {"connection": "close"}))
    assert 3 == len(raw.lines)


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({"stop": ["two"]}, "one ", "stop"),
        ({"num_predict": 2}, "one two", "length"),
        ({"num_predict": -1}, "one two three", "stop"),
    ],
)
def test_options(options: dict[str, Any], text: str, reason: str, backend: Backend) -> None:
    """Stop strings and the token limit stand in the options; a negative limit is none."""
    backend.reply = Reply(text="one two three")
    answer = ask(backend, "ollama", "x", stream=False, options=options).json
    assert (text, reason) == (answer["message"]["content"], answer["done_reason"])


def test_usage_can_be_missing(backend: Backend) -> None:
    """With the mode `none` the counts are left out."""
    backend.reply = Reply(text="a", usage_mode="none")
    assert {"prompt_eval_count", "eval_count"}.isdisjoint(ask(backend, "ollama", "x").events[-1])


def test_a_request_without_messages_loads_the_model(backend: Backend) -> None:
    """Without messages there is nothing but the news that the model is loaded, whatever it would say otherwise."""
    for reply in (Reply(), Reply(text="Hello.")):
        backend.reply = reply
        (event,) = ask(backend, "ollama", "", messages=[]).events
        assert ("load", "") == (event["done_reason"], event["message"]["content"])
        whole = ask(backend, "ollama", "", messages=[], stream=False).json
        assert ("load", "") == (whole["done_reason"], whole["message"]["content"])


def test_reads_the_request(backend: Backend) -> None:
    """The log holds the request in neutral words."""
    messages = [{"role": "user", "content": "add it"}, {"role": "tool", "content": "3", "tool_name": "add"}]
    ask(backend, "ollama", "", messages=messages, options={"stop": ["E"], "num_predict": 5}, think=True)
    asked = backend.last.request
    assert asked is not None
    assert [("user", False), ("tool", True)] == [(said.role, said.result) for said in asked.messages]
    assert ("add it", ("E",), 5, True) == (asked.text, asked.stop, asked.max_tokens, asked.params["think"])


def test_what_it_says_of_its_models(backend: Backend) -> None:
    """There are the list of models, what is known of one, and the version."""
    assert ["backend-1"] == [model["name"] for model in get(backend, "/api/tags").json["models"]]
    shown = send(backend, payload("POST", "/api/show", {"model": "m"}, {"connection": "close"})).json
    assert (8192, True) == (shown["model_info"]["llama.context_length"], "tools" in shown["capabilities"])
    assert "version" in get(backend, "/api/version").json


def test_refuses_a_request_without_a_model(backend: Backend) -> None:
    """An error is an object with its words."""
    raw = ask(backend, "ollama", "x", model="")
    assert (400, {"error": "model is required"}) == (raw.status, raw.json)
