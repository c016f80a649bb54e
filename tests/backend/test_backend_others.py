"""The dialects of Cohere and of text generation inference, as they are on the wire."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from langplug_backend import Backend, Call, Reply, Thought, Tokens


@pytest.fixture(scope="module")
def running() -> Iterator[Backend]:
    with Backend() as backend:
        yield backend


@pytest.fixture
def backend(running: Backend) -> Backend:
    running.forget()
    return running


def post(backend: Backend, path: str, body: dict[str, Any]) -> str:
    data = json.dumps(body).encode()
    request = urllib.request.Request(backend.url + path, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


def events(text: str) -> list[Any]:
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


COHERE = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v2/chat", COHERE), ("/api/chat", {**COHERE, "stream": False}), ("/generate", {"inputs": "hi"})],
    ids=["cohere", "ollama", "tgi"],
)
def test_others_decline_in_text(path: str, body: dict[str, Any], backend: Backend) -> None:
    """Dialects that have no field for a refusal send its words as text."""
    backend.reply = Reply(refusal="I will not.")
    assert "I will not." in post(backend, path, body)


def test_cohere_streams_typed_events(backend: Backend) -> None:
    """Blocks start, grow and end; calls grow by pieces of JSON; the end has reason and usage."""
    backend.reply = Reply(
        pieces=(Thought("hm"), "a", Call(name="f", args={"x": 1}, id="c1", cut=0)), usage=Tokens(input=3, output=4)
    )
    told = events(post(backend, "/v2/chat", {**COHERE, "stream": True}))
    assert [event["type"] for event in told] == [
        "message-start",
        *["content-start", "content-delta", "content-end"] * 2,
        *["tool-call-start", "tool-call-delta", "tool-call-end"],
        "message-end",
    ]
    deltas = [event["delta"]["message"] for event in told if event["type"].endswith("-delta")]
    assert deltas == [
        {"content": {"thinking": "hm"}},
        {"content": {"text": "a"}},
        {"tool_calls": {"function": {"arguments": '{"x": 1}'}}},
    ]
    assert told[-1]["delta"]["finish_reason"] == "TOOL_CALL"
    assert told[-1]["delta"]["usage"]["tokens"] == {"input_tokens": 3, "output_tokens": 4}


def test_cohere_answers_whole(backend: Backend) -> None:
    """The message holds blocks, and a stop string is swallowed."""
    backend.reply = "one two three"
    told = json.loads(post(backend, "/v2/chat", {**COHERE, "stop_sequences": ["two"]}))
    assert told["message"] == {"role": "assistant", "content": [{"type": "text", "text": "one "}]}
    assert told["finish_reason"] == "STOP_SEQUENCE"


def test_tgi_streams_tokens(backend: Backend) -> None:
    """A token each; the last is special, and has the text and the details. The stop text is given."""
    backend.reply = "one two three"
    told = events(post(backend, "/generate_stream", {"inputs": "hi", "parameters": {"stop": ["two"]}}))
    assert [event["token"]["text"] for event in told] == ["one", " two", "</s>"]
    assert [event["token"]["special"] for event in told] == [False, False, True]
    assert told[-1]["generated_text"] == "one two"
    assert told[-1]["details"] == {
        "finish_reason": "stop_sequence",
        "generated_tokens": 2,
        "input_length": 1,
        "seed": None,
    }


def test_tgi_answers_whole(backend: Backend) -> None:
    """Text and details."""
    backend.reply = "one two three"
    told = json.loads(post(backend, "/generate", {"inputs": "hi", "parameters": {"max_new_tokens": 2}}))
    assert told["generated_text"] == "one two"
    assert told["details"]["finish_reason"] == "length"


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v2/chat", {"model": "m", "messages": []}, 400),
        ("/v2/chat", {"model": "m", "messages": [{"role": "assistant", "content": ""}]}, 400),
        ("/generate", {"inputs": ""}, 422),
        ("/generate", {"inputs": "hi", "parameters": {"temperature": 0}}, 422),
    ],
)
def test_what_the_servers_refuse_is_refused(path: str, body: dict[str, Any], status: int, backend: Backend) -> None:
    """As the real ones do: nothing to answer, empty content, a temperature of 0."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(backend, path, body)
    assert caught.value.code == status
    caught.value.close()
