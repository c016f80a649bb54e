"""Wrong bodies for chat completions; those for the Messages wire are in `test_messages`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.messages_client import ask
from tests.serve.negative_bodies import CHAT, NO_JSON, USER, a_body
from tests.serve.served_models import serving

from langplug.models import ChatScripted

PATH = "/v1/chat/completions"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving({"scripted": ChatScripted(replies=["Hi."], when_exhausted="repeat")}) as base:
        yield base


@pytest.mark.parametrize(("body", "word"), CHAT.values(), ids=CHAT)
def test_a_wrong_body_is_a_4xx_that_says_why(url: str, body: Any, word: str) -> None:
    """What is wrong in a body is named, in an error with all of its four fields."""
    status, _, answer = ask(url, json.dumps(body).encode(), PATH)
    assert status in (400, 404), answer
    assert word in answer["error"]["message"]
    assert {*answer["error"]} == {"message", "type", "param", "code"}


@pytest.mark.parametrize("data", NO_JSON.values(), ids=NO_JSON)
def test_what_is_no_json_is_a_400(url: str, data: bytes) -> None:
    """A body that is not JSON is refused as such."""
    status, _, answer = ask(url, data, PATH)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")


DEEP: dict[str, Any] = {"type": "object", "properties": {}}
for _ in range(200):
    DEEP = {"type": "object", "properties": {"a": DEEP}}


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function", "function": {"name": "add", "parameters": DEEP}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": DEEP}}},
        {"metadata": DEEP},
    ],
)
def test_a_body_is_not_nested_without_end(url: str, fields: Any) -> None:
    """What is nested so deeply that it could not be read by everybody is refused as such."""
    status, _, answer = ask(url, a_body(**fields), PATH)
    assert (status, "nested" in answer["error"]["message"]) == (400, True)


def test_arguments_of_an_earlier_call_may_be_anything(url: str) -> None:
    """A model may have written arguments that are no JSON, or nested without end: they are told to it as they were."""
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "[" * 100_000}}
    said = [USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "no"}]
    assert ask(url, a_body(messages=said), PATH)[0] == 200
