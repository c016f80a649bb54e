"""Group I of the contract: calls as servers and authors send them, broken in all the ways in which they do."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk
from tests.callers import TOOLS, delta
from tests.paths import STREAMED, WHOLE, Path

from langplug import ChatModel, Request, ToolCall, chat_model


def made(message: AIMessage) -> list[tuple[str, Any]]:
    """The calls of a message, by name and arguments."""
    return [(one["name"], one["args"]) for one in message.tool_calls]


def fragment(name: str | None = None, args: Any = None, **rest: Any) -> dict[str, Any]:
    function = {key: value for key, value in (("name", name), ("arguments", args)) if value is not None}
    return {"function": function, **rest}


def deltas(*of: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    return [*(delta(tool_calls=list(fragments)) for fragments in of), end]


AB = ("add", {"a": 1, "b": 2})
CD = ("add", {"a": 3, "b": 4})
FULL_AB, FULL_CD = '{"a": 1, "b": 2}', '{"a": 3, "b": 4}'
NULL = {"id": None, "index": None, "type": "function"}

DEVIATIONS: dict[str, tuple[list[dict[str, Any]], list[Any]]] = {
    "as it should be": (
        deltas(
            [fragment("add", "", index=0, id="x")],
            [fragment(None, '{"a": 1,', index=0)],
            [fragment(None, ' "b": 2}', index=0)],
        ),
        [AB],
    ),
    "no index": (
        deltas([fragment("add", "", id="x")], [fragment(None, '{"a": 1,')], [fragment(None, '"b": 2}')]),
        [AB],
    ),
    "no index, no id, the name each time": (
        deltas(
            [fragment("add", "")], [fragment("add", '{"a": 1,')], [fragment("add", '"b": 2}')], [fragment("add", "")]
        ),
        [AB],
    ),
    "the name each time": (
        deltas(
            [fragment("add", "", index=0)],
            [fragment("add", '{"a": 1,', index=0)],
            [fragment("add", '"b": 2}', index=0)],
            [fragment("add", "", index=0)],
        ),
        [AB],
    ),
    "name and id each time": (
        deltas(
            [fragment("add", "", index=0, id="x")],
            [fragment("add", '{"a": 1,', index=0, id="x")],
            [fragment("add", '"b": 2}', index=0, id="x")],
        ),
        [AB],
    ),
    "two fragments of one call in one delta": (
        deltas([fragment("add", "", index=0, id="x"), fragment(None, FULL_AB, index=0)]),
        [AB],
    ),
    "one index for two calls, ids": (
        deltas(
            [fragment("add", '{"a": 1,', index=0, id="x")],
            [fragment(None, '"b": 2}', index=0)],
            [fragment("add", FULL_CD, index=0, id="y")],
        ),
        [AB, CD],
    ),
    "one index for two calls, no ids": (
        deltas([fragment("add", FULL_AB, index=0), fragment("add", FULL_CD, index=0)]),
        [AB, CD],
    ),
    "no index for two whole calls": (deltas([fragment("add", FULL_AB)], [fragment("add", FULL_CD)]), [AB, CD]),
    "no index for two calls in fragments": (
        deltas(
            [fragment("add", '{"a": 1,')],
            [fragment(None, '"b": 2}')],
            [fragment("add", '{"a": 3,')],
            [fragment(None, '"b": 4}')],
        ),
        [AB, CD],
    ),
    "no index for two calls without arguments": (
        deltas([fragment("now", "")], [fragment("now", "")]),
        [("now", {})] * 2,
    ),
    "interleaved": (
        deltas(
            [fragment("add", '{"a": 1,', index=0, id="x"), fragment("add", '{"a": 3,', index=1, id="y")],
            [fragment(None, '"b": 4}', index=1), fragment(None, '"b": 2}', index=0)],
        ),
        [AB, CD],
    ),
    "interleaved, told apart by ids alone": (
        deltas(
            [fragment("add", '{"a": 1,', id="x"), fragment("add", '{"a": 3,', id="y")],
            [fragment(None, '"b": 4}', id="y"), fragment(None, '"b": 2}', id="x")],
        ),
        [AB, CD],
    ),
    "indices as strings, and not": (
        deltas(
            [fragment("add", '{"a": 1,', index="0"), fragment("add", FULL_CD, index="1")],
            [fragment(None, '"b": 2}', index=0)],
        ),
        [AB, CD],
    ),
    "arguments as objects": (
        deltas(
            [{**NULL, "function": {"name": "add", "arguments": {"a": 1, "b": 2}}}],
            [{**NULL, "function": {"name": "add", "arguments": {"a": 3, "b": 4}}}],
        ),
        [AB, CD],
    ),
    "arguments as objects, one index": (
        deltas(
            [fragment("add", {"a": 1, "b": 2}, index=0), fragment("add", {"a": 3, "b": 4}, index=0)],
            [fragment(None, "", index=0)],
        ),
        [AB, CD],
    ),
    "an empty object first": (deltas([fragment("add", {}, index=0, id="x")], [fragment(None, FULL_AB, index=0)]), [AB]),
    "arguments encoded twice": (deltas([fragment("add", json.dumps(FULL_AB), index=0)]), [AB]),
    "arguments null": (deltas([fragment("now", "null", index=0)]), [("now", {})]),
    "arguments None": (deltas([{"index": 0, "function": {"name": "now", "arguments": None}}]), [("now", {})]),
    "the name after the id": (
        deltas([{"index": 0, "id": "x", "function": None}], [fragment("add", FULL_AB, index=0)]),
        [AB],
    ),
    "the id after the name": (deltas([fragment("add", "{")], [fragment(None, '"a": 1, "b": 2}', id="x")]), [AB]),
    "one id for two calls": (
        deltas([fragment("add", FULL_AB, index=0, id="x"), fragment("add", FULL_CD, index=1, id="x")]),
        [AB, CD],
    ),
    "an empty call at the end": (deltas([fragment("add", FULL_AB, index=0)], [{"index": 1, "function": {}}]), [AB]),
    "the function call of old": (
        [
            delta(function_call={"name": "add", "arguments": '{"a": 1,'}),
            delta(function_call={"arguments": '"b": 2}'}),
            {"choices": [{"delta": {}, "finish_reason": "function_call"}]},
        ],
        [AB],
    ),
    "content None and calls None": (
        [delta(content=None, tool_calls=None), *deltas([fragment("add", FULL_AB, index=0)])],
        [AB],
    ),
    "the whole message": (
        [
            {
                "choices": [
                    {
                        "message": {
                            "content": None,
                            "tool_calls": [
                                {**NULL, **fragment("add", {"a": 1, "b": 2})},
                                fragment("add", FULL_CD, id=""),
                            ],
                        },
                        "finish_reason": "stop",
                    }
                ]
            }
        ],
        [AB, CD],
    ),
}


@chat_model(tool_calling="native")
def wire(request: Request, *, parts: list[Any]):  # type: ignore[no-untyped-def] # noqa: ANN201
    """Hands on what a server sends."""
    yield from parts


@pytest.mark.parametrize("version", [None, "v1"])
@pytest.mark.parametrize(("sent", "meant"), DEVIATIONS.values(), ids=DEVIATIONS)
def test_i_deviating_servers_are_understood(call: Path, sent: list[Any], meant: list[Any], version: Any) -> None:
    """Calls are put together by index, else id, else order, however a server deviates; ids are unique."""
    message = call(wire(parts=sent, output_version=version).bind_tools(TOOLS), "?").message
    assert (meant, []) == (made(message), message.invalid_tool_calls)
    ids = {one["id"] for one in message.tool_calls}
    assert len(meant) == len(ids - {"", None})
    assert "tool_calls" == message.response_metadata["finish_reason"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": "x"},
        {"type": "tool_use", "name": "add", "input": {"a": 1, "b": 2}, "id": "x"},
        AIMessage([{"type": "tool_use", "name": "add", "input": {"a": 1, "b": 2}, "id": "x"}]),
        AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "x"}]),
        AIMessage(content_blocks=[{"type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": "x"}]),
        AIMessageChunk("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "x"}]),
    ],
)
def test_i_calls_in_blocks_and_messages_are_calls(call: Path, part: Any) -> None:
    """A call is a call in every form in which LangChain has one, and comes once."""
    message = call(wire(parts=[part]).bind_tools(TOOLS), "?").message
    assert [("add", {"a": 1, "b": 2}, "x")] == [(one["name"], one["args"], one["id"]) for one in message.tool_calls]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(),  # beyond these they become text
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ARGUMENTS = st.dictionaries(st.text(), JSON_VALUES, max_size=3)


@given(arguments=st.lists(ARGUMENTS, max_size=3), cut=st.integers(1, 5), order=st.randoms(use_true_random=False))
def test_i04_however_fragments_are_cut_and_mixed(arguments: list[dict[str, Any]], cut: int, order: Any) -> None:
    """Fragments of any length, in any mixture that keeps each call's own order, make the same calls."""
    runs = [[ToolCall(name="add", index=n), *cut_up(json.dumps(args), cut, n)] for n, args in enumerate(arguments)]
    parts: list[ToolCall] = []
    while runs := [run for run in runs if run]:
        parts.append(order.choice(runs).pop(0))
    message = wire(parts=parts).bind_tools(TOOLS).invoke("?")
    meant = list(dict.fromkeys(part.index for part in parts))
    assert [arguments[int(n or 0)] for n in meant] == [one["args"] for one in message.tool_calls]


def cut_up(text: str, length: int, index: int) -> list[ToolCall]:
    return [ToolCall(args=text[at : at + length], index=index) for at in range(0, len(text), length)]


@given(
    parts=st.lists(
        st.builds(
            ToolCall,
            name=st.none() | st.sampled_from(["add", "now", ""]),
            args=st.none() | st.text('{}[]":,a1\\ ', max_size=8) | ARGUMENTS,
            id=st.none() | st.sampled_from(["x", "y", ""]),
            index=st.none() | st.integers(0, 2) | st.sampled_from(["0", "1"]),
        ),
        max_size=6,
    )
)
def test_i06_no_fragments_raise(parts: list[ToolCall]) -> None:
    """Whatever comes, it ends in calls that are valid or invalid, and as the same on the streamed path."""
    model = wire(parts=parts).bind_tools(TOOLS)
    whole, streamed = WHOLE["invoke"](model, "?").message, STREAMED["stream"](model, "?").message
    assert made(whole) == made(streamed)
    assert [one["args"] for one in whole.invalid_tool_calls] == [one["args"] for one in streamed.invalid_tool_calls]


# --- what authors get wrong ---


@pytest.mark.parametrize("args", [{"a": object()}, {"a": {1, 2}}])
def test_i_arguments_that_are_no_json_are_an_error(call: Path, args: Any) -> None:
    """Arguments that JSON does not have are an error that names the call and what is wanted."""
    with pytest.raises(TypeError, match=r"arguments of the call of 'add' are .* not JSON data.*Yield strings, numbers"):
        call(wire(parts=[ToolCall(name="add", args=args)]).bind_tools(TOOLS), "?")


@pytest.mark.parametrize("args", [[1, 2], 3, True])
def test_i_arguments_that_are_no_object_are_an_invalid_call(call: Path, args: Any) -> None:
    """JSON other than an object, as it is, makes an invalid call and no error."""
    message = call(wire(parts=[delta(tool_calls=[fragment("add", args)]), *deltas()]).bind_tools(TOOLS), "?").message
    assert ([], ["add"]) == (message.tool_calls, [one["name"] for one in message.invalid_tool_calls])


@pytest.mark.parametrize(
    ("capability", "complaint"),
    [
        ({"tool_calling": "nativ"}, r"tool_calling is 'nativ'\. It must be 'native'"),
        ({"structured_output": True}, r"structured_output is True\. It must be 'native' or 'derived'"),
    ],
)
def test_i_a_capability_that_there_is_not_is_refused(capability: dict[str, Any], complaint: str) -> None:
    """A misspelt capability is refused when the class is made, in both doors."""

    def respond(self: Any, request: Request) -> str:
        return "ok"

    with pytest.raises(TypeError, match=complaint):
        type("ChatWrong", (ChatModel,), {"respond": respond, "__module__": __name__, **capability})
    with pytest.raises(TypeError, match=complaint):
        chat_model(**capability)(lambda request: "ok")  # type: ignore[no-untyped-call] # which of the two decorators it is, is not known


def test_i_a_misspelt_keyword_is_named() -> None:
    """A keyword of a call that is nearly one for tools is refused, and the right one named."""
    with pytest.raises(TypeError, match="Did you mean 'tool_choice'"):
        wire(parts=["ok"]).bind_tools(TOOLS, tool_choise="any").invoke("?")
