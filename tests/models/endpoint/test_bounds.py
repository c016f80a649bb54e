"""What one server may cost: bytes, time and memory, however it answers."""

import json
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.exceptions import ModelAPIError, ModelError
from tests.models.endpoint.conftest import MakeEndpoint
from tests.models.http.canned import Canned, CannedServer
from tests.paths import PATHS, STREAMED

from langplug import IncompleteAnswerError
from langplug.http import client_credentials

SSE = "text/event-stream"
STREAMED_PATHS = list(STREAMED)


@pytest.fixture
def server() -> Iterator[CannedServer]:
    """A server that says what it is told to."""
    with CannedServer() as server:
        yield server


@pytest.fixture
def ask(server: CannedServer, make: MakeEndpoint) -> Callable[..., Any]:
    """Asks that server by one of the paths, with these settings."""

    def ask(path: str = "invoke", **settings: Any) -> Any:
        return PATHS[path](make(base_url=f"{server.url}/v1", **settings), "x")

    return ask


def completion(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


def chunk(text: str, finish: str | None = None) -> bytes:
    return b"data: %s\n\n" % json.dumps({"choices": [{"delta": {"content": text}, "finish_reason": finish}]}).encode()


# --- size ---


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_has_a_largest_size(path: str, server: CannedServer, ask: Callable[..., Any]) -> None:
    """An answer of more than `max_answer_bytes` is an error that names the setting, and is not asked for again."""
    body = completion("a" * 5000) if path in ("invoke", "ainvoke") else chunk("a" * 100) * 40 + chunk("", "stop")
    server.answer = Canned(pieces=[body], type=SSE if body.startswith(b"data") else "application/json")
    with pytest.raises(IncompleteAnswerError, match="max_answer_bytes=4000") as caught:
        ask(path, max_answer_bytes=4000, max_retries=2)
    assert not caught.value.is_retryable
    assert 1 == len(server.received)
    assert ask(path, max_answer_bytes=len(body)).text.startswith("aaa")
    assert ask(path, max_answer_bytes=None).text.startswith("aaa")


@pytest.mark.parametrize("path", STREAMED_PATHS)
@pytest.mark.parametrize(
    "endless",
    [
        pytest.param(b"data: " + b"a" * 9000, id="a line"),
        pytest.param(b": ping\n" * 2000, id="comments without a blank line"),
        pytest.param(b"data: a\n" * 2000, id="lines of one event"),
        pytest.param(chunk("a" * 9000), id="an event that is whole"),
    ],
)
def test_an_event_has_a_largest_size(path: str, endless: bytes, server: CannedServer, ask: Callable[..., Any]) -> None:
    """An event of more than `max_event_bytes` is an error, with what came before it as `partial`."""
    server.answer = Canned(pieces=[chunk("Hello"), endless, b"\n\n", chunk("", "stop")], type=SSE, pause_s=0.02)
    with pytest.raises(IncompleteAnswerError, match="max_event_bytes=8000") as caught:
        ask(path, max_event_bytes=8000)
    assert not caught.value.is_retryable
    assert caught.value.partial is not None
    assert "Hello" == caught.value.partial.text


def test_many_small_events_are_none_that_is_too_large(server: CannedServer, ask: Callable[..., Any]) -> None:
    """`max_event_bytes` is about each event: however many come in one read, they are read."""
    server.answer = Canned(pieces=[chunk("a") * 500 + chunk("", "stop")], type=SSE)
    assert "a" * 500 == ask("stream", max_event_bytes=200).text


# --- content encodings ---


def deflated(body: bytes, encoding: str) -> bytes:
    packer = zlib.compressobj(wbits=31 if encoding == "gzip" else 15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_what_was_not_asked_for_is_not_inflated(
    path: str, encoding: str, server: CannedServer, ask: Callable[..., Any]
) -> None:
    """A compressed answer that was not asked for is an error that says so, once, and costs nothing."""
    bomb = deflated(completion("a" * 20_000_000), "gzip" if encoding == "gzip" else "deflate")
    server.answer = Canned(pieces=[bomb], headers={"Content-Encoding": encoding})
    began = time.process_time()
    with pytest.raises(ModelAPIError, match=rf"{encoding}.*not asked for.*Accept-Encoding") as caught:
        ask(path, max_retries=2)
    assert [200, None, None] == [getattr(caught.value, name) for name in ("status_code", "retry_after", "request_id")]
    assert time.process_time() - began < 1
    assert 1 == len(server.received)
    assert "identity" == server.last.headers["accept-encoding"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_was_asked_for_is_inflated(
    path: str, encoding: str, server: CannedServer, ask: Callable[..., Any]
) -> None:
    """A caller who asks for an encoding gets the answer, cut however, and no more of it than an answer may have."""
    body = completion("Hello") if path in ("invoke", "ainvoke") else chunk("Hel") + chunk("lo") + chunk("", "stop")
    packed = deflated(body, encoding)
    how: dict[str, Any] = {
        "headers": {"Content-Encoding": encoding},
        "type": SSE if body.startswith(b"data") else "application/json",
    }
    server.answer = Canned(pieces=[packed[at : at + 7] for at in range(0, len(packed), 7)], **how)
    asked = {"headers": {"accept-encoding": encoding}}
    assert "Hello" == ask(path, **asked).text
    bomb = deflated(completion("a" * 20_000_000), encoding)
    server.answer = Canned(pieces=[bomb], headers={"Content-Encoding": encoding})
    with pytest.raises(IncompleteAnswerError, match="max_answer_bytes"):
        ask(path, **asked, max_answer_bytes=100_000)


def test_a_compressed_error_keeps_its_status(server: CannedServer, ask: Callable[..., Any]) -> None:
    """An error whose body is compressed is typed by its status; its body is not looked at."""
    server.answer = Canned(
        pieces=[deflated(b"a" * 10_000_000, "gzip")], status=429, headers={"Content-Encoding": "gzip"}
    )
    with pytest.raises(ModelError, match=r"429.*compressed") as caught:
        ask()
    assert 429 == caught.value.status_code  # type: ignore[attr-defined]


def test_a_token_server_s_answer_is_bounded(server: CannedServer) -> None:
    """Of what a token server sends, a megabyte is read, and its numbers cost no token."""
    server.answer = Canned(pieces=[b'{"access_token": "t"}' + b" " * 65536] * 400)
    began = time.process_time()
    with pytest.raises(ModelError, match="No token"):
        client_credentials(server.url, "me", "my-secret-1").token()
    assert time.process_time() - began < 2
    server.answer = Canned(pieces=[b'{"access_token": "t", "expires_in": 1%s}' % (b"0" * 400)])
    assert "t" == client_credentials(server.url, "me", "my-secret-1").token().get_secret_value()


# --- work ---


def nested(key: str, size: int) -> bytes:
    depth = size // (len(key) + 6)
    return f'{{"{key}": '.encode() * depth + b"1" + b"}" * depth


ODD_BODIES: dict[str, Callable[[int], bytes]] = {
    "brackets": lambda size: b"<" * size,
    "scripts": lambda size: b"<script " * (size // 8),
    "scripts, and half an end": lambda size: b"<script " * (size // 8) + b"</script",
    "scripts, and an end with blanks": lambda size: b"<script>" * (size // 16) + b"</script" + b" " * (size // 2),
    "ends": lambda size: b"</script" * (size // 8),
    "a page": lambda size: b"<html>" + b"<p class=x>no</p>" * (size // 17),
    "lists": lambda size: b"[" * size,
    "errors in errors": lambda size: nested("error", size),
    "messages in messages": lambda size: nested("message", size),
    "a number": lambda size: b'{"error": {"code": ' + b"9" * size + b"}}",
    "a number as text": lambda size: b'{"error": {"code": "' + b"9" * size + b'"}}',
    "superscripts": lambda size: '{"error": {"code": "²", "message": "no"}}'.encode() + b" " * size,
    "text": lambda size: b"a" * size,
    "bad UTF-8": lambda size: b"\xff" * size,
}


@pytest.mark.parametrize("body_of", ODD_BODIES.values(), ids=ODD_BODIES)
@pytest.mark.parametrize("status", [200, 400, 500])
def test_the_work_on_a_body_grows_as_it_does(
    body_of: Callable[[int], bytes], status: int, server: CannedServer, ask: Callable[..., Any]
) -> None:
    """Whatever is in the place of an answer or of an error is a typed error, in time that grows as its size does."""

    def cpu_s(size: int) -> float:
        server.answer = Canned(pieces=[body_of(size)], status=status)
        began = time.process_time()
        with pytest.raises(ModelError):
            ask()
        return time.process_time() - began

    cpu_s(100)
    small = min(cpu_s(1 << 15) for _ in range(3))
    assert cpu_s(1 << 18) < 30 * max(0.005, small)
