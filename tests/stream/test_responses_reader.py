"""The bodies of answers of the Responses API, as servers send them, read as parts."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelAPIError, ModelError, ModelRateLimitError

from langplug import Finish, IncompleteAnswerError, Part, Reasoning, ToolCall, Usage
from langplug._answer.parser import AnswerParser, text_of
from langplug._answer.tool_calls import WholeCall
from langplug._stream.responses_reader import ResponsesReader

THOUGHT = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "First."}, {"type": "summary_text", "text": "Then."}],
    "encrypted_content": "gAAA",
}
SOURCE = {"type": "url_citation", "url": "https://a.example", "title": "A", "start_index": 0, "end_index": 5}
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Hello é👩‍🚀", "annotations": [SOURCE]}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a": 1, "b": 2}'}
OUTPUT: list[dict[str, Any]] = [THOUGHT, MESSAGE, CALL]
USAGE = {
    "input_tokens": 5,
    "output_tokens": 3,
    "total_tokens": 8,
    "input_tokens_details": {"cached_tokens": 2},
    "output_tokens_details": {"reasoning_tokens": 1},
}
RESPONSE = {"id": "r", "object": "response", "model": "m-1", "status": "completed", "output": OUTPUT, "usage": USAGE}


def event(kind: str, place: int, **more: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": place, "item_id": OUTPUT[place]["id"], **more}


def added(place: int) -> dict[str, Any]:
    empty: dict[str, Any] = {"summary": [], "content": [], "arguments": "", "encrypted_content": None}
    item = {name: empty.get(name, value) for name, value in OUTPUT[place].items()}
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def done(place: int) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": place, "item": OUTPUT[place]}


DELTAS: list[dict[str, Any]] = [
    event("reasoning_summary_text.delta", 0, summary_index=0, delta="First."),
    event("reasoning_summary_text.delta", 0, summary_index=1, delta="Then."),
    event("output_text.delta", 1, content_index=0, delta="Hel"),
    event("output_text.delta", 1, content_index=0, delta="lo é👩‍🚀"),
    event("output_text.annotation.added", 1, content_index=0, annotation=SOURCE),
    event("function_call_arguments.delta", 2, delta='{"a": 1'),
    event("function_call_arguments.delta", 2, delta=', "b": 2}'),
]
CREATED = {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": [], "usage": None}}
COMPLETED = {"type": "response.completed", "response": RESPONSE}


def stream(*, deltas: Sequence[bool] = (True,) * 7, items: bool = True) -> list[dict[str, Any]]:
    """A stream of which some events may be missing."""
    events = [CREATED]
    for place in range(len(OUTPUT)):
        own = [one for one, is_sent in zip(DELTAS, deltas, strict=True) if is_sent and one["output_index"] == place]
        events += [added(place), *own, done(place)] if items else own
    return [*events, COMPLETED]


def sse(*values: Any) -> bytes:
    return "".join(
        f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n" for value in values
    ).encode()


def read(body: bytes, *, pieces: Sequence[bytes] | None = None) -> list[Part]:
    reader = ResponsesReader()
    parts: list[Part] = []
    for piece in [body] if pieces is None else pieces:
        parts.extend(reader.feed(piece))
    return [*parts, *reader.end()]


def told(parts: list[Part]) -> tuple[Any, ...]:
    """All that the message of these parts tells."""
    turn = AnswerParser(owner="test")
    pieces = [piece for part in parts for piece in turn.feed(part)] + turn.end()
    text = text_of(pieces)
    thought = "".join(piece.text for piece in pieces if isinstance(piece, Reasoning))
    calls = [(piece.name, piece.id, piece.parsed) for piece in pieces if isinstance(piece, WholeCall)]
    sources = [one for piece in pieces if isinstance(piece, dict) for one in piece.get("annotations", ())]
    return text, thought, calls, sources, turn.usage(), turn.reason, turn.metadata, turn.carried


WHOLE = told(read(json.dumps(RESPONSE).encode()))


def test_a_whole_response() -> None:
    """A response that came whole has its text, reasoning, calls, sources, usage, end, and what goes back."""
    text, thought, calls, sources, usage, reason, metadata, carried = WHOLE
    assert ("Hello é👩‍🚀", "First.\n\nThen.") == (text, thought)
    assert [("add", "c1", {"a": 1, "b": 2})] == calls
    assert ["https://a.example"] == [source["url"] for source in sources]
    assert {
        "input_tokens": 5,
        "output_tokens": 3,
        "total_tokens": 8,
        "input_token_details": {"cache_read": 2},
        "output_token_details": {"reasoning": 1},
    } == usage
    assert ("tool_calls", {"model_name": "m-1"}) == (reason, metadata)
    assert {"output_items": [{"item": THOUGHT, "after": {"text": 0, "blocks": 0, "calls": []}}]} == carried


@given(st.data())
def test_cuts_change_nothing(data: st.DataObject) -> None:
    """Wherever the network cuts a stream, its parts tell what a whole response tells."""
    body = sse(*stream())
    ends = sorted(data.draw(st.sets(st.integers(1, len(body) - 1), max_size=20)))
    pieces = [body[start:end] for start, end in zip([0, *ends], [*ends, len(body)], strict=True)]
    assert WHOLE == told(read(body, pieces=pieces))


@given(st.integers(0, 3), st.integers(0, 2), st.booleans(), st.booleans())
def test_what_events_leave_out_is_read_where_it_is_repeated(texts: int, args: int, cites: bool, thinks: bool) -> None:
    """Servers may leave out the last deltas of an item, or all: the item that is done has what is missing, once."""
    sent = [thinks, thinks, texts > 0, texts > 1, cites, args > 0, args > 1]
    assert WHOLE == told(read(sse(*stream(deltas=sent))))


@pytest.mark.parametrize("kept", [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)])
def test_items_that_no_event_was_about_are_read_at_the_end(kept: tuple[int, ...]) -> None:
    """What only the last event holds is read there, and nothing else of it a second time."""
    events = [done(place) for place in kept]
    text, thought, calls, sources, *_ = told(read(sse(CREATED, *events, COMPLETED)))
    assert (text, thought, calls, sources) == WHOLE[:4]


def test_a_stream_says_each_thing_as_it_comes() -> None:
    """Each delta is a part at once; a call is opened by its name."""
    reader = ResponsesReader()
    seen = [list(reader.feed(sse(one))) for one in stream()]
    assert [
        [Finish(metadata={"model_name": "m-1"})],
        [],
        [Reasoning("First.")],
        [Reasoning("\n\nThen.")],
    ] == seen[:4]
    assert [["Hel"], ["lo é👩‍🚀"]] == seen[6:8]
    assert [
        [ToolCall(index=0, id="c1", name="add")],
        [ToolCall(index=0, args='{"a": 1')],
        [ToolCall(index=0, args=', "b": 2}')],
        [],
    ] == seen[10:14]
    assert any(isinstance(part, Usage) for part in seen[-1])


@pytest.mark.parametrize(("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter")])
def test_an_incomplete_response_says_why(reason: str, finish: str) -> None:
    """A response that is not complete is an answer, whose finish reason is the usual word for why."""
    response = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": reason}, "output": [MESSAGE]}
    for body in (json.dumps(response).encode(), sse(CREATED, {"type": "response.incomplete", "response": response})):
        assert finish == told(read(body))[5]


@pytest.mark.parametrize("kept", range(len(stream()) - 1))
def test_a_stream_that_ends_too_soon_is_not_an_answer(kept: int) -> None:
    """Without its last event, a stream is incomplete, wherever it ends and though `[DONE]` may come."""
    body = sse(*stream()[: kept + 1])
    for end in (b"", b"data: [DONE]\n\n"):
        with pytest.raises(IncompleteAnswerError, match=r"response\.completed"):
            read(body + end)


LIMIT = {"code": "rate_limit_exceeded", "message": "Rate limit reached."}


@pytest.mark.parametrize(
    "failure",
    [
        {"type": "error", **LIMIT, "param": None},
        {"type": "error", "error": {"type": "requests", **LIMIT}},
        {"type": "response.failed", "response": {**RESPONSE, "status": "failed", "output": [], "error": LIMIT}},
    ],
)
def test_a_failure_is_a_typed_error(failure: dict[str, Any]) -> None:
    """An error is raised as what its code says, in each of the forms in which it comes."""
    with pytest.raises(ModelRateLimitError, match="Rate limit reached"):
        read(sse(CREATED, failure))


def test_a_response_that_failed_without_a_word_is_an_error() -> None:
    """A failed response is never an answer, though it may not say why."""
    with pytest.raises(ModelError, match="not why"):
        read(sse(CREATED, {"type": "response.failed", "response": {**RESPONSE, "status": "failed"}}))


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"object": "chat.completion", "choices": [{"message": {"content": "x"}}]}).encode(),
        sse({"type": "response.output_text.delta", "output_index": 0, "delta": 5}),
        sse({"type": "response.completed"}),
    ],
)
def test_another_wire_is_named(body: bytes) -> None:
    """What is not of this wire is an error that says which one to try."""
    with pytest.raises(ModelAPIError, match=r"api=.responses"):
        read(body)


def test_unknown_events_say_nothing() -> None:
    """Events of a kind that is not known, such as those that keep the connection open, are passed over."""
    odd = [{"type": "keepalive"}, {"type": "response.code_interpreter_call.in_progress", "output_index": 9}]
    events = [one for event in stream() for one in (event, *odd)]
    assert WHOLE == told(read(sse(*events[:-2])))


def test_a_step_of_the_servers_own_is_two_blocks_and_goes_back() -> None:
    """What a tool of the server did is a call and a result; its item goes back as it came, in its place."""
    step = {
        "type": "mcp_call",
        "id": "mcp_1",
        "name": "look_up",
        "arguments": '{"q": "x"}',
        "output": "found",
        "status": "completed",
    }
    response = {**RESPONSE, "output": [MESSAGE, step]}
    parts = read(json.dumps(response).encode())
    assert [
        {"type": "server_tool_call", "id": "mcp_1", "name": "look_up", "args": {"q": "x"}},
        {"type": "server_tool_result", "tool_call_id": "mcp_1", "status": "success", "output": "found"},
    ] == [part for part in parts if isinstance(part, dict) and "server" in part["type"]]
    (kept,) = told(parts)[-1]["output_items"]
    assert {"item": step, "after": {"text": len("Hello é👩‍🚀"), "blocks": 0, "calls": []}} == kept


def test_an_image_that_was_made_is_a_block() -> None:
    """A generated image is an image block."""
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "iVBORw0KGgo="}
    parts = read(json.dumps({**RESPONSE, "output": [item]}).encode())
    (image,) = [part for part in parts if isinstance(part, dict)]
    assert ("image", "iVBORw0KGgo=", "image/png") == (image["type"], image["base64"], image["mime_type"])
