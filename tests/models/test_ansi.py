"""Terminal control codes are taken out of a text, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug.models.command.ansi import AnsiStripper


def stripped(*pieces: str) -> str:
    stripper = AnsiStripper()
    return "".join(stripper.feed(piece) for piece in pieces)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("plain [31m text", "plain [31m text", id="no code"),
        pytest.param("\x1b[31mred\x1b[0m", "red", id="colour"),
        pytest.param("\x1b[38;2;255;0;0mred\x1b[m", "red", id="true colour"),
        pytest.param("\x1b[38:5:12mx\x1b[?25lx\x1b[2 qx", "xxx", id="colons, private, intermediate"),
        pytest.param("\x9b1mbold", "bold", id="one-character CSI"),
        pytest.param("\x1b]0;title\x07text", "text", id="title, ended by BEL"),
        pytest.param("\x1b]8;;http://a.test\x1b\\link\x1b]8;;\x1b\\", "link", id="link, ended by ST"),
        pytest.param("\x1b]0;title\x9ctext", "text", id="title, ended by C1 ST"),
        pytest.param("\x1bPq#0;2;0\x1b\\after", "after", id="device control string"),
        pytest.param("\x1b(Btext\x1b=\x1b7\x1bM", "text", id="character set, keypad, cursor, index"),
        pytest.param("\x1b[31\nnew", "\nnew", id="broken off by a newline"),
        pytest.param("\x1b[3é", "é", id="broken off by a letter that ends nothing"),
        pytest.param("\x1b]0;never\nended", "\nended", id="string broken off by a newline"),
        pytest.param("a\x1b\x1b[1mb", "ab", id="an escape after an escape"),
        pytest.param("\x1b]0;x\x1b[1mb", "b", id="a sequence breaks a string off"),
        pytest.param("end\x1b[3", "end", id="cut off at the end"),
        pytest.param("日本\x1b[1m語 👩‍🚀\r\n\t", "日本語 👩‍🚀\r\n\t", id="other text stays"),
    ],
)
def test_codes_are_taken_out_and_text_stays(text: str, shown: str) -> None:
    """Each kind of sequence is taken out whole, and what breaks one off stays."""
    assert shown == stripped(text)


@given(st.lists(st.text(alphabet="a[]31;m\x1b\x9b\\\x07\x9cP(B\n é?~", max_size=8), max_size=8))
def test_the_cut_does_not_matter(pieces: list[str]) -> None:
    """However a text is cut into pieces, what comes out of it is the same."""
    whole = "".join(pieces)
    assert stripped(whole) == stripped(*pieces) == stripped(*whole)


@given(st.text(alphabet=st.characters(exclude_characters="\x1b\x9b")))
def test_what_holds_no_code_is_left_alone(text: str) -> None:
    """Text without an escape character comes out as it went in."""
    assert text == stripped(text)
