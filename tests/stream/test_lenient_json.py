"""JSON as servers write it: what a strict parser refuses, and can be understood."""

import itertools
import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelError
from tests.stream.linear import time_s

from langplug import IncompleteAnswerError
from langplug._stream.completion_reader import CompletionReader
from langplug._stream.lenient_json import LenientJson

SSE = "text/event-stream"


def event(delta: str, more: str = "") -> bytes:
    return f'data: {{"choices": [{{"index": 0, "delta": {{{delta}}}{more}}}]}}\n\n'.encode()


END = event("", ', "finish_reason": "stop"')


def text_of(*events: bytes) -> str:
    reader = CompletionReader(SSE, load=orjson.loads)
    parts = [part for one in events for part in reader.feed(one)] + list(reader.end())
    return "".join(part for part in parts if isinstance(part, str))


@pytest.mark.parametrize(
    "more",
    [
        pytest.param(', "logprob": -Infinity', id="Infinity"),
        pytest.param(', "logprob": NaN', id="NaN"),
        pytest.param(', "score": 1e999', id="a float that is too large"),
        pytest.param(f', "id": {"9" * 10_000}', id="an integer of 10,000 digits"),
        pytest.param(', "seed": 123456789012345678901234567890', id="an integer beyond 64 bits"),
        pytest.param(', "x": "a\tb\x01"', id="control characters"),
        pytest.param(', "x": "\\ud83d"', id="half a character"),
        pytest.param(', "\\ude00": 1', id="half a character in a name"),
    ],
)
def test_what_python_and_javascript_write_is_read(more: str) -> None:
    """Numbers and strings that strict JSON forbids cost no answer, in whichever field they stand."""
    assert "Hi" == text_of(event('"content": "Hi"', more), END)


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf", b""], ids=["a byte order mark", "nothing"])
def test_a_byte_order_mark_before_a_value_is_passed_over(body: bytes) -> None:
    """A mark may stand before any value."""
    assert "Hi" == text_of(event('"content": "Hi"').replace(b"data: ", b"data: " + body), END)


def test_a_byte_that_is_not_utf8_is_one_wrong_character() -> None:
    """One bad byte is one U+FFFD, and not the end of the answer."""
    assert "H\ufffdi" == text_of(event('"content": "Hxi"').replace(b"Hxi", b"H\xffi"), END)


@given(st.text(min_size=1, max_size=12), st.lists(st.integers(0, 40), max_size=6))
def test_pairs_that_are_cut_in_two_are_joined(text: str, cuts: list[int]) -> None:
    """However JavaScript cuts a text into strings, the characters are whole."""
    units = text.encode("utf-16-le", "surrogatepass")
    places = sorted({2 * min(cut, len(units) // 2) for cut in cuts} | {0, len(units)})
    pieces = [units[a:b].decode("utf-16-le", "surrogatepass") for a, b in itertools.pairwise(places)]
    events = [event(f'"content": {json.dumps(piece)}') for piece in pieces]
    assert text_of(*events, END) == units.decode("utf-16-le", "replace")


def test_halves_are_joined_in_their_own_place() -> None:
    """Text, reasoning and arguments may each be cut; nothing is joined across them, and a lone half is marked."""
    assert "a\U0001f600b" == text_of(
        event(r'"content": "a\ud83d", "reasoning_content": "x\ud83e"'),
        event(r'"content": "\ude00b", "reasoning_content": "\udd14"'),
        END,
    )
    assert "a\ufffdb" == text_of(event(r'"content": "a\ud83d"'), event('"content": "b"'), END)
    assert "a\ufffdb" == text_of(event(r'"content": "a\ude00"'), event('"content": "b"'), END)


def test_half_a_character_of_a_whole_answer_is_marked() -> None:
    """An answer that is one value has nothing to wait for."""
    reader = CompletionReader("application/json", load=orjson.loads)
    reader.feed(rb'{"choices": [{"message": {"content": "ok \ud83d"}, "finish_reason": "stop"}]}')
    assert "ok \ufffd" == "".join(part for part in reader.end() if isinstance(part, str))


@pytest.mark.parametrize(
    "data", [b'{"choices": [{"delta": {"content": "H', b"{}{}", b"{'a': 1}", b'{"a": 1,}', b"[" * 5000]
)
def test_what_is_not_json_is_still_an_error(data: bytes) -> None:
    """A value that is cut off, is none, or is nested too deeply breaks the answer off."""
    with pytest.raises(IncompleteAnswerError, match="not JSON"):
        text_of(event('"content": "Hi"'), b"data: " + data + b"\n\n", END)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False), st.lists))
def test_what_is_json_is_read_as_any_parser_does(value: Any) -> None:
    """The lenient reading of what is right is the right one."""
    assert LenientJson().load(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize("form", ['{"a": %s}', '{"a": -%s}', '{"a": [%s]}', '{"a": "%s"}', '{"a": 0.%s}'])
def test_long_numbers_are_read_in_the_time_of_their_length(form: str) -> None:
    """A number of 2 MB costs 8 times what one of 256 KB does, and not the square of it."""

    def read(pieces: Any) -> None:
        LenientJson().load(b"".join(pieces))

    small, large = ([(form % ("9" * size)).encode()] for size in (1 << 18, 1 << 21))
    assert time_s(read, large) < 30 * max(0.002, min(time_s(read, small) for _ in range(3)))
    assert LenientJson().load(b"-" + b"9" * 500) == -math.inf


def test_nesting_is_a_typed_error_in_the_reader() -> None:
    """Depth is bounded: what Python cannot walk through is not read."""
    body = b'{"a": ' * 900 + b"NaN" + b"}" * 900
    with pytest.raises(ModelError):
        text_of(b"data: " + body + b"\n\n", END)
