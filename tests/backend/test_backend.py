"""The backend's life: how replies are set, what it logs, and how it ends."""

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
from tests.backend.raw_client import ask, asking, body_of, connected, duration, get, payload, send
from tests.bridge.endless_models import Stalls

from langplug_backend import Backend, ChatRequest, Fault, Reply

CHAT = "/v1/chat/completions"


def said(backend: Backend, text: str = "x", **more: Any) -> str:
    """What the backend answers, whole."""
    content: str = ask(backend, "openai", text, stream=False, **more).json["choices"][0]["message"]["content"]
    return content


# --- what it says ---


def test_a_reply_for_every_request(backend: Backend) -> None:
    """A reply is a `Reply`, a text, or a function of the request."""
    assert "hello" == said(backend, "hello")
    backend.reply = Reply(text="one")
    assert ["one", "one"] == [said(backend), said(backend)]
    backend.reply = "two"
    assert "two" == said(backend)

    def answer(request: ChatRequest) -> str:
        return request.text.upper()

    backend.reply = answer
    assert "HI" == said(backend, "hi")


def test_a_queue_for_the_next_requests(backend: Backend) -> None:
    """Each of the next requests gets one step of the queue; a fault there spoils the reply for every request."""
    backend.reply = "always"
    backend.queue("first", Reply(text="second"), Fault.status(500), lambda request: request.model)
    assert ["first", "second"] == [said(backend), said(backend)]
    assert 500 == ask(backend, "openai", "x").status
    assert ["m", "always"] == [said(backend), said(backend)]


def test_a_function_may_choose_a_fault(backend: Backend) -> None:
    """A function gives a fault for a queued one's place, and the echo is what it spoils."""
    backend.queue(lambda request: Fault.status(503 if "bad" in request.text else 500))
    assert 503 == ask(backend, "openai", "bad").status


def failing() -> Backend:
    """One whose reply fails, entered and asked once."""
    backend = Backend()
    backend.reply = lambda request: str(1 / 0)
    backend.start()
    raw = ask(backend, "openai", "x")
    assert (500, True) == (raw.status, "ZeroDivisionError" in raw.json["error"])
    return backend


def test_a_reply_that_fails() -> None:
    """A function that raises gives the client status 500; the error is raised when the backend is left."""
    with pytest.raises(ZeroDivisionError):
        failing().__exit__(None, None, None)


async def test_a_reply_that_fails_in_a_coroutine() -> None:
    """And so it is where the backend was entered in a coroutine."""
    with pytest.raises(ZeroDivisionError):
        await failing().__aexit__(None, None, None)


def test_a_failure_of_the_test_comes_first() -> None:
    """An error of the test itself is raised, and not the one of the reply."""
    failing().__exit__(KeyError, KeyError("own"), None)


def test_something_that_is_not_a_reply() -> None:
    """Anything but a reply, a text or a function is refused when it is set, and so are pieces beside a text."""
    with pytest.raises(TypeError, match=r"Backend.reply = 3: expected a Reply"):
        Backend().reply = 3  # type: ignore[assignment]
    with pytest.raises(ValueError, match="Put everything into pieces"):
        Reply(pieces=("a",), text="b")


def test_the_same_reply_in_other_words(backend: Backend) -> None:
    """A prepared answer never serves a request that would get another one: every field of the request counts."""
    backend.reply = Reply(text="one END two")
    texts = [
        said(backend),
        said(backend, stop="END"),
        said(backend),
        said(backend, max_tokens=2),
        said(backend, stop="END", include_stop_str_in_output=True),
    ]
    assert ["one END two", "one ", "one END two", "one END", "one END"] == texts
    prompts = [("a", "x"), ("b", "x y"), ("b", "x y ")]
    answers = [ask(backend, "openai", text, model=model, stream=False).json for model, text in prompts]
    known = [(answer["model"], answer["usage"]["prompt_tokens"]) for answer in answers]
    assert [("a", 1), ("b", 2), ("b", 3)] == known  # white space at the end counts as a token
    assert 3 == len({answer["id"] for answer in answers})


def test_it_forgets(backend: Backend) -> None:
    """After `forget`, it has an empty log, no fault, nothing queued, and echoes."""
    backend.reply, backend.fault = "x", Fault.status(500)
    backend.queue("y")
    ask(backend, "openai", "z")
    backend.forget()
    assert ([], ()) == (backend.requests, backend.fault)
    assert "z" == said(backend, "z")


def test_a_key(backend: Backend) -> None:
    """Where a key is set, another or none is refused, for the list of models too."""
    backend.key = "sk-1"
    right, wrong = {"authorization": "Bearer sk-1"}, {"authorization": "Bearer sk-2"}
    assert [401, 401, 200] == [ask(backend, "openai", "x", headers=headers).status for headers in ({}, wrong, right)]
    assert [401, 200] == [get(backend, "/v1/models", headers).status for headers in (wrong, right)]
    assert 200 == ask(backend, "anthropic", "x", headers={"x-api-key": "sk-1"}).status
    assert "sk-1" == backend.key


# --- HTTP ---


def test_connections_are_kept(backend: Backend) -> None:
    """Requests on one connection are answered in turn, pipelined ones too; a stream leaves it open."""
    request = payload("POST", CHAT, body_of("openai", "a b"))
    with connected(backend) as connection:
        connection.sendall(request + request)
        data = b""
        while data.count(b"[DONE]") < 2:
            data += connection.recv(1 << 16)
        connection.sendall(payload("GET", "/v1/models", headers={"connection": "close"}))
        while more := connection.recv(1 << 16):
            data += more
    assert 3 == data.count(b"HTTP/1.1 200 OK")
    assert [0, 0, 0] == [exchange.connection for exchange in backend.requests]
    assert backend.all_closed()


@pytest.mark.parametrize("body", ["chunked", "close", "length"])
@pytest.mark.parametrize("streaming", [False, True])
def test_how_a_body_ends(body: Any, streaming: bool, backend: Backend) -> None:
    """A body ends by its last chunk, by closing, or by its length, as the reply says."""
    backend.reply = Reply(text="a b", body=body)
    raw = ask(backend, "openai", "x", stream=streaming, headers={"connection": "keep-alive"}, silence=0.1)
    assert (body == "chunked") == ("transfer-encoding" in raw.headers)
    assert (body == "length") == ("content-length" in raw.headers)
    assert ("fin" if body == "close" else "silence") == raw.end
    assert raw.whole
    assert "complete" == backend.last.outcome


def test_a_client_that_asks_whether_to_go_on(backend: Backend) -> None:
    """`Expect: 100-continue` is answered before the body comes."""
    request = payload("POST", CHAT, body_of("openai", "a", stream=False), {"expect": "100-continue"})
    head, _, body = request.partition(b"\r\n\r\n")
    with connected(backend) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == connection.recv(1 << 16)
        connection.sendall(body)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("junk", [b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nx\r\n\r\n"])
def test_bytes_that_are_not_a_request(junk: bytes, backend: Backend) -> None:
    """Anything but HTTP/1.1 gets status 400, and the connection is closed."""
    raw = send(backend, junk)
    assert (400, "fin", []) == (raw.status, raw.end, backend.requests)


def test_a_big_request_and_a_big_answer(backend: Backend) -> None:
    """Megabytes go both ways, also to a client that reads slowly."""
    text = "wörd " * 400_000
    backend.reply = Reply(pieces=(text,) * 8, writes="event")  # more than the system's buffers hold
    with connected(backend) as connection:
        connection.sendall(asking("openai", text))
        assert backend.wait_for(lambda: backend.requests)
        assert not backend.all_ended(timeout=0.1)
        size = 0
        while data := connection.recv(1 << 16):
            size += len(data)
    assert backend.all_ended()
    assert size > 8 * len(text.encode())
    assert (text, "complete", 8) == (backend.last.text, backend.last.outcome, backend.last.pieces_sent)


def test_surrogates_are_no_trouble(backend: Backend) -> None:
    """What UTF-8 cannot hold is escaped, as JSON allows."""
    assert "a\ud83d" == said(backend, "a\ud83d")


# --- pace ---


def test_a_paced_reply(backend: Backend) -> None:
    """Events keep their pace, the first one too."""
    backend.reply = Reply(text="a b c", first=0.05, pace=0.03)
    ask(backend, "openai", "x")
    assert 6 == backend.last.events_sent
    assert duration(backend) >= 0.05 + 5 * 0.03


def test_the_headers_do_not_wait_for_the_first_event(backend: Backend) -> None:
    """The headers come at once, however long the first event takes."""
    backend.reply = Reply(text="a b c", first=60)
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        assert connection.recv(1 << 16).endswith(b"\r\n\r\n")
        assert 0 == backend.last.events_sent


def test_a_paced_event_is_a_write_of_its_own(backend: Backend) -> None:
    """While the server waits for the time of the second event, the client has the whole first one."""
    backend.reply = Reply(text="a b c", pace=60)
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        data = b""
        while b"\n\n" not in data:
            data += connection.recv(1 << 16)
        assert backend.wait_for(lambda: backend.last.events_sent)  # it counts after it has written
        assert (1, 1) == (backend.last.events_sent, data.count(b"\n\n"))


def test_a_reply_without_pace_comes_at_once(backend: Backend) -> None:
    """Without a pace, head and body are one write."""
    backend.reply = Reply(text="a b c")
    joined = ask(backend, "openai", "x")
    assert joined.reads[0][1] == joined.data


# --- the log ---


def test_the_log(backend: Backend) -> None:
    """The log holds all of a request, and what became of it."""
    before = time.monotonic()
    ask(backend, "openai", "hello you", headers={"X-Case": "y"}, user="u")
    get(backend, "/v1/models")
    assert backend.all_ended()
    chat, models = backend.requests
    assert [chat] == backend.chats
    assert models is backend.last
    assert (0, 0, "POST", CHAT, "openai") == (chat.number, chat.connection, chat.method, chat.path, chat.dialect)
    assert ("y", "u", "hello you", True) == (chat.headers["x-case"], chat.body["user"], chat.text, chat.streaming)
    assert chat.raw.startswith(b'{"model"')
    assert (200, (), "complete", 5, 2) == (chat.status, chat.faults, chat.outcome, chat.events_sent, chat.pieces_sent)
    assert chat.ended_at is not None
    assert before <= chat.at <= chat.ended_at <= time.monotonic()
    assert (None, "", False, 1) == (models.request, models.text, models.streaming, models.connection)


@pytest.mark.parametrize("how", ["fin", "reset"])
@pytest.mark.parametrize("where", ["stall", "stall_before_headers", "pace"])
def test_it_notices_at_once_that_the_client_goes(how: str, where: str, backend: Backend) -> None:
    """Whatever it waits for, a client that goes is written down within milliseconds, by the log's clock."""
    backend.reply = Reply(text="word " * 1000, pace=0.01)
    backend.fault = None if where == "pace" else Fault(kind=where, after=2)
    late = []
    with Stalls() as stalls:
        for number in range(5):
            connection = connected(backend)
            if how == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.sendall(asking("openai", "x"))
            pieces = 0 if where == "stall_before_headers" else 2
            seen = lambda: len(backend.requests) > number and backend.last.pieces_sent >= pieces  # noqa: B023, E731
            assert backend.wait_for(seen)
            gone = time.monotonic()
            connection.close()
            assert backend.all_ended()
            assert "client_gone" == backend.last.outcome
            late.append((backend.last.ended_at or 0) - gone)
    assert sorted(late)[2] <= 0.005 + stalls.worst
    assert backend.all_closed()


def test_a_client_that_reads_no_more_and_says_so(backend: Backend) -> None:
    """A client that has closed its side has gone, even where the answer waits to be read."""
    backend.reply = Reply(text="x" * 20_000_000)
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        assert backend.wait_for(lambda: backend.requests)
        connection.shutdown(socket.SHUT_WR)
        assert backend.all_ended()
        assert "client_gone" == backend.last.outcome


def test_waiting_for_the_log(backend: Backend) -> None:
    """One can wait for whatever changes in the log; if it does not come in time, that is False."""
    assert not backend.wait_for(lambda: backend.requests, timeout=0.01)
    backend.reply, backend.fault = Reply(text="a b c d"), Fault.stall(after=2)
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        assert backend.wait_for(lambda: backend.requests and backend.last.pieces_sent == 2)
        assert not backend.all_ended(timeout=0)
        assert not backend.all_closed(timeout=0)
    assert backend.all_ended()
    assert backend.all_closed()
    assert ("client_gone", 2) == (backend.last.outcome, backend.last.pieces_sent)
    backend.fault = None
    ask(backend, "openai", "x")
    assert backend.all_ended()
    assert ("complete", 4) == (backend.last.outcome, backend.last.pieces_sent)


def test_many_threads_at_once(backend: Backend) -> None:
    """Requests of many threads are each answered and logged."""
    texts = [f"t{number}" for number in range(20)]
    with ThreadPoolExecutor(20) as threads:
        assert texts == list(threads.map(lambda text: said(backend, text), texts))
    assert list(range(20)) == sorted(exchange.number for exchange in backend.requests)


# --- its end ---


def test_it_stops_whatever_hangs() -> None:
    """It stops at once, though a client waits; the client sees its connection end, and no thread is left."""
    backend = Backend()
    backend.start()
    backend.fault = Fault(kind="stall_before_headers")
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        assert backend.wait_for(lambda: backend.requests)
        started = time.monotonic()
        backend.stop()
        assert time.monotonic() - started < 1
        assert b"" == connection.recv(1)
    assert ("fault", 0) == (backend.last.outcome, backend.connections_open)
    assert "langplug-backend" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(ConnectionRefusedError):
        connected(backend)
    backend.stop()


def test_it_does_not_wait_for_a_reply_that_hangs() -> None:
    """Stopping does not wait for a function that blocks."""
    called, release, returned = threading.Event(), threading.Event(), threading.Event()

    def block(_: ChatRequest) -> str:
        called.set()
        release.wait(20)
        returned.set()
        return "late"

    with Backend() as backend:
        backend.reply = block
        with connected(backend) as connection:
            connection.sendall(asking("openai", "x"))
            assert called.wait(20)
            backend.stop()
            assert not returned.is_set()
            release.set()


async def test_it_is_entered_in_a_coroutine(no_blocking: Any) -> None:
    """`async with` starts and stops it without blocking the event loop."""
    async with Backend() as backend:
        reader, writer = await asyncio.open_connection("127.0.0.1", backend.port)
        writer.write(asking("openai", "hello", stream=False))
        assert b'"content":"hello"' in await reader.read()
        writer.close()
        await writer.wait_closed()


def test_its_addresses() -> None:
    """Each dialect has its base URL; a port can be chosen, and is an error if it is taken."""
    with Backend() as backend:
        assert f"http://127.0.0.1:{backend.port}" == backend.url
        assert (f"{backend.url}/v1", backend.url, backend.url) == (
            backend.openai_url,
            backend.ollama_url,
            backend.anthropic_url,
        )
        with pytest.raises(OSError, match="ddress already in use"):
            Backend(port=backend.port).start()
        port = backend.port
    with Backend(port=port, models=["a", "b"], context=77) as again:
        listed = get(again, "/v1/models").json["data"]
        assert (port, ["a", "b"], 77) == (again.port, [model["id"] for model in listed], listed[0]["max_model_len"])


def test_answers_wait_for_their_turn() -> None:
    """However many wait, each has its turn, but those whose clients have left."""
    with Backend(concurrency=1) as backend, ExitStack() as stack:
        backend.queue(Reply(text="slow", first=60))
        clients = [stack.enter_context(connected(backend)) for _ in range(300)]
        for client in clients:
            client.sendall(asking("openai", "hi"))
            if client is clients[0]:
                assert backend.wait_for(lambda: backend.requests)
        assert backend.wait_for(lambda: len(backend.requests) == 300)
        stayed = [client for place, client in enumerate(clients) if place % 10]
        for client in set(clients[1:]) - set(stayed):
            client.close()
        assert backend.wait_for(lambda: backend.connections_open == len(stayed) + 1)
        clients[0].close()
        answers = [b"".join(iter(partial(client.recv, 65536), b"")) for client in stayed]
        assert all(b"[DONE]" in answer for answer in answers)
        assert backend.all_ended()
        assert len(stayed) == sum(one.outcome == "complete" for one in backend.requests)
