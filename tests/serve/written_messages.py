"""Answers on the Messages wire, cut and mixed in any way."""

import json
from typing import Any

from hypothesis import strategies as st

from langplug.serve.deltas import CallArguments, CallStart, Delta, Refusal, Thought

_TEXT = st.text(max_size=4)

_VALUES = st.one_of(_TEXT, st.integers(-9, 9), st.lists(st.booleans(), max_size=2))

_ARGUMENTS = st.dictionaries(_TEXT, _VALUES, max_size=3)

_KINDS = ("text", "thought", "signature", "redacted", "call", "arguments", "refusal")


@st.composite
def answers(draw: st.DrawFn, kinds: tuple[str, ...] = _KINDS) -> list[Delta]:
    """Deltas of one answer. The arguments of its calls are cut anywhere, and come among anything else."""
    deltas: list[Delta] = []
    waiting: dict[int, list[str]] = {}
    for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), max_size=9))):
        match kind:
            case "text":
                deltas.append(draw(_TEXT))
            case "thought":
                deltas.append(Thought(draw(_TEXT)))
            case "signature":
                deltas.append(Thought(draw(_TEXT), {"signature": draw(st.sampled_from(["s1", "s2"]))}))
            case "redacted":
                deltas.append(Thought("", {"data": f"sealed {number}"}))
            case "refusal":
                deltas.append(Refusal(draw(_TEXT)))
            case "call":
                deltas.append(CallStart(number, f"toolu_{number}", "add"))
                waiting[number] = _cut(draw) if draw(st.booleans()) else []
            case _ if waiting:
                deltas += _next(waiting, draw(st.sampled_from(sorted(waiting))))
            case _:
                pass
    while waiting:
        deltas += _next(waiting, min(waiting))
    return deltas


def _cut(draw: st.DrawFn) -> list[str]:
    """Arguments in up to three pieces, any of which may be empty."""
    written = json.dumps(draw(_ARGUMENTS))
    first, second = sorted((draw(st.integers(0, len(written))), draw(st.integers(0, len(written)))))
    return [written[:first], written[first:second], written[second:]]


def _next(waiting: dict[int, list[str]], index: int) -> list[Delta]:
    """The next piece of a call's arguments, if there is one."""
    if not waiting[index]:
        del waiting[index]
        return []
    return [CallArguments(index, waiting[index].pop(0))]


USAGE: dict[str, Any] = {
    "input_tokens": 12,
    "output_tokens": 5,
    "total_tokens": 17,
    "input_token_details": {"cache_read": 7, "cache_creation": 2},
}
