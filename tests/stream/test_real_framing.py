"""Streams of events as real servers send them: beside the standard, and read all the same."""

import itertools
import json
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelError
from tests.stream.linear import assert_linear

from langplug import Finish, IncompleteAnswerError
from langplug._stream.completion_reader import CompletionReader
from langplug._stream.described_reader import DescribedReader
from langplug._stream.framing import EventStream
from langplug._stream.paths import Paths, UnreadableAnswerError

SSE = "text/event-stream"


def chunk(text: str, finish: str | None = None) -> str:
    return json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})


HEL, LO, END = chunk("Hel"), chunk("lo"), chunk("", "stop")

ODD_STREAMS: dict[str, str] = {
    "comments as data": f"data: : WAITING\n\ndata: {HEL}\n\ndata: : PROCESSING\n\ndata: {LO}\n\ndata: {END}\n\n",
    "one comment as data": f"data: : PROCESSING\n\ndata: {HEL}\n\ndata: {LO}\n\ndata: {END}\n\n",
    "one newline between events": f"data: {HEL}\ndata: {LO}\ndata: {END}\ndata: [DONE]\n",
    "one newline between the last two": f"data: {HEL}\n\ndata: {LO}\n\ndata: {END}\ndata: [DONE]\n\n",
    "one CRLF between events": f"data: {HEL}\r\ndata: {LO}\r\ndata: {END}\r\ndata: [DONE]\r\n",
    "one CR between events": f"data: {HEL}\rdata: {LO}\rdata: {END}\rdata: [DONE]\r",
    "names, and one newline": f"event: a\ndata: {HEL}\nevent: b\ndata: {LO}\nevent: c\ndata: {END}\n",
    "comments and one newline": f": hm\ndata: {HEL}\n: hm\ndata: {LO}\n: hm\ndata: {END}\n\n",
    "comments as data and one newline": f"data: : a\ndata: {HEL}\ndata: {LO}\ndata: : b\ndata: {END}\ndata: [DONE]\n\n",
    "the end's mark in the event before": f"data: {HEL}\n\ndata: {LO}\n\ndata: {END}\ndata: [DONE]\n\n",
    "nothing after the end's mark counts": f"data: {HEL}\ndata: {LO}\ndata: {END}\ndata: [DONE]\ndata: {LO}\n\n",
    "CRLF": f"data: {HEL}\r\n\r\ndata: {LO}\r\n\r\ndata: {END}\r\n\r\n",
    "CR": f"data: {HEL}\r\rdata: {LO}\r\rdata: {END}\r\r",
    "a byte order mark": f"\ufeffdata: {HEL}\n\ndata: {LO}\n\ndata: {END}\n\n",
    "a byte order mark in data": f"data: \ufeff{HEL}\n\ndata: {LO}\n\ndata: {END}\n\n",
    "empty data": f"data:\n\ndata: {HEL}\n\ndata: \n\ndata: {LO}\n\ndata: {END}\n\n",
    "pings": f"event: ping\ndata: 17:00:01\n\ndata: {HEL}\n\n"
    f"event: heartbeat\ndata: alive\n\ndata: {LO}\n\ndata: {END}\n\n",
    "events of events": f"data: data: {HEL}\n\ndata: data: {LO}\n\ndata: {END}\n\ndata: data: [DONE]\n\n",
    "blank line after the name": f"event: x\n\ndata: {HEL}\n\nevent: x\n\ndata: {LO}\n\ndata: {END}\n\n",
    "a value over several lines": f"data: {HEL}\n\ndata: "
    + json.dumps(json.loads(LO), indent=1).replace("\n", "\ndata: ")
    + f"\n\ndata: {END}\n\n",
}


@pytest.mark.parametrize("name", ODD_STREAMS)
@given(cuts=st.lists(st.integers(0, 400), max_size=6))
def test_a_stream_beside_the_standard_is_read(name: str, cuts: list[int]) -> None:
    """Whatever real servers do between the events, and however the bytes are cut, the text is the same."""
    body = ODD_STREAMS[name].encode()
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    reader = CompletionReader(SSE, load=orjson.loads)
    parts: list[Any] = []
    for start, end in itertools.pairwise(places):
        parts += reader.feed(body[start:end])
    parts += reader.end()
    assert "Hello" == "".join(part for part in parts if isinstance(part, str))


@pytest.mark.parametrize("bad", ["Internal error", '{"choices": [{"delta', "{'a': 1}", "{}}", "data", "[1, 2"])
@pytest.mark.parametrize("alone", [True, False], ids=["an event of its own", "a line of another"])
def test_what_no_line_explains_breaks_the_answer_off(bad: str, alone: bool) -> None:
    """Tolerance ends where content could be lost: data that is neither JSON nor a comment is an error."""
    reader = CompletionReader(SSE, load=orjson.loads)
    between = "\n\n" if alone else "\n"
    parts = list(reader.feed(f"data: {HEL}{between}data: {bad}\n\ndata: {END}\n\n".encode()))
    assert ["Hel"] == [part for part in parts if isinstance(part, str)]
    with pytest.raises(IncompleteAnswerError, match="not JSON"):
        reader.end()


def test_the_standard_comes_first() -> None:
    """What is right by the standard is read by it: lines of one event are one value, and the last name counts."""
    (frame,) = EventStream().feed(b"event: a\ndata: 1\nevent: b\ndata: 2\n\n")
    assert (b"1\n2", "b") == (frame.data, frame.event)
    one = DescribedReader("sse", SSE, streamed=Paths(text="t"), whole=None, load=orjson.loads)
    assert one.feed(b'data: {"t":\ndata: "a"}\n\n') == ["a"]


@pytest.mark.parametrize(
    "line", [b"data: {}\n", b"data: x\n", b"data: : x\n", b"event: x\ndata: {}\n", b"data:", b"data: "]
)
def test_an_event_of_many_lines_costs_as_much_as_it_is_long(line: bytes) -> None:
    """Lines that are read one by one are each read once."""

    def feed(pieces: Any) -> None:
        reader = CompletionReader(SSE, load=orjson.loads)
        try:
            for piece in pieces:
                reader.feed(piece)
            reader.end()
        except ModelError:
            pass

    assert_linear(feed, lambda size: line * (size // len(line)) + b"\n")


@pytest.mark.parametrize("name", ["text", "one newline"])
def test_an_event_of_20_mb_is_read_in_a_moment(name: str) -> None:
    """An image of 20 MB in an event, in reads of 64 KB, costs a fraction of a second."""
    text = "a" * 20_000_000
    body = f"data: {chunk(text)}\n\n" if name == "text" else f"data: {chunk(text)}\ndata: {END}\n\n"
    data = body.encode()
    reader = CompletionReader(SSE, load=orjson.loads)
    began = time.process_time()
    parts = [part for at in range(0, len(data), 65536) for part in reader.feed(data[at : at + 65536])]
    assert time.process_time() - began < 1  # a tenth of that, on a machine at rest
    assert text == next(part for part in parts if isinstance(part, str))


# --- events whose data is text ---


def read(body: str, *cuts: int, **paths: Any) -> list[Any]:
    reader = DescribedReader("sse", SSE, streamed=Paths(**paths), whole=None, load=orjson.loads)
    data = body.encode()
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    parts = [part for start, end in itertools.pairwise(places) for part in reader.feed(data[start:end])]
    return [*parts, *reader.end()]


TOKENS = ["Yes", "!", " 1", "2", "null", "true", "{", "}", "[1]", "{}", '"a"', ": x", "\n", "[", "[DONE]x"]


@given(
    tokens=st.lists(st.sampled_from(TOKENS) | st.text(min_size=1, max_size=5), max_size=8),
    cuts=st.lists(st.integers(0, 99)),
)
def test_data_that_is_text_is_read_as_it_is(tokens: list[str], cuts: list[int]) -> None:
    """Once an event's data was text, all data under its name is, whatever it looks like."""
    tokens = ["Yes", *(token.replace("\r", "") for token in tokens if token.strip() != "[DONE]")]
    body = "".join("".join(f"data: {line}\n" for line in token.split("\n")) + "\n" for token in tokens)
    assert "".join(tokens) == "".join(read(body, *cuts, text="@"))


def test_events_are_told_apart_by_their_names() -> None:
    """`event` is an event's name; beside it, an object's own keys, or `data` for a text."""
    body = (
        "event: thought\ndata: hm\n\nevent: fragment\ndata: Hello\n\nevent: fragment\ndata: 42\n\n"
        'event: fragment\ndata: {}\n\nevent: tick\ndata: ...\n\nevent: end\ndata: {"why": "stop"}\n\n'
    )
    parts = read(
        body, text="event == 'fragment' && data", reasoning="event == 'thought' && data", finish="event == 'end' && why"
    )
    assert "Hello42{}" == "".join(part for part in parts if isinstance(part, str))
    assert Finish(reason="stop") in parts


def test_text_may_be_a_number_or_a_json_string() -> None:
    """A first token that happens to be JSON is text, too, and a string that is written as JSON is that string."""
    assert "42 apples" == "".join(read("data: 42\n\ndata:  apples\n\n", text="@"))
    assert "a b" == "".join(read('data: "a"\n\ndata: " b"\n\n', text="@"))


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("data: Busy\n\n", UnreadableAnswerError),
        ('data: {"t": "a"}\n\ndata: Busy\n\n', UnreadableAnswerError),
        ('data: {"t": "a"}\n\ndata: {"t": "b\n\n', IncompleteAnswerError),
        ('event: say\ndata: {"t": "a"}\n\nevent: say\ndata: Busy\n\n', UnreadableAnswerError),
        ("event: error\ndata: Busy\n\n", ModelError),
    ],
)
def test_text_that_no_path_reads_is_an_error(body: str, error: type[Exception]) -> None:
    """Where the paths want objects, text in their place is an error that shows it, and not passed over."""
    with pytest.raises(error, match=r"Busy|\"b"):
        read(body, text="t")
