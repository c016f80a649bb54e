"""The assembler of tool calls: however a source cuts, numbers or names them, the calls are the same."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.utils.json import parse_partial_json

from langplug._answer.tool_calls import CallAssembler, WholeCall
from langplug._parts import ToolCall

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
ARGS = st.dictionaries(st.text(min_size=1, max_size=5), JSON, max_size=3)
NAMES = st.sampled_from(["add", "look_up", "send"])


@dataclass(frozen=True)
class Given:
    """A call as the model meant it."""

    name: str
    args: dict[str, Any]


CALLS = st.lists(st.builds(Given, NAMES, ARGS), min_size=1, max_size=4)


def assembled(pieces: list[ToolCall]) -> list[WholeCall]:
    assembler = CallAssembler()
    return [call for piece in pieces for call in assembler.feed(piece)] + assembler.flush()


def check(expected: list[Given], calls: list[WholeCall]) -> None:
    assert [(call.name, call.args) for call in expected] == [(call.name, call.parsed) for call in calls]
    ids = [call.id for call in calls]
    assert all(ids)
    assert len(ids) == len(set(ids))
    for call in calls:
        assert call.parsed == json.loads(call.args)


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    """`text` in pieces, empty ones among them."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in itertools.pairwise([0, *places, len(text)])]


@st.composite
def fragments(
    draw: st.DrawFn, call: Given, *, index: int | None, call_id: str | None, id_on_all: bool
) -> list[ToolCall]:
    """One call in fragments: the name in the first one, or said again in each."""
    again = draw(st.booleans())
    return [
        ToolCall(
            name=call.name if number == 0 or again else None,
            args=piece,
            id=call_id if number == 0 or id_on_all else None,
            index=index,
        )
        for number, piece in enumerate(draw(cuts(json.dumps(call.args))))
    ]


@st.composite
def interleaved(draw: st.DrawFn, streams: list[list[ToolCall]]) -> list[ToolCall]:
    """The pieces of several calls in any order that keeps each call's own, and in which the calls begin in order."""
    rest = [list(stream) for stream in streams]
    begun = 1
    pieces = [rest[0].pop(0)]
    while any(rest):
        ready = [number for number, stream in enumerate(rest) if stream and number <= begun]
        number = draw(st.sampled_from(ready))
        begun = max(begun, number + 1)
        pieces.append(rest[number].pop(0))
    return pieces


# --- any fragmentation ---


@given(st.data(), CALLS)
def test_by_index(data: st.DataObject, calls: list[Given]) -> None:
    """Fragments that carry an index may be cut and interleaved in any way."""
    with_ids = data.draw(st.booleans())
    streams = [
        data.draw(fragments(call, index=number, call_id=f"id-{number}" if with_ids else None, id_on_all=False))
        for number, call in enumerate(calls)
    ]
    got = assembled(data.draw(interleaved(streams)))
    check(calls, got)
    if with_ids:
        assert [f"id-{number}" for number in range(len(calls))] == [call.id for call in got]


@given(st.data(), CALLS)
def test_by_id(data: st.DataObject, calls: list[Given]) -> None:
    """Fragments without an index that all carry their id may be cut and interleaved in any way."""
    streams = [
        data.draw(fragments(call, index=None, call_id=f"id-{number}", id_on_all=True))
        for number, call in enumerate(calls)
    ]
    check(calls, assembled(data.draw(interleaved(streams))))


@given(st.data(), CALLS)
def test_by_order_with_ids(data: st.DataObject, calls: list[Given]) -> None:
    """Without an index, an id on the first fragment of each call is enough, where they come one after the other."""
    streams = [
        data.draw(fragments(call, index=None, call_id=f"id-{number}", id_on_all=False))
        for number, call in enumerate(calls)
    ]
    check(calls, assembled(list(itertools.chain(*streams))))


@given(CALLS)
def test_whole_calls(calls: list[Given]) -> None:
    """Calls that come whole, without anything else, are told apart, even if they are equal."""
    check(calls, assembled([ToolCall(name=call.name, args=call.args) for call in calls]))
    check(calls, assembled([ToolCall(name=call.name, args=call.args, index=n) for n, call in enumerate(calls)]))


@given(CALLS)
def test_whole_calls_as_text(calls: list[Given]) -> None:
    """The same with their arguments as JSON text."""
    with_args = [Given(call.name, {**call.args, "n": 1}) for call in calls]
    check(with_args, assembled([ToolCall(name=call.name, args=json.dumps(call.args)) for call in with_args]))


@given(CALLS)
def test_a_whole_call_does_not_wait(calls: list[Given]) -> None:
    """A call with its arguments as a mapping is given on at once."""
    assembler = CallAssembler()
    for call in calls:
        (whole,) = assembler.feed(ToolCall(name=call.name, args={**call.args, "n": 1}))
        assert call.name == whole.name
    assert [] == assembler.flush()


@given(st.data(), st.builds(Given, NAMES, ARGS))
def test_a_truncated_call_is_never_completed(data: st.DataObject, call: Given) -> None:
    """Arguments that were cut off are never taken for a call, though they could be completed to one."""
    text = json.dumps({**call.args, "last": "word"})
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    pieces = [ToolCall(name=call.name if n == 0 else None, args=p, index=0) for n, p in enumerate(data.draw(cuts(cut)))]
    (whole,) = assembled(pieces)
    assert whole.parsed is None
    assert cut == whole.args
    assert call.name == whole.name


# --- what servers do ---


def one(*pieces: ToolCall) -> WholeCall:
    (call,) = assembled(list(pieces))
    return call


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param("", {}, id="empty"),
        pytest.param("  ", {}, id="blank"),
        pytest.param("null", {}, id="null"),
        pytest.param({}, {}, id="empty mapping"),
        pytest.param('{"a": 1}', {"a": 1}, id="text"),
        pytest.param('"{\\"a\\": 1}"', {"a": 1}, id="encoded twice"),
        pytest.param('{"a": "x\ny"}', {"a": "x\ny"}, id="bare newline in a string"),
        pytest.param("[1]", None, id="a list"),
        pytest.param("3", None, id="a number"),
        pytest.param("nonsense", None, id="no JSON"),
        pytest.param('{"a": 1}}', None, id="a bracket too many"),
        pytest.param("[" * 100_000, None, id="nested too deep"),
    ],
)
def test_arguments(args: Any, expected: dict[str, Any] | None) -> None:
    """Arguments that mean a JSON object are read as one; all else is kept as broken text, and raises nothing."""
    assert expected == one(ToolCall(name="f", args=args)).parsed


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(lambda: ToolCall(name="f", args='"a": 1}', index=0), id="name"),
        pytest.param(lambda: ToolCall(id="x", args='"a": 1}', index=0), id="id"),
        pytest.param(lambda: ToolCall(name="f", id="x", args='"a": 1}', index=0), id="both"),
        pytest.param(lambda: ToolCall(name="", id="", args='"a": 1}', index=0), id="empty strings"),
        pytest.param(lambda: ToolCall(args='"a": 1}'), id="nothing, not even the index"),
        pytest.param(lambda: ToolCall(args='"a": 1}', index="0"), id="the index as text"),
    ],
)
def test_what_is_said_again_changes_nothing(again: Callable[[], ToolCall]) -> None:
    """A later fragment may repeat the name, the id or both, or leave them out."""
    call = one(ToolCall(name="f", id="x", args="{", index=0), again())
    assert ("f", "x", {"a": 1}) == (call.name, call.id, call.parsed)


def test_the_name_may_come_late() -> None:
    """A call whose name comes after its first arguments is one call."""
    call = one(ToolCall(args='{"a"', index=0), ToolCall(name="f", args=": 1}", index=0))
    assert ("f", {"a": 1}) == (call.name, call.parsed)


def test_all_calls_under_one_index_are_told_apart() -> None:
    """A server that gives every call the index 0 has them told apart by id, or by name where one is complete."""
    for ids in (("x", "y"), (None, None)):
        calls = assembled(
            [
                ToolCall(name=name, args=f'{{"n": {number}}}', id=call_id, index=0)
                for number, (name, call_id) in enumerate(zip("fg", ids, strict=True))
            ]
        )
        assert [("f", {"n": 0}), ("g", {"n": 1})] == [(call.name, call.parsed) for call in calls]


def test_an_id_used_twice_is_healed() -> None:
    """Two calls of one id get different ones, and the first keeps it."""
    first, second = assembled([ToolCall(name="f", args={"a": 1}, id="x"), ToolCall(name="f", args={"a": 2}, id="x")])
    assert "x" == first.id != second.id


def test_order_is_that_in_which_they_began() -> None:
    """Calls come in the order of their first fragments, whatever their index."""
    calls = assembled(
        [
            ToolCall(name="b", args="{", index=1),
            ToolCall(name="a", args="{", index=0),
            ToolCall(args="}", index=1),
            ToolCall(args="}", index=0),
        ]
    )
    assert ["b", "a"] == [call.name for call in calls]


def test_pieces_that_say_nothing_are_no_call() -> None:
    """A fragment without name and arguments, as some servers end with, makes no call."""
    assert [] == assembled([ToolCall(index=0), ToolCall(name="", args="", id="", index=1)])


def test_unicode_is_kept() -> None:
    """Arguments cut anywhere keep every character, and are written as they are."""
    text = '{"to": "Zoë 👩‍👩‍👧 东京"}'
    call = one(*[ToolCall(name="f" if n == 0 else None, args=char, index=0) for n, char in enumerate(text)])
    assert {"to": "Zoë 👩‍👩‍👧 东京"} == call.parsed
    assert "东京" in call.args


def test_core_would_have_completed_it() -> None:
    """Why calls are given on whole: langchain-core reads cut-off arguments as a valid call (langchain #39275)."""
    cut = '{"to": "bob", "amount": 1'
    assert {"to": "bob", "amount": 1} == parse_partial_json(cut)
    assert one(ToolCall(name="pay", args=cut, index=0)).parsed is None
