"""`Paths` and `ValueParser`: JSON values of any form as parts, by JMESPath."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import ContextOverflowError, ModelAPIError, ModelInvalidRequestError

from langplug import Finish, IncompleteAnswerError, Reasoning, ToolCall, Usage
from langplug._stream.paths import Paths, UnreadableAnswerError, ValueParser

OLLAMA = Paths(
    text="message.content",
    reasoning="message.thinking",
    tool_calls="message.tool_calls[].{name: function.name, args: function.arguments}",
    usage="{input_tokens: prompt_eval_count, output_tokens: eval_count}",
    finish="done && (done_reason || 'stop')",
    error="error",
)


def read(paths: Paths, *values: Any) -> list[Any]:
    parser = ValueParser(paths)
    parts = [part for value in values for part in parser.feed(value)]
    parser.end()
    return parts


def message(**said: Any) -> dict[str, Any]:
    return {"message": {"role": "assistant", **said}, "done": False}


def test_all_parts_of_an_answer_are_found() -> None:
    """Reasoning, text, calls, usage and the finish reason come out as parts, value by value."""
    call = {"function": {"name": "add", "arguments": {"a": 1}}}
    end = {"message": {"content": ""}, "done": True, "done_reason": "length", "prompt_eval_count": 3, "eval_count": 0}
    assert read(OLLAMA, message(thinking="hm"), message(content="Hi"), message(tool_calls=[call]), end) == [
        Reasoning("hm"),
        "Hi",
        ToolCall(name="add", args={"a": 1}),
        Usage(input_tokens=3, output_tokens=0),
        Finish(reason="length"),
    ]


@pytest.mark.parametrize(
    ("paths", "value", "parts"),
    [
        ({"text": "texts"}, {"texts": ["a", "", "b"]}, ["a", "b"]),
        ({"text": "t"}, {"t": ""}, []),
        ({"text": "t || u"}, {"u": "x"}, ["x"]),
        ({"text": '"a-b".c'}, {"a-b": {"c": "x"}}, ["x"]),
        ({"text": "@"}, "bare", ["bare"]),
        ({"text": "[].t"}, [{"t": "a"}, {"t": "b"}], ["a", "b"]),
        ({"reasoning": "{text: t, signature: s}"}, {"t": "hm", "s": "abc"}, [Reasoning("hm", {"signature": "abc"})]),
        ({"reasoning": "{text: t, signature: s}"}, {"s": "abc"}, [Reasoning("", {"signature": "abc"})]),
        ({"reasoning": "{text: t, signature: s}"}, {"x": 1}, []),
        ({"reasoning": "r"}, {"r": ["a", "b"]}, [Reasoning("a"), Reasoning("b")]),
        ({"tool_calls": "c"}, {"c": {"name": "f"}}, [ToolCall(name="f")]),
        ({"tool_calls": "c"}, {"c": {"index": 1, "args": '{"a"'}}, [ToolCall(args='{"a"', index=1)]),
        ({"tool_calls": "c"}, {"c": {"index": 1, "name": None, "args": ""}}, []),
        ({"tool_calls": "c"}, {"c": [{"id": 7, "name": "f", "args": {}}]}, [ToolCall(id="7", name="f", args={})]),
        ({"blocks": "b"}, {"b": {"type": "image", "url": "u", "id": None}}, [{"type": "image", "url": "u"}]),
        ({"text": "t", "usage": "u"}, {"t": "", "u": {"input_tokens": [1, None, 2.0]}}, [Usage(input_tokens=3)]),
        ({"text": "t", "usage": "u"}, {"t": "", "u": {"input_tokens": None, "output_tokens": [None]}}, []),
        ({"text": "t", "usage": "u", "usage_kind": "delta"}, {"t": "", "u": {"output_tokens": 1}},
         [Usage(output_tokens=1, delta=True)]),
        ({"text": "t", "usage": "u"}, {"t": "", "u": {"input_token_details": {"cache_read": 2, "audio": None}}},
         [Usage(input_token_details={"cache_read": 2})]),
        ({"text": "t", "finish": "f"}, {"t": "", "f": True}, [Finish(reason="stop")]),
        ({"text": "t", "finish": "f", "reasons": {"END": "stop"}}, {"t": "", "f": "END"}, [Finish(reason="stop")]),
        ({"text": "t", "finish": "f", "reasons": {"END": "stop"}}, {"t": "", "f": "CUT"}, [Finish(reason="CUT")]),
        ({"text": "t", "stop_sequence": "s"}, {"t": "", "s": "###"}, [Finish(reason="", stop_sequence="###")]),
        ({"text": "t", "response_metadata": "{model_name: m, x: x}"}, {"t": "", "m": "m1"},
         [Finish(reason="", metadata={"model_name": "m1"})]),
        ({"text": "t", "error": "error"}, {"t": "x", "error": None}, ["x"]),
        ({"text": "t", "error": "error"}, {"t": "x", "error": {}}, ["x"]),
        ({"text": "t", "error": "error"}, {"t": "x", "error": ""}, ["x"]),
    ],
)  # fmt: skip
def test_a_path_finds_what_is_there(paths: dict[str, Any], value: Any, parts: list[Any]) -> None:
    """Each path takes the forms that its documentation says; null, false and what says nothing give no part."""
    assert read(Paths.read(paths), value) == parts


def test_each_reads_blocks_in_their_order_and_then_the_value() -> None:
    """With `each`, a whole answer of blocks gives its parts in the order of the blocks."""
    paths = Paths(each="[content, @][]", text="text", reasoning="thinking", finish="stop_reason")
    blocks = [{"text": "a"}, {"thinking": "b"}, {"text": "c"}]
    assert read(paths, {"content": blocks, "stop_reason": "end"}) == ["a", Reasoning("b"), "c", Finish(reason="end")]


def test_nothing_is_read_behind_the_end() -> None:
    """Once `done` was there, the parser is finished, and gives nothing more."""
    parser = ValueParser(Paths(text="t", done="end"))
    assert parser.feed({"t": "a"}) == ["a"]
    assert not parser.finished
    parser.feed({"end": "yes"})
    assert parser.finished
    assert parser.feed({"t": "b"}) == []
    parser.end()


@pytest.mark.parametrize(
    ("paths", "values", "complete"),
    [
        ({"finish": "f"}, [{"t": "a"}], False),
        ({"finish": "f"}, [{"t": "a", "f": False}], False),
        ({"finish": "f"}, [{"t": "a", "f": ""}], False),
        ({"finish": "f"}, [], False),
        ({"finish": "f"}, [{"t": "a"}, {"f": "stop"}], True),
        ({"finish": "f", "done": "d"}, [{"t": "a"}, {"d": 1}], False),
        ({"finish": "f", "done": "d"}, [{"t": "a"}, {"f": "stop"}], True),
        ({"done": "d"}, [{"t": "a"}], False),
        ({"done": "d"}, [{"t": "a", "d": "x"}], True),
        ({}, [{"t": "a"}], True),
        ({}, [], True),
    ],
)
def test_an_answer_is_complete_when_it_says_so(paths: dict[str, str], values: list[Any], complete: bool) -> None:
    """The finish reason must have come; without a path to one, `done`; without both, the source's end is the end."""
    parser = ValueParser(Paths(text="t", **paths), owner="The oracle")
    for value in values:
        parser.feed(value)
    if complete:
        parser.end()
        return
    with pytest.raises(IncompleteAnswerError, match="The oracle ended before the answer did"):
        parser.end()


def test_paths_that_found_nothing_are_named_with_the_keys_that_came() -> None:
    """An answer in which nothing is found that was said is an error that shows the paths, and keys but no values."""
    parser = ValueParser(Paths(text="message.contents", reasoning="message.thoughts"))
    parser.feed({"message": {"role": "assistant", "content": "secret", "calls": [{"id": 1}]}, "n": 3})
    with pytest.raises(UnreadableAnswerError) as caught:
        parser.end()
    told = str(caught.value)
    assert "text='message.contents', reasoning='message.thoughts'" in told
    assert "{message: {role, content, calls: [{id}]}, n}" in told
    assert "secret" not in told
    assert not caught.value.is_retryable


def test_an_empty_answer_is_one_where_it_may_be() -> None:
    """A text that is there and empty is an empty answer; one that is not there is, where that is allowed."""
    assert read(Paths(text="t"), {"t": ""}) == []
    assert read(Paths(text="t", may_be_empty=True), {"x": 1}) == []
    with pytest.raises(UnreadableAnswerError):
        read(Paths(text="ok && t"), {"ok": False, "t": ""})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("it broke", ModelAPIError),
        ({"message": "maximum context length is 10"}, ContextOverflowError),
        ({"message": "no", "code": 400}, ModelInvalidRequestError),
    ],
)
def test_an_error_in_place_of_an_answer_is_typed(error: Any, kind: type[Exception]) -> None:
    """What the error path finds is raised, as its code and words say, and counts before all else."""
    with pytest.raises(kind):
        ValueParser(OLLAMA).feed({**message(content="x"), "error": error})


@pytest.mark.parametrize(
    ("paths", "value", "told"),
    [
        ({"text": "t"}, {"t": 7}, "the path text='t' found 7; expected a string"),
        ({"text": "t"}, {"t": {"a": 1}}, "to_string"),
        ({"reasoning": "t"}, {"t": {"text": 7}}, "a mapping with a string as 'text'"),
        ({"tool_calls": "t"}, {"t": "add"}, "'name', 'args', 'id' and 'index'"),
        ({"blocks": "t"}, {"t": {"url": "x"}}, "a mapping with a 'type'"),
        ({"text": "x", "usage": "t"}, {"t": 3}, "the fields of langplug.Usage"),
        ({"text": "x", "usage": "t"}, {"t": {"input_tokens": "three"}}, "a number of tokens"),
        ({"text": "x", "response_metadata": "t"}, {"t": "m"}, "expected a mapping"),
        ({"text": "x", "each": "t"}, {"t": "m"}, "expected a list"),
        ({"text": "join('', t)"}, {"t": 1}, "does not fit what it was given"),
    ],
)
def test_what_is_found_must_be_of_the_right_kind(paths: dict[str, str], value: Any, told: str) -> None:
    """A path that finds something else says which path, what it found and what is expected."""
    with pytest.raises(UnreadableAnswerError) as caught:
        ValueParser(Paths.read(paths)).feed(value)
    assert told in str(caught.value)


def test_what_is_shown_of_a_wrong_value_is_bounded() -> None:
    """A huge value does not make a huge error."""
    with pytest.raises(UnreadableAnswerError) as caught:
        ValueParser(Paths(text="t")).feed({"t": ["x" * 10, {"a": "y" * 10_000}]})
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("given_paths", "told"),
    [
        ({"text": "a.["}, "The path 'text': it ends too early (JMESPath, see https://jmespath.org):\n  a.[\n     ^"),
        ({"text": "a b"}, "  a b\n    ^"),
        ({"text": "lenght(a)"}, "JMESPath has no function lenght(), as in 'lenght(a)'. Did you mean length()?"),
        ({"text": "length()"}, "length() takes 1 arguments, not 0"),
        ({"text": "merge()"}, "merge() takes 1 or more arguments, not 0"),
        ({"text": ""}, "An empty string is not a JMESPath expression"),
        ({"text": 7}, "The path 'text' is 7; expected a JMESPath expression as a string"),
        ({"txt": "a"}, "There is no path 'txt'. Did you mean 'text'?"),
        ({"zzz": "a"}, "There are: each, text"),
        ({"finish": "a"}, "No path finds any content. Give at least one of 'text'"),
        ({"text": "a", "usage_kind": "sum"}, "usage_kind is 'sum'; expected 'total' or 'delta'"),
    ],
)  # fmt: skip
def test_wrong_paths_fail_when_they_are_made(given_paths: dict[str, Any], told: str) -> None:
    """The error shows the expression with a mark under the place, names a near name, and says what is expected."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - all of the message is looked at
        Paths.read(given_paths)
    assert told in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abct"), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=4), st.sampled_from(["a", "a.b", "t.t.t", "a.b.c"]))
def test_plain_paths_find_what_jmespath_finds(values: list[Any], path: str) -> None:
    """Names with dots between them are walked by hand, and find the same as JMESPath itself."""
    import jmespath

    from langplug._stream.expressions import compile_expression

    for value in values:
        assert compile_expression(path)(value) == jmespath.search(path, value)


@given(st.lists(JSON, max_size=5))
def test_no_json_brings_it_down(values: list[Any]) -> None:
    """Whatever JSON comes, it is read, or it is a typed error."""
    parser = ValueParser(Paths(text="t", reasoning="a", tool_calls="b", usage="c", each="[@, a][]", may_be_empty=True))
    try:
        parts = list(itertools.chain.from_iterable(map(parser.feed, values)))
    except UnreadableAnswerError:
        return
    assert all(isinstance(part, str | Reasoning | ToolCall | Usage) for part in parts)
