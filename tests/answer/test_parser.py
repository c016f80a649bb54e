"""A turn: whatever an author gives, and however it is cut, the same clean pieces come out."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from langplug import IncompleteAnswerError
from langplug._answer.parser import AnswerParser
from langplug._answer.reasoning import ReasoningSplitter
from langplug._answer.tool_calls import WholeCall
from langplug._parts import Finish, Reasoning, ToolCall, Usage

ALPHABET = st.sampled_from(["a", "b", "<", "|", ">", "\n", "<think>", "</think>", "<|end|>", "END"])
ANSWERS = st.lists(ALPHABET, max_size=12).map("".join)
STOPS = st.sampled_from([(), ("<|end|>",), ("END", "a\n"), ("ab", "b<"), ("<",)])


def turn(
    stop: tuple[str, ...] = (), *, tags: bool = True, opened: bool = False, include_stop: bool = True
) -> AnswerParser:
    splitter = ReasoningSplitter("<think>", "</think>", opened=opened) if tags else None
    return AnswerParser(owner="ChatTest.respond", stop=stop, include_stop=include_stop, reasoning=splitter)


def run(one: AnswerParser, parts: list[Any]) -> list[Any]:
    pieces = [piece for part in parts for piece in one.feed(part)]
    return [*pieces, *one.end()]


def joined(pieces: list[Any]) -> list[Any]:
    """Neighbours of a kind as one: where a text is cut is not part of the answer."""
    together: list[Any] = []
    for kind, group in itertools.groupby(pieces, type):
        if kind is str:
            together.append("".join(group))
        elif kind is Reasoning:
            together.append(Reasoning("".join(piece.text for piece in group)))
        else:
            together.extend(group)
    return together


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in itertools.pairwise([0, *places, len(text)])]


# --- any cut ---


@given(st.data(), ANSWERS, STOPS, st.booleans(), st.booleans(), st.booleans())
def test_any_cut_gives_the_same(  # noqa: PLR0917 - what hypothesis draws
    data: st.DataObject, text: str, stop: tuple[str, ...], tags: bool, opened: bool, include: bool
) -> None:
    """Tags, stop strings and prose: cut anywhere, the pieces join to what the whole text gives, and end alike."""
    whole, cut = (turn(stop, tags=tags, opened=opened, include_stop=include) for _ in range(2))
    assert joined(run(whole, [text])) == joined(run(cut, data.draw(cuts(text))))
    assert (whole.stopped, whole.reason, whole.stop_sequence) == (cut.stopped, cut.reason, cut.stop_sequence)


@given(st.data(), ANSWERS)
def test_every_form_of_text_gives_the_same(data: st.DataObject, text: str) -> None:
    """Text as strings, blocks, message chunks or OpenAI chunks gives the same pieces."""
    pieces = data.draw(cuts(text))
    forms: list[list[Any]] = [
        list(pieces),
        [{"type": "text", "text": piece} for piece in pieces],
        [{"type": "text", "text": piece, "index": 0} for piece in pieces],
        [AIMessageChunk(piece) for piece in pieces],
        [AIMessageChunk([{"type": "text", "text": piece}]) for piece in pieces],
        [{"choices": [{"index": 0, "message": {"content": piece}}]} for piece in pieces],
        [AIMessage(text)],
    ]
    assert [joined(run(turn(("END",)), forms[0]))] * len(forms) == [joined(run(turn(("END",)), form)) for form in forms]


@given(st.data(), ANSWERS, STOPS)
def test_nothing_comes_after_a_stop_string(data: st.DataObject, text: str, stop: tuple[str, ...]) -> None:
    """Once stopped, a turn gives nothing more, whatever comes."""
    one = turn(stop)
    for piece in data.draw(cuts(text)):
        list(one.feed(piece))
        if one.stopped:
            break
    if one.stopped:
        more = [
            "more",
            Reasoning("x"),
            ToolCall(name="f", args={}),
            Finish(reason="length"),
            AIMessage("y"),
            {"type": "z"},
        ]
        assert [] == [piece for part in more for piece in one.feed(part)]
        assert "stop" == one.reason
        assert one.stop_sequence in stop


@given(st.data(), ANSWERS, STOPS)
def test_what_breaks_off_is_all_there(data: st.DataObject, text: str, stop: tuple[str, ...]) -> None:
    """At any moment, what was given and what `rest` still holds are together what the answer was so far."""
    pieces = data.draw(cuts(text))
    broken, whole = turn(stop), turn(stop)
    given_so_far = [piece for part in pieces for piece in broken.feed(part)]
    assert joined(run(whole, ["".join(pieces)])) == joined([*given_so_far, *broken.rest()])


# --- order ---


def test_what_is_held_back_comes_before_what_follows() -> None:
    """Text held back for a stop string is let go before reasoning, calls and blocks: the order stays."""
    image = {"type": "image", "base64": "aaaa"}
    one = turn(("<|end|>",))
    got = run(one, ["a <|", Reasoning("hm"), "b <|e", image, "c <", ToolCall(name="f", args={"a": 1}), "d <|"])
    assert ["a <|", Reasoning("hm"), "b <|e", image, "c <"] == joined(got)[:5]
    assert ["f", "d <|"] == [piece.name if isinstance(piece, WholeCall) else piece for piece in joined(got)[5:]]


def test_stop_strings_count_in_what_is_said_alone() -> None:
    """A stop string in the reasoning stops nothing; nor does one put together from both sides of it."""
    one = turn(("END",))
    assert [Reasoning("END"), "EN", Reasoning("x"), "D"] == joined(
        run(one, [Reasoning("END"), "EN", Reasoning("x"), "D"])
    )
    assert not one.stopped


def test_a_stop_string_in_the_held_back_rest_stops() -> None:
    """A hit that only the end decides still counts."""
    one = turn(("abcd", "bc"))
    assert ["abc"] == joined(run(one, ["abc"]))
    assert ("bc", "stop", True) == (one.stop_sequence, one.reason, one.stopped)


@pytest.mark.parametrize("after", [Reasoning("x"), ToolCall(name="f", args={}), {"type": "image", "url": "u"}])
def test_nothing_comes_after_a_stop_string_that_the_next_part_decides(after: Any) -> None:
    """A stop string that could still have become a longer one ends the answer when something else than text follows."""
    one = turn(("abcd", "bc"))
    assert "abc" == "".join(map(str, run(one, ["abc", after])))
    assert ("bc", True, True) == (one.stop_sequence, one.stopped, one.runs_on)


# --- the end ---


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        pytest.param(["x"], "", id="nothing said"),
        pytest.param([], "", id="nothing at all"),
        pytest.param([Finish(reason="length")], "length", id="said"),
        pytest.param([Finish(reason="length"), Finish(reason="stop")], "stop", id="said twice"),
        pytest.param([Finish(reason="length"), Finish(reason="")], "length", id="an empty one after it"),
        pytest.param([Finish(reason="length"), Finish(metadata={"a": 1})], "length", id="only metadata after it"),
        pytest.param([Finish(metadata={"a": 1}), Finish(reason="length")], "length", id="only metadata before it"),
        pytest.param([Finish(reason="length"), Finish(stop_sequence="x")], "length", id="only a stop string after it"),
        pytest.param([Finish(), "x"], "", id="nothing said about it"),
        pytest.param([ToolCall(name="f", args={})], "tool_calls", id="a call"),
        pytest.param([ToolCall(name="f", args={}), Finish(reason="stop")], "tool_calls", id="a call, but said to stop"),
        pytest.param([ToolCall(name="f", args={}), Finish(reason="length")], "length", id="a call, cut off"),
        pytest.param([AIMessage("x", response_metadata={"finish_reason": "length"})], "length", id="a message's"),
        pytest.param([AIMessage("x", response_metadata={"stop_reason": "end_turn"})], "end_turn", id="another name"),
    ],
)
def test_why_it_ended(parts: list[Any], reason: str) -> None:
    """The source's last word counts; without one, calls say why, and nothing is invented."""
    one = turn()
    run(one, parts)
    assert reason == one.reason


@given(st.lists(st.builds(Finish, reason=st.sampled_from([None, "", "stop", "length", "other"]),
                          stop_sequence=st.sampled_from([None, "a", "b"]),
                          metadata=st.dictionaries(st.sampled_from("kl"), st.integers(0, 2)))))  # fmt: skip
def test_a_finish_takes_back_nothing(finishes: list[Finish]) -> None:
    """Of each thing that is known of the end, the last statement counts, and saying nothing is not a statement."""
    one = turn()
    run(one, finishes)
    assert ([finish.reason for finish in finishes if finish.reason] or [""])[-1] == one.reason
    sequences: list[str | None] = [finish.stop_sequence for finish in finishes if finish.stop_sequence]
    assert [None, *sequences][-1] == one.stop_sequence
    assert {key: value for finish in finishes for key, value in finish.metadata.items()} == one.metadata


def test_a_stream_without_its_end_is_incomplete() -> None:
    """A stream of OpenAI chunks that ends without a finish reason is an error; a whole completion owes none."""
    chunk = {"choices": [{"index": 0, "delta": {"content": "half"}}]}
    with pytest.raises(IncompleteAnswerError, match=r"ChatTest\.respond ended without a finish reason"):
        run(turn(), [chunk])
    with pytest.raises(IncompleteAnswerError):
        run(turn(), [chunk, Finish(metadata={"fingerprint": "a"})])
    assert ["half"] == run(turn(), [chunk, {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}])
    assert ["whole"] == run(turn(), [{"choices": [{"index": 0, "message": {"content": "whole"}}]}])


def test_a_stream_that_a_stop_string_ended_owes_nothing() -> None:
    """Where langplug cut the answer itself, no finish reason is missing."""
    one = turn(("END",))
    chunk = {"choices": [{"index": 0, "delta": {"content": "an END"}}]}
    assert "an END" == "".join(map(str, run(one, [chunk])))
    assert "stop" == one.reason


def test_what_is_known_of_the_end_is_kept() -> None:
    """Usage, metadata, ids and logprobs are kept for the end; logprobs come piece by piece and add up."""
    one = turn()
    run(
        one,
        [
            Usage(input_tokens=2),
            AIMessageChunk("x", id="id-1", additional_kwargs={"more": 1}),
            Finish(reason="", metadata={"logprobs": {"content": [1]}, "fingerprint": "a"}),
            Finish(reason="", metadata={"logprobs": {"content": [2]}, "fingerprint": "b"}),
            Usage(output_tokens=1),
        ],
    )
    assert ({"logprobs": {"content": [1, 2]}, "fingerprint": "b"}, "id-1", {"more": 1}) == (
        one.metadata,
        one.id,
        one.additional_kwargs,
    )
    assert {"input_tokens": 2, "output_tokens": 1, "total_tokens": 3} == one.usage()


# --- whole messages ---


def test_a_message_is_read_in_full() -> None:
    """An `AIMessage` gives its reasoning, text, blocks, calls, usage and end."""
    image = {"type": "image", "base64": "aaaa"}
    message = AIMessage(
        content=[{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "x"}, image],
        tool_calls=[{"name": "f", "args": {"a": 1}, "id": "i"}],
        invalid_tool_calls=[{"name": "g", "args": "{", "id": "j", "error": None}],
        usage_metadata={"input_tokens": 1, "output_tokens": 1, "total_tokens": 2},
        response_metadata={"finish_reason": "length", "model_name": "m"},
    )
    one = turn()
    *said, first, second = run(one, [message])
    assert [Reasoning("hm"), "x", image] == said
    assert ("f", "i", {"a": 1}) == (first.name, first.id, first.parsed)
    assert ("g", None, "{") == (second.name, second.parsed, second.args)
    assert ("length", {"model_name": "m"}) == (one.reason, one.metadata)


def test_chunks_of_messages_add_up() -> None:
    """`AIMessageChunk`s give their calls put together and their usage added up, as langchain-core would."""
    one = turn()
    chunks = [
        AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "i", "index": 0}]),
        AIMessageChunk("", tool_call_chunks=[{"name": None, "args": ": 1}", "id": None, "index": 0}]),
        AIMessageChunk("", usage_metadata={"input_tokens": 2, "output_tokens": 1, "total_tokens": 3}),
        AIMessageChunk("", usage_metadata={"input_tokens": 0, "output_tokens": 2, "total_tokens": 2}),
    ]
    (call,) = run(one, chunks)
    assert ("f", "i", {"a": 1}) == (call.name, call.id, call.parsed)
    assert {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5} == one.usage()


# --- what is not a part ---


async def coroutine() -> str:
    return "x"


class Bad:
    def __repr__(self) -> str:
        return "<" + "long " * 100


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        pytest.param(None, "return", id="None"),
        pytest.param(b"x", "Decode", id="bytes"),
        pytest.param(iter([]), "yield from", id="iterator"),
        pytest.param((text for text in "x"), "yield from", id="generator"),
        pytest.param(3, "an int", id="number"),
        pytest.param({}, "a dict", id="empty dict"),
        pytest.param({"type": 3}, "a dict", id="type that is not a string"),
        pytest.param(["x"], "a list", id="list"),
        pytest.param(HumanMessage("x"), "HumanMessage", id="another's message"),
        pytest.param(Bad(), "…", id="long repr"),
    ],
)
def test_what_is_not_a_part_is_an_error(part: Any, hint: str) -> None:
    """Anything else is a `TypeError` that names the function, the value and what is allowed, in few words."""
    with pytest.raises(TypeError, match=r"ChatTest\.respond gave") as caught:
        run(turn(), [part])
    text = str(caught.value)
    assert hint.removeprefix("an ").removeprefix("a ") in text
    assert "Reasoning, ToolCall, Usage, Finish" in text
    assert len(text) < 700


def test_an_awaitable_is_an_error_with_a_hint() -> None:
    """Something to be awaited says so."""
    given_back = coroutine()
    with pytest.raises(TypeError, match="async def"):
        turn().feed(given_back)
    given_back.close()
