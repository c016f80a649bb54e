"""Messages arranged for strict chat templates: whatever the conversation, nothing is lost."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langplug._messages.call_ids import fit_call_ids, fit_names
from langplug._messages.role_order import ROLE_ORDERS, RoleOrder, arrange_roles, split_calls

Message = dict[str, Any]

STRICT: list[RoleOrder] = ["alternating", "user and assistant"]


class Pieces:
    """Texts and addresses, none of which is part of another: so each can be found again in its place."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self._made = 0

    def new(self) -> str:
        self._made += 1
        return f"w{self._made}x"

    def content(self) -> Any:
        """Text, or parts."""
        text, image = self.new(), {"type": "image_url", "image_url": {"url": self.new()}}
        part = {"type": "text", "text": text}
        return self._draw(st.sampled_from([text, text, "", [part], [part, image], [image]]))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Messages of all roles in any order, as agents and trimming leave them."""
    messages: list[Message] = []
    pieces = Pieces(draw)
    for number in range(draw(st.integers(1, 12))):
        role = draw(st.sampled_from(["system", "developer", "user", "user", "assistant", "calls", "tool", "critic"]))
        name = draw(st.sampled_from([{}, {}, {"name": f"n{number}n"}]))
        if role == "calls":
            ids = [f"c{number}.{n}" for n in range(draw(st.integers(1, 3)))]
            calls = [
                {
                    "id": one,
                    "type": "function",
                    "function": {"name": "add", "arguments": json.dumps({"a": pieces.new()})},
                }
                for one in ids
            ]
            messages.append({"role": "assistant", **name, "content": pieces.content(), "tool_calls": calls})
            answered = ids[: draw(st.integers(0, len(ids)))]
            messages += [{"role": "tool", "content": pieces.content(), "tool_call_id": one} for one in answered]
        elif role == "tool":  # without its call
            messages.append({"role": "tool", **name, "content": pieces.content(), "tool_call_id": f"c{number}"})
        else:
            messages.append({"role": role, **name, "content": pieces.content()})
    return messages


def said(message: Message) -> list[str]:
    """What a message says, piece by piece: text, calls, images."""
    content = message["content"]
    parts: list[Any] = [{"type": "text", "text": content}] if isinstance(content, str) else content
    texts = [part["text"] if part["type"] == "text" else part["image_url"]["url"] for part in parts]
    return [*texts, *(call["function"]["arguments"] for call in message.get("tool_calls", ()))]


@given(conversations(), st.sampled_from(ROLE_ORDERS))
def test_all_that_was_said_stays_in_its_order(messages: list[Message], order: RoleOrder) -> None:
    """Each text, call and image is there once, and texts and images follow each other as before."""
    before = json.dumps(messages)
    arranged = arrange_roles(messages, order)
    assert before == json.dumps(messages)
    shown = "\n".join(piece for message in arranged for piece in said(message))
    for message in messages:
        for piece in filter(None, said(message)):
            assert 1 == shown.count(piece), (piece, arranged)
    places = [shown.index(piece) for one in messages for piece in said({**one, "tool_calls": []}) if piece]
    assert places == sorted(places)


@given(conversations(), st.sampled_from(["system first", *STRICT]))
def test_a_system_message_is_first_or_not_at_all(messages: list[Message], order: RoleOrder) -> None:
    """What the system says at the beginning is its message, unless there is no such role, and no later message is."""
    roles = [message["role"] for message in arrange_roles(messages, order)]
    assert not {"system", "developer"} & set(roles[1:])
    is_first = messages[0]["role"] in ("system", "developer")
    assert (roles[0] == "system") == (is_first and order != "user and assistant")
    assert order != "user and assistant" or set(roles) <= {"user", "assistant"}


@given(conversations(), st.sampled_from(STRICT))
def test_turns_alternate(messages: list[Message], order: RoleOrder) -> None:
    """User and assistant take turns, the user first, and results stand right after the calls."""
    follows: dict[str, set[str | None]] = {
        "system": {None},
        "user": {None, "system", "assistant"},
        "assistant": {"user", "tool"},
        "tool": {"assistant", "tool"},
    }
    before: str | None = None
    for message in arrange_roles(messages, order):
        assert before in follows[message["role"]], (before, message["role"])
        before = message["role"]


@given(conversations(), st.sampled_from(ROLE_ORDERS))
def test_what_is_arranged_stays(messages: list[Message], order: RoleOrder) -> None:
    """What is in order is left alone."""
    once = arrange_roles(messages, order)
    assert once == arrange_roles(once, order)


@given(conversations())
def test_calls_are_split(messages: list[Message]) -> None:
    """With one call a turn, each result stands after its call, and nothing is lost, also where ids come twice."""
    before = json.dumps(messages)
    split = split_calls([*messages, *messages])
    assert before == json.dumps(messages)
    assert all(len(message.get("tool_calls", ())) < 2 for message in split)
    pieces = sorted(piece for one in [*messages, *messages] for piece in said(one) if piece)
    assert pieces == sorted(piece for one in split for piece in said(one) if piece)
    calls = {call["id"] for one in messages for call in one.get("tool_calls", ())}
    for above, message in pairwise(split):
        if message["role"] == "tool" and message["tool_call_id"] in calls:
            assert [message["tool_call_id"]] == [call["id"] for call in above["tool_calls"]]


CASES: dict[str, tuple[RoleOrder, list[tuple[str, str]], list[tuple[str, str]]]] = {
    "two system messages": (
        "system first",
        [("system", "a"), ("system", "b"), ("user", "c")],
        [("system", "a\n\nb"), ("user", "c")],
    ),
    "a later one": (
        "system first",
        [("system", "a"), ("user", "b"), ("assistant", "c"), ("system", "d"), ("user", "e")],
        [("system", "a"), ("user", "b"), ("assistant", "c"), ("user", "<system>\nd\n</system>"), ("user", "e")],
    ),
    "alternating": (
        "alternating",
        [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d"), ("user", "e")],
        [("user", "a\n\nb"), ("assistant", "c\n\nd"), ("user", "e")],
    ),
    "no system": ("user and assistant", [("system", "a"), ("user", "b")], [("user", "a\n\nb")]),
    "in order": ("alternating", [("system", "a"), ("user", "b")], [("system", "a"), ("user", "b")]),
}


@pytest.mark.parametrize("case", CASES)
def test_examples(case: str) -> None:
    """What becomes of small conversations."""
    order, given_turns, expected = CASES[case]
    arranged = arrange_roles([{"role": role, "content": text} for role, text in given_turns], order)
    assert expected == [(message["role"], message["content"]) for message in arranged]


def test_calls_and_results_become_text() -> None:
    """For a template without tools, calls and results are told in words, with their names."""
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
    ]
    _, told, result = arrange_roles(messages, "user and assistant")
    assert {"role": "assistant", "content": '(I call add with {"a": 1})'} == told
    assert {"role": "user", "content": "The result of add:\n3"} == result


def test_two_signatures_are_not_made_one() -> None:
    """Of what a server wants back as it came, there is one or the other; reasoning is joined like all text."""
    turns = [
        {"role": "assistant", "content": one, "reasoning": one, "thought_signature": f"s{one}"} for one in ("a", "b")
    ]
    [_, joined] = arrange_roles(turns, "alternating")
    assert joined == {
        "role": "assistant",
        "content": "a\n\nb",
        "reasoning": "a\n\nb",
        "thought_signature": "sb",
    }


def test_who_speaks_is_not_lost() -> None:
    """Where the messages of two people become one, it says who said what."""
    messages = [{"role": "user", "name": name, "content": text} for name, text in (("ann", "a"), ("bo", "b"))]
    assert [{"role": "user", "content": "ann: a\n\nbo: b"}] == arrange_roles(messages, "alternating")
    same = [{"role": "user", "name": "ann", "content": text} for text in "ab"]
    assert [{"role": "user", "name": "ann", "content": "a\n\nb"}] == arrange_roles(same, "alternating")


# --- ids and names ---


@given(st.lists(st.text(max_size=60), max_size=8, unique=True))
def test_ids_fit_and_stay_apart(ids: list[str]) -> None:
    """Each id becomes one that fits, no two the same one, in calls and results alike; one that fits stays."""
    calls = [{"id": one, "type": "function", "function": {"name": "f", "arguments": "{}"}} for one in ids]
    messages = [{"role": "assistant", "content": "", "tool_calls": calls}]
    messages += [{"role": "tool", "content": "1", "tool_call_id": one} for one in ids]
    for pattern in ("[a-zA-Z0-9]{9}", ".{1,40}", "[a-zA-Z0-9_-]{1,64}"):
        turn, *results = fit_call_ids(messages, pattern)
        fitted = [call["id"] for call in turn["tool_calls"]]
        assert fitted == [result["tool_call_id"] for result in results]
        assert len(set(ids)) == len(set(fitted))
        assert messages == fit_call_ids(messages, "(?s:.*)")
        assert [turn, *results] == fit_call_ids([turn, *results], pattern)


@given(st.text(max_size=90))
def test_names_fit(name: str) -> None:
    """A name is such as OpenAI takes it, or left out."""
    (message,) = fit_names([{"role": "user", "name": name, "content": "x"}], keep=True)
    assert re.fullmatch(r"[^\s<|\\/>]{1,64}", message.get("name", "x"))
    assert [{"role": "user", "content": "x"}] == fit_names([message], keep=False)
