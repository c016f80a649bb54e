"""Long lines of an answer are broken between words, however they come in pieces."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug.cli._wrap import WordWrap

COLUMNS = 20


def screen(output: str) -> list[str]:
    """What a terminal shows: it knows the two control sequences that are used, and every other is an error."""
    lines = [""]
    for part in re.findall(r"\x1b\[\d*[DK]|[^\x1b]", output):
        if part == "\n":
            lines.append("")
        elif part == "\x1b[K":
            pass  # what stood there has gone with the step back
        elif part.startswith("\x1b"):
            lines[-1] = lines[-1][: -int(part[2:-1])]
        else:
            lines[-1] += part
    return [line.rstrip(" ") for line in lines]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("one two three four five six", ["one two three four", "five six"]),
        ("one two\n\nthree", ["one two", "", "three"]),
        ("a" * 25 + " b", ["a" * 19, "a" * 6 + " b"]),
        ("x " + "a" * 25, ["x", "a" * 19, "a" * 6]),
        ("1234567890 12345678 x", ["1234567890 12345678", "x"]),
        ("1234567890 12345678\nx", ["1234567890 12345678", "x"]),
        ("1234567890 12345678 \nx", ["1234567890 12345678", "x"]),
        ("好" * 11, ["好" * 9, "好" * 2]),
        ("e\u0301" * 19 + " x", ["e\u0301" * 19, "x"]),
        ("```\n" + "a b " * 8 + "\n```\nthe end of all that was", ["```", "a b " * 7 + "a b", "```",
         "the end of all that", "was"]),
    ],
)  # fmt: skip
def test_lines_are_broken_between_words(text: str, lines: list[str]) -> None:
    """Words stay whole if they fit at all; ideographs are broken anywhere; code stays as it is."""
    assert lines == screen(WordWrap().feed(text))


@given(st.lists(st.text(alphabet="ab é好`\n\t", max_size=9), max_size=12))
def test_pieces_make_no_difference(pieces: list[str]) -> None:
    """Whole or piece by piece, the same is shown; nothing is held back, and no character is lost."""
    in_pieces, whole = WordWrap(), WordWrap()
    text = "".join(pieces)
    shown = screen("".join(map(in_pieces.feed, pieces)))
    assert shown == screen(whole.feed(text))
    assert re.sub(r"\s", "", text) == re.sub(r"\s", "", "".join(shown))
