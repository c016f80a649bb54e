"""Open WebUI's way of calling: the models, then streams, with all that it sends beside what it says.

It asks with aiohttp: `GET /models`, `POST /chat/completions`. Its bodies hold the parameters that a user has set for a
model, `stream_options` in every stream, and fields of gateways' own.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.client import chunks_of, send
from tests.serve.served_models import serving

from langplug import Reasoning, ToolCall
from langplug.models import ChatScripted

PIXEL = "data:image/png;base64,iVBORw0KGgo="
HEADERS = {
    "Authorization": "Bearer sk-1",
    "X_OpenWebUI_User_Name": "Bo",
    "X_OpenWebUI_User_Id": "1",
    "X_OpenWebUI_User_Email": "bo@example.test",
    "X_OpenWebUI_User_Role": "admin",
    "X_OpenWebUI_Chat_Id": "c1",
}

TOOL = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "The time.",
        "parameters": {"type": "object", "properties": {}, "required": []},
    },
}

BODIES: dict[str, dict[str, Any]] = {
    "a chat": {
        "stream": True,
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "stream_options": {"include_usage": True},
    },
    "with what a user has set": {
        "stream": True,
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "min_p": 0,
        "max_tokens": 512,
        "frequency_penalty": 0,
        "presence_penalty": 0,
        "seed": 42,
        "stop": ["\n\nUser:"],
        "logit_bias": {"50256": -100},
        "reasoning": {"effort": "medium"},
        "stream_options": {"include_usage": True},
    },
    "an image, and marks for a cache": {
        "stream": True,
        "model": "m",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Yes?"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral"}},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ],
            },
        ],
        "stream_options": {"include_usage": True},
    },
    "a tool and its result": {
        "stream": True,
        "model": "m",
        "messages": [
            {"role": "user", "content": "What time is it?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {"index": 0, "id": "c1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "noon"},
        ],
        "tools": [TOOL],
        "stream_options": {"include_usage": True},
    },
    "a title, which is not streamed": {
        "model": "m",
        "messages": [{"role": "user", "content": "### Task:\nGenerate a title."}],
        "stream": False,
        "max_completion_tokens": 1000,
    },
}


class Sees(ChatScripted):
    accepts = frozenset({"image"})


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    model = Sees(replies=[[Reasoning("Hm."), "It is ", "noon."]], when_exhausted="repeat")
    with serving({"m": model}, api_key="sk-1") as base:
        yield base


def test_it_finds_the_models(url: str) -> None:
    """The list has what it shows and asks by: `data`, and in it an `id` each."""
    status, _, text = send(url, path="/v1/models", method="GET", **HEADERS)
    listed = json.loads(text)
    assert (status, listed["object"], [one["id"] for one in listed["data"]]) == (200, "list", ["m"])
    assert send(url, path="/v1/models", method="GET")[0] == 401


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_its_bodies_are_answered(url: str, body: dict[str, Any]) -> None:
    """Text and reasoning come as it reads them, with a finish reason and usage, whatever else it has sent."""
    status, headers, text = send(url, body, **HEADERS)
    assert status == 200, text
    if not body["stream"]:
        answer = json.loads(text)
        assert answer["choices"][0]["message"]["content"] == "It is noon."
        assert answer["usage"]["total_tokens"] > 0
        return
    assert headers["Content-Type"].startswith("text/event-stream")
    *chunks, last = chunks_of(text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get("content") or "" for delta in deltas) == "It is noon."
    assert "".join(delta.get("reasoning_content") or "" for delta in deltas) == "Hm."
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert (last["choices"], last["usage"]["total_tokens"] > 0) == ([], True)


def test_what_has_no_use_here_is_named(url: str) -> None:
    """Gateways' own fields, and parameters that the model has no use for, are named in a header."""
    _, headers, _ = send(url, BODIES["with what a user has set"], **HEADERS)
    assert {"min_p", "reasoning", "logit_bias"} <= {*headers["X-Langplug-Ignored"].split(", ")}


def test_its_calls_of_tools_have_places() -> None:
    """It puts a call's pieces together by their `index`, which each has."""
    model = ChatScripted(replies=[[ToolCall(name="get_time", args={}, id="c1")]], tool_calling="native")
    with serving({"m": model}) as base:
        _, _, text = send(base, {**BODIES["a chat"], "tools": [TOOL]})
    pieces = [
        call
        for chunk in chunks_of(text)
        for choice in chunk["choices"]
        for call in choice["delta"].get("tool_calls") or ()
    ]
    assert {call["index"] for call in pieces} == {0}
    assert "".join(call["function"].get("arguments", "") for call in pieces) == "{}"
