"""Bodies cut into frames: the same ones however the bytes come."""

import itertools
import json
from collections.abc import Callable, Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.stream.linear import assert_linear

from langplug._stream.framing import (
    FRAMINGS,
    EventStream,
    Frame,
    FrameDecoder,
    Framing,
    JsonArray,
    JsonLines,
    PlainText,
    framing_of,
    sniff_framing,
)


def frames_of(decoder: FrameDecoder, pieces: Iterable[bytes]) -> list[Frame]:
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.flush()


def pieces_of(body: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = sorted({min(cut, len(body)) for cut in cuts} | {0, len(body)})
    return [body[start:end] for start, end in itertools.pairwise(places)]


def events(body: bytes) -> list[tuple[str, str]]:
    frames = frames_of(EventStream(), [body])
    return [(frame.event, frame.data.decode() if isinstance(frame.data, bytes) else frame.data) for frame in frames]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(b"data: a\n\ndata: b\n\n", [("", "a"), ("", "b")], id="two events"),
        pytest.param(b"data:a\n\n", [("", "a")], id="no blank behind the colon"),
        pytest.param(b"data:  a\n\n", [("", " a")], id="one blank belongs to the field"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [("", "a"), ("", "b")], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [("", "a"), ("", "b")], id="CR"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [("", "a"), ("", "b")], id="mixed line ends"),
        pytest.param(b": ping\n\ndata: a\n: ping\n\n:\n\n", [("", "a")], id="comments"),
        pytest.param(b"data: a\ndata: b\n\n", [("", "a\nb")], id="several lines"),
        pytest.param(b"event: x\nid: 7\nretry: 3\ndata: a\n\n", [("x", "a")], id="named"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [("", "a")], id="BOM"),
        pytest.param(b"data: a", [("", "a")], id="unterminated"),
        pytest.param(b"data: a\n", [("", "a")], id="without its blank line"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n\n", [("", "a")], id="more blank lines than needed"),
        pytest.param(b"data\n\n", [("", "")], id="a field without a colon"),
        pytest.param(b"event: x\n\n", [], id="no data, no event"),
        pytest.param("data: é✓👩‍🚀\n\n".encode(), [("", "é✓👩‍🚀")], id="other characters"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_events_are_read_as_the_standard_says(body: bytes, expected: list[tuple[str, str]]) -> None:
    """Events, comments, names and line ends are read as the standard of server-sent events has them."""
    assert expected == events(body)


LINES = st.sampled_from(["data: a", "data:b", "data", ": ping", "event: x", "id: 1", "data: é👩‍🚀", "", "retry: 5"])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])
BODIES = st.lists(st.tuples(LINES, ENDS)).map(lambda lines: "".join(line + end for line, end in lines).encode())


@given(body=BODIES, cuts=st.lists(st.integers(0, 80)))
@example(body=b"data: a\r\n\r\n", cuts=[8, 9, 10])
@example(body=b"data: a\r\n", cuts=[8])
@example(body=b"\xef\xbb\xbfdata: a\n\n", cuts=[1, 2])
def test_events_do_not_depend_on_how_the_bytes_come(body: bytes, cuts: list[int]) -> None:
    """Any cut of a stream of events gives the same events."""
    assert frames_of(EventStream(), [body]) == frames_of(EventStream(), pieces_of(body, cuts))


def test_an_event_comes_as_soon_as_it_is_whole() -> None:
    """An event is given when its blank line comes, and not later."""
    decoder = EventStream()
    assert [] == decoder.feed(b"data: a\n")
    assert [Frame(b"a")] == decoder.feed(b"\n")
    assert [] == decoder.feed(b"data: b\r\n\r")[1:]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.text(max_size=8)
    | st.sampled_from(['"', "[,]", "\\", "}{", "é👩‍🚀"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    values=st.lists(VALUES, max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    ascii_alone=st.booleans(),
    cuts=st.lists(st.integers(0, 200)),
)
def test_the_items_of_an_array_come_one_by_one(
    values: list[object], indent: int | None, ascii_alone: bool, cuts: list[int]
) -> None:
    """However a JSON array is written and cut, its items are its frames."""
    body = json.dumps(values, indent=indent, ensure_ascii=ascii_alone).encode()
    frames = frames_of(JsonArray(), pieces_of(body, cuts))
    assert values == [json.loads(frame.data) for frame in frames]


def test_an_item_comes_as_soon_as_it_is_whole() -> None:
    """An item of an array is given at the comma or bracket behind it."""
    decoder = JsonArray()
    assert [] == decoder.feed(b'[{"a": "],{"}')
    assert [Frame(b'{"a": "],{"}')] == decoder.feed(b" , ")
    assert [Frame(b"1")] == decoder.feed(b"1]")
    assert [] == decoder.flush()


def test_an_array_that_is_cut_off_gives_what_is_left() -> None:
    """What stands behind the last whole item is given at the end, so that somebody can find it wanting."""
    assert [Frame(b"1"), Frame(b'{"a"')] == frames_of(JsonArray(), [b'[1, {"a"'])


@given(
    values=st.lists(VALUES, max_size=6), end=st.sampled_from(["\n", "\r\n", "\n\n"]), cuts=st.lists(st.integers(0, 200))
)
def test_lines_of_json_come_one_by_one(values: list[object], end: str, cuts: list[int]) -> None:
    """Each line is a frame, whatever its end, the last one even without any; empty ones are none."""
    body = end.join(json.dumps(value) for value in values).encode()
    assert values == [json.loads(frame.data) for frame in frames_of(JsonLines(), pieces_of(body, cuts))]


@given(text=st.text(), cuts=st.lists(st.integers(0, 80)))
def test_text_keeps_its_characters_whole(text: str, cuts: list[int]) -> None:
    """However UTF-8 is cut, the text is the same."""
    frames = frames_of(PlainText(), pieces_of(text.encode(), cuts))
    assert text == "".join(str(frame.data) for frame in frames)


def test_broken_text_is_marked() -> None:
    """Bytes that are no UTF-8, and a character that is cut off, become U+FFFD."""
    assert "a\ufffdb\ufffd" == "".join(str(frame.data) for frame in frames_of(PlainText(), [b"a\xff", b"b\xe2\x82"]))


@given(body=st.binary(), cuts=st.lists(st.integers(0, 80)))
@pytest.mark.parametrize("make", FRAMINGS.values(), ids=FRAMINGS)
def test_no_bytes_break_a_decoder(make: Callable[[], FrameDecoder], body: bytes, cuts: list[int]) -> None:
    """Any bytes, cut anywhere, give the same frames and no exception."""
    whole = frames_of(make(), [body])
    parts = frames_of(make(), pieces_of(body, cuts))
    if make is PlainText:
        assert "".join(str(frame.data) for frame in whole) == "".join(str(frame.data) for frame in parts)
    else:
        assert whole == parts


HUGE: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "an event": ("sse", lambda size: b'data: {"image": "' + b"a" * size + b'"}\n\n'),
    "an event of many lines": ("sse", lambda size: b"data: 0123456789\n" * (size // 17) + b"\n"),
    "an event with CRLF": ("sse", lambda size: b"data: " + b"0123456789\r\ndata: " * (size // 18) + b"\r\n\r\n"),
    "blank lines": ("sse", lambda size: b"data: a\n" + b"\n" * size),
    "small events": ("sse", lambda size: b"data: 0123456789\n\n" * (size // 18)),
    "a line": ("ndjson", lambda size: b'"' + b"a" * size + b'"\n'),
    "an item": ("json-array", lambda size: b'["' + b"a" * size + b'"]'),
    "an item full of escapes": ("json-array", lambda size: b'["' + rb"\\\"" * (size // 4) + b'"]'),
    "an item of many": ("json-array", lambda size: b"[[" + b'{"a": 1}, ' * (size // 10) + b"1]]"),
    "small items": ("json-array", lambda size: b"[" + b'{"a": 1}, ' * (size // 10) + b"1]"),
    "a value": ("json", lambda size: b'"' + b"a" * size + b'"'),
    "a text": ("text", lambda size: b"a" * size),
}


@pytest.mark.parametrize(("framing", "body_of"), HUGE.values(), ids=HUGE)
def test_work_grows_as_the_body_does(framing: Framing, body_of: Callable[[int], bytes]) -> None:
    """However long an event, a line or an item is, each of its bytes costs the same."""
    assert_linear(lambda pieces: frames_of(FRAMINGS[framing](), pieces), body_of)


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("text/event-stream; charset=utf-8", "sse"),
        ("Application/JSON", "json"),
        ("application/x-ndjson", "ndjson"),
        ("text/html", None),
        ("", None),
    ],
)
def test_a_content_type_tells_the_framing(content_type: str, expected: str | None) -> None:
    """The known types are known, whatever their parameters and case; others tell nothing."""
    assert expected == framing_of(content_type)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b' \n{"a"', "json"),
        (b"[", "json"),
        (b"data: x", "sse"),
        (b"da", None),
        (b"event:", "sse"),
        (b": ping", "sse"),
        (b"\xef\xbb\xbfdata:", "sse"),
        (b"<html>", "text"),
        (b"database", "text"),
        (b"  ", None),
    ],
)
def test_a_body_tells_its_framing_by_how_it_begins(start: bytes, expected: str | None) -> None:
    """The first bytes tell, as soon as there are enough."""
    assert expected == sniff_framing(start)
