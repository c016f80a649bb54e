"""`on_request`: the last word on a request, before it is sent."""

import copy
import hashlib
import hmac
import itertools
import json
import pickle
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from langchain_core.exceptions import ModelAPIError, ModelError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.endpoint.test_credentials import everything_of
from tests.models.http.canned import Canned, CannedServer
from tests.paths import Path

from langplug import MissingSecretError
from langplug.http import OutgoingRequest
from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend, Fault

KEY = "sk-not-to-be-seen"
COMPLETION = b'{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}'


@pytest.fixture
def server() -> Iterator[CannedServer]:
    """A server that says what it is told to."""
    with CannedServer(answer=Canned(pieces=[COMPLETION])) as server:
        yield server


def signature(body: bytes) -> str:
    return hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()


def sign(outgoing: OutgoingRequest) -> None:
    """A hook of a module, which can be pickled."""
    outgoing.headers["X-Signature"] = signature(outgoing.body)


async def sign_async(outgoing: OutgoingRequest) -> None:
    sign(outgoing)


def sign_by_return(outgoing: OutgoingRequest) -> dict[str, str]:
    return {"x-signature": signature(outgoing.body)}


class Signer:
    """A hook that is an object."""

    async def __call__(self, outgoing: OutgoingRequest) -> dict[str, str]:
        return sign_by_return(outgoing)


@pytest.mark.parametrize("hook", [sign, sign_async, sign_by_return, Signer(), partial(sign_async)])
def test_a_request_can_be_signed(server: CannedServer, make: MakeEndpoint, call: Path, hook: Any) -> None:
    """Sync or async, in place or by what it returns, a hook signs exactly the bytes that are sent."""
    call(make(base_url=server.url, on_request=hook), "Grüße")
    assert signature(server.last.body) == server.last.headers["x-signature"]
    described = ChatHTTP(
        base_url=server.url, url="/say", body={"p": "$text"}, text="choices[0].message.content", on_request=hook
    )
    call(described, "Grüße")
    assert signature(server.last.body) == server.last.headers["x-signature"]
    described.close()


def test_a_hook_sees_the_final_request_and_the_call(server: CannedServer, make: MakeEndpoint, call: Path) -> None:
    """The key, the model's headers and the call's are there, the address is whole, and `request.run` is the call's."""
    seen: list[OutgoingRequest] = []
    model = make(base_url=f"{server.url}?v=1", api_key=KEY, headers={"X-A": "1"}, on_request=seen.append)
    call(model, "Hi", headers={"X-B": "2"}, config={"metadata": {"user": "bo"}, "run_name": "ask"})
    (one,) = seen
    assert ("POST", f"{server.url}/chat/completions?v=1") == (one.method, one.url)
    assert (f"Bearer {KEY}", "1", "2") == tuple(one.headers[name] for name in ("Authorization", "X-A", "X-B"))
    assert json.loads(one.body)["messages"][0]["content"] == "Hi"
    assert one.request is not None
    assert ("bo", "ask", "Hi") == (one.request.run.metadata["user"], one.request.run.name, one.request.text)
    assert KEY not in repr(one)


def test_a_hook_may_change_everything(server: CannedServer, make: MakeEndpoint, call: Path) -> None:
    """Headers, address and body are sent as the hook leaves them, with the length that the body then has."""

    def change(outgoing: OutgoingRequest) -> None:
        outgoing.url += "?sig=abc"
        outgoing.body = outgoing.body + b"   "
        del outgoing.headers["Authorization"]

    call(make(base_url=server.url, api_key=KEY, on_request=change), "x")
    assert "/chat/completions?sig=abc" == server.last.path
    assert server.last.body.endswith(b"   ")
    assert str(len(server.last.body)) == server.last.headers["content-length"]
    assert "authorization" not in server.last.headers


def test_a_hook_is_called_each_time(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """Each try, and each sending with a new key, is stamped anew; asking for the list of models is stamped, too."""
    numbers, keys = itertools.count(1), itertools.count(1)
    calls: list[bool] = []

    def stamp(outgoing: OutgoingRequest) -> dict[str, str]:
        calls.append(outgoing.request is not None)
        return {"X-Number": str(next(numbers))}

    model = make(on_request=stamp, max_retries=1, auth=lambda: f"key-{next(keys)}")
    backend.queue(Fault.status(503, retry_after=0), Fault.status(401), "x")
    call(model, "x")
    assert ["1", "2", "3"] == [one.headers["x-number"] for one in backend.requests]
    assert "Bearer key-2" == backend.last.headers["authorization"]
    model.served_models()
    assert [True, True, True, False] == calls


def test_what_a_hook_raises_is_raised(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """Its error reaches the caller as it is, with a note of where it comes from, and nothing is sent."""

    def fail(outgoing: OutgoingRequest) -> None:
        raise LookupError("no clock")

    with pytest.raises(LookupError, match="no clock") as caught:
        call(make(on_request=fail), "x")
    assert "on_request" in caught.value.__notes__[0]
    assert [] == backend.requests


def set_header(name: str) -> Any:
    def hook(outgoing: OutgoingRequest) -> None:
        outgoing.headers[name] = "1"

    return hook


@pytest.mark.parametrize(
    ("hook", "error"),
    [
        (set_header("Content-Length"), ValueError),
        (set_header("Host"), ValueError),
        (set_header("a b"), ValueError),
        (lambda _: {"X": "a\r\nY: b"}, ValueError),
        (lambda _: {"X": 1}, ValueError),
        (lambda _: "signed", TypeError),
        (lambda one: setattr(one, "body", {"a": 1}), TypeError),
    ],
)
def test_a_hook_cannot_send_what_is_no_request(
    backend: Backend, make: MakeEndpoint, call: Path, hook: Any, error: type[Exception]
) -> None:
    """What it may set is checked as a caller's is; the error says that the hook has done it."""
    with pytest.raises(error) as caught:
        call(make(on_request=hook), "x")
    assert "on_request" in "".join([str(caught.value), *getattr(caught.value, "__notes__", ())])
    assert [] == backend.requests


def test_what_a_hook_adds_is_as_secret_as_a_key(server: CannedServer, make: MakeEndpoint, call: Path) -> None:
    """A secret header and a signature in the address show in no error, though the server repeats them."""

    def add(outgoing: OutgoingRequest) -> dict[str, str]:
        outgoing.url += f"?sig={KEY}"
        return {"X-Auth": f"{KEY}-2"}

    echo = json.dumps({"error": {"message": f"bad X-Auth {KEY}-2"}}).encode()
    server.answer = Canned(pieces=[echo], status=500)
    with pytest.raises(ModelAPIError) as caught:
        call(make(base_url=server.url, on_request=add), "x")
    assert f"{KEY}-2" == server.last.headers["x-auth"]
    assert f"{KEY}-2" not in everything_of(caught.value)
    assert "sig=" not in str(caught.value)


def test_a_hook_goes_with_copies_and_pickles(backend: Backend) -> None:
    """A function of a module is pickled; another one is missed when the pickle is loaded, and never just left out."""
    model = ChatEndpoint(model="m", base_url=backend.openai_url, on_request=sign)
    for one in (copy.deepcopy(model), model.model_copy(), pickle.loads(pickle.dumps(model))):
        one.invoke("x")
        assert "x-signature" in backend.last.headers
        one.close()
    with pytest.raises(MissingSecretError, match="`on_request`"):
        pickle.loads(pickle.dumps(ChatEndpoint(model="m", base_url=backend.openai_url, on_request=lambda _: None)))
    assert "on_request" not in repr(model)
    with pytest.raises(TypeError, match="on_request"):
        model.invoke("x", on_request=sign)


def test_a_server_that_refuses_a_signature_is_typed(server: CannedServer, make: MakeEndpoint, call: Path) -> None:
    """A refusal of a signed request is what it would be without a hook."""
    server.answer = Canned(pieces=[b'{"error": "bad signature"}'], status=403)
    with pytest.raises(ModelError, match="bad signature"):
        call(make(base_url=server.url, on_request=sign), "x")
