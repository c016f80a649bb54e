"""The Messages wire on a real socket: answers, agents, counts, errors, and bodies as they are sent."""

import json
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelInvalidRequestError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import HumanMessage, ToolMessage
from tests.serve.claude_code_bodies import BODIES, HEADERS
from tests.serve.messages_client import ask, events_in, put_together
from tests.serve.negative_bodies import ADD, MESSAGES, NO_JSON, USER, a_body, said
from tests.serve.served_models import serving

from langplug import ChatModel, Finish, Part, Reasoning, RefusalError, Request, ToolCall, Usage
from langplug.models import ChatScripted
from langplug.models.scripted import Cut

COUNT = "/v1/messages/count_tokens"


class Mirror(ChatModel):
    """Answers with the parts that the test has put here, and keeps the requests."""

    tool_calling = "native"
    structured_output = "native"

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        REQUESTS.append(request)
        for part in PARTS:
            if isinstance(part, Exception):
                raise part
            yield part


PARTS: list[Any] = []
REQUESTS: list[Request] = []


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"scripted": Mirror()}) as base:
        yield base


@pytest.fixture(autouse=True)
def _a_short_answer() -> None:
    PARTS[:] = ["Hi."]
    REQUESTS.clear()


def answered(url: str, **changes: Any) -> Any:
    status, _, message = ask(url, a_body(**changes))
    assert status == 200, message
    return message


def streamed(url: str, **changes: Any) -> dict[str, Any]:
    status, headers, stream = ask(url, a_body(stream=True, **changes))
    assert status == 200, stream
    assert headers["content-type"].partition(";")[0] == "text/event-stream"
    return put_together(stream)


# --- answers ---

TEXT = st.text(max_size=4)


@st.composite
def cut_answers(draw: st.DrawFn) -> list[Part]:
    """Answers of text, reasoning and calls, cut anywhere."""
    parts: list[Part] = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(["text", "thought", "signed", "call"]), max_size=6))):
        match kind:
            case "text":
                parts.append(draw(TEXT))
            case "thought":
                parts.append(Reasoning(draw(TEXT)))
            case "signed":
                parts += [Reasoning(draw(TEXT)), Reasoning("", {"signature": "s"})]
            case _:
                written = json.dumps(draw(st.dictionaries(TEXT, TEXT, max_size=2)))
                cut = draw(st.integers(0, len(written)))
                parts.append(ToolCall(name="add", id=f"toolu_{number}", index=number, args=written[:cut]))
                parts.append(ToolCall(index=number, args=written[cut:]))
    return parts


@given(answer=cut_answers())
def test_an_answer_is_the_same_whole_and_streamed(url: str, answer: list[Part]) -> None:
    """However a model cuts its answer, its stream makes the message that it is in one piece."""
    PARTS[:] = [*answer, Finish(reason="stop"), Usage(input_tokens=5, output_tokens=7)]
    whole, put = answered(url, tools=[ADD]), streamed(url, tools=[ADD])
    assert (whole.pop("id")[:4], put.pop("id")[:4]) == ("msg_", "msg_")
    assert whole == put
    assert [block["input"] for block in whole["content"] if block["type"] == "tool_use"] == [
        json.loads(str(first.args) + str(second.args))
        for first, second in pairwise(answer)
        if isinstance(first, ToolCall) and isinstance(second, ToolCall) and first.name
    ]


def test_an_answer_has_all_that_the_api_promises(url: str) -> None:
    """Text, signed reasoning, calls, the stop reason and what was used stand where the API has them."""
    PARTS[:] = [Reasoning("Hm."), Reasoning("", {"signature": "s"}), "Let me ", "see.", ToolCall(name="add", id="c_1")]
    PARTS.append(Usage(input_tokens=9, output_tokens=4, input_token_details={"cache_read": 2}))
    message = answered(url, tools=[ADD])
    assert message.pop("id").startswith("msg_")
    assert message == {
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c_1", "name": "add", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "stop_details": None,
        "usage": {
            "input_tokens": 7,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 2,
            "output_tokens": 4,
        },
    }


def test_a_stop_sequence_is_named(url: str) -> None:
    """An answer ends before a stop sequence, and says which it was."""
    PARTS[:] = ["one ", "two ", "three"]
    message = answered(url, stop_sequences=["two", "x"])
    assert message["content"] == [{"type": "text", "text": "one "}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", "two")


def test_a_refusal_is_a_stop_reason(url: str) -> None:
    """A model that declines ends with `refusal` and its words, whole and streamed."""
    PARTS[:] = [{"type": "refusal", "refusal": "I won't."}]
    for message in (answered(url), streamed(url)):
        assert (message["content"], message["stop_reason"]) == ([], "refusal")
        assert message["stop_details"]["explanation"] == "I won't."


# --- requests ---


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_coding_agents_bodies_are_answered(url: str, body: dict[str, Any]) -> None:
    """What coding agents send, with the headers and the query that they send, has an answer, and can be counted."""
    PARTS[:] = ['{"title": "Files"}']
    status, _, said_back = ask(url, body, "/v1/messages?beta=true", HEADERS)
    assert status == 200, said_back
    message = put_together(said_back) if body.get("stream") else said_back
    said = "{" if body["max_tokens"] == 1 else '{"title": "Files"}'
    assert message["content"] == [{"type": "text", "text": said}]
    assert len(REQUESTS) == 1
    counted = {name: value for name, value in body.items() if name not in ("max_tokens", "stream", "temperature")}
    status, _, count = ask(url, counted, f"{COUNT}?beta=true", HEADERS)
    assert (status, list(count)) == (200, ["input_tokens"])
    assert count["input_tokens"] > 0
    assert len(REQUESTS) == 1


def test_a_count_is_the_models_own() -> None:
    """A count is that of the model's tokenizer, with the tools."""
    model = ChatScripted(replies=["Hi."], token_counter=lambda text: 1000 + len(text))
    with serving({"scripted": model}) as url:
        body = {"model": "scripted", "messages": [USER]}
        assert ask(url, body, COUNT)[2] == {"input_tokens": model.get_num_tokens_from_messages([HumanMessage("Hi")])}
        assert ask(url, {**body, "tools": [ADD]}, COUNT)[2]["input_tokens"] > 2000


def test_an_agents_turns_reach_the_model(url: str) -> None:
    """Two calls and their results, one of them failed, come to the model as calls and results."""
    PARTS[:] = ["Let me see.", ToolCall(name="add", args={"a": 1}), ToolCall(name="add", args={"a": 2})]
    first = streamed(url, tools=[ADD])
    calls = [block for block in first["content"] if block["type"] == "tool_use"]
    results = [{"type": "tool_result", "tool_use_id": call["id"], "content": f"{n}"} for n, call in enumerate(calls)]
    results[1]["is_error"] = True  # type: ignore[assignment]  # beside texts
    messages = [USER, {"role": "assistant", "content": first["content"]}, *said(*results)]
    PARTS[:] = ["Done."]
    assert streamed(url, messages=messages, tools=[ADD])["content"] == [{"type": "text", "text": "Done."}]
    told = [message for message in REQUESTS[-1].messages if isinstance(message, ToolMessage)]
    assert [(one.tool_call_id, one.text, one.status, one.name) for one in told] == [
        (calls[0]["id"], "0", "success", "add"),
        (calls[1]["id"], "1", "error", "add"),
    ]


# --- errors ---


@pytest.mark.parametrize(("body", "word"), MESSAGES.values(), ids=MESSAGES)
def test_a_wrong_body_is_a_4xx_that_says_why(url: str, body: Any, word: str) -> None:
    """What is wrong in a body is named, in an error of Anthropic's form, streamed or not; the model is not asked."""
    for wanted in (body, {**body, "stream": body.get("stream", True)} if isinstance(body, dict) else body):
        status, headers, error = ask(url, json.dumps(wanted).encode())
        assert status in (400, 404)
        assert word in error["error"]["message"]
        assert (error["type"], error["request_id"]) == ("error", headers["request-id"])
        assert error["error"]["type"] == ("invalid_request_error" if status == 400 else "not_found_error")
    assert REQUESTS == []


@pytest.mark.parametrize("data", NO_JSON.values(), ids=NO_JSON)
@pytest.mark.parametrize("path", ["/v1/messages", COUNT])
def test_what_is_no_json_is_a_400(url: str, path: str, data: bytes) -> None:
    """A body that is not JSON is refused as such, on each path of the wire."""
    status, _, error = ask(url, data, path)
    assert (status, error["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (ModelRateLimitError("Slow down."), 429, "rate_limit_error"),
        (ModelTimeoutError("Too slow."), 504, "timeout_error"),
        (ContextOverflowError("Too long."), 400, "invalid_request_error"),
        (ModelInvalidRequestError("No."), 400, "invalid_request_error"),
        (RefusalError("Not that."), 400, "invalid_request_error"),
        (ModelAuthenticationError("k3y"), 502, "api_error"),
        (RuntimeError("k3y"), 500, "api_error"),
    ],
)
def test_what_a_model_raises_has_a_type_of_the_api(url: str, raised: Exception, status: int, kind: str) -> None:
    """Before the answer begins, an error has its status; in the middle of a stream, it is an event, and the last."""
    PARTS[:] = [raised]
    for stream in (False, True):
        found, _, error = ask(url, a_body(stream=stream))
        assert (found, error["error"]["type"]) == (status, kind)
        assert "k3y" not in error["error"]["message"]
    PARTS[:] = ["Once ", raised]
    found, _, stream_of = ask(url, a_body(stream=True))
    *_, last = events_in(stream_of)
    assert (found, last["type"], last["error"]["type"]) == (200, "error", kind)


def test_an_answer_that_breaks_off_ends_with_an_error() -> None:
    """A stream whose model is cut off does not look complete."""
    with serving({"scripted": ChatScripted(replies=[["Once ", Cut()]])}) as url:
        *_, last = events_in(ask(url, a_body(stream=True))[2])
    assert last["type"] == "error"


def test_keys_paths_and_types_are_refused_in_the_wires_form() -> None:
    """A missing key, an unknown path, a method and a type that are not taken are errors of Anthropic's form."""
    with serving({"scripted": Mirror()}, api_key="k3y") as url:
        version, shown = {"anthropic-version": "2023-06-01"}, {"x-api-key": "k3y"}
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"headers": version}, 401, "authentication_error"),
            ({"headers": {**version, "x-api-key": "other"}}, 401, "authentication_error"),
            ({"headers": {**version, **shown}, "path": "/v1/nothing"}, 404, "not_found_error"),
            ({"headers": shown, "method": "GET"}, 405, "invalid_request_error"),
            ({"headers": {**shown, "content-type": "text/plain"}}, 415, "invalid_request_error"),
            ({"headers": {**version, **shown}, "path": "/v1/models/x", "method": "GET"}, 404, "not_found_error"),
        ]
        for given_, status, kind in cases:
            found, headers, error = ask(url, a_body(), **given_)
            assert (found, error["error"]["type"]) == (status, kind)
            assert error["request_id"] == headers["request-id"]
        for key in (shown, {"authorization": "Bearer k3y"}):
            assert ask(url, a_body(), headers=key)[0] == 200


def test_a_body_too_large_has_its_own_type() -> None:
    """A body over the limit is a 413 of the type `request_too_large`."""
    with serving({"scripted": Mirror()}, max_body=1000) as url:
        status, _, error = ask(url, a_body(system="x" * 2000))
        assert (status, error["error"]["type"]) == (413, "request_too_large")


# --- what else the wire has ---


def test_models_are_anthropics_where_the_client_is(url: str) -> None:
    """A client that says `anthropic-version` is told of models as Anthropic tells it; others as OpenAI does."""
    version = {"anthropic-version": "2023-06-01"}
    _, _, listed = ask(url, None, "/v1/models", version, "GET")
    _, _, one = ask(url, None, "/v1/models/scripted", version, "GET")
    assert (listed["data"], listed["has_more"], listed["first_id"]) == ([one], False, "scripted")
    assert (one["type"], one["id"]) == ("model", "scripted")
    assert ask(url, None, "/v1/models", None, "GET")[2]["object"] == "list"


def test_what_is_left_out_is_said(url: str) -> None:
    """Fields and tools that are not used are named in a header, and refused by a strict server."""
    body = a_body(tools=[{"type": "web_search_20250305", "name": "web_search"}], speed="fast", unheard_of=1)
    status, headers, _ = ask(url, body)
    assert status == 200
    assert {*headers["x-langplug-ignored"].split(", ")} >= {"tools.0: web_search_20250305", "speed", "unheard_of"}
    with serving({"scripted": Mirror()}, strict=True) as strict:
        status, _, error = ask(strict, body)
        assert (status, "unheard_of" in error["error"]["message"]) == (400, True)


def test_parameters_reach_the_model() -> None:
    """A limit, a temperature and a schema are what the model is asked with."""
    model = ChatScripted(replies=["{}"], when_exhausted="repeat", structured_output="native")
    with serving({"scripted": model}) as url:
        form = {"type": "json_schema", "schema": {"type": "object", "properties": {}}}
        assert ask(url, a_body(output_config={"format": form}))[0] == 200
    assert model.requests[0].schema is not None
