"""Metadata, blocks and arguments: plain JSON data, whatever an author gives, or an error that names it."""

import dataclasses
import datetime as dt
import decimal
import enum
import json
import pathlib
import uuid
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, SecretStr
from tests.paths import PATHS

from langplug import ChatModel, Finish, Reasoning, Request, ToolCall, Usage, chat_model


def says(part: Any) -> ChatModel:
    """A model that yields a part. Not as a field, which traces would show."""

    class ChatSays(ChatModel):
        tool_calling = "native"

        def respond(self, request: Request, /) -> Iterator[Any]:
            yield "hi"
            yield part

    return ChatSays()


class Color(enum.Enum):
    RED = 1


class Word(str, enum.Enum):  # noqa: UP042 - which prints as "Word.STOP"
    STOP = "stop"


@dataclasses.dataclass
class Score:
    value: Any


class Model(BaseModel):
    value: Any


class SdkUsage:
    """An object of somebody's SDK."""

    def __init__(self) -> None:
        self.key = "sk-hidden"

    def __repr__(self) -> str:
        return f"SdkUsage({self.key})"


class Hostile(dict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError("the lock is gone")


Pair = namedtuple("Pair", "a b")  # noqa: PYI024 - as SDKs have them

PLAIN: list[tuple[Any, Any]] = [
    (np.float32(0.25), 0.25),
    (np.float64(0.5), 0.5),
    (np.int64(3), 3),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.arange(3), [0, 1, 2]),
    (np.array([[0.5, float("nan")]]), [[0.5, None]]),
    (decimal.Decimal("1.5"), 1.5),
    (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00+00:00"),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.timedelta(seconds=1.5), 1.5),
    (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (pathlib.PurePosixPath("/a"), "/a"),
    (Color.RED, 1),
    (Word.STOP, "stop"),
    (Score(np.float32(1)), {"value": 1.0}),
    (Model(value=Score(Color.RED)), {"value": {"value": 1}}),
    (Pair(1, (2,)), [1, [2]]),
    ({2: 2, None: 3, True: 4, Word.STOP: 5}, {"2": 2, "null": 3, "true": 4, "stop": 5}),
    (float("nan"), None),
    (float("-inf"), None),
    (2**70, str(2**70)),
    ({"a": [None, True, 1, -1.5, "x"]}, {"a": [None, True, 1, -1.5, "x"]}),
]

CYCLE: list[Any] = []
CYCLE.append(CYCLE)


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


REFUSED: list[tuple[Any, str]] = [
    (SdkUsage(), "is a SdkUsage"),
    (b"x", "is a bytes"),
    ({1, 2}, "is a set"),
    (object(), "is an object"),
    (SecretStr("sk-hidden"), "is a SecretStr"),
    ({"deep": [{"er": SdkUsage()}]}, r"\['deep'\]\[0\]\['er'\] is a SdkUsage"),
    ({(1, 2): 3}, "has a tuple as a key"),
    (CYCLE, "contains itself"),
    (nested(101), "nested more than 100 levels"),
    (nested(100_000), "nested more than 100 levels"),
    ((x for x in "ab"), "is a generator"),
    (Hostile(a=1), "ZeroDivisionError"),
]

PLACES: dict[str, tuple[Callable[[Any], Any], Callable[[AIMessage], Any]]] = {
    "finish": (lambda value: Finish(metadata={"raw": value}), lambda message: message.response_metadata["raw"]),
    "response_metadata": (
        lambda value: AIMessage("x", response_metadata={"raw": value}),
        lambda message: message.response_metadata["raw"],
    ),
    "chunk": (
        lambda value: AIMessageChunk("x", response_metadata={"raw": value}),
        lambda message: message.response_metadata["raw"],
    ),
    "additional_kwargs": (
        lambda value: AIMessage("x", additional_kwargs={"raw": value}),
        lambda message: message.additional_kwargs["raw"],
    ),
    "generation_info": (
        lambda value: ChatGeneration(message=AIMessage("x"), generation_info={"raw": value}),
        lambda message: message.response_metadata["raw"],
    ),
    "extras": (
        lambda value: Reasoning("hm", {"raw": value}),
        lambda message: message.additional_kwargs["reasoning_extras"]["raw"],
    ),
    "block": (
        lambda value: {"type": "weather", "raw": value},
        lambda message: next(block["raw"] for block in message.content if isinstance(block, dict) and "raw" in block),
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("value", "expected"), PLAIN)
def test_what_has_a_plain_form_is_made_plain(place: str, value: Any, expected: Any) -> None:
    """Numbers of numpy, dates, enums, dataclasses and models become JSON data, wherever they stand, on every path."""
    put, read = PLACES[place]
    for name, path in PATHS.items():
        if place in ("extras", "block") and (name.endswith("v3") or expected is None):  # which core writes otherwise
            continue
        message = path(says(put(value)), "?").message
        assert expected == read(message)
        assert type(expected) is type(read(message))
        json.dumps(message.model_dump(), allow_nan=False)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("value", "named"), REFUSED)
@pytest.mark.parametrize("path", PATHS)
def test_what_has_none_is_refused(place: str, value: Any, named: str, path: str) -> None:
    """Anything else is a `TypeError` that names the model, the key and the type, whose `partial` holds the text."""
    with pytest.raises(TypeError, match=named) as caught:
        PATHS[path](says(PLACES[place][0](value)), "?")
    text = str(caught.value)
    assert text.startswith("ChatSays.respond gave ")
    assert "raw" in text
    partial = caught.value.partial  # type: ignore[attr-defined] # every error has it
    assert partial.text.startswith("hi")
    json.dumps(partial.model_dump())
    if place in ("finish", "response_metadata", "additional_kwargs"):
        assert "sk-hidden" not in text


@pytest.mark.parametrize("value", [value for value, expected in PLAIN if expected not in (None, str(2**70))])
def test_arguments_are_made_plain(value: Any) -> None:
    """Arguments that a function computes are made plain as metadata is."""
    for path in PATHS.values():
        (call,) = path(says(ToolCall(name="f", args={"a": value})), "?").message.tool_calls
        assert {"a": dict(enumerate(e for v, e in PLAIN if v is value))[0]} == call["args"] or "nan" in repr(value)


def test_the_parts_before_an_error_have_plain_metadata() -> None:
    """What broke off for another reason holds what metadata it can."""

    class ChatBreaks(ChatModel):
        def respond(self, request: Request, /) -> Iterator[Any]:
            yield "hi"
            yield Finish(metadata={"good": np.float32(1), "bad": SdkUsage()})
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as caught:
        ChatBreaks().invoke("?")
    json.dumps(caught.value.partial.model_dump())  # type: ignore[attr-defined] # every error has it


# --- any data at all ---

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.decimals(), st.datetimes(),
    st.dates(), st.times(), st.timedeltas(), st.uuids(), st.sampled_from([Color.RED, Word.STOP]), st.builds(SdkUsage),
    st.complex_numbers(), st.fractions(), st.frozensets(st.integers(), max_size=2),
    st.builds(np.float32, st.floats(width=32)), st.builds(np.int64, st.integers(-9, 9)),
    st.lists(st.integers(0, 9), max_size=3).map(np.array), st.builds(SecretStr, st.just("sk-hidden")),
)  # fmt: skip

DATA = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.tuples(inner, inner), st.builds(Score, inner), st.builds(Model, value=inner),
        st.dictionaries(st.text(max_size=3) | st.integers() | st.none() | st.floats() | st.binary(), inner, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


@given(value=DATA, place=st.sampled_from(sorted(PLACES)), streamed=st.booleans())
@example(value=2**64, place="finish", streamed=False)
@example(value=nested(99), place="finish", streamed=False)
def test_no_checkpointer_fails_on_a_message(value: Any, place: str, streamed: bool) -> None:
    """An answer is written and read back by LangGraph's serializer as it was, or the model refuses it by name."""
    model = says(PLACES[place][0](value))
    try:
        message = PATHS["stream" if streamed else "invoke"](model, "?").message
    except TypeError as error:
        assert str(error).startswith("ChatSays.respond gave ")  # noqa: PT017 - either is right
        return
    serializer = JsonPlusSerializer()
    assert message == serializer.loads_typed(serializer.dumps_typed(message)) or "\\ud" in repr(message)
    json.dumps(message.model_dump(), allow_nan=False)


@pytest.mark.parametrize("part", [Finish(metadata={"logprob": np.float32(0.25)}), Usage(input_tokens=np.int64(3))])
async def test_a_graph_with_a_checkpointer_runs(part: Any) -> None:
    """A graph with a checkpointer saves the answer of a model whose metadata is numpy's."""
    model = says(part)

    def ask(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [HumanMessage("?")]}, config)
    assert "hi" == graph.get_state(config).values["messages"][-1].text


HUGE = 2**70


@pytest.mark.parametrize(
    "call",
    [
        ToolCall(name="f", args={"n": HUGE}),
        ToolCall(name="f", args='{"n": %d}' % HUGE),  # noqa: UP031 - the braces of JSON
        ToolCall(name="f", args='{"n": [{"m": -%d}]}' % HUGE),  # noqa: UP031
        ToolCall(name="f", args='{"n": NaN}'),
        ToolCall(name="f", args='{"n": -Infinity, "m": 1e999}'),
    ],
    ids=lambda call: str(call.args),
)
@pytest.mark.parametrize("path", PATHS)
def test_numbers_in_arguments_can_be_written_down(call: ToolCall, path: str) -> None:
    """Whole numbers beyond 64 bits are text in arguments, too, and what is not a number is null."""

    @chat_model(tool_calling="native")
    def model(request: Request) -> ToolCall:
        return call

    message = PATHS[path](model().bind_tools([{"name": "f", "description": "f", "parameters": {}}]), "x").message
    (found,) = message.tool_calls
    serializer = JsonPlusSerializer()
    assert serializer.loads_typed(serializer.dumps_typed(message)).tool_calls == message.tool_calls
    numbers = json.dumps(found["args"], allow_nan=False)
    assert str(HUGE) not in numbers.replace(f'"{HUGE}"', "").replace(f'"-{HUGE}"', "")


def test_sixty_four_bits_stay_numbers() -> None:
    """What fits is left as it came."""

    @chat_model(tool_calling="native")
    def model(request: Request) -> ToolCall:
        return ToolCall(name="f", args='{"n": 9223372036854775807}')

    (found,) = model().bind_tools([{"name": "f", "description": "f", "parameters": {}}]).invoke("x").tool_calls
    assert found["args"] == {"n": 2**63 - 1}
