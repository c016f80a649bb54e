"""Group I of the contract: calls and results in the conversation."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    FunctionMessage,
    HumanMessage,
    ToolMessage,
)
from tests.callers import CALLERS, NATIVE, PROMPTED, TOOLS, MakeCaller, Turn, add, call, caller
from tests.paths import PATHS, Path

BESIDE_TEXT: Turn = ["Let me see:", call("add", a=1, b=2), call("add", a=3, b=4)]


@pytest.fixture(params=list(CALLERS))
def make(request: pytest.FixtureRequest) -> MakeCaller:
    """Each model that calls tools in turn."""
    return CALLERS[request.param]


@pytest.fixture(params=["invoke", "astream"])
def call_path(request: pytest.FixtureRequest) -> Path:
    """A whole and a streamed path, where six would show nothing more."""
    return PATHS[request.param]


FULL_AB, FULL_CD = '{"a": 1, "b": 2}', '{"a": 3, "b": 4}'

HISTORY: list[BaseMessage] = [
    HumanMessage("What is 1 + 2, and 3 + 4?"),
    AIMessage(
        "Let me see.",
        tool_calls=[
            {"name": "add", "args": {"a": 1, "b": 2}, "id": "x1"},
            {"name": "add", "args": {"a": 3, "b": 4}, "id": "x2"},
        ],
    ),
    ToolMessage("seven", tool_call_id="x2"),
    ToolMessage([{"type": "text", "text": "no luck"}], tool_call_id="x1", status="error"),
    HumanMessage("So?"),
]

ANTHROPIC: list[BaseMessage] = [
    HISTORY[0],
    AIMessage(
        [
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "name": "add", "input": {"a": 1, "b": 2}, "id": "x1"},
            {"type": "tool_use", "name": "add", "input": {"a": 3, "b": 4}, "id": "x2"},
        ],
    ),
    HumanMessage(
        [
            {"type": "tool_result", "tool_use_id": "x2", "content": "seven"},
            {"type": "tool_result", "tool_use_id": "x1", "content": "no luck", "is_error": True},
        ]
    ),
    HISTORY[-1],
]

STANDARD: list[BaseMessage] = [
    HISTORY[0],
    AIMessage(
        content_blocks=[
            {"type": "text", "text": "Let me see."},
            {"type": "tool_call", "name": "add", "args": {"a": 1, "b": 2}, "id": "x1"},
            {"type": "tool_call", "name": "add", "args": {"a": 3, "b": 4}, "id": "x2"},
        ]
    ),
    *HISTORY[2:],
]

HISTORIES = {"plain": HISTORY, "anthropic": ANTHROPIC, "standard": STANDARD}


@pytest.mark.parametrize("bound", [[], [add]], ids=["without tools", "with tools"])
@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("name", list(NATIVE))
def test_i09_a_native_model_is_shown_calls_and_results(name: str, history: Any, bound: Any, call_path: Path) -> None:
    """Calls and results are linked by id, each once; a failed one says so; and also where no tool is bound any more."""
    model, seen = caller(NATIVE[name], ["ok"])
    call_path(model.bind_tools(bound), history)
    _, said, seven, failed, _ = seen[0].openai_messages()
    assert ("assistant", "Let me see.") == (said["role"], said["content"])
    assert ["x1", "x2"] == [one["id"] for one in said["tool_calls"]]
    assert [FULL_AB, FULL_CD] == [one["function"]["arguments"] for one in said["tool_calls"]]
    assert ("tool", "x2", "seven") == (seven["role"], seven["tool_call_id"], seven["content"])
    assert ("tool", "x1", "Error: no luck") == (failed["role"], failed["tool_call_id"], failed["content"])


@pytest.mark.parametrize("bound", [[], [add]], ids=["without tools", "with tools"])
@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
@pytest.mark.parametrize("name", list(PROMPTED))
def test_i09_a_prompted_model_reads_calls_and_results(name: str, history: Any, bound: Any, call_path: Path) -> None:
    """A model that knows only text reads calls and results in its own format, linked by id where it needs them."""
    model, seen = caller(PROMPTED[name], ["ok"])
    call_path(model.bind_tools(bound), history)
    said, results, last = [message.text for message in seen[0].messages][-3:]
    assert (
        "Let me see.\n"
        '<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}, "id": "x1"}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": 4}, "id": "x2"}\n</tool_call>'
    ) == said
    assert (
        '<tool_response>\n{"name": "add", "content": "seven", "id": "x2"}\n</tool_response>\n'
        '<tool_response>\n{"name": "add", "error": "no luck", "id": "x1"}\n</tool_response>'
    ) == results
    assert "So?" == last
    assert ["user", "assistant", "user", "user"] == [turn["role"] for turn in seen[0].openai_messages()][-4:]


@pytest.mark.parametrize("name", ["native, generator", "prompted, generator", "scripted"])
def test_i09_functions_of_old_reach_the_model(name: str) -> None:
    """A `FunctionMessage` and the call that it answers reach every model."""
    model, seen = caller(CALLERS[name], ["ok"])
    called = AIMessage("", additional_kwargs={"function_call": {"name": "add", "arguments": FULL_AB}})
    model.invoke([HumanMessage("?"), called, FunctionMessage(name="add", content="three")])
    turns = seen[0].openai_messages()
    assert "three" in turns[-1]["content"]
    assert FULL_AB in str(turns[1])


def test_i09_what_a_model_said_goes_back_into_the_conversation(make: MakeCaller, call: Path) -> None:
    """An answer with calls, fed back with its results, shows each call once."""
    for version in (None, "v1"):
        model, seen = caller(make, BESIDE_TEXT, ["Three and seven."], output_version=version)
        bound = model.bind_tools(TOOLS)
        answer = call(bound, "?").message
        results = [add.invoke(one) for one in answer.tool_calls]  # type: ignore[arg-type]
        assert "Three and seven." == call(bound, [HumanMessage("?"), answer, *results]).text
        told = str([turn for turn in seen[-1].openai_messages() if turn["role"] == "assistant"])
        counts = [told.count(text) for text in ("Let me see:", '"a": 1, "b": 2', '"a": 3, "b": 4')]
        assert [1, 1, 1] == counts
