"""Faults of the backend, as they appear on the wire: what is refused, broken off, missing or wrong."""

import json
from typing import Any

import pytest
from tests.backend.raw_client import (
    DIALECTS,
    TEXT,
    Raw,
    ask,
    asking,
    connected,
    duration,
    outcome,
    payload,
    plain,
    text_in,
    with_fault,
)

from langplug_backend import FAULTS, Backend, Call, Fault, Reply

# --- refusals ---

REFUSED: dict[str, dict[str, tuple[int, str, str | None]]] = {
    "openai": {
        "auth": (401, "Incorrect API key provided", "invalid_api_key"),
        "content_policy": (400, "content management policy", "content_filter"),
        "context_overflow": (400, "maximum context length is 8192 tokens", "context_length_exceeded"),
        "invalid_request": (400, "Invalid request", None),
        "not_found": (404, "The model `m` does not exist", "model_not_found"),
        "overloaded": (503, "overloaded", None),
        "permission": (403, "insufficient permissions", None),
        "quota": (429, "exceeded your current quota", "insufficient_quota"),
        "rate_limit": (429, "Rate limit reached for m", "rate_limit_exceeded"),
        "server_error": (500, "The server had an error", None),
    },
    "anthropic": {
        "auth": (401, "invalid x-api-key", "authentication_error"),
        "content_policy": (400, "content filtering policy", "invalid_request_error"),
        "context_overflow": (400, "prompt is too long", "invalid_request_error"),
        "invalid_request": (400, "Invalid request", "invalid_request_error"),
        "not_found": (404, "model: m", "not_found_error"),
        "overloaded": (529, "Overloaded", "overloaded_error"),
        "permission": (403, "does not have permission", "permission_error"),
        "quota": (400, "credit balance is too low", "invalid_request_error"),
        "rate_limit": (429, "rate limit", "rate_limit_error"),
        "server_error": (500, "Internal server error", "api_error"),
    },
    "ollama": {
        "auth": (401, "unauthorized", None),
        "content_policy": (400, "content policy", None),
        "context_overflow": (400, "exceeds the context length", None),
        "invalid_request": (400, "invalid request", None),
        "not_found": (404, 'model "m" not found', None),
        "overloaded": (503, "server busy", None),
        "permission": (403, "forbidden", None),
        "quota": (402, "usage limit", None),
        "rate_limit": (429, "too many requests", None),
        "server_error": (500, "has terminated", None),
    },
}


def refused(raw: Raw, dialect: str) -> tuple[int, str, Any]:
    """Status, words, and the code (Anthropic: the type)."""
    error = raw.json["error"]
    if dialect == "ollama":
        return raw.status, error, None
    return raw.status, error["message"], error["code" if dialect == "openai" else "type"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_refusals_in_each_dialects_words(dialect: str, backend: Backend) -> None:
    """Each refusal has the status, the words and the code that the dialect has for it."""
    for kind, (status, words, code) in REFUSED[dialect].items():
        found = refused(with_fault(backend, dialect, Fault(kind=kind)), dialect)
        assert (status, code) == (found[0], found[2]), kind
        assert words in found[1], kind


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("code", "like"), [(404, "not_found"), (418, "server_error"), (429, "rate_limit")])
def test_a_status_in_the_dialects_shape(dialect: str, code: int, like: str, backend: Backend) -> None:
    """A status has the words that the dialect has for it, and `Retry-After` where it is given."""
    raw = with_fault(backend, dialect, Fault.status(code, retry_after=1.5))
    assert (code, REFUSED[dialect][like][1] in refused(raw, dialect)[1]) == (raw.status, True)
    assert "1.5" == raw.headers["retry-after"]


def test_a_status_with_words_or_a_body_of_its_own(backend: Backend) -> None:
    """The words may be the test's own, and so may the whole body; `Retry-After` may be a date."""
    raw = with_fault(backend, "openai", Fault.status(400, message="no", retry_after="Wed, 21 Oct 2026 07:28:00 GMT"))
    assert ("no", "Wed, 21 Oct 2026 07:28:00 GMT") == (raw.json["error"]["message"], raw.headers["retry-after"])
    assert [1] == with_fault(backend, "openai", Fault.status(400, body=[1])).json


def test_statuses_without_json(backend: Backend) -> None:
    """Proxies in between may answer with text, an HTML page, or nothing."""
    text = with_fault(backend, "openai", Fault(kind="status_text", code=502))
    page = with_fault(backend, "openai", Fault(kind="status_html", code=502))
    empty = with_fault(backend, "openai", Fault(kind="status_empty", code=502))
    assert [502, 502, 502] == [text.status, page.status, empty.status]
    assert ("text/plain; charset=utf-8", b"upstream connect error") == (text.headers["content-type"], text.body[:22])
    assert ("text/html; charset=utf-8", b"<html>") == (page.headers["content-type"], page.body[:6])
    assert ("0", b"") == (empty.headers["content-length"], empty.body)


def test_a_key_that_has_run_out(backend: Backend) -> None:
    """The first key that comes is refused, every other is accepted; a new fault starts over."""
    for _ in range(2):
        backend.fault = Fault(kind="auth_until")
        keys = ["sk-1", "sk-1", "sk-2", "sk-1"]
        raws = [ask(backend, "openai", "x", headers={"authorization": f"Bearer {key}"}) for key in keys]
        assert [401, 401, 200, 401] == [raw.status for raw in raws]
    backend.fault = Fault(kind="auth_until", key="sk-2")
    assert 200 == ask(backend, "openai", "x", headers={"authorization": "Bearer sk-1"}).status
    assert 401 == ask(backend, "openai", "x", headers={"authorization": "Bearer sk-2"}).status


def test_an_error_that_repeats_the_key(backend: Backend) -> None:
    """A careless server's error holds the key."""
    assert "sk-test" in refused(with_fault(backend, "anthropic", Fault(kind="auth_echo")), "anthropic")[1]


def test_an_unknown_field(backend: Backend) -> None:
    """A request with the field is refused, and the error names the field; one without is answered."""
    backend.fault = Fault.refuse_field("stream_options")
    raw = ask(backend, "openai", "x", stream_options={"include_usage": True})
    assert (400, "stream_options") == (raw.status, raw.json["error"]["param"])
    assert "stream_options" in raw.json["error"]["message"]
    assert 200 == ask(backend, "openai", "x").status


# --- the connection ---


@pytest.mark.parametrize(
    ("kind", "end", "data"),
    [
        ("close_before_headers", "fin", b""),
        ("close_at_accept", "fin", b""),
        ("reset_before_headers", "reset", b""),
        ("stall_before_headers", "silence", b""),
        ("reset_after_headers", "reset", b"HTTP/1.1 200 OK"),
        ("stall_after_headers", "silence", b"HTTP/1.1 200 OK"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_no_answer(kind: str, end: str, data: bytes, streaming: bool, backend: Backend) -> None:
    """Before or after the headers, the connection closes, is reset, or stays silent."""
    raw = with_fault(backend, "openai", Fault(kind=kind), stream=streaming)
    if kind == "close_at_accept":  # whether it arrives before or after the request is the system's choice
        assert raw.end in {"fin", "reset"}
    else:
        assert end == raw.end
        assert ("client_gone" if end == "silence" else "fault") == outcome(backend)
    assert raw.data.startswith(data)
    assert b"" == raw.rest


@pytest.mark.parametrize(("kind", "sees"), [("close_at_accept", b""), ("reset_at_accept", None)])
def test_a_connection_that_is_gone_at_once(kind: str, sees: bytes | None, backend: Backend) -> None:
    """At accept, the connection ends before any request, as many times as the fault says, and counts as made."""
    backend.fault = Fault(kind=kind, times=1)
    try:
        with connected(backend) as connection:
            assert sees == connection.recv(1)
    except ConnectionResetError:
        assert sees is None
    assert backend.wait_for(lambda: backend.connections_made == 1)
    assert 200 == ask(backend, "openai", "x").status
    assert (2, 1) == (backend.connections_made, len(backend.requests))


def test_an_accept_fault_meets_kept_connections_too(backend: Backend) -> None:
    """A connection that was there before is closed at its next request."""
    with connected(backend) as connection:
        connection.sendall(payload("GET", "/v1/models"))
        assert connection.recv(1 << 16)
        backend.fault = Fault(kind="reset_at_accept")
        connection.sendall(payload("POST", "/v1/chat/completions", {"model": "m", "messages": [{}]}))
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize(("kind", "end"), [("reset", "reset"), ("stall", "silence"), ("cut_chunked", "fin")])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("after", [0, 2, 9])
def test_a_stream_that_breaks_off(kind: str, end: str, dialect: str, after: int, backend: Backend) -> None:
    """N pieces come whole, and then the body has no end, not even for HTTP."""
    raw = with_fault(backend, dialect, Fault(kind=kind, after=after))
    assert (end, False) == (raw.end, raw.whole)
    assert "".join(["one", " two", " thrée", " four"][:after]) == text_in(raw)
    assert ("client_gone" if end == "silence" else "fault") == outcome(backend)
    assert min(after, 4) == backend.last.pieces_sent
    assert not any(word in raw.body for word in (b'"stop"', b"end_turn", b'"done":true'))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_that_is_cut_in_the_middle_of_an_event(dialect: str, backend: Backend) -> None:
    """A body that ends by closing is whole for HTTP, though an event is cut in its JSON; one with a length is short."""
    whole = plain(backend, dialect).body
    for kind in ("cut_close", "cut_length"):
        backend.forget()
        raw = with_fault(backend, dialect, Fault(kind=kind, after=1))
        assert ("fin", kind == "cut_close") == (raw.end, raw.whole)
        assert whole.startswith(raw.body)
        assert raw.body.decode().rpartition("{")[2].strip()
        with pytest.raises(ValueError, match=r"."):
            json.loads(raw.lines[-1].removeprefix("data: "))
        assert ("content-length" in raw.headers) == (kind == "cut_length")
        assert "fault" == outcome(backend)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("kind", "end"),
    [("reset", "reset"), ("stall", "silence"), ("cut_chunked", "fin"), ("cut_close", "fin"), ("cut_length", "fin")],
)
def test_a_whole_answer_that_breaks_off(kind: str, end: str, dialect: str, backend: Backend) -> None:
    """Half the JSON of a whole answer comes, whatever `after` says."""
    whole = plain(backend, dialect, stream=False).body
    raw = with_fault(backend, dialect, Fault(kind=kind, after=2), stream=False)
    assert end == raw.end
    assert whole[: len(whole) - len(whole) // 2] == raw.body
    assert (kind == "cut_close") == raw.whole


def test_pauses(backend: Backend) -> None:
    """There is a pause before each event, or before each byte of the head, and nothing else changes."""
    slow = with_fault(backend, "openai", Fault(kind="slow", seconds=0.02))
    assert duration(backend) >= 0.02 * backend.last.events_sent
    assert 7 == backend.last.events_sent
    head = with_fault(backend, "openai", Fault(kind="slow_headers", seconds=0.001))
    assert duration(backend) >= 0.001 * len(head.head)
    assert plain(backend, "openai").body == slow.body


def test_a_pause_comes_before_the_event(backend: Backend) -> None:
    """While the server pauses, the client has the head and nothing else."""
    backend.fault = Fault(kind="slow", seconds=60)
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        assert connection.recv(1 << 16).endswith(b"\r\n\r\n")
        assert 0 == backend.last.events_sent


# --- ends and contents ---


@pytest.mark.parametrize(
    ("kind", "dialect"),
    [(kind, it) for kind in ("truncate", "truncate_done") for it in FAULTS[kind].dialects or DIALECTS],
)
def test_a_stream_that_ends_too_soon(kind: str, dialect: str, backend: Backend) -> None:
    """N pieces come, and an end that is clean for HTTP: without the end marker, or with it."""
    raw = with_fault(backend, dialect, Fault(kind=kind, after=2))
    assert ("fin", True, "one two") == (raw.end, raw.whole, text_in(raw))
    assert (kind == "truncate_done") == (b"[DONE]" in raw.body or b"message_stop" in raw.body)
    assert "complete" == outcome(backend)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_stream_without_a_finish_reason(dialect: str, backend: Backend) -> None:
    """All pieces come, and the marker, but not why it ended."""
    raw = with_fault(backend, dialect, Fault(kind="no_finish"))
    assert TEXT == text_in(raw)
    assert plain(backend, dialect).body.count(b"\n") > raw.body.count(b"\n")
    assert not any(word in raw.body for word in (b'"stop"', b"end_turn", b'"done":true'))
    assert (dialect != "ollama") == (b"[DONE]" in raw.body or b"message_stop" in raw.body)


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_a_stream_without_its_marker(dialect: str, backend: Backend) -> None:
    """The finish reason comes, but not the end marker after it."""
    raw = with_fault(backend, dialect, Fault(kind="no_done"))
    assert TEXT == text_in(raw)
    assert b'"stop"' in raw.body or b"end_turn" in raw.body
    assert b"[DONE]" not in raw.body
    assert b"message_stop" not in raw.body


@pytest.mark.parametrize("kind", ["truncate", "no_finish"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_answer_without_a_finish_reason(kind: str, dialect: str, backend: Backend) -> None:
    """A whole answer keeps its text, but its reason is null."""
    found = with_fault(backend, dialect, Fault(kind=kind), stream=False).json
    ends = [found[end] for end in ("stop_reason", "done_reason", "done") if end in found]
    ends += [choice["finish_reason"] for choice in found.get("choices", ())]
    assert ends
    assert not any(ends)
    assert TEXT in json.dumps(found, ensure_ascii=False)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_broken_json(dialect: str, streaming: bool, backend: Backend) -> None:
    """An event has half its JSON, and the rest follows; a whole answer has half of it."""
    raw = with_fault(backend, dialect, Fault(kind="malformed", after=2), stream=streaming)
    assert (200, True, "complete") == (raw.status, raw.whole, outcome(backend))
    lines = [line.removeprefix("data: ") for line in raw.lines if not line.startswith("event: ")]
    broken = [line for line in lines if line != "[DONE]" and not is_json(line)]
    assert 1 == len(broken)
    if streaming:
        at = lines.index(broken[0])
        assert lines[at + 1].startswith(broken[0])
        assert is_json(lines[at + 1])


def is_json(line: str) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_in_the_middle(dialect: str, backend: Backend) -> None:
    """After N pieces comes an error in the dialect's format, and a clean end; in place of a whole answer, too."""
    raw = with_fault(backend, dialect, Fault(kind="error_event", after=1, message="boom"))
    error = raw.events[-1]["error"]
    assert (200, "one", "boom") == (raw.status, text_in(raw), error if dialect == "ollama" else error["message"])
    assert (dialect == "anthropic") == (b"event: error\n" in raw.body)
    whole = with_fault(backend, dialect, Fault(kind="error_event", message="boom"), stream=False)
    assert (200, ["error"]) == (whole.status, [key for key in whole.json if key == "error"])


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_good_status_with_a_bad_body(dialect: str, streaming: bool, backend: Backend) -> None:
    """With status 200 come an error as JSON, no body at all, or a content type that says nothing."""
    error = with_fault(backend, dialect, Fault(kind="error_object"), stream=streaming)
    assert (200, "application/json", True) == (error.status, error.headers["content-type"], "error" in error.json)
    empty = with_fault(backend, dialect, Fault(kind="empty_body"), stream=streaming)
    assert (200, b"", True) == (empty.status, empty.body, empty.whole)
    odd = with_fault(backend, dialect, Fault(kind="wrong_type"), stream=streaming)
    assert "text/plain; charset=utf-8" == odd.headers["content-type"]
    backend.forget()
    again = with_fault(backend, dialect, Fault(kind="wrong_type"), stream=streaming)
    assert plain(backend, dialect, stream=streaming).body == again.body


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_other_kind_of_answer(dialect: str, backend: Backend) -> None:
    """A client that requests a stream gets the whole answer, and the other way round."""
    for kind, asks in (("json_for_stream", True), ("stream_for_json", False)):
        expected = plain(backend, dialect, stream=not asks)
        raw = with_fault(backend, dialect, Fault(kind=kind), stream=asks)
        assert (expected.headers["content-type"], expected.body) == (raw.headers["content-type"], raw.body)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_unknown_fields(dialect: str, backend: Backend) -> None:
    """Every object has one more field, except what a tool is called with; and an event can be huge."""
    backend.reply = Reply(text="one", calls=(Call(name="add", args={"a": 1}, cut=0),))
    raw = with_fault(backend, dialect, Fault(kind="extra_fields"))
    assert all("x_unheard_of" in event for event in raw.events)
    assert raw.body.count(b"x_unheard_of") > len(raw.events)
    assert b'{"a":1,"x_unheard' not in raw.body
    huge = with_fault(backend, dialect, Fault(kind="huge_event"))
    assert len(huge.body) > 1_000_000
    assert "one" == text_in(huge)
    assert 500 < len(with_fault(backend, dialect, Fault(kind="huge_event", size=500)).body) < 10_000
