"""What holds for the parser of every format: any cut, any text, nothing lost, nothing made up."""

import json
import time
from itertools import zip_longest

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.tools.answers import CALLS, FRAGMENTS, NAMES, PROSE, Parts, cut, is_invalid, joined, openers_of, parser, read

from langplug._parts import ToolCall
from langplug._tools import TOOL_FORMATS, CallParser

EVERY_FORMAT = pytest.mark.parametrize("name", TOOL_FORMATS)
FEW = settings(max_examples=settings().max_examples // 5)  # there are many formats, and few grammars
PLACES = st.lists(st.integers(0, 200), max_size=12)
DRIFTING = "default", "hermes", "json"


@EVERY_FORMAT
@FEW
@given(st.lists(st.sampled_from(FRAGMENTS + NAMES), max_size=16).map("".join), PLACES)
def test_any_cut_gives_the_same(name: str, answer: str, places: list[int]) -> None:
    """However an answer is cut, be it markup or rubbish, text and calls are the same, in the same order."""
    assert read(parser(name), [answer]) == read(parser(name), cut(answer, places)) == read(parser(name), answer)


@EVERY_FORMAT
@FEW
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join), PLACES)
def test_text_without_a_bound_name_stays_what_it_was(name: str, answer: str, places: list[int]) -> None:
    """Where no bound tool is named, all of the answer is text."""
    assert [answer] * bool(answer) == read(parser(name), cut(answer, places))


@EVERY_FORMAT
@FEW
@given(*[st.lists(st.sampled_from(FRAGMENTS + NAMES), max_size=16)] * 2)
@example(['```json\n{"name": "f"}\n', "```\nso"], ["```\na\n", "```\n"])
@example(['<tool_call>{"name": "f"', "}</tool_call>"], ['<tool_call>{"name": "', 'add"}</tool_call>'])
def test_answers_that_come_at_once_do_not_touch(name: str, one: list[str], other: list[str]) -> None:
    """Two answers that are read in turns, a piece of the one and a piece of the other, are read as each alone."""
    parsers: list[CallParser] = [parser(name), parser(name)]
    parts: list[Parts] = [[], []]
    for pieces in zip_longest(one, other, fillvalue=""):
        for reading, found, piece in zip(parsers, parts, pieces, strict=True):
            found.extend(reading.feed(piece))
    for reading, found, answer in zip(parsers, parts, (one, other), strict=True):
        assert read(parser(name), answer) == joined([*found, *reading.flush()])


@EVERY_FORMAT
@FEW
@given(st.lists(PROSE | CALLS, max_size=6), PLACES)
def test_calls_and_prose_come_out_as_they_went_in(name: str, answer: Parts, places: list[int]) -> None:
    """Calls as the format writes them come out with their arguments, and the prose between them as it was."""
    written = "\n".join(part if isinstance(part, str) else _written(name, part) for part in answer)
    assert _with_gaps(answer) == read(parser(name), cut(written, places))


def _written(name: str, call: ToolCall) -> str:
    assert call.name is not None
    assert call.args is not None
    return TOOL_FORMATS[name].call(call.name, call.args, "")


def _with_gaps(answer: Parts) -> Parts:
    """The calls, and the text with the newlines that part one prose from the next."""
    expected: Parts = []
    has_text = False
    for part in answer:
        if isinstance(part, ToolCall):
            expected.append(part)
            continue
        said = "\n" * has_text + part
        last = expected[-1] if expected else None
        if isinstance(last, str):
            expected[-1] = last + said
        else:
            expected.append(said)
        has_text = True
    return expected


@EVERY_FORMAT
@FEW
@given(CALLS, st.integers(1, 200))
def test_a_cut_off_call_is_never_a_valid_one(name: str, call: ToolCall, length: int) -> None:
    """A call that ends anywhere is text as it stood, an invalid call, or, with all of its arguments there, the call."""
    written = _written(name, call)[:length]
    parts = read(parser(name), [written])
    calls = [part for part in parts if isinstance(part, ToolCall)]
    assert calls or parts == [written]
    assert [call.name] * len(calls) == [found.name for found in calls]
    assert all(found.args == call.args or is_invalid(found) for found in calls)
    assert len(parts) == 1 or "</tool_call>" in written  # in a string that was cut off, it ends the call after all


@EVERY_FORMAT
@FEW
@given(PROSE.map(lambda prose: prose.replace("<", "-").replace("[", "-")))
def test_prose_streams(name: str, prose: str) -> None:
    """Prose comes out with the piece that it came in, but for blanks at its end, and what may begin an opener."""
    reading = parser(name)
    openers = [opener for opener in openers_of(name) if opener[0] not in "<["]
    said = ""
    for n, char in enumerate(prose, 1):
        said += "".join(str(part) for part in reading.feed(char))
        held = prose[len(said) : n].strip()
        assert said + prose[len(said) : n] == prose[:n]
        assert not held or any(opener.startswith(held) for opener in openers)


@pytest.mark.parametrize("name", DRIFTING)
def test_markup_is_held_no_longer_than_it_may_be_a_call(name: str) -> None:
    """Text is held back only until it shows that it is not a call, and then comes out at once."""
    cases = {
        "default": ('{"n', '{"na', '{"name": "ad', "```json\n{", '[{"name"', "<tool_call>\n{", "<function=a", "{ "),
        "hermes": ("<tool_", "<tool_call>\n", '<tool_call>{"name": "add_', '<tool_call>{"x": 1 '),
        "json": ('{"name": "f', '```\n[{"type": "fun', '{"id": 5, "na', '{"args": {"x": [1, 2]}, "'),
    }
    for held in cases[name]:
        reading = parser(name)
        assert [] == reading.feed(held), held
        assert [held + "?"] == reading.feed("?"), held


def test_a_call_comes_out_with_its_last_character() -> None:
    """A call is given on when its arguments and its object are whole; its closing tag is not waited for."""
    reading = parser("hermes")
    assert [] == reading.feed('<tool_call>{"name": "add", "arguments": {"count": 1}')
    assert [ToolCall(name="add", args={"count": 1})] == reading.feed("}")
    assert [] == reading.feed("\n</tool_call>\n")
    assert [] == reading.flush()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("a\n\nCALL", "a"),
        ("CALL\n\nb", "b"),
        ("a\n\nCALL\nb", "a\n\nb"),
        ("aCALL\n b", "a\n b"),
        ("aCALLb", "ab"),
        ("\n\nCALL\n\nCALL\n", ""),
        ("a CALL\n\n CALL\nb\n", "a b\n"),
        (" a \n", " a \n"),
    ],
)
def test_blanks_around_calls(answer: str, text: str) -> None:
    """Blanks around calls are dropped, but text on both sides stays apart by the blanks before the calls, or after."""
    answer = answer.replace("CALL", '<tool_call>{"name": "f"}</tool_call>')
    assert text == "".join(part for part in read(parser("default"), [answer]) if isinstance(part, str))
    assert text == "".join(part for part in read(parser("default"), answer) if isinstance(part, str))


def test_a_parser_goes_on_after_what_interrupts_the_text() -> None:
    """After `flush` the answer may go on: a line that had begun is still that line, a new call is a call."""
    reading = parser("default")
    assert ["so"] == [*reading.feed("so"), *reading.flush()]
    assert ['{"name": "f"}'] == [*reading.feed('{"name": "f"}'), *reading.flush()]
    assert ["\n"] == [*reading.feed("\n"), *reading.flush()]
    assert [ToolCall(name="f", args={})] == [*reading.feed('{"name": "f"}'), *reading.flush()]


PATHOLOGICAL = {
    "prose": "the quick brown fox ",
    "newlines": "\n",
    "braces": "{\n[\n<\n```\n",
    "openers": "<tool_call>x",
    "long arguments": '{"name": "f", "arguments": {"text": "xxxxxxxxxxxxxxxx',
    "open brackets": '[{"args": [',
    "open quotes": '<tool_call>{"name": "f", "arguments": {"}</tool_call>',
    "open quotes, unbound": '<tool_call>{"arguments": {"}</tool_call>',
    "words": '<tool_call>{"name": "f", "arguments": {"x": None-None-None-None-None-None-None-None-',
    "calls": '{"name": "f"}\n',
    "parameters": "<function=f><parameter=text>1</parameter>",
}


@pytest.mark.parametrize("unit", PATHOLOGICAL.values(), ids=PATHOLOGICAL)
def test_takes_time_in_proportion_to_the_answer(unit: str) -> None:
    """A long answer of nasty pieces, whole or character by character, costs far less than a quadratic scan would."""
    answer = unit + unit[-5:] * (60_000 // 5)
    repeated = unit * (60_000 // len(unit))
    started = time.process_time()
    for text in (answer, repeated):
        read(parser("default"), [text])
        read(parser("default"), cut(text, list(range(0, len(text), 4))))
    assert time.process_time() - started < 5


def test_deep_nesting_is_no_error() -> None:
    """Arguments nested deeper than any program reads end as an invalid call."""
    args = '{"x": ' + "[" * 50_000 + "]" * 50_000 + "}"
    found = read(parser("default"), [f'{{"name": "f", "arguments": {args}}}'])
    assert [ToolCall(name="f", args=args)] == found


@given(st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3))
def test_arguments_may_be_a_string(args: dict[str, str]) -> None:
    """Arguments that are JSON within a JSON string are read as well."""
    written = json.dumps({"name": "f", "arguments": json.dumps(args)})
    assert [ToolCall(name="f", args=args)] == read(parser("json"), [written])
