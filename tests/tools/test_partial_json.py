"""Objects as they grow: the same as langchain-core shows, and read once."""

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.utils.json import parse_partial_json

from langplug._tools.partial_json import PartialObject

SCALARS = (
    st.none() | st.booleans() | st.integers(-999, 999) | st.floats(-10, 10) | st.text('ab"\\{}[],:é😀\n', max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\', max_size=3), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text('ab"\\', max_size=3), VALUES, max_size=3)
HALF_ESCAPE = re.compile(r"\\(u[0-9a-f]{0,3})?$|\\ud[89ab][0-9a-f]{2}(\\(u[0-9a-f]{0,3})?)?$")


@given(OBJECTS, st.booleans(), st.sampled_from([None, 1]), st.integers(1, 5))
def test_every_cut_shows_what_core_shows(value: Any, ascii_only: bool, indent: int | None, step: int) -> None:
    """Wherever a text is cut, its object is what `parse_partial_json` makes of it, but for a half escape."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    growing, shown = PartialObject(), None
    for end in range(step, len(text) + step, step):
        has_changed = growing.feed(text[end - step : end])
        if not HALF_ESCAPE.search(text[:end]):
            assert parse_partial_json(text[:end]) == growing.snapshot()
        assert has_changed == (growing.snapshot() != shown)
        shown = growing.snapshot()
    assert value == shown


@given(st.text('{}[]",:\\u0d8a1.e-+tn ', max_size=60), st.integers(1, 5))
def test_any_text_can_be_read(text: str, step: int) -> None:
    """Whatever comes, nothing fails, and what was shown is never changed."""
    growing = PartialObject()
    pieces = [text[start : start + step] for start in range(0, len(text), step)]
    shown = [(growing.snapshot(), repr(growing.snapshot())) for piece in pieces if growing.feed(piece)]
    assert all(words == repr(value) for value, words in shown)


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (['Sure: ```json\n{"a"', ": 1}", "``` {"], [{}, {"a": 1}]),
        (['{"a": "x\\', "u00", 'e9y"}'], [{"a": "x"}, {"a": "xéy"}]),
        (['{"a": "\\ud83d', '\\ude00"}'], [{"a": ""}, {"a": "😀"}]),
        (['{"a": 1', "2", ".", "5", "e", "1}"], [{"a": 1}, {"a": 12}, {"a": 12.5}, {"a": 125.0}]),
        (['{"a": tr', "ue, ", '"b": nul', "l}"], [{}, {"a": True}, {"a": True, "b": None}]),
        (['{"a": 1, x', ' "b": 2}'], [{"a": 1}]),
        (['{"a": "he said "', 'hi" there"}'], [{"a": "he said "}]),
        (['{"a": ' * 300, "1"], [json.loads('{"a": ' * 199 + "{}" + "}" * 199)]),
        (['{"a": 1, "a": ', "2}"], [{"a": 1}, {"a": 2}]),
        (['{"a": 01', "}"], [{"a": 0}]),
    ],
)
def test_what_is_shown(pieces: list[str], shown: list[Any]) -> None:
    """Half an escape waits for its other half, and broken JSON stays at what was read before."""
    growing = PartialObject()
    assert shown == [growing.snapshot() for piece in pieces if growing.feed(piece)]


LONG: dict[str, Any] = {
    "one string": {"a": "x" * 320_000},
    "objects": {"items": [{"name": "abc", "n": number} for number in range(12_000)]},
    "numbers": {"items": list(range(50_000))},
    "keys": {f"key {number}": number for number in range(16_000)},
    "escapes": {"a": '"é\n' * 30_000},
    "a number": {"a": 0},
}


@pytest.mark.parametrize("kind", list(LONG))
def test_a_long_text_is_read_once(kind: str) -> None:
    """320 KB in pieces of four characters take seconds and not hours, whatever they hold."""
    text = json.dumps(LONG[kind]) if kind != "a number" else '{"a": 0.' + "1" * 320_000
    growing, shown = PartialObject(), None
    began = time.process_time()
    for start in range(0, len(text), 4):
        if growing.feed(text[start : start + 4]):
            shown = growing.snapshot()
    assert time.process_time() - began < 10  # 0.1 to 1.5 seconds on a quiet machine
    assert shown is not None
