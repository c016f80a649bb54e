"""`DescribedReader`: the bytes of a body as parts, however they are framed, named and cut."""

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelAPIError, ModelError
from tests.stream.linear import assert_linear

from langplug import Finish, IncompleteAnswerError
from langplug._stream.described_reader import DescribedReader
from langplug._stream.framing import Framing
from langplug._stream.paths import Paths, UnreadableAnswerError

PATHS = Paths(text="t", finish="f", error="error", stop_sequence="s")
WHOLE = Paths(text="all", finish="f", error="error")

VALUES = [{"t": "Hé"}, {"t": "llo"}, {"t": "", "f": "stop"}]
PARTS = ["Hé", "llo", Finish(reason="stop")]

ONE = {"all": "Héllo", "f": "stop"}
ONE_PARTS = ["Héllo", Finish(reason="stop")]

SSE = "text/event-stream"
NDJSON = "application/x-ndjson"
JSON = "application/json"


def text(value: Any, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=False, **how)


def sse(*values: Any) -> bytes:
    return "".join(f"data: {text(value)}\n\n" for value in values).encode()


def ndjson(*values: Any) -> bytes:
    return "".join(f"{text(value)}\n" for value in values).encode()


def reader(framing: Framing, content_type: str = "", **more: Any) -> DescribedReader:
    return DescribedReader(framing, content_type, streamed=PATHS, whole=WHOLE, owner="The oracle", **more)


def read(one: DescribedReader, *pieces: bytes) -> list[Any]:
    parts: list[Any] = []
    for piece in pieces:
        if one.finished:
            break
        parts += one.feed(piece)
    return [*parts, *one.end()]


BODIES: dict[str, tuple[Framing, str, bytes, list[Any]]] = {
    "sse": ("sse", SSE, sse(*VALUES), PARTS),
    "sse with an end marker": ("sse", SSE, sse(*VALUES) + b"data: [DONE]\n\n", PARTS),
    "sse without its last line end": ("sse", SSE, sse(*VALUES).rstrip(), PARTS),
    "sse, wrongly named": ("sse", "text/plain", sse(*VALUES), PARTS),
    "sse where lines were described": ("ndjson", SSE, sse(*VALUES), PARTS),
    "ndjson": ("ndjson", NDJSON, ndjson(*VALUES), PARTS),
    "ndjson without its last line end": ("ndjson", NDJSON, ndjson(*VALUES).rstrip(), PARTS),
    "ndjson with a byte order mark": ("ndjson", NDJSON, b"\xef\xbb\xbf" + ndjson(*VALUES), PARTS),
    "ndjson named json": ("ndjson", JSON, ndjson(*VALUES), PARTS),
    "ndjson, wrongly named": ("ndjson", "text/plain", ndjson(*VALUES), PARTS),
    "ndjson where events were described": ("sse", NDJSON, ndjson(*VALUES), PARTS),
    "array": ("json-array", JSON, text(VALUES, indent=1).encode(), PARTS),
    "json": ("json", JSON, text(ONE, indent=1).encode(), ONE_PARTS),
    "json where a stream was described": ("sse", JSON, text(ONE).encode(), ONE_PARTS),
    "json where lines were described": ("ndjson", JSON, text(ONE).encode(), ONE_PARTS),
    "json over lines where lines were described": ("ndjson", JSON, text(ONE, indent=1).encode(), ONE_PARTS),
    "json where an array was described": ("json-array", JSON, text(ONE).encode(), ONE_PARTS),
}


@pytest.mark.parametrize("name", BODIES)
@given(cuts=st.lists(st.integers(0, 200), max_size=6))
def test_however_it_is_framed_named_and_cut_the_parts_are_the_same(name: str, cuts: list[int]) -> None:
    """What a server sends is read as what it is, not as what was described or what the content type says."""
    framing, content_type, body, parts = BODIES[name]
    places = sorted({0, *cuts, len(body)})
    pieces = [body[start:end] for start, end in itertools.pairwise(places)]
    assert read(reader(framing, content_type), *pieces) == parts


@given(said=st.text(max_size=20), cuts=st.lists(st.integers(0, 60), max_size=5))
def test_plain_text_is_taken_as_it_comes(said: str, cuts: list[int]) -> None:
    """Text that is described as text is never read as anything else, and characters stay whole."""
    body = f'{{"t": 1}}{said}'.encode()
    places = sorted({0, *cuts, len(body)})
    one = DescribedReader("text", JSON, streamed=None, whole=None)
    parts = read(one, *(body[start:end] for start, end in itertools.pairwise(places)))
    assert "".join(parts) == f'{{"t": 1}}{said}'


def test_text_is_given_on_at_once() -> None:
    """A part comes with the bytes that complete it."""
    one = reader("sse", SSE)
    assert one.feed(sse({"t": "a"})) == ["a"]
    assert one.feed(sse({"t": "b"})[:5]) == []
    assert one.feed(sse({"t": "b"})[5:]) == ["b"]


def test_what_came_before_an_error_is_given_on_first() -> None:
    """Parts and an error in one piece of bytes: first the parts, then the error, and nothing behind it."""
    one = reader("ndjson", NDJSON)
    assert one.feed(ndjson({"t": "a"}, {"error": "it broke"}, {"t": "b"})) == ["a"]
    with pytest.raises(ModelAPIError, match="it broke"):
        one.end()
    other = reader("ndjson", NDJSON)
    other.feed(ndjson({"t": "a"}) + b'{"t": ')
    with pytest.raises(IncompleteAnswerError, match="which is not JSON"):
        other.end()
    third = reader("ndjson", NDJSON)
    third.feed(ndjson({"t": "a"}, {"error": "it broke"}))
    assert third.finished
    assert third.feed(ndjson({"t": "b"})) == []
    with pytest.raises(ModelAPIError, match="it broke"):
        third.end()


def test_an_error_with_nothing_before_it_is_raised_at_once() -> None:
    """Nobody waits for more when nothing was said yet."""
    with pytest.raises(ModelAPIError):
        reader("ndjson", NDJSON).feed(ndjson({"error": "it broke"}))


def test_an_event_called_error_is_one() -> None:
    """Even where no path finds an error, an event of that name is none of the answer."""
    with pytest.raises(ModelError, match="too much"):
        reader("sse", SSE).feed(b'event: error\ndata: {"reason": 1, "message": "too much"}\n\n')


def test_the_event_s_name_is_known_to_paths() -> None:
    """Paths find the name of a server-sent event as `event`."""
    one = DescribedReader("sse", SSE, streamed=Paths(text="event == 'say' && t", done="event == 'end'"), whole=None)
    assert one.feed(b'event: say\ndata: {"t": "a"}\n\nevent: note\ndata: {"t": "b"}\n\nevent: end\ndata: {}\n\n') == [
        "a"
    ]
    assert one.finished


def test_the_stop_text_is_put_back_where_the_server_reports_it() -> None:
    """A stop string that was asked for and is reported comes behind the rest; no other does."""
    body = ndjson({"t": "a"}, {"t": "", "f": "stop", "s": "###"})
    end = Finish(reason="stop", stop_sequence="###")
    assert read(reader("ndjson", NDJSON, stops=("###", "x")), body) == ["a", end, "###"]
    assert read(reader("ndjson", NDJSON, stops=("x",)), body) == ["a", end]
    assert read(reader("ndjson", NDJSON), body) == ["a", end]


@pytest.mark.parametrize(
    ("framing", "body", "error", "told"),
    [
        (
            "sse",
            b"<html>Busy</html>",
            UnreadableAnswerError,
            "'<html>Busy</html>', which is not what framing='sse' says",
        ),
        ("ndjson", b"<html>\nBusy</html>", UnreadableAnswerError, "which is not what framing='ndjson' says"),
        ("json", b"Busy", UnreadableAnswerError, "Is the address right?"),
        ("json", b'{"all": "He', IncompleteAnswerError, "which is not JSON"),
        ("json", b"", IncompleteAnswerError, "nothing came"),
        ("sse", b"", IncompleteAnswerError, "ended before the answer did"),
        ("sse", sse({"t": "a"}), IncompleteAnswerError, "finish='f' found nothing"),
        ("sse", sse({"t": "a"}) + b"data: [DONE]\n\n", IncompleteAnswerError, "finish='f' found nothing"),
        ("json", b'{"f": "stop"}', UnreadableAnswerError, "text='all' found nothing"),
        ("json-array", b'[{"t": "a"}, {"t"', IncompleteAnswerError, "not JSON"),
    ],
)
def test_a_body_that_is_no_answer_says_why(framing: Framing, body: bytes, error: type[Exception], told: str) -> None:
    """Pages, cut bodies, and answers without their end are typed errors that name what came."""
    with pytest.raises(error) as caught:
        read(reader(framing), body)
    assert told in str(caught.value)
    assert "The oracle" in str(caught.value)


@pytest.mark.parametrize(
    ("framing", "body_of"),
    [
        pytest.param("sse", lambda size: b" \n" * (size // 2) + sse(*VALUES), id="blanks before an answer"),
        pytest.param("ndjson", lambda size: text({"all": "a" * size, "f": "stop"}).encode(), id="one long line"),
        pytest.param("sse", lambda size: sse({"t": "a" * size, "f": "stop"}), id="one long event"),
    ],
)
def test_an_answer_costs_as_much_as_it_is_long(framing: Framing, body_of: Callable[[int], bytes]) -> None:
    """Neither a long event, nor waiting for what tells the framing, costs more for each byte that has come."""
    assert_linear(lambda pieces: read(reader(framing), *pieces), body_of)
