"""Oddities of the backend, as they appear on the wire; and what holds for every fault."""

import json
from itertools import product
from typing import Any

import pytest
from tests.backend.raw_client import (
    DIALECTS,
    TEXT,
    Raw,
    ask,
    asking,
    connected,
    outcome,
    payload,
    plain,
    send,
    text_in,
    with_fault,
)

from langplug_backend import FAULTS, Backend, Call, Fault, Reply

# --- framing ---


@pytest.mark.parametrize(
    ("kind", "framed"),
    [
        ("crlf", lambda body: body.replace(b"\n", b"\r\n")),
        ("cr", lambda body: body.replace(b"\n", b"\r")),
        ("comments", lambda body: body.replace(b"data: ", b": keep-alive\n\ndata: ")),
        ("no_space", lambda body: body.replace(b"data: ", b"data:")),
        ("bom", lambda body: b"\xef\xbb\xbf" + body),
        ("unterminated", lambda body: body.removesuffix(b"\n\n")),
    ],
)
def test_framing_of_server_sent_events(kind: str, framed: Any, backend: Backend) -> None:
    """Framing changes what stands around the events to the byte, and nothing in them."""
    expected = framed(plain(backend, "openai").body)
    assert expected == with_fault(backend, "openai", Fault(kind=kind)).body


@pytest.mark.parametrize(
    ("kind", "framed"),
    [
        ("crlf", lambda body: body.replace(b"\n", b"\r\n")),
        ("comments", lambda body: b"\n" + body.replace(b"\n", b"\n\n").removesuffix(b"\n")),
        ("bom", lambda body: b"\xef\xbb\xbf" + body),
        ("unterminated", lambda body: body.removesuffix(b"\n")),
    ],
)
def test_framing_of_lines(kind: str, framed: Any, backend: Backend) -> None:
    """NDJSON has its own: CRLF, blank lines, a byte order mark, a last line without its end."""
    expected = framed(plain(backend, "ollama").body)
    assert expected == with_fault(backend, "ollama", Fault(kind=kind)).body


def test_an_event_over_several_lines(backend: Backend) -> None:
    """The JSON of an event is spread over `data` lines, which together are the JSON."""
    expected = plain(backend, "openai").events
    blocks = with_fault(backend, "openai", Fault(kind="multiline")).body.decode().strip().split("\n\n")
    joined = ["\n".join(line.removeprefix("data: ") for line in block.split("\n")) for block in blocks]
    assert (expected, "[DONE]") == ([json.loads(block) for block in joined[:-1]], joined[-1])
    assert joined[0].count("\n") > 5


def test_every_field_of_an_event(backend: Backend) -> None:
    """Each event has a name, an id and a retry time."""
    body = with_fault(backend, "openai", Fault(kind="fields")).body.decode()
    assert body.startswith("event: message\nid: 0\nretry: 3000\ndata: {")
    assert "event: message\nid: 1\nretry: 3000\ndata: {" in body


@pytest.mark.parametrize("dialect", DIALECTS)
def test_events_without_content(dialect: str, backend: Backend) -> None:
    """Before each piece comes what keeps a connection open."""
    expected = plain(backend, dialect)
    raw = with_fault(backend, dialect, Fault(kind="pings"))
    assert 4 == len(raw.events) - len(expected.events)
    assert TEXT == text_in(raw)


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("kind", "size", "most"), [("one_byte", 0, 1), ("split", 0, 3), ("split", 7, 7)])
def test_writes_of_a_size(kind: str, size: int, most: int, streaming: bool, backend: Backend) -> None:
    """The same bytes come in writes of a size, which cut characters and events anywhere."""
    expected = plain(backend, "openai", stream=streaming)
    raw = with_fault(backend, "openai", Fault(kind=kind, size=size), stream=streaming)
    assert expected.body == raw.body
    if streaming:
        assert {len(cut) for cut in raw.chunks} <= set(range(most + 1))
        assert most in {len(cut) for cut in raw.chunks}
    assert len(expected.events if streaming else [0]) == backend.last.events_sent - streaming


def test_a_pace_is_that_of_the_events(backend: Backend) -> None:
    """Cut into writes of a byte, a paced reply waits between its events, not between its bytes."""
    backend.reply = Reply(text="a b", pace=60)
    backend.fault = Fault(kind="one_byte")
    with connected(backend) as connection:
        connection.sendall(asking("openai", "x"))
        assert backend.wait_for(lambda: backend.requests and backend.last.events_sent)
        assert 1 == backend.last.events_sent


def test_everything_in_one_write(backend: Backend) -> None:
    """A paced reply can be made to come at once."""
    backend.reply = Reply(text=TEXT, pace=5, first=5)
    raw = with_fault(backend, "openai", Fault(kind="joined"))
    assert TEXT == text_in(raw)


# --- finish reasons and calls of the OpenAI dialect ---


def choices(raw: Raw) -> list[dict[str, Any]]:
    return [event["choices"][0] for event in raw.events if event.get("choices")]


def test_finish_reasons_in_odd_places(backend: Backend) -> None:
    """The finish reason is an empty string first, in the delta, beside the choices, repeated, or on the usage."""
    empty = choices(with_fault(backend, "openai", Fault(kind="finish_empty_first"), "a b"))
    assert ["", "", "", "stop"] == [choice["finish_reason"] for choice in empty]
    delta = choices(with_fault(backend, "openai", Fault(kind="finish_in_delta"), "a b"))
    assert {"finish_reason": "stop"} == delta[-1]["delta"]
    assert all("finish_reason" not in choice for choice in delta)
    for streaming in (False, True):
        raw = with_fault(backend, "openai", Fault(kind="finish_top_level"), "a b", stream=streaming)
        last = raw.events[-1] if streaming else raw.json
        assert ("stop", False) == (last["finish_reason"], "finish_reason" in last["choices"][0])
    repeated = choices(with_fault(backend, "openai", Fault(kind="finish_repeated"), "a b"))
    assert [None] * 3 + ["stop"] * 3 == [choice["finish_reason"] for choice in repeated]


def test_a_finish_reason_on_the_usage(backend: Backend) -> None:
    """The finish reason comes one chunk late: with the usage, where there is any."""
    options = {"include_usage": True}
    raw = with_fault(backend, "openai", Fault(kind="finish_on_usage"), "a b", stream_options=options)
    assert [None] * 4 + ["stop"] == [choice["finish_reason"] for choice in choices(raw)]
    assert 4 == raw.events[-1]["usage"]["total_tokens"]
    without = with_fault(backend, "openai", Fault(kind="finish_on_usage"), "a b")
    assert [None] * 4 + ["stop"] == [choice["finish_reason"] for choice in choices(without)]
    assert without.body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("dialect", "word"), [("openai", "stop"), ("anthropic", "end_turn")])
@pytest.mark.parametrize("streaming", [False, True])
def test_the_wrong_reason_for_calls(dialect: str, word: str, streaming: bool, backend: Backend) -> None:
    """Calls end in the word for an end in words."""
    backend.reply = Reply(calls=(Call(name="add"),))
    body = with_fault(backend, dialect, Fault(kind="finish_stop_for_calls"), stream=streaming).body
    assert f'_reason":"{word}"'.encode() in body


TWO = Reply(
    text="I", calls=(Call(name="add", args={"a": 1}, id="c1", cut=4), Call(name="sub", args={"b": 2}, id="c2", cut=4))
)


def fragments(raw: Raw) -> list[dict[str, Any]]:
    return [call for choice in choices(raw) for call in choice["delta"].get("tool_calls", ())]


def joined_args(raw: Raw, index: int) -> Any:
    return "".join(call["function"]["arguments"] for call in fragments(raw) if call["index"] == index)


def calls_with(backend: Backend, kind: str, **more: Any) -> Raw:
    backend.reply = TWO
    return with_fault(backend, "openai", Fault(kind=kind), **more)


def test_fragments_that_take_turns(backend: Backend) -> None:
    """Fragments of parallel calls take turns, and make the same calls."""
    raw = calls_with(backend, "calls_interleaved")
    assert [0, 1, 0, 1, 0, 1] == [call["index"] for call in fragments(raw)]
    assert ('{"a": 1}', '{"b": 2}') == (joined_args(raw, 0), joined_args(raw, 1))
    assert (["I"], "tool_calls") == (
        [choice["delta"]["content"] for choice in choices(raw) if choice["delta"].get("content")],
        choices(raw)[-1]["finish_reason"],
    )


def test_fragments_that_lack_or_repeat_something(backend: Backend) -> None:
    """Indices or ids are missing; names or ids are repeated in every fragment."""
    assert all("index" not in call for call in fragments(calls_with(backend, "calls_no_index")))
    assert all("id" not in call for call in fragments(calls_with(backend, "calls_no_ids")))
    names = [call["function"]["name"] for call in fragments(calls_with(backend, "calls_name_repeated"))]
    assert ["add"] * 3 + ["sub"] * 3 == names
    assert ["c1"] * 3 + ["c2"] * 3 == [call["id"] for call in fragments(calls_with(backend, "calls_ids_repeated"))]
    whole = calls_with(backend, "calls_no_ids", stream=False).json["choices"][0]["message"]["tool_calls"]
    assert [None, None] == [call.get("id") for call in whole]


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("calls_args_object", [{"a": 1}, {"b": 2}]),
        ("calls_args_double", ['"{\\"a\\": 1}"', '"{\\"b\\": 2}"']),
        ("calls_args_truncated", ['{"a":', '{"b":']),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_odd_arguments(kind: str, args: list[Any], streaming: bool, backend: Backend) -> None:
    """Arguments are an object, JSON in JSON, or cut off; each call is one fragment."""
    raw = calls_with(backend, kind, stream=streaming)
    calls = fragments(raw) if streaming else raw.json["choices"][0]["message"]["tool_calls"]
    assert args == [call["function"]["arguments"] for call in calls]


# --- all of them ---


UNSEEN = {"slow", "slow_headers", "joined"}
"""What changes only the times."""


def test_every_fault_changes_something(backend: Backend) -> None:
    """Every kind of fault changes the answer, in every dialect that it has a meaning in."""
    reply = Reply(text=TEXT, calls=TWO.calls)
    for kind, dialect in product(FAULTS, DIALECTS):
        if dialect in (FAULTS[kind].dialects or DIALECTS) and "stall" not in kind and kind not in UNSEEN:
            asks = kind != "stream_for_json"
            backend.forget()
            backend.reply = reply
            plain = ask(backend, dialect, "x", stream=asks, user="u")
            backend.forget()
            backend.reply = reply
            fault = Fault(kind=kind, after=1, field="user")
            odd = with_fault(backend, dialect, fault, "x", stream=asks, user="u")
            assert (plain.data, plain.end) != (odd.data, odd.end), (kind, dialect)


@pytest.mark.parametrize(
    "kind", [kind for kind, known in FAULTS.items() if "ollama" not in (known.dialects or DIALECTS)]
)
def test_a_fault_without_a_meaning_says_so(kind: str, backend: Backend) -> None:
    """In a dialect where a fault means nothing, the answer is status 501, with the fault's name."""
    raw = with_fault(backend, "ollama", Fault(kind=kind))
    assert (501, True) == (raw.status, kind in raw.json["error"])


def test_faults_add_up(backend: Backend) -> None:
    """Several faults happen together; of those, a refusal is only met by faults of the connection."""
    backend.fault = Fault(kind="crlf"), Fault(kind="no_done")
    raw = ask(backend, "openai", "x")
    assert b"\r\n\r\n" in raw.body
    assert b"[DONE]" not in raw.body
    assert ("crlf", "no_done") == backend.last.faults
    backend.fault = Fault(kind="json_for_stream"), Fault.status(500), Fault(kind="reset")
    refusal = ask(backend, "openai", "x")
    assert (500, "reset") == (refusal.status, refusal.end)


def test_a_reply_brings_its_own_faults(backend: Backend) -> None:
    """A reply may bring faults for this one answer."""
    backend.queue(Reply(text="a b", faults=(Fault.reset(after=1),)))
    raw = ask(backend, "openai", "x")
    assert ("reset", "a") == (raw.end, text_in(raw))
    assert "x" == text_in(ask(backend, "openai", "x"))


def test_a_fault_happens_so_often(backend: Backend) -> None:
    """A standing fault may be limited to some requests; `Backend.fault` shows those that are left."""
    fault = Fault.status(429, times=2)
    backend.fault = fault
    assert [429, 429, 200] == [ask(backend, "openai", "x").status for _ in range(3)]
    assert () == backend.fault
    backend.fault = Fault.status(429)
    assert [429, 429] == [ask(backend, "openai", "x").status for _ in range(2)]
    backend.fault = None
    assert 200 == ask(backend, "openai", "x").status


def test_a_fault_of_no_kind() -> None:
    """An unknown kind is refused, with the nearest name or with all of them."""
    with pytest.raises(ValueError, match=r"Did you mean 'truncate'\?"):
        Fault(kind="truncat")
    with pytest.raises(ValueError, match="Known kinds: auth, auth_echo"):
        Fault(kind="")


def test_short_ways_to_say_it() -> None:
    """The faults that are needed most have constructors of their own."""
    assert Fault(kind="reset", after=3, times=1) == Fault.reset(after=3, times=1)
    assert Fault(kind="stall", after=3) == Fault.stall(after=3)
    assert Fault(kind="cut_chunked", after=3) == Fault.cut(after=3)
    assert Fault(kind="truncate", after=3) == Fault.truncate(after=3)
    assert Fault(kind="refuse_field", field="n") == Fault.refuse_field("n")


def test_send_is_not_fooled(backend: Backend) -> None:
    """Without a fault, the answer is complete and ends well."""
    body = {"model": "m", "messages": [{}]}
    raw = send(backend, payload("POST", "/v1/chat/completions", body, {"connection": "close"}))
    assert (200, "fin", True, "complete") == (raw.status, raw.end, raw.whole, outcome(backend))
