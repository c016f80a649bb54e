"""What a caller may set, and which servers see it: headers, keys, addresses."""

import asyncio
from typing import Any

import pytest
from langchain_core.exceptions import ModelInvalidRequestError, ModelTimeoutError
from pydantic import SecretStr, ValidationError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.http.canned import Canned, CannedServer
from tests.paths import Path

from langplug.models import ChatEndpoint, ChatHTTP
from langplug_backend import Backend, Reply

# --- headers ---

OF_THE_CONNECTION = ["Content-Length", "content-length", "Transfer-Encoding", "Host", "Connection", "TE", "Expect"]


@pytest.mark.parametrize("name", OF_THE_CONNECTION)
def test_headers_of_the_connection_cannot_be_set(backend: Backend, make: MakeEndpoint, call: Path, name: str) -> None:
    """What says where a request ends, and whose connection it is, is not a caller's: by no way, and nothing is sent."""
    with pytest.raises(ValidationError, match=f"{name!r} cannot be set"):
        make(headers={name: "0"})
    with pytest.raises(ValidationError, match=f"{name!r} cannot be set"):
        ChatHTTP(base_url=backend.url, url="/x", text="t", headers={name: "{model}"})
    with pytest.raises(ValueError, match=f"{name!r} cannot be set"):
        call(make(), "x", headers={name: SecretStr("0")})
    with pytest.raises(ValueError, match=f"{name!r} cannot be set"):
        call(make().bind(headers={name: "chunked"}), "x")
    assert [] == backend.requests


def test_headers_of_a_call_are_added(backend: Backend, make: MakeEndpoint, call: Path) -> None:
    """A call's headers stand beside the model's; one of the same name, however it is written, takes its place."""
    model = make(headers={"X-Tenant": "acme", "X-Trace": "none", "X-Api-Key": "k-12345678"})
    call(model, "x", headers={"x-trace": "7", "X-More": "yes"})
    sent = backend.last.headers
    assert ("acme", "7", "yes", "k-12345678") == tuple(sent[n] for n in ("x-tenant", "x-trace", "x-more", "x-api-key"))
    call(model.bind(headers={"X-Trace": "8"}), "x")
    assert ("acme", "8") == (backend.last.headers["x-tenant"], backend.last.headers["x-trace"])
    call(model, "x")
    assert ("acme", "none") == (backend.last.headers["x-tenant"], backend.last.headers["x-trace"])


@pytest.mark.parametrize(("name", "value"), [("User-Agent", "mine/1"), ("content-type", "application/json; x=1")])
def test_a_header_is_sent_once(backend: Backend, make: MakeEndpoint, call: Path, name: str, value: str) -> None:
    """A header that langplug has, too, is the caller's, whatever the case of its name."""
    for spelt in (name, name.lower(), name.upper()):
        call(make(headers={spelt: value}), "x")
        assert value == backend.last.headers[name.lower()]


# --- keys ---


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
def test_an_authorization_that_is_given_is_sent(
    backend: Backend, make: MakeEndpoint, call: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An `Authorization` header of the model or of a call is sent in the place of a key of the environment."""
    monkeypatch.setenv("LANGPLUG_API_KEY", "sk-of-the-environment")
    call(make(headers={name: "Basic abc"}), "x")
    assert "Basic abc" == backend.last.headers["authorization"]
    call(make(), "x", headers={name: "Bearer of-the-call"})
    assert "Bearer of-the-call" == backend.last.headers["authorization"]
    call(make(), "x")
    assert "Bearer sk-of-the-environment" == backend.last.headers["authorization"]


@pytest.mark.parametrize(
    ("hosts", "is_sent"),
    [
        ("127.0.0.1", True),
        ("api.acme.com, 127.0.0.1", True),
        ("api.acme.com 127.0.0.*", True),
        ("127.0.0.1:{port}", True),
        ("*", True),
        ("", True),
        ("api.acme.com", False),
        ("127.0.0.1:1", False),
        ("27.0.0.1", False),
        ("127.0.0.1.evil.example", False),
    ],
)
def test_a_key_of_the_environment_belongs_to_its_hosts(
    backend: Backend, make: MakeEndpoint, monkeypatch: pytest.MonkeyPatch, hosts: str, is_sent: bool
) -> None:
    """`LANGPLUG_API_KEY` goes to no host but those of `LANGPLUG_API_KEY_HOSTS`; a key that is given goes anywhere."""
    monkeypatch.setenv("LANGPLUG_API_KEY", "sk-of-the-environment")
    monkeypatch.setenv("LANGPLUG_API_KEY_HOSTS", hosts.format(port=backend.port))
    make().invoke("x")
    assert is_sent == ("authorization" in backend.last.headers)
    make(api_key="sk-given").invoke("x")
    assert "Bearer sk-given" == backend.last.headers["authorization"]


@pytest.mark.parametrize("name", ["ollama", "tgi"])
def test_a_server_without_keys_is_shown_none(
    backend: Backend, call: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An API whose description has no place for a key gets none of the environment's."""
    monkeypatch.setenv("LANGPLUG_API_KEY", "sk-of-the-environment")
    model = ChatHTTP.from_file(name, base_url=backend.url, model="m")
    call(model, "x")
    assert "authorization" not in backend.last.headers
    model.close()


def test_a_description_that_names_the_key_gets_it(
    backend: Backend, call: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A description with a place for the key is sent that of the environment."""
    monkeypatch.setenv("LANGPLUG_API_KEY", "sk-of-the-environment")
    model = ChatHTTP.from_file("ollama", base_url=backend.url, model="m", headers={"X-Key": "{api_key}"})
    call(model, "x")
    assert "sk-of-the-environment" == backend.last.headers["x-key"]
    model.close()


# --- addresses ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("base_url", "http://127.0.0.1:1/v1"),
        ("proxy", "http://127.0.0.1:1"),
        ("verify", False),
        ("client_cert", "x.pem"),
        ("session", None),
        ("max_connections", 1),
        ("max_answer_bytes", None),
    ],
)
def test_no_call_changes_where_a_request_goes(
    backend: Backend, make: MakeEndpoint, call: Path, name: str, value: Any
) -> None:
    """A call that sets the address, the proxy or how certificates are checked is refused before anything is sent."""
    for asked in (make(), make().bind(**{name: value})):
        with pytest.raises(TypeError, match=rf"no call can change '{name}'"):
            call(asked, "x", **({} if asked.__class__ is not ChatEndpoint else {name: value}))
    assert [] == backend.requests


@pytest.mark.parametrize(
    "address",
    [
        "{url}?api-version=2024-10-21",
        "{url}/?api-version=2024-10-21",
        "{url}/chat/completions?api-version=2024-10-21",
        " {url}?api-version=2024-10-21\n",
    ],
)
def test_an_address_may_have_a_query(make: MakeEndpoint, call: Path, address: str) -> None:
    """The query of `base_url`, such as Azure's `api-version`, comes after the path of each request."""
    completion = b'{"data": [], "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}'
    with CannedServer(answer=Canned(pieces=[completion])) as server:
        model = make(base_url=address.format(url=f"{server.url}/openai/deployments/d"))
        assert "x" == call(model, "x").text
        assert "/openai/deployments/d/chat/completions?api-version=2024-10-21" == server.last.path
        model.served_models()
        assert "/openai/deployments/d/models?api-version=2024-10-21" == server.last.path
        described = ChatHTTP(
            base_url=f"{server.url}/a?v=1", url="/say?w=2", query={"x": 3}, text="choices[0].message.content"
        )
        call(described, "x")
        assert "/a/say?v=1&w=2&x=3" == server.last.path
        described.close()


@pytest.mark.parametrize(
    "address",
    ["http://h/v1#frag", "http://h:99999/v1", "http://h:abc/v1", "h/v1", "ftp://h", "http:///v1", "http://[::1"],
)
def test_an_address_that_leads_nowhere_is_refused(make: MakeEndpoint, address: str) -> None:
    """What cannot be an address is an error when the model is made, and not at the first call."""
    with pytest.raises(ValidationError):
        make(base_url=address)


@pytest.mark.parametrize("name", ["..", "."])
def test_a_name_leads_to_no_other_address(backend: Backend, call: Path, name: str) -> None:
    """What is filled into an address stays in its place: dots that would lead out of it are refused."""
    model = ChatHTTP(base_url=backend.url, url="/m/{model}/x", model=name, text="t")
    with pytest.raises(ModelInvalidRequestError, match=r"'/m/\{model\}/x'"):
        call(model, "x")
    assert [] == backend.requests
    model.close()


# --- waiting ---


async def test_waiting_for_ones_turn_is_not_the_server_s_silence(backend: Backend, make: MakeEndpoint) -> None:
    """However long a call waits for `max_connections`, `first_token_timeout` begins when its request is sent."""
    backend.reply = Reply(text="x", first=0.2)
    model = make(max_connections=1, first_token_timeout=0.5, token_timeout=0.5)
    answers = await asyncio.gather(*(model.ainvoke("x") for _ in range(6)))
    assert ["x"] * 6 == [answer.text for answer in answers]
    assert 6 == len(backend.requests)
    backend.reply = Reply(text="x", first=2)
    with pytest.raises(ModelTimeoutError, match="first_token_timeout"):
        await model.ainvoke("x")
    await model.aclose()


async def test_a_turn_is_given_back_however_a_call_ends(backend: Backend, make: MakeEndpoint) -> None:
    """Errors, left streams and cancelled calls, also those that wait, keep nobody waiting."""
    model = make(max_connections=1)
    backend.reply = Reply(pieces=("word ",) * 50, pace=0.01)
    for _ in range(3):
        async for _chunk in model.astream("x"):
            break
        tasks = [asyncio.ensure_future(model.ainvoke("x")) for _ in range(3)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    backend.reply = Reply(text="x")
    async with asyncio.timeout(5):
        assert "x" == (await model.ainvoke("x")).text
    await model.aclose()
