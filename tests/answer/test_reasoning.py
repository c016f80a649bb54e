"""The reasoning splitter: tags split anywhere, missing opener, prose that mentions the tag."""

import re
import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langplug._answer.reasoning import ReasoningSplitter
from langplug._parts import Reasoning

TOKENS = ["<think>", "</think>", "<", "<thi", "nk>", "</", "\n", "\r\n", " ", "\t", "x", "think>"]
ANSWERS = st.lists(st.sampled_from(TOKENS), max_size=14).map("".join)


def split_whole(answer: str, *, opened: bool = False) -> tuple[str, str]:
    """The oracle: the whole answer by regular expressions; returns (text, reasoning)."""
    text, reasoning = "", ""
    first = re.match(r"[ \t\r\n]*<think>", answer)
    if first or opened:
        answer, inside = answer[first.end() if first else 0 :].lstrip("\r\n"), True
    else:
        inside = False
    after_closer = not inside
    while answer:
        if inside:
            body, closer, answer = answer.partition("</think>")
            reasoning += body.rstrip("\r\n") if closer else body
            answer = answer.lstrip("\r\n")
            after_closer, inside = True, False
            continue
        anchor = r"(?:\A|(?<=\n))" if after_closer else r"(?<=\n)"
        opener = re.search(anchor + r"[ \t]*(<think>)", answer)
        text += answer[: opener.start(1)] if opener else answer
        answer = answer[opener.end() :].lstrip("\r\n") if opener else ""
        inside = True
    return text, reasoning


def split(splitter: ReasoningSplitter, pieces: list[str]) -> tuple[str, str]:
    parts = [part for piece in pieces for part in splitter.feed(piece)] + splitter.flush()
    assert all(part != "" and part != Reasoning("") for part in parts)
    text = "".join(part for part in parts if isinstance(part, str))
    return text, "".join(part.text for part in parts if isinstance(part, Reasoning))


def cut(answer: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(answer) + 1) for place in places), len(answer)]
    return [answer[a:b] for a, b in pairwise(edges)]


@given(ANSWERS, st.lists(st.integers(0, 100), max_size=8), st.booleans())
@example("<think>\n\nso\n</think>\n\nHi", list(range(40)), False)
@example("x\n<think>a</think><think>b</think>c", [1], False)
@example("\n<think>\nso</think><think>on</think>", list(range(40)), True)
def test_any_cut_gives_what_the_whole_answer_gives(answer: str, places: list[int], opened: bool) -> None:
    """However the answer is cut, text and reasoning are those of the whole answer."""
    assert split_whole(answer, opened=opened) == split(ReasoningSplitter(opened=opened), cut(answer, places))


@given(ANSWERS, st.lists(st.integers(0, 100), max_size=8), st.booleans())
def test_order_does_not_depend_on_the_cut(answer: str, places: list[int], opened: bool) -> None:
    """However the answer is cut, the kinds alternate in the same order with the same text."""

    def runs(pieces: list[str]) -> list[tuple[type, str]]:
        splitter = ReasoningSplitter(opened=opened)
        joined: list[tuple[type, str]] = []
        for part in [part for piece in pieces for part in splitter.feed(piece)] + splitter.flush():
            said = part if isinstance(part, str) else part.text
            if joined and joined[-1][0] is type(part):
                said = joined.pop()[1] + said
            joined.append((type(part), said))
        return joined

    assert runs([answer]) == runs(cut(answer, places))


@given(ANSWERS, st.booleans())
def test_loses_nothing_but_tags_and_blanks(answer: str, opened: bool) -> None:
    """Every character that is neither in a tag nor a blank comes out, in order."""
    splitter = ReasoningSplitter(opened=opened)
    parts = [*splitter.feed(answer), *splitter.flush()]
    shown = "".join(part if isinstance(part, str) else part.text for part in parts)
    rest = iter(answer)
    assert all(char in rest for char in shown)
    assert answer.count("x") == shown.count("x")


@pytest.mark.parametrize(
    ("answer", "text", "reasoning"),
    [
        pytest.param("<think>\nso\n</think>\n\nHi", "Hi", "so", id="usual"),
        pytest.param(" \n<think>so</think>  Hi", "  Hi", "so", id="blanks before the opener go, indentation stays"),
        pytest.param("<think>\n\n</think>\n\nHi", "Hi", "", id="empty, as Qwen3 without thinking"),
        pytest.param("The <think> tag", "The <think> tag", "", id="mentioned in mid-line"),
        pytest.param("One\n  <think>so</think>\nTwo", "One\n  Two", "so", id="later, at the start of a line"),
        pytest.param("<think>a</think><think>b</think>c", "c", "ab", id="twice in a row"),
        pytest.param("<think>a <think> b</think>c", "c", "a <think> b", id="the opener inside is reasoning"),
        pytest.param("<think>so\n", "", "so\n", id="never closed"),
        pytest.param("Hi</think>", "Hi</think>", "", id="a closer alone is text"),
        pytest.param("<thinking>", "<thinking>", "", id="another tag"),
        pytest.param("", "", "", id="nothing"),
        pytest.param(" \n", " \n", "", id="blanks only"),
    ],
)
def test_splits(answer: str, text: str, reasoning: str) -> None:
    """Tags and the newlines next to them go; all else is text or reasoning."""
    assert (text, reasoning) == split(ReasoningSplitter(), [answer])
    assert (text, reasoning) == split(ReasoningSplitter(), list(answer))


@pytest.mark.parametrize(
    ("answer", "text", "reasoning"),
    [
        pytest.param("\nso\n</think>\n\nHi", "Hi", "so", id="missing opener"),
        pytest.param("\n<think>\nso</think>Hi", "Hi", "so", id="repeated opener"),
        pytest.param("  so", "", "  so", id="indentation is reasoning"),
        pytest.param("</think>Hi", "Hi", "", id="closed at once"),
        pytest.param("\n\n", "", "", id="newlines only"),
    ],
)
def test_begins_inside(answer: str, text: str, reasoning: str) -> None:
    """With opened=True the answer begins inside; an opener repeated at the start is dropped."""
    assert (text, reasoning) == split(ReasoningSplitter(opened=True), [answer])
    assert (text, reasoning) == split(ReasoningSplitter(opened=True), list(answer))


def test_takes_other_tags() -> None:
    """The tags are literal and can be chosen."""
    splitter = ReasoningSplitter("[THINK]", "[/THINK]")
    assert ("Hi <think>", "so.") == split(splitter, ["[TH", "INK]so.[/THI", "NK]Hi <think>"])


def test_shows_text_and_reasoning_at_once() -> None:
    """Pieces that cannot hold a tag are passed on in the same call."""
    splitter = ReasoningSplitter()
    assert [] == splitter.feed("<think>")
    assert [Reasoning("so ")] == splitter.feed("so ")
    assert ["Hi"] == splitter.feed("</think>Hi")
    assert [" there"] == splitter.feed(" there")
    assert [" a "] == splitter.feed(" a ")
    assert [" < b"] == splitter.feed(" < b")


@pytest.mark.parametrize("tag", ["", " <think>", "<think>\n", "a\nb"])
def test_refuses_what_is_no_tag(tag: str) -> None:
    """A tag that is empty, has blanks around it or spans lines is a ValueError that shows it."""
    with pytest.raises(ValueError, match=re.escape(repr(tag))):
        ReasoningSplitter(opener=tag)
    with pytest.raises(ValueError, match=re.escape(repr(tag))):
        ReasoningSplitter(closer=tag)


@pytest.mark.parametrize("piece", ["\n", "<think>a</think>", "a <think>", "<think>"])
def test_takes_time_in_proportion_to_the_answer(piece: str) -> None:
    """A long answer, whole or in small pieces, costs far less than a quadratic scan would."""
    started = time.process_time()
    split(ReasoningSplitter(), [piece * 50_000])
    split(ReasoningSplitter(), [piece] * 50_000)
    assert time.process_time() - started < 5
