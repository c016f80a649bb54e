"""Gateways that answer 200 and say in the body that it went wrong, as many Chinese ones do."""

import json
from contextlib import closing
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from tests.models.http.canned import Canned, CannedServer
from tests.paths import Path

from langplug.models import ChatEndpoint

SAID = "签名错误: signature mismatch"

BODIES: dict[str, dict[str, Any]] = {
    "alone": {"code": 1001, "msg": SAID},
    "a code that is text": {"code": "InvalidSignature", "message": SAID, "request_id": "1"},
    "no choices": {"code": 1001, "msg": SAID, "choices": []},
    "choices that are null": {"code": 1001, "msg": SAID, "choices": None, "usage": None, "data": None},
    "usage": {"code": 1001, "message": SAID, "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
}


@pytest.mark.parametrize("framing", ["json", "sse"])
@pytest.mark.parametrize("name", BODIES)
def test_the_gateways_words_are_shown(call: Path, name: str, framing: str) -> None:
    """The error holds what the server said, once: it is not an answer that merely lacks its end."""
    body = json.dumps(BODIES[name], ensure_ascii=False).encode()
    with CannedServer() as server:
        server.answer = Canned(pieces=[body])
        if framing == "sse":
            server.answer = Canned(pieces=[b"data: " + body + b"\n\n", b"data: [DONE]\n\n"], type="text/event-stream")
        model = ChatEndpoint(model="m", base_url=server.url, max_retries=0)
        with closing(model), pytest.raises(ModelError) as caught:
            call(model, "x")
        assert 1 == len(server.received)
    assert SAID in str(caught.value)
    assert "finish reason" not in str(caught.value)


@pytest.mark.parametrize("fine", [0, "0", 200, ""])
def test_a_code_that_says_that_all_is_well_is_no_error(call: Path, fine: Any) -> None:
    """Some gateways put `"code": 0` into each chunk, also into the last one, which holds the usage alone."""
    well = {"code": fine, "message": "Success"}
    delta = {"choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}], **well}
    whole = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": "stop"}], **well}
    usage = {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}, **well}
    stream = b"".join(b"data: %s\n\n" % json.dumps(one).encode() for one in (delta, usage)) + b"data: [DONE]\n\n"
    with CannedServer() as server:
        for answer in (
            Canned(pieces=[stream], type="text/event-stream"),
            Canned(pieces=[json.dumps({**usage, **whole}).encode()]),
        ):
            server.answer = answer
            with closing(ChatEndpoint(model="m", base_url=server.url, max_retries=0)) as model:
                assert "hi" == call(model, "x").text
