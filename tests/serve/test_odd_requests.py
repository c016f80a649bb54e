"""What comes over a socket otherwise than a client of ours would send it."""

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.serve.client import ask
from tests.serve.served_models import serving

from langplug.models import ChatScripted
from langplug.serve import app
from langplug.serve.asgi import Message

BODY = json.dumps(ask()).encode()


def head(*lines: str, start: str = "POST /v1/chat/completions HTTP/1.1", host: str = "Host: localhost") -> bytes:
    """The head of a call whose body is `BODY`."""
    always = (host, "Content-Type: application/json", f"Content-Length: {len(BODY)}")
    return "".join(f"{line}\r\n" for line in (start, *always, *lines, "")).encode()


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with serving({"m": ChatScripted(replies=["hi"], when_exhausted="repeat")}, write_timeout=0.2) as address:
        yield address


def connected(base: str) -> socket.socket:
    host, _, port = base.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def status_of(connection: socket.socket) -> int:
    """The next status that comes, with its whole head."""
    answered = b""
    while b"\r\n\r\n" not in answered:
        piece = connection.recv(1)
        assert piece, answered
        answered += piece
    return int(answered.split()[1])


@pytest.mark.parametrize(
    "host", ["evil@localhost", "localhost/evil", "localhost#.evil", "localhost:80:90", "localhost:x", "[localhost]", ""]
)
def test_a_host_is_a_name_and_a_port(base: str, host: str) -> None:
    """What only looks as if it named this server is foreign."""
    with closing(connected(base)) as connection:
        connection.sendall(head(host=f"Host: {host}") + BODY)
        assert status_of(connection) == 421


@pytest.mark.parametrize("host", ["LocalHost", "localhost:8000", "[::1]:8000", "[::1]", "127.0.0.1"])
def test_names_of_this_machine_are_known(base: str, host: str) -> None:
    """However they are written, and whatever the port."""
    with closing(connected(base)) as connection:
        connection.sendall(head(host=f"Host: {host}") + BODY)
        assert status_of(connection) == 200


@pytest.mark.parametrize(
    ("twice", "status"),
    [
        (("Host: evil", "Host: localhost"), 421),
        (("Host: localhost", "Origin: http://evil", "Origin: http://localhost"), 403),
        (("Host: localhost", "Authorization: Bearer no", "Authorization: Bearer key"), 401),
    ],
)
async def test_of_two_headers_none_is_picked(twice: tuple[str, ...], status: int) -> None:
    """A header that comes twice is not taken for either: a proxy before this server may have looked at the other."""
    pairs = [tuple(line.lower().replace("key", "KEY").encode().split(b": ")) for line in twice]
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    application = app({"m": ChatScripted(replies=["hi"])}, api_key="KEY")
    scope: Message = {"type": "http", "method": "GET", "path": "/v1/models", "headers": pairs}
    await application(scope, receive, send)
    assert sent[0]["status"] == status


@pytest.mark.parametrize("start", ["OPTIONS * HTTP/1.1", "CONNECT localhost:80 HTTP/1.1", "TRACE / HTTP/1.1"])
def test_whatever_is_asked_is_answered_in_the_same_form(base: str, start: str) -> None:
    """A request for no path of ours has an error of our own, with an id."""
    with closing(connected(base)) as connection:
        connection.sendall(head("Connection: close", start=start) + BODY)
        answered = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b"x-request-id: req_" in answered
    assert json.loads(answered.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize(("host", "statuses"), [("localhost", [100, 200]), ("evil", [421])])
def test_a_body_is_asked_for_behind_the_gate(base: str, host: str, statuses: list[int]) -> None:
    """Whoever waits to be told sends no body that is refused anyway."""
    with closing(connected(base)) as connection:
        connection.sendall(head("Expect: 100-continue", host=f"Host: {host}"))
        told = [status_of(connection)]
        if told == [100]:
            connection.sendall(BODY)
            told.append(status_of(connection))
    assert told == statuses


def test_a_body_that_does_not_come_is_not_waited_for(base: str) -> None:
    """A client that is there, and sends nothing more of its body, is told so."""
    with closing(connected(base)) as connection:
        connection.sendall(head() + BODY[:1])
        assert status_of(connection) == 408


def test_a_body_that_comes_slowly_is_waited_for() -> None:
    """However long all of it takes, it is read as long as some of it comes."""
    with (
        serving({"m": ChatScripted(replies=["hi"])}, write_timeout=1) as base,
        closing(connected(base)) as connection,
    ):
        connection.sendall(head())
        for place in range(0, len(BODY), 15):
            time.sleep(0.3)
            connection.sendall(BODY[place : place + 15])
        assert status_of(connection) == 200


def test_hosts_and_origins_are_several() -> None:
    """One text would let through each part of it; names are known however they are written."""
    for wrong in ({"hosts": "api.example"}, {"origins": "https://api.example"}):
        (text,) = wrong.values()
        with pytest.raises(TypeError, match=re.escape(f"['{text}']")):
            app({"m": ChatScripted(replies=[])}, **wrong)  # type: ignore[arg-type]
    assert app({"m": ChatScripted(replies=[])}, hosts=["API.example"]).exchange.gate.hosts == {"api.example"}
