"""The backend's Responses dialect, as the API documents it."""

from typing import Any

import pytest
from tests.backend.raw_client import Raw, payload, send

from langplug_backend import Backend, Call, Fault, Refusal, Reply, Thought, Tokens

ENCRYPTED = ["reasoning.encrypted_content"]


def ask(backend: Backend, given: Any = "a b c", **more: Any) -> Raw:
    body = {"model": "m", "input": given, **more}
    return send(backend, payload("POST", "/v1/responses", body, {"connection": "close"}))


def test_a_whole_answer(backend: Backend) -> None:
    """A whole answer is a `response` with its items in order; reasoning is encrypted for who asks for it."""
    call = Call(name="add", args={"a": 1}, id="c1")
    usage = Tokens(input=9, output=7, cached=4, reasoning=2)
    backend.reply = Reply(thinking="hm hm", text="I add", calls=(call,), usage=usage)
    response = ask(backend, include=ENCRYPTED).json
    assert ("response", "completed", None) == (response["object"], response["status"], response["incomplete_details"])
    thought, message, called = response["output"]
    assert ("reasoning", "hm hm", "c2lnbmF0dXJl") == (
        thought["type"],
        thought["summary"][0]["text"],
        thought["encrypted_content"],
    )
    assert [{"type": "output_text", "text": "I add", "annotations": [], "logprobs": []}] == message["content"]
    assert ("function_call", "c1", "add", '{"a": 1}') == tuple(
        called[name] for name in ("type", "call_id", "name", "arguments")
    )
    assert (9, 7, 16) == tuple(response["usage"][name] for name in ("input_tokens", "output_tokens", "total_tokens"))
    assert (4, 2) == (
        response["usage"]["input_tokens_details"]["cached_tokens"],
        response["usage"]["output_tokens_details"]["reasoning_tokens"],
    )
    assert ask(backend).json["output"][0]["encrypted_content"] is None


def test_a_stream(backend: Backend) -> None:
    """A stream opens and closes each item and part, numbers its events, and ends with what a whole answer is."""
    backend.reply = Reply(pieces=(Thought("hm"), "I ", "add", Refusal("no"), Call(name="add", args={"a": 1}, cut=4)))
    raw = ask(backend, stream=True)
    events = raw.events
    names = [line[7:] for line in raw.body.decode().split("\n") if line.startswith("event: ")]
    assert names == [event["type"] for event in events]
    assert list(range(len(events))) == [event["sequence_number"] for event in events]
    assert [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "refusal.delta",
        "refusal.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        *["function_call_arguments.delta"] * 2,
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ] == [name.removeprefix("response.") for name in names]
    last = events[-1]["response"]
    assert [event["item"] for event in events if event["type"].endswith("item.done")] == last["output"]
    assert {**ask(backend).json, "id": "", "output": []} == {**last, "id": "", "output": []}


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_an_answer_that_is_not_complete(backend: Backend, finish: str, reason: str) -> None:
    """An answer that ends too soon is incomplete, and says why; so is one that the request's limit cuts."""
    backend.reply = Reply(text="one two three", finish=finish)
    response = ask(backend).json
    assert ("incomplete", {"reason": reason}) == (response["status"], response["incomplete_details"])
    assert "response.incomplete" == ask(backend, stream=True).events[-1]["type"]
    backend.reply = "one two three"
    cut = ask(backend, max_output_tokens=2).json
    assert ("one two", "max_output_tokens") == (
        cut["output"][0]["content"][0]["text"],
        cut["incomplete_details"]["reason"],
    )


def test_what_is_asked(backend: Backend) -> None:
    """A conversation of items is read as messages: the last text of the user, and whether results end it."""
    given = [
        {"role": "user", "content": [{"type": "input_text", "text": "What?"}]},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "3"},
    ]
    ask(backend, given, instructions="Be brief.", tool_choice={"type": "function", "name": "add"})
    request = backend.last.request
    assert request is not None
    assert ("responses", "What?", "add") == (request.dialect, request.text, request.tool_choice)
    assert ["system", "user", "assistant", "tool"] == [message.role for message in request.messages]
    assert (True, "3") == (request.messages[-1].result, request.messages[-1].text)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [({"input": ""}, 400, "input"), ({"previous_response_id": "resp_1"}, 404, "previous_response_id")],
)
def test_what_is_refused(backend: Backend, body: dict[str, Any], status: int, param: str) -> None:
    """A request without input is wrong; and nothing is stored that one could go on with."""
    raw = ask(backend, **{"given": "x", **{("given" if name == "input" else name): it for name, it in body.items()}})
    assert (status, param) == (raw.status, raw.json["error"]["param"])


def test_an_error_in_a_stream(backend: Backend) -> None:
    """An error in the middle of a stream is an event of its own kind, whose members stand beside its type."""
    backend.fault = Fault(kind="error_event", after=1, message="Broken.")
    last = ask(backend, stream=True).events[-1]
    assert {"type": "error", "code": "server_error", "message": "Broken.", "param": None} == last
