"""Streams of calls in all the ways in which servers deviate, alone and together: the right calls, and no others."""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from langplug import IncompleteAnswerError, Request, chat_model
from langplug._answer.chunks import Closing, MessageBuilder
from langplug._answer.parser import AnswerParser
from langplug._stream.completion_reader import CompletionReader


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


TOOLS = [tool(name) for name in ("add", "add_two", "now", "ls")]


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def fragment(index: Any = None, call_id: Any = None, name: str | None = None, args: Any = None) -> dict[str, Any]:
    """A fragment of a call; None leaves a field out."""
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    given = {"index": index, "id": call_id, "function": function}
    return {key: value for key, value in given.items() if value is not None}


def streamed(*fragments: dict[str, Any], finish: str = "tool_calls") -> list[dict[str, Any]]:
    return [*(chunk({"tool_calls": [one]}) for one in fragments), chunk({}, finish)]


def completion(message: dict[str, Any], finish: str = "tool_calls") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice]}


def read(events: Sequence[dict[str, Any]], *, sse: bool = True) -> AIMessage:
    """The message that the bytes of a server's answer come to."""
    body = b"".join(b"data: %s\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"
    reader = CompletionReader()
    parser, builder = AnswerParser(owner="ChatTest.respond", tools=TOOLS), MessageBuilder()
    parts = reader.feed(body if sse else json.dumps(events[0]).encode())
    for part in [*parts, *reader.end()]:
        for piece in parser.feed(part):
            builder.add(piece)
    for piece in parser.end():
        builder.add(piece)
    return builder.message(Closing())


def calls_of(message: AIMessage) -> list[tuple[str, Any]]:
    return [(call["name"], call["args"]) for call in message.tool_calls]


AB, CD = ("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})
FULL_AB, FULL_CD = '{"a": 1, "b": 2}', '{"a": 3, "b": 4}'
WHOLE_AB = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": FULL_AB}}
WHOLE_CD = {"id": "c2", "type": "function", "function": {"name": "add", "arguments": FULL_CD}}
AB_TURNED = '{"b": 2, "a": 1}'
SPACE = chunk({"content": " "})

REPORTS: dict[str, tuple[list[dict[str, Any]], list[tuple[str, Any]]]] = {
    "a new id for each fragment": (
        streamed(fragment(0, "a1", "add", ""), fragment(0, "b2", args='{"a": 1,'), fragment(0, "c3", args=' "b": 2}')),
        [AB],
    ),
    "the same with the name in each": (
        streamed(
            fragment(0, "a1", "add", ""),
            fragment(0, "b2", "add", '{"a": 1,'),
            fragment(0, "c3", "add", ' "b": 2}'),
            fragment(0, "d4", "add", ""),
        ),
        [AB],
    ),
    "the same without an index": (
        streamed(
            fragment(None, "a1", "add", ""),
            fragment(None, "b2", args='{"a": 1,'),
            fragment(None, "c3", args=' "b": 2}'),
        ),
        [AB],
    ),
    "one call at two indexes": (
        streamed(fragment(0, "x", "add", FULL_AB), fragment(1, "x", "add", FULL_AB)),
        [AB],
    ),
    "one call at two indexes, in turns": (
        streamed(
            fragment(0, "x", "add", ""),
            fragment(1, "x", "add", ""),
            *(fragment(index, args=args) for args in ('{"a": 1,', ' "b": 2}') for index in (0, 1)),
        ),
        [AB],
    ),
    "an index for each fragment": (
        streamed(fragment(0, "x", "add", ""), fragment(1, args='{"a": 1,'), fragment(2, args=' "b": 2}')),
        [AB],
    ),
    "the name in fragments": (
        streamed(
            fragment(0, "c1", "l", ""),
            fragment(0, name="s", args=""),
            fragment(0, args='{"path": "/tmp"}'),
        ),
        [("ls", {"path": "/tmp"})],
    ),
    "the name in fragments, of which one is a name": (
        streamed(fragment(0, "c1", "add"), fragment(0, name="_two"), fragment(0, args=FULL_AB)),
        [("add_two", AB[1])],
    ),
    "all calls under one index, with other ids": (
        streamed(
            fragment(0, "x", "add", ""),
            fragment(0, args=FULL_AB),
            fragment(0, args=""),
            fragment(0, "y", "add", ""),
            fragment(0, args=FULL_CD),
        ),
        [AB, CD],
    ),
    "all calls under one index, told apart by ids alone": (
        streamed(
            fragment(0, "x", "add", '{"a": 1,'),
            fragment(0, "y", "add", '{"a": 3,'),
            fragment(0, "y", args=' "b": 4}'),
            fragment(0, "x", args=' "b": 2}'),
        ),
        [AB, CD],
    ),
    "no arguments, other ids": (
        streamed(fragment(0, "x", "now", ""), fragment(0, "y", "now", "")),
        [("now", {}), ("now", {})],
    ),
    "the whole message at the end": (
        [*streamed(fragment(0, "c1", "add", FULL_AB))[:-1], completion({"content": None, "tool_calls": [WHOLE_AB]})],
        [AB],
    ),
    "the whole message at the end, without ids": (
        [
            *streamed(fragment(0, None, "add", '{"a": 1,'), fragment(0, args=' "b": 2}'))[:-1],
            completion({"content": None, "tool_calls": [{"function": WHOLE_AB["function"]}]}),
        ],
        [AB],
    ),
    "the whole message at the end, with other ids, after text": (
        [
            *streamed(fragment(0, "x", "add", FULL_AB), fragment(1, "y", "add", FULL_CD))[:-1],
            chunk({"content": " "}),
            completion({"tool_calls": [{**WHOLE_AB, "id": "z"}, {**WHOLE_AB, "id": "x"}, {**WHOLE_CD, "id": "w"}]}),
        ],
        [AB, CD],
    ),
    "arguments in the whole message alone": (
        [*streamed(fragment(0, "c1", "add", ""))[:-1], completion({"content": None, "tool_calls": [WHOLE_AB]})],
        [AB],
    ),
    "calls in the whole message alone": (
        [chunk({"content": ""}), completion({"content": None, "tool_calls": [WHOLE_AB]})],
        [AB],
    ),
    "all that has come in each fragment": (
        streamed(
            fragment(0, "x", "add", '{"a": 1'), fragment(0, "x", "add", FULL_AB), fragment(0, "x", "add", FULL_AB)
        ),
        [AB],
    ),
    "all of the arguments again": (
        streamed(fragment(0, "x", "add", '{"a": 1,'), fragment(0, args=' "b": 2}'), fragment(0, args=FULL_AB)),
        [AB],
    ),
    "an empty object before the arguments": (
        streamed(fragment(0, "x", "add", "{}"), fragment(0, args='{"a": 1,'), fragment(0, args=' "b": 2}')),
        [AB],
    ),
    "again, with its keys in another order": (
        streamed(fragment(0, "x", "add", FULL_AB), fragment(0, "x", "add", AB_TURNED)),
        [AB],
    ),
    "again after text, with its keys in another order": (
        [*streamed(fragment(0, "x", "add", FULL_AB))[:-1], SPACE, *streamed(fragment(0, "x", "add", AB_TURNED))],
        [AB],
    ),
    "again, now with an id": (
        streamed(fragment(0, None, "add", FULL_AB), fragment(0, "x", "add", AB_TURNED)),
        [AB],
    ),
    "again after text, now without an id": (
        [*streamed(fragment(0, "x", "add", FULL_AB))[:-1], SPACE, *streamed(fragment(0, None, "add", FULL_AB))],
        [AB],
    ),
    "an empty object under one index, the arguments under another": (
        streamed(fragment(0, "x", "add", "{}"), fragment(1, "x", "add", FULL_AB)),
        [AB],
    ),
    "no arguments and then some, each with its own index and id": (
        streamed(fragment(0, "x", "now", "{}"), fragment(1, "y", "now", '{"zone": "UTC"}')),
        [("now", {}), ("now", {"zone": "UTC"})],
    ),
    "an object, and the same as text": (
        streamed(fragment(0, "x", "add", AB[1]), fragment(0, args='{"a": 1,'), fragment(0, args=' "b": 2}')),
        [AB],
    ),
    "no index, whole calls, one without arguments": (
        streamed(fragment(None, "x", "now", "{}"), fragment(None, "y", "now", '{"zone": "UTC"}')),
        [("now", {}), ("now", {"zone": "UTC"})],
    ),
    "the name and the arguments right in the call": (
        [completion({"content": None, "tool_calls": [{"id": "c1", "name": "ls", "arguments": "{}"}]})],
        [("ls", {})],
    ),
    "the function as a mere name": (
        [completion({"tool_calls": [{"id": "c1", "function": "add", "parameters": AB[1]}]})],
        [AB],
    ),
    "a call that is no list": ([completion({"tool_calls": WHOLE_AB})], [AB]),
    "calls beside the message": (
        [{"choices": [{"message": {"content": ""}, "tool_calls": [WHOLE_AB], "finish_reason": "tool_calls"}]}],
        [AB],
    ),
    "a call, and the same as of old": (
        [completion({"tool_calls": [WHOLE_AB], "function_call": WHOLE_AB["function"]})],
        [AB],
    ),
    "the same calls twice in a message": ([completion({"tool_calls": [WHOLE_AB, WHOLE_AB]})], [AB]),
    "two calls of one id in a message": (
        [
            completion(
                {"tool_calls": [WHOLE_AB, {"id": "c1", "function": {"name": "add", "arguments": FULL_CD}}]},
            )
        ],
        [AB, CD],
    ),
    "no arguments in a message, and then the same tool with some": (
        [
            completion(
                {
                    "tool_calls": [
                        {"id": "c1", "function": {"name": "now", "arguments": "{}"}},
                        {"id": "c2", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}},
                    ]
                }
            )
        ],
        [("now", {}), ("now", {"zone": "UTC"})],
    ),
}


@pytest.mark.parametrize(("events", "meant"), REPORTS.values(), ids=REPORTS)
def test_what_servers_send_is_what_the_model_meant(events: list[dict[str, Any]], meant: list[tuple[str, Any]]) -> None:
    """Each way in which servers were reported to send calls gives the calls that were meant, and none beside them."""
    message = read(events)
    assert (meant, []) == (calls_of(message), message.invalid_tool_calls)
    assert len(meant) == len({call["id"] for call in message.tool_calls})
    if "message" in events[0]["choices"][0]:
        assert meant == calls_of(read(events, sse=False))


UNDECIDED: dict[str, tuple[list[dict[str, Any]], list[tuple[str, Any]], int]] = {
    "an empty object, and then another id under its index": (
        streamed(fragment(0, "x", "add", "{}"), fragment(0, "y", "add", FULL_AB)),
        [AB],
        1,
    ),
    "an empty object, text, and then another id under its index": (
        [*streamed(fragment(0, "x", "add", "{}"))[:-1], SPACE, *streamed(fragment(0, "y", "add", FULL_AB))],
        [AB],
        1,
    ),
    "an empty object after all arguments": (
        streamed(fragment(0, "x", "add", FULL_AB), fragment(0, "y", "add", "{}")),
        [AB],
        1,
    ),
    "an empty object with an id, and then neither": (
        streamed(fragment(None, "x", "add", "{}"), fragment(None, None, "add", FULL_AB)),
        [AB],
        1,
    ),
    "null, and then another id under its index": (
        streamed(fragment(0, "x", "add", "null"), fragment(0, "y", "add", FULL_AB)),
        [AB],
        1,
    ),
    "other arguments under the same index and id": (
        streamed(fragment(0, "x", "add", FULL_AB), fragment(0, "x", "add", FULL_CD)),
        [],
        2,
    ),
    "other arguments under the same index and id, when the first were given on": (
        [*streamed(fragment(0, "x", "add", FULL_AB))[:-1], SPACE, *streamed(fragment(0, "x", "add", FULL_CD))],
        [AB],
        1,
    ),
}


@pytest.mark.parametrize(("events", "valid", "invalid"), UNDECIDED.values(), ids=UNDECIDED)
def test_what_cannot_be_told_is_invalid(
    events: list[dict[str, Any]], valid: list[tuple[str, Any]], invalid: int
) -> None:
    """A call that may be a piece of another, or contradicts it, runs nothing: it is invalid."""
    message = read(events)
    assert (valid, invalid) == (calls_of(message), len(message.invalid_tool_calls))


@pytest.mark.parametrize("finish", ["length", "max_tokens", "content_filter"])
@pytest.mark.parametrize("whole", [False, True])
def test_no_arguments_need_the_servers_word(finish: str, whole: bool) -> None:
    """A call whose arguments have not come when the answer is cut off is invalid, and never one without arguments."""
    call = {"id": "x", "function": {"name": "add", "arguments": ""}}
    events = (
        [completion({"tool_calls": [call]}, finish)] if whole else streamed(fragment(0, "x", "add", ""), finish=finish)
    )
    message = read(events)
    assert ([], ["add"]) == (message.tool_calls, [one["name"] for one in message.invalid_tool_calls])


def test_a_broken_answer_holds_no_call_without_arguments() -> None:
    """What had come of an answer that broke off holds no valid call whose arguments had not come."""

    @chat_model(tool_calling="native")
    def breaks(request: Request) -> Any:
        yield chunk({"tool_calls": [fragment(0, "x", "now", "")]})

    with pytest.raises(IncompleteAnswerError) as caught:
        breaks().bind_tools(TOOLS).invoke("?")
    assert caught.value.partial is not None
    assert [] == caught.value.partial.tool_calls


def test_a_call_without_a_name_is_invalid() -> None:
    """A call that has no name runs nothing."""
    message = read(streamed(fragment(0, "x", None, FULL_AB)))
    assert ([], 1) == (message.tool_calls, len(message.invalid_tool_calls))


@pytest.mark.parametrize("finish", ["tool_calls", "function_call", "tool_use"])
@pytest.mark.parametrize(
    "message", [{"content": None}, {"content": "\n\n"}, {"reasoning": "hm"}, {"tool_calls": [{"kind": "of none"}]}]
)
def test_calls_that_are_said_to_come_and_do_not_are_an_error(message: dict[str, Any], finish: str) -> None:
    """An answer that ends with a tool call, and holds neither a call nor text, is an error and no empty success."""
    with pytest.raises(IncompleteAnswerError, match="holds none"):
        read([completion(message, finish)])
    with pytest.raises(IncompleteAnswerError, match="holds none"):
        read([chunk(message), chunk({}, finish)])


FAILED = ["error", "abort", "Cancelled", "timed_out", "error_finish", "engine_overloaded", "server_overloaded"]
FAILED += ["function_call_filter: MALFORMED_FUNCTION_CALL", "MALFORMED_FUNCTION_CALL", "Error: out of memory"]


@pytest.mark.parametrize("reason", [*FAILED, "OTHER", "TOOL_CALLS", "Tool_Use"])
@pytest.mark.parametrize("streams", [False, True])
def test_a_reason_that_says_that_it_failed_is_an_error(reason: str, streams: bool) -> None:
    """An answer without content whose reason says that it failed, in whichever words and case, is no success."""
    with pytest.raises(IncompleteAnswerError):
        read([chunk({}), chunk({}, reason)] if streams else [completion({"content": None}, reason)])
    if reason in FAILED:  # with text, too: it is not whole
        with pytest.raises(IncompleteAnswerError):
            read([completion({"content": "Hi"}, reason)])


@pytest.mark.parametrize("reason", ["stop", "length", "OTHER", "unknown", "eos", "COMPLETE", "ERROR_LIMIT", "safety"])
def test_other_reasons_are_no_failures(reason: str) -> None:
    """An answer with text is whole for each reason that does not say that it failed."""
    assert "Hi" == read([completion({"content": "Hi"}, reason)]).text


@pytest.mark.parametrize(
    ("pieces", "whole", "expected"),
    [
        (["one ", "two"], "one two", "one two"),
        (["one "], "one two", "one two"),
        ([""], "one two", "one two"),
        (["one ", "two"], None, "one two"),
        (["\n\none ", "two"], "one two and three", "\n\none two and three"),
        ([" one ", "two "], "one two", " one two "),
        (["one ", "two "], "one two three", "one two three"),
        (["one  two"], "one two\n", "one  two"),
        (["one two three four", " fiveteen"], "one two three four fifteen", "one two three four fiveteen"),
        (["\n", "word " * 2000], "word " * 2000 + "end", "\n" + "word " * 2000 + "end"),
        (["word " * 2000], ".", "word " * 2000 + "."),
        (["one two"], ".", "one two."),  # the last piece, in the place of the message
    ],
)
def test_a_whole_message_at_the_end_adds_what_is_new(pieces: list[str], whole: str | None, expected: str) -> None:
    """A stream that ends with the whole message says its text and its reasoning once."""
    deltas = [chunk({"content": piece, "reasoning": piece}) for piece in pieces]
    message = read([*deltas, completion({"content": whole, "reasoning": whole}, "stop")])
    assert (expected, expected) == (message.text, message.additional_kwargs["reasoning_content"])


@pytest.mark.parametrize("tags", ["<think>hm</think>\n", "[THINK]hm[/THINK]", "\n<think>\nhm\n</think>\n\n"])
@pytest.mark.parametrize(("whole", "expected"), [("one two", "one two"), ("one two three", "one two three")])
def test_a_whole_message_may_leave_out_the_tags(tags: str, whole: str, expected: str) -> None:
    """A stream with reasoning in tags, whose message has it in a field, says both once."""
    pieces = [f"{tags}one ", "two"]
    last = completion({"content": whole, "reasoning_content": "hm"}, "stop")
    message = read([*(chunk({"content": piece}) for piece in pieces), last])
    assert (tags + expected, None) == (message.text, message.additional_kwargs.get("reasoning_content"))


# --- any order, any cuts, any of the deviations together ---

VALUES = st.integers(0, 99) | st.text('ab{}"\\, :', max_size=4) | st.dictionaries(st.sampled_from("ab"), st.just(1))
ARGS = st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1, max_size=2)
MEANT = st.lists(st.tuples(st.sampled_from(["add", "add_two", "now", "ls"]), ARGS), min_size=1, max_size=3)


@dataclass(frozen=True)
class Habits:
    """How a server sends calls.

    Attributes:
        index: Of each call its own, of all 0, none, or of each fragment its own.
        ids: With the first fragment of a call, with each, a new one with each, or never.
        names: With the first fragment, with each, or in fragments themselves.
        end: What comes after the last fragment of each call, or of the answer.
        takes_turns: Whether fragments of several calls take turns.
    """

    index: str
    ids: str
    names: str
    end: str
    takes_turns: bool

    @property
    def are_readable(self) -> bool:
        """Whether what they give can be told from all else."""
        return self.index != "fragment" and not (self.ids == "none" and self.end != "nothing" and self.index != "own")


HABITS = st.builds(
    Habits,
    index=st.sampled_from(["own", "zero", "none", "fragment"]),
    ids=st.sampled_from(["first", "each", "fresh", "none"]),
    names=st.sampled_from(["first", "each", "cut"]),
    end=st.sampled_from(["nothing", "blank", "message", "twice"]),
    takes_turns=st.booleans(),
)


@st.composite
def server_streams(draw: st.DrawFn) -> tuple[list[tuple[str, Any]], Habits, list[dict[str, Any]]]:
    """What a model meant, the habits of its server, and the chunks that it sends."""
    meant, habits = draw(MEANT), draw(HABITS)
    ids, numbers = (f"fresh-{number}" for number in itertools.count()), itertools.count()
    runs = []
    for position, (name, args) in enumerate(meant):
        text = json.dumps(args)
        places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
        pieces = [text[start:end] for start, end in itertools.pairwise([0, *places, len(text)])]
        names: list[str | None] = [
            name if number == 0 or habits.names == "each" else None for number in range(len(pieces))
        ]
        if habits.names == "cut":
            cut = draw(st.integers(1, len(name) - 1))
            pieces, names = ["", "", *pieces], [name[:cut], name[cut:], *[None] * len(pieces)]
        if habits.end == "blank":
            pieces, names = [*pieces, ""], [*names, name if habits.names == "each" else None]
        runs.append(
            [(position, number, said, piece) for number, (said, piece) in enumerate(zip(names, pieces, strict=True))]
        )
    order = [one for run in runs for one in run]
    if habits.takes_turns and habits.index == "own":
        order = [one for turn in itertools.zip_longest(*runs) for one in turn if one is not None]
    fragments = []
    for position, number, part_of_name, piece in order:
        index = {"own": position, "zero": 0, "none": None}.get(habits.index, next(numbers))
        call_id = None if habits.ids == "none" or (habits.ids == "first" and number) else f"id-{position}"
        fragments.append(fragment(index, next(ids) if habits.ids == "fresh" else call_id, part_of_name, piece))
    chunks = streamed(*fragments)
    whole = [
        {
            "id": None if habits.ids in ("none", "fresh") else f"id-{position}",
            "function": {"name": name, "arguments": json.dumps(args)},
        }
        for position, (name, args) in enumerate(meant)
    ]
    if habits.end == "message":
        chunks = [*chunks[:-1], completion({"content": None, "tool_calls": whole})]
    if habits.end == "twice" and habits.ids in ("first", "each"):
        again = [chunk({"tool_calls": [{**one, "index": len(meant) + n}]}) for n, one in enumerate(whole)]
        chunks = [*chunks[:-1], *again, chunks[-1]]
    return meant, habits, chunks


@given(server_streams())
def test_no_call_is_made_up(stream: tuple[list[tuple[str, Any]], Habits, list[dict[str, Any]]]) -> None:
    """In any order, cut and deviation, every valid call is one that the model meant, and none is there twice."""
    meant, habits, chunks = stream
    try:
        message = read(chunks)
    except ModelError:
        return
    extra = Counter(map(repr, calls_of(message))) - Counter(map(repr, meant))
    assert not extra
    if habits.are_readable:
        assert meant == calls_of(message)
        assert [] == message.invalid_tool_calls
