"""Markers in the prompt, for models that can be given nothing else."""

import json
from typing import Any

import pytest
from tests.backend.raw_client import ask, duration

from langplug_backend import FAULTS, MARKERS, Backend, Fault, Reply
from langplug_backend.markers import marker_table


def message(backend: Backend, text: str, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = ask(backend, "openai", text, stream=False, **more).json["choices"][0]
    return {**found["message"], "finish": found["finish_reason"]}


def test_the_list_of_markers() -> None:
    """Every marker is listed once, with a sentence; no marker has the name of a fault."""
    rows = marker_table().splitlines()
    assert [*MARKERS, *FAULTS] == [row[2:].partition(" ")[0].partition("]")[0] for row in rows]
    assert [] == [row for row in rows if not row.endswith(".") or "  " not in row]
    assert set(MARKERS).isdisjoint(FAULTS)


def test_a_default_is_listed_with_its_unit() -> None:
    """The list says what a marker without an argument stands for."""
    assert "[[split 7]]" in marker_table()
    assert "Default: 3 bytes." in marker_table()
    assert (3, 7) == (Fault.from_marker("split", "").size, Fault.from_marker("split", "7").size)


def test_what_is_said(backend: Backend) -> None:
    """Markers say, think and call, in their order."""
    found = message(backend, 'Hi [[think hm hm]] there [[say I add]][[call add {"a": [[1]], "b": "]]"}]]')
    assert ("I add", "hm hm", "tool_calls") == (found["content"], found["reasoning_content"], found["finish"])
    function = found["tool_calls"][0]["function"]
    assert ("add", {"a": [[1]], "b": "]]"}) == (function["name"], json.loads(function["arguments"]))


def test_what_is_refused(backend: Backend) -> None:
    """A marker has the model decline."""
    found = message(backend, "Hi [[refuse I will not.]] there")
    assert (None, "I will not.") == (found["content"], found["refusal"])


def test_a_call_with_odd_arguments(backend: Backend) -> None:
    """A call may have none, and they may be broken."""
    found = message(backend, '[[call one]] [[call two {"a": ]]')
    assert ["{}", '{"a":'] == [call["function"]["arguments"] for call in found["tool_calls"]]


def test_no_call_for_a_second_time(backend: Backend) -> None:
    """Once its result stands at the end of the history, a call is not made again: the result is said."""
    asked = {"role": "user", "content": "[[call add]]"}
    called = {"role": "assistant", "tool_calls": []}
    history = [asked, called, {"role": "tool", "content": "3"}, {"role": "tool", "content": "4"}]
    assert "3 4" == message(backend, "", messages=history)["content"]
    both = [{"role": "user", "content": "[[say done]] [[call add]]"}, called, {"role": "tool", "content": "3"}]
    assert "done" == message(backend, "", messages=both)["content"]


@pytest.mark.parametrize(
    ("text", "content"),
    [
        ("[[empty]] something", ""),
        ("[[words 3]]", "word0 word1 word2"),
        ("hello [[crlf]]", "hello"),
        ("see [[this page]] and [[1, 2]]", "see [[this page]] and [[1, 2]]"),
        ("[[say open", "[[say open"),
    ],
)
def test_texts(text: str, content: str, backend: Backend) -> None:
    """Whatever is not a marker stays text; the echo leaves the markers out."""
    assert content == message(backend, text)["content"]


def test_fields_of_the_reply(backend: Backend) -> None:
    """Markers set finish reason, usage, pace, and the modes of usage, stop and reasoning."""
    assert "length" == message(backend, "a [[finish length]]")["finish"]
    usage = ask(backend, "openai", "a [[usage 12 34]] [[usage_mode final]]").events[-1]["usage"]
    assert (12, 34) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert "a b" == message(backend, "a b[[stop_mode ignore]]", stop="b")["content"]
    assert "<think>hm</think>a" == message(backend, "[[think hm]][[say a]][[thoughts tags]]")["content"]
    ask(backend, "openai", "a b [[pace 0.02]]")
    assert duration(backend) >= 0.02 * (backend.last.events_sent - 1) > 0


def test_faults(backend: Backend) -> None:
    """Each fault is a marker; its argument is the one that it takes."""
    assert 429 == ask(backend, "openai", "[[status 429]]").status
    assert "7" == ask(backend, "openai", "[[rate_limit 7]]").headers["retry-after"]
    raw = ask(backend, "openai", "a b c [[reset 2]]")
    assert ("reset", 2) == (raw.end, backend.last.pieces_sent)
    assert 500 == ask(backend, "openai", "[[status]]").status
    assert ("crlf", "no_done") == (ask(backend, "openai", "[[crlf]] [[no_done]]") and backend.last.faults)


def test_a_reply_with_markers(backend: Backend) -> None:
    """Where a reply is scripted, markers change what they name and leave the rest."""
    backend.reply = Reply(text="scripted")
    assert ("scripted", "length") == tuple(
        message(backend, "x [[finish length]]")[key] for key in ("content", "finish")
    )
    assert "other" == message(backend, "x [[say other]]")["content"]
    backend.script("from here [[finish eos]]")
    assert ("from here", "eos") == tuple(message(backend, "y")[key] for key in ("content", "finish"))
    backend.script("spoiled [[status 503]]")
    assert 503 == ask(backend, "openai", "y").status


@pytest.mark.parametrize("text", ["[[status teapot]]", "[[words]]", "[[usage 1]]", "[[pace slow]]"])
def test_a_marker_that_cannot_be_read(text: str, backend: Backend) -> None:
    """An argument that makes no sense is refused, and says so."""
    raw = ask(backend, "openai", text)
    assert (400, True) == (raw.status, raw.json["error"]["message"].startswith("A marker in the prompt cannot be read"))


def test_markers_can_be_left_alone() -> None:
    """Without markers, the prompt is a text like any other."""
    with Backend(markers=False) as backend:
        assert "[[status 429]]" == message(backend, "[[status 429]]")["content"]
