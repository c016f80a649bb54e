"""The stop cutter: literal, earliest start, across pieces."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug._answer.stop import StopCutter

TEXTS = st.text(alphabet="ab<|\n", max_size=24)
STOPS = st.lists(st.text(alphabet="ab<|\n", min_size=1, max_size=5), min_size=1, max_size=4)


@st.composite
def cut_texts(draw: st.DrawFn) -> list[str]:
    """A text as the pieces it comes in, empty ones among them."""
    return draw(st.lists(st.text(alphabet="ab<|\n", max_size=6), max_size=12))


def cut_whole(text: str, stops: list[str], *, include: bool) -> tuple[str, str | None]:
    """The oracle: look at every place of the whole text."""
    for start in range(len(text)):
        for stop in sorted(stops, key=len):
            if text[start : start + len(stop)] == stop:
                return text[: start + (len(stop) if include else 0)], stop
    return text, None


def run(cutter: StopCutter, pieces: list[str]) -> str:
    return "".join([*map(cutter.feed, pieces), cutter.flush()])


@given(cut_texts(), STOPS, st.booleans())
def test_any_cut_gives_what_the_whole_text_gives(pieces: list[str], stops: list[str], include: bool) -> None:
    """However the text is cut, the output ends at the stop string that starts first, the shorter of two."""
    cutter = StopCutter(stops, include=include)
    expected, hit = cut_whole("".join(pieces), stops, include=include)

    assert expected == run(cutter, pieces)
    assert hit == cutter.hit


@given(TEXTS, STOPS)
def test_holds_back_only_what_can_become_a_stop_string(text: str, stops: list[str]) -> None:
    """After each piece, what is held is the beginning of a stop string, or a hit that an earlier one may overrule."""
    cutter = StopCutter(stops)
    shown = ""
    for count, char in enumerate(text, start=1):
        shown += cutter.feed(char)
        if cutter.hit:
            break
        held = text[len(shown) : count]
        assert not held or any(stop.startswith(held) and stop != held for stop in stops)


@pytest.mark.parametrize(
    ("stops", "pieces", "expected", "hit"),
    [
        pytest.param(["abcd", "bc"], ["abc", "X"], "abc", "bc", id="the longer one fails"),
        pytest.param(["abcd", "bc"], ["abc", "d"], "abcd", "abcd", id="the longer one completes"),
        pytest.param(["abcd", "bc"], ["abc"], "abc", "bc", id="the end decides"),
        pytest.param(["ab", "abc"], ["xabc"], "xab", "ab", id="the shorter of two at one place"),
        pytest.param(["<|end|>"], ["a < b <|e", "nd|> c"], "a < b <|end|>", "<|end|>", id="literal, not a pattern"),
        pytest.param(["END"], ["E", "N"], "EN", None, id="an unfinished stop string is text"),
        pytest.param([], ["a", "b"], "ab", None, id="no stop strings"),
    ],
)
def test_cuts(stops: list[str], pieces: list[str], expected: str, hit: str | None) -> None:
    """The text ends right after the stop string."""
    cutter = StopCutter(stops)
    assert expected == run(cutter, pieces)
    assert hit == cutter.hit


def test_does_not_wait_for_a_longer_one_at_the_same_place() -> None:
    """The shorter of two that start together hits at once."""
    cutter = StopCutter(["abc", "ab"])
    assert "ab" == cutter.feed("ab")
    assert "ab" == cutter.hit


def test_leaves_the_stop_string_out() -> None:
    """With include=False the text ends right before the stop string."""
    cutter = StopCutter(["END"], include=False)
    assert ["one ", ""] == [cutter.feed("one E"), cutter.feed("ND two")]
    assert "END" == cutter.hit


def test_says_nothing_after_a_hit() -> None:
    """After a hit, feed and flush return nothing and the hit stays."""
    cutter = StopCutter(["."])
    assert ["a.", "", ""] == [cutter.feed("a.b"), cutter.feed("c."), cutter.flush()]
    assert "." == cutter.hit


def test_shows_text_at_once_where_no_stop_string_can_begin() -> None:
    """A piece that no stop string can begin in is not delayed."""
    assert "hello " == StopCutter(["END"]).feed("hello ")


def test_cuts_nothing_without_stop_strings() -> None:
    """Without stop strings every piece passes."""
    assert "a" == StopCutter([]).feed("a")


@pytest.mark.parametrize("stops", [[""], ["a", ""], [None], [3], "END"])
def test_refuses_what_is_no_stop_string(stops: list[str]) -> None:
    """An empty stop string, or something else than a string, is a ValueError that shows it."""
    with pytest.raises(ValueError, match="expected"):
        StopCutter(stops)


def test_takes_time_in_proportion_to_the_text() -> None:
    """A long text in small pieces, full of false starts, costs far less than a quadratic scan would."""
    cutter = StopCutter(["<" * 40 + "END", "\n\nHuman:"])
    started = time.process_time()
    for _ in range(100_000):
        cutter.feed("<<<\n")
    assert time.process_time() - started < 5
