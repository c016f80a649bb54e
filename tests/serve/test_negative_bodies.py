"""Wrong bodies for chat completions; those for the Messages wire are in `test_messages`."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.serve.messages_client import ask
from tests.serve.negative_bodies import CHAT, NO_JSON
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
