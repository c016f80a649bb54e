"""Group J of the contract: what authors' classes are made of, with each method, as a tool, and in an agent."""

import asyncio
import dataclasses
import datetime as dt
import enum
import json
import pickle
import time
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import pytest
import typing_extensions
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, StructuredOutputValidationError, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel, Field, field_validator
from pydantic.v1 import BaseModel as BaseModelV1
from tests.callers import call

from langplug import ChatModel, Part, Request, ToolCall, UnmetDemandError, chat_model
from langplug.models import ChatScripted


class Color(enum.Enum):
    """A colour."""

    RED = "red"


class Weather(typing.TypedDict):
    """The weather."""

    city: Annotated[str, ..., "Where it is."]
    rain_mm: float | None


class Loose(typing_extensions.TypedDict, total=False):
    """Most may be missing."""

    city: typing_extensions.Required[str]
    day: dt.date
    color: Color


@dataclasses.dataclass
class City:
    """A city."""

    name: str
    parts: "list[City]" = dataclasses.field(default_factory=list)


class Old(BaseModelV1):
    """A model of pydantic 1."""

    name: str
    rain_mm: float | None


class Cat(BaseModel):
    """A cat."""

    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    """A dog."""

    kind: Literal["dog"]


class Owner(BaseModel):
    """An owner of pets."""

    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    since: dt.date
    color: Color = Color.RED
    name: str = Field("Bo", alias="ownerName")


CLASSES: dict[str, tuple[Any, Any, Any]] = {
    "TypedDict with None": (Weather, {"city": "Oslo", "rain_mm": None}, {"city": "Oslo", "rain_mm": None}),
    "TypedDict with a key too few": (Loose, {"city": "Oslo"}, {"city": "Oslo"}),
    "TypedDict with types": (
        Loose,
        {"city": "Oslo", "day": "2026-01-02", "color": "red"},
        {"city": "Oslo", "day": dt.date(2026, 1, 2), "color": Color.RED},
    ),
    "dataclass": (City, {"name": "Oslo", "parts": [{"name": "Frogner"}]}, City("Oslo", [City("Frogner")])),
    "pydantic v1": (Old, {"name": "Bo", "rain_mm": None}, Old(name="Bo", rain_mm=None)),
    "union, alias, default": (
        Owner,
        {"pet": {"kind": "cat", "lives": 9}, "since": "2026-01-02", "ownerName": "Al"},
        Owner(pet=Cat(kind="cat", lives=9), since=dt.date(2026, 1, 2), ownerName="Al"),
    ),
}

METHODS = [None, "json_schema", "function_calling", "json_mode"]


def by_invoke(chain: Any) -> Any:
    return chain.invoke("?")


def by_stream(chain: Any) -> Any:
    return list(chain.stream("?"))[-1]


def by_astream(chain: Any) -> Any:
    async def read() -> Any:
        return [value async for value in chain.astream("?")][-1]

    return asyncio.run(read())


@pytest.mark.parametrize("get", [by_invoke, by_stream, by_astream])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("schema", "answer", "expected"), CLASSES.values(), ids=CLASSES)
def test_j01_a_class_gives_what_it_says(schema: Any, answer: Any, expected: Any, method: Any, get: Any) -> None:
    """Every kind of class takes what it allows, the first time, and gives its instance or a dict of its types."""
    called = method == "function_calling"
    model = ChatScripted(replies=[list(pieces(call(schema.__name__, **answer) if called else json.dumps(answer)))])
    given = get(model.with_structured_output(schema, method=method))
    assert (expected, type(expected)) == (given, type(given))


def pieces(part: Any) -> Iterator[Any]:
    yield from (part[at : at + 5] for at in range(0, len(part), 5)) if isinstance(part, str) else [part]


@pytest.mark.parametrize(("schema", "answer", "expected"), CLASSES.values(), ids=CLASSES)
def test_i_a_class_as_a_forced_tool(schema: Any, answer: Any, expected: Any) -> None:
    """As a tool, too, a class takes what it allows, and its own words say what it does not."""
    model = ChatScripted(replies=[ToolCall(name=schema.__name__, args={}), ToolCall(name=schema.__name__, args=answer)])
    message = model.bind_tools([schema], tool_choice="any").invoke("?")
    assert answer == message.tool_calls[0]["args"]
    assert "ield required" in model.requests[1].text


STRATEGIES: list[Callable[[Any], Any]] = [ToolStrategy, ProviderStrategy, lambda schema: schema]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=["tool", "provider", "auto"])
@pytest.mark.parametrize(
    "kind", ["TypedDict with a key too few", "TypedDict with types", "dataclass", "union, alias, default"]
)
def test_j_agents_take_classes(kind: str, strategy: Any) -> None:
    """Agents get the same of every strategy, also where the model writes no more than the arguments."""
    schema, answer, expected = CLASSES[kind]
    model = ChatScripted(replies=[json.dumps(answer)])
    agent = create_agent(model, [], response_format=strategy(schema))
    assert expected == agent.invoke({"messages": [("user", "?")]})["structured_response"]


class Aged(BaseModel):
    """Somebody."""

    age: int

    @field_validator("age")
    @classmethod
    def check_age(cls, value: int) -> int:
        """Nobody is younger than 0."""
        if value < 0:
            raise ValueError("nobody is younger than 0")
        return value


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_j_a_validator_speaks_to_the_model(method: Any) -> None:
    """What a validator raises is said to the model, which is asked again."""
    answers = [{"age": -1}, {"age": 1}]
    replies = [call("Aged", **one) if method == "function_calling" else json.dumps(one) for one in answers]
    model = ChatScripted(replies=replies)
    assert Aged(age=1) == model.with_structured_output(Aged, method=method).invoke("?")
    assert "nobody is younger than 0" in model.requests[1].text


def test_i_bound_classes_can_be_pickled() -> None:
    """A model with tools is pickled without their classes; then their JSON schemas say what fits."""

    class Local(Aged):
        pass

    model = ChatScripted(replies=[call("Local"), call("Local", age=1)])
    bound = pickle.loads(pickle.dumps(model.bind_tools([Local], tool_choice="any")))
    assert {"age": 1} == bound.invoke("?").tool_calls[0]["args"]


# --- a forced call as bare JSON ---


def search(query: str, limit: int = 3) -> str:
    """Searches."""
    return f"{query}{limit}"


def stop() -> str:
    """Stops."""
    return ""


BARE = '{"kind": "cat", "lives": 9}'
CAT = [("Cat", json.loads(BARE))]


@chat_model(tool_calling="native")
def native_text(request: Request) -> Iterator[Part]:
    """Calls tools, but says this text instead."""
    yield from pieces(BARE)


MEANT: list[tuple[str, list[Any], Any]] = [
    (BARE, [Cat], CAT),
    (f"```json\n{BARE}\n```", [Cat], CAT),
    (f"Here you are:\n\n{BARE}\n\nAnything else?", [Cat], CAT),
    (BARE, [Cat, search, stop], CAT),
    ('{"query": "x"}', [Cat, search, stop], [("search", {"query": "x"})]),
    ("{}", [stop], [("stop", {})]),
    ('{"kind": "cat"}', [Cat], None),  # one that lacks an argument
    ('{"kind": "cat", "lives": 9, "more": 1}', [Cat], None),  # one that no tool knows
    (
        '{"query": "x"}',
        [search, {"name": "find", "parameters": {"properties": {"query": {}}, "required": ["query"]}}],
        None,
    ),
    ("{}", [Cat, stop], None),  # nearly anything fits a tool without arguments
    ("I use {} and stop.", [stop], None),
    ('[{"kind": "cat", "lives": 9}, 1]', [Cat], None),
]


@pytest.mark.parametrize(("text", "tools", "expected"), MEANT)
def test_i_bare_arguments_are_the_forced_call(text: str, tools: list[Any], expected: Any) -> None:
    """JSON that fits one of the tools that must be called, and no other, is the call; nothing else is taken for it."""
    model = ChatScripted(replies=[text], when_exhausted="repeat")
    bound = model.bind_tools(tools, tool_choice="any")
    if expected is None:
        with pytest.raises(UnmetDemandError):
            bound.invoke("?")
        return
    for message in (bound.invoke("?"), asyncio.run(bound.ainvoke("?"))):
        assert expected == [(one["name"], one["args"]) for one in message.tool_calls]
        assert ("", "tool_calls") == (message.text, message.response_metadata["finish_reason"])
        assert "read the JSON in the text" in str(message.response_metadata["adaptations"])
    assert 2 == len(model.requests)


def test_i_a_native_model_may_write_bare_arguments_too() -> None:
    """Also of a model that calls tools by itself, in a stream as well."""
    bound = native_text().bind_tools([Cat], tool_choice="Cat")
    assert CAT == [(one["name"], one["args"]) for one in bound.invoke("?").tool_calls]
    whole: Any = None
    for chunk in bound.stream("?"):
        whole = chunk if whole is None else whole + chunk
    assert CAT == [(one["name"], one["args"]) for one in whole.tool_calls]


@pytest.mark.parametrize("choice", [None, "auto", "none"])
def test_i_bare_json_is_text_where_no_call_is_forced(choice: Any) -> None:
    """JSON that nobody asked to be a call is an answer."""
    message = ChatScripted(replies=[BARE]).bind_tools([Cat], tool_choice=choice).invoke("?")
    assert (BARE, []) == (message.text, message.tool_calls)


# --- calls that never fit ---

WRONG = ToolCall(name="City", args={"name": 3})
RIGHT = ToolCall(name="City", args={"name": "Oslo"})


@pytest.mark.parametrize("handle", [True, "Once more.", StructuredOutputValidationError, (KeyError, Exception), repr])
def test_j_handle_errors_gets_its_turn(handle: Any) -> None:
    """A call that does not fit, however often asked for, reaches `ToolStrategy`, whose own words are said next."""
    model = ChatScripted(replies=[WRONG, WRONG, WRONG, RIGHT])
    agent: Any = create_agent(model, [], response_format=ToolStrategy(City, handle_errors=handle))
    assert City("Oslo") == agent.invoke({"messages": [("user", "?")]})["structured_response"]
    assert ("Once more." if handle == "Once more." else "Failed to parse") in model.requests[-1].text


@pytest.mark.parametrize("handle", [False, KeyError])
def test_j_errors_that_nobody_handles_are_langchains_own(handle: Any) -> None:
    """Where the strategy handles no such error, the agent ends with LangChain's."""
    model = ChatScripted(replies=[WRONG], when_exhausted="repeat")
    agent: Any = create_agent(model, [], response_format=ToolStrategy(City, handle_errors=handle))
    with pytest.raises(StructuredOutputValidationError):
        agent.invoke({"messages": [("user", "?")]})
    assert 3 == len(model.requests)


def test_j_handling_errors_has_an_end() -> None:
    """What is sent back three times in a row is an error, not a loop."""
    model = ChatScripted(replies=[WRONG], when_exhausted="repeat")
    agent: Any = create_agent(model, [], response_format=ToolStrategy(City))
    with pytest.raises(UnmetDemandError, match="of type string"):
        agent.invoke({"messages": [("user", "?")]})
    assert 12 == len(model.requests)


def test_i_a_call_that_never_fits_is_given_to_who_executes_it() -> None:
    """Asked three times, a model's call is given as it is; one that is not even JSON is an error."""
    answer = ChatScripted(replies=[WRONG], when_exhausted="repeat").bind_tools([City], tool_choice="any").invoke("?")
    assert [{"name": 3}] == [one["args"] for one in answer.tool_calls]
    broken = ChatScripted(replies=[ToolCall(name="City", args='{"name"')], when_exhausted="repeat")
    with pytest.raises(UnmetDemandError, match="not valid JSON"):
        broken.bind_tools([City], tool_choice="any").invoke("?")


def test_i_a_new_question_begins_the_count_anew() -> None:
    """Only what was sent back since the last question counts."""
    sent_back = [
        message
        for number in range(5)
        for message in (
            AIMessage("", tool_calls=[{"name": "City", "args": {"name": 3}, "id": str(number)}]),
            ToolMessage("No.", tool_call_id=str(number)),
        )
    ]
    bound = ChatScripted(replies=[WRONG], when_exhausted="repeat").bind_tools([City], tool_choice="any")
    with pytest.raises(UnmetDemandError):
        bound.invoke([HumanMessage("?"), *sent_back])
    assert bound.invoke([HumanMessage("?"), *sent_back, HumanMessage("Again?")]).tool_calls


# --- long streams ---


@pytest.mark.parametrize("value", [{"a": "x" * 32_000}, {"a": [{"name": "x", "n": n} for n in range(1300)]}])
def test_j_a_long_object_streams_in_no_time(value: Any) -> None:
    """32 KB in pieces of four characters, shown as they grow, cost a fraction of a second, and not thirteen."""
    text = json.dumps(value)

    @chat_model
    def model(request: Request) -> Iterator[str]:
        yield from (text[at : at + 4] for at in range(0, len(text), 4))

    chain = model().with_structured_output({"title": "a", "type": "object", "properties": {}})
    began = time.process_time()
    assert value == list(chain.stream("?"))[-1]
    assert time.process_time() - began < 3  # 0.15 on a quiet machine


BROKEN = {
    "a bare quote": '{"a": "' + "x" * 16_000 + ' "hi" ' + "y" * 16_000 + '"}',
    "brackets that never end": '{"a": [' + "1," * 16_000 + "1] x [[",
    "escaped quotes": "{'a': '" + "\\'" * 16_000,
    "cut": '{"a": "' + "x" * 32_000,
    "cut in an escape": '{"a": "' + "x" * 32_000 + "\\",
    "a wrong end": '{"a": 1]' + "x" * 32_000,
    "a list": "[" + "1," * 16_000,
}


@pytest.mark.parametrize("method", ["invoke", "stream"])
@pytest.mark.parametrize("args", BROKEN.values(), ids=BROKEN)
def test_i_broken_arguments_cost_no_more(args: str, method: str) -> None:
    """32 KB of broken arguments are an invalid call after a fraction of a second, never a valid one."""

    class Native(ChatModel):
        tool_calling = "native"

        def respond(self, request: Request, /) -> Iterator[Part]:
            yield ToolCall(name="City", args="")
            yield from (ToolCall(args=args[at : at + 400]) for at in range(0, len(args), 400))

    bound = Native().bind_tools([City])
    began = time.process_time()
    whole: Any = None
    for message in [bound.invoke("?")] if method == "invoke" else bound.stream("?"):
        whole = message if whole is None else whole + message
    assert time.process_time() - began < 3  # 0.05 on a quiet machine
    assert ([], 1) == (whole.tool_calls, len(whole.invalid_tool_calls))
    assert whole.invalid_tool_calls[0]["args"].startswith(args)
