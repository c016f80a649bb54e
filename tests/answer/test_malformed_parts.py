"""Parts that are not as they should be: each is read, or refused with one and the same sentence."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage

from langplug import ChatModel, Finish, IncompleteAnswerError, Reasoning, Request, ToolCall, Usage
from langplug._answer.parser import ALLOWED


class ChatOdd(ChatModel):
    """Says something, then what it was given."""

    part: Any

    def respond(self, request: Request, /) -> Iterator[Any]:
        yield "before "
        yield self.part


def outcome(part: Any, *, streamed: bool, version: str = "v0") -> AIMessage | Exception:
    """The answer, or the error that it ended with; any but those that are promised comes out as it is."""
    model = ChatOdd(part=part, output_version=version)
    try:
        if not streamed:
            return model.invoke("hi")
        first, *rest = model.stream("hi")
        return first + rest if rest else first  # type: ignore[operator, no-any-return] # a chunk and a list of chunks
    except (TypeError, ModelError) as raised:
        error = raised
    if isinstance(error, TypeError):
        assert str(error).startswith("ChatOdd.respond gave ")
        name = type(part).__name__
        assert f"({'an' if name[0] in 'AEIOaeio' else 'a'} {name})." in str(error)
        assert f"What it may return or yield: {ALLOWED}." in str(error)
        assert len(str(error)) < 1500
        assert not re.search(r"not iterable|has no attribute|not subscriptable|has no len|unhashable", str(error))
        assert error.partial.text.startswith("before ")  # type: ignore[attr-defined] # every error has it
    else:
        assert "error" in part or isinstance(error, IncompleteAnswerError)  # a chunk owes its end
    return error


class Strange:
    """Nothing that any part could hold."""


WORDS = st.sampled_from(
    "type choices error delta message content text tool_calls function name arguments args input id index usage "  # noqa: SIM905 - a list of 35 words is no easier to read
    "prompt_tokens prompt_tokens_details cached_tokens timings cache_n finish_reason stop_reason reasoning "
    "reasoning_content reasoning_details signature extras logprobs model refusal function_call thinking".split()
)
TYPES = ["text", "reasoning", "thinking", "tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use", "image"]

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.just(1.5), st.sampled_from(["", "x", "stop", "{", *TYPES]),
    st.just(b"bytes"), st.builds(Strange), st.just({1, 2}), st.just((1, 2)),
)  # fmt: skip

VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS | st.just(3), inner, max_size=4),
    max_leaves=8,
)

BODIES = st.dictionaries(WORDS, VALUES, max_size=4)
CHOICES = st.lists(st.dictionaries(st.sampled_from(["delta", "message", "index", "finish_reason"]), BODIES, max_size=3))

DICTS = st.one_of(
    st.dictionaries(WORDS | st.just(3), VALUES, max_size=4),
    st.builds(lambda kind, more: {**more, "type": kind}, st.sampled_from(TYPES), BODIES),
    st.builds(lambda choices, more: {**more, "choices": choices}, CHOICES | VALUES, BODIES),
)


@given(part=DICTS, version=st.sampled_from(["v0", "v1"]))
@example(part={"choices": [None]}, version="v0")
@example(part={"choices": "x"}, version="v0")
@example(part={"type": "tool_call", "name": "f", "args": {3: 4}}, version="v0")
def test_any_dict_is_read_or_refused(part: dict[Any, Any], version: str) -> None:
    """A dict of any shape is an answer or the promised error, never one of Python's own; streamed as well as whole."""
    whole, streamed = (outcome(part, streamed=streamed, version=version) for streamed in (False, True))
    assert isinstance(whole, Exception) == isinstance(streamed, Exception)
    if isinstance(whole, AIMessage) and isinstance(streamed, AIMessage):
        assert whole.text == streamed.text
        assert [call["args"] for call in whole.tool_calls] == [call["args"] for call in streamed.tool_calls]


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ({"choices": [None]}, "NoneType"),
        ({"choices": "x"}, "'x'"),
        ({"choices": {"index": 0}}, "'index'"),
        ({"choices": [{"index": "first"}]}, "'first'"),
        ({"choices": [{"delta": "x"}]}, "'x'"),
        ({"choices": [{"delta": {"content": 1.5}}]}, "the content is 1.5"),
        ({"choices": [{"delta": {"content": [None]}}]}, "NoneType"),
        ({"choices": [{"delta": {"tool_calls": [None]}}]}, "NoneType"),
        ({"choices": [{"delta": {"tool_calls": [{"function": {"name": 3}}]}}]}, "a tool call has the name 3"),
        ({"choices": [], "usage": {"prompt_tokens": "many"}}, "prompt_tokens is 'many'"),
        ({"choices": [], "usage": {"prompt_tokens": -1}}, "prompt_tokens is -1"),
        ({"choices": [], "timings": {"predicted_n": "many"}}, "predicted_n is 'many'"),
        ({"type": "reasoning", "reasoning": "hm", "extras": 3}, "its extras is 3"),
        ({"type": "tool_call", "name": 3, "args": {}}, "its name is 3"),
        ({"type": "tool_call", "name": "f", "args": {"a": {1, 2}}}, "not JSON serializable"),
        (Reasoning(None), "its text is None"),  # type: ignore[arg-type] # authors may have no type checker
        (Reasoning("hm", "signature"), "its extras is 'signature'"),  # type: ignore[arg-type] # likewise
        (ToolCall(name=3, args={}), "its name is 3"),  # type: ignore[arg-type] # likewise
        (ToolCall(name="f", args={}, id=3), "its id is 3"),  # type: ignore[arg-type] # likewise
        (ToolCall(name="f", args={"a": Strange}), "not JSON serializable"),
        (ToolCall(name="f", args={"a": Strange}, index=0), "not JSON serializable"),
        (Finish(reason=3), "its reason is 3"),  # type: ignore[arg-type] # likewise
        (Finish(metadata=None), "its metadata is None"),  # type: ignore[arg-type] # likewise
        (AIMessage([{"type": "reasoning", "extras": 3}]), "its extras is 3"),
        (AIMessage([{"text": "x"}]), "a content block has the type None"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_wrong_is_named(part: Any, named: str, streamed: bool) -> None:
    """The error names the function, the value, what is wrong with it, and what is allowed."""
    error = outcome(part, streamed=streamed)
    assert isinstance(error, TypeError)
    assert named in str(error)


@pytest.mark.parametrize("usage", [Usage(output_tokens=-1), {"choices": [], "usage": {"completion_tokens": 1.5}}])
def test_a_wrong_count_leaves_what_came_before(usage: Any) -> None:
    """An answer that breaks off at a report of usage keeps its text as `partial`."""
    with pytest.raises((TypeError, ValueError), match=r"completion_tokens is 1\.5|output_tokens is -1") as caught:
        ChatOdd(part=usage).invoke("hi")
    assert "before " == caught.value.partial.text  # type: ignore[attr-defined] # every error has it


def test_arguments_are_the_same_streamed_and_whole() -> None:
    """Arguments are JSON: keys become strings and tuples lists, in a whole answer as in the chunks of a stream."""
    call = ToolCall(name="f", args={1: (2, 3)})  # type: ignore[dict-item] # authors may have no type checker
    for streamed in (False, True):
        message = outcome(call, streamed=streamed)
        assert isinstance(message, AIMessage)
        assert [{"1": [2, 3]}] == [called["args"] for called in message.tool_calls]


@pytest.mark.parametrize("args", ["9" * 5000, '{"a": ' + "9" * 5000, "[" * 100_000, '{"a": "\\ud8"}'])
def test_arguments_that_no_reader_can_read_are_invalid(args: str) -> None:
    """Arguments beyond what Python reads (digits, nesting, escapes) make an invalid call, streamed and whole."""
    for streamed in (False, True):
        message = outcome(ToolCall(name="f", args=args), streamed=streamed)
        assert isinstance(message, AIMessage)
        assert [] == message.tool_calls
        assert ["f"] == [call["name"] for call in message.invalid_tool_calls]


def test_reasoning_of_mistral() -> None:
    """A block of reasoning may hold a list of text blocks."""
    block = {"type": "thinking", "thinking": [{"type": "text", "text": "h"}, {"type": "text", "text": "m"}]}
    for part in (block, {"choices": [{"message": {"content": [block, {"type": "text", "text": "hi"}]}}]}):
        message = outcome(part, streamed=False)
        assert isinstance(message, AIMessage)
        assert "hm" == message.additional_kwargs["reasoning_content"]


def test_a_mapping_of_ones_own_is_a_dict() -> None:
    """Any mapping will do where a dict does."""

    class Own(Mapping[str, Any]):
        def __init__(self, **items: Any) -> None:
            self.items_ = items

        def __getitem__(self, key: str) -> Any:
            return self.items_[key]

        def __iter__(self) -> Iterator[str]:
            return iter(self.items_)

        def __len__(self) -> int:
            return len(self.items_)

    message = outcome(Own(choices=[Own(message=Own(content="after"))]), streamed=False)
    assert isinstance(message, AIMessage)
    assert "before after" == message.text


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("part", "problem"),
    [
        ({"choices": 5}, "`choices` is an int, and not a list"),
        ({"choices": True}, "`choices` is a bool, and not a list"),
        ({"choices": [{"message": {"tool_calls": 5}}]}, "`tool_calls` is an int, and not a list"),
        ({"choices": [{"delta": {"reasoning_details": 1.5}}]}, "`reasoning_details` is a float, and not a list"),
        ({"message": {"tool_calls": 5}}, "`tool_calls` is an int, and not a list"),
        ({"role": "assistant", "content": "", "tool_calls": 5}, "`tool_calls` is an int, and not a list"),
        ({"choices": [{"message": {"content": [5]}}]}, "5 (an int) stands where a content block should"),
        ({"choices": [{"message": {"content": [["x"]]}}]}, "['x'] (a list) stands where a content block should"),
    ],
)
def test_what_is_no_list_is_named(part: Any, problem: str, streamed: bool) -> None:
    """The error names the place in a completion, in words and not in those of Python."""
    assert f"It is malformed: {problem}." in str(outcome(part, streamed=streamed))
