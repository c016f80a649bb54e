"""`bind`, `bind_tools`, `with_structured_output`, `configurable_fields`, `with_retry` ... in any order lose nothing."""

import asyncio
import pickle
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core import runnables as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_core.runnables import ConfigurableField, Runnable
from langchain_core.runnables.configurable import RunnableConfigurableAlternatives, RunnableConfigurableFields
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.retry import RunnableRetry
from pydantic import BaseModel, PrivateAttr

from langplug import ChatModel, Request, ToolCall


class Point(BaseModel):
    """A place."""

    x: int


def measure(length: int) -> int:
    """Measure something."""
    return length


def weigh(mass: int) -> int:
    """Weigh something."""
    return mass


def text_of(request: Request) -> str:
    return "\n".join(message.text for message in request.messages)


class Recorder(ChatModel):
    """Keeps what it was asked, and answers with a `Point`."""

    who: str = "default"
    temperature: float = 0.5
    failures: int = 0

    _failed: int = PrivateAttr(default=0)
    _asked: list[tuple["Recorder", Request]] = PrivateAttr(default_factory=list)

    def respond(self, request: Request, /) -> Iterator[str | ToolCall]:
        self._asked.append((self, request))
        if len(self._asked) <= self.failures:
            raise ValueError("not yet")
        forced = request.tool_choice not in (None, "auto", "none")
        if forced and any(tool["function"]["name"] == "Point" for tool in request.tools):
            yield ToolCall(name="Point", args={"x": 1})
        elif "<tool_call>" in (prompt := text_of(request)) and "Point" in prompt:
            yield '<tool_call>{"name": "Point", "arguments": {"x": 1}}</tool_call>'
        else:
            yield '{"x": 1}'


class NativeRecorder(Recorder):
    """The same, with tools and schemas of its own."""

    tool_calling = "native"
    structured_output = "native"


class ToolRecorder(Recorder):
    """The same, with tools of its own, which structured output is made of."""

    tool_calling = "native"


class Listener(BaseCallbackHandler):
    """Hears which tags the model's run has."""

    def __init__(self) -> None:
        self.tags: list[str] = []

    def on_chat_model_start(self, *_: Any, tags: list[str] | None = None, **__: Any) -> None:
        self.tags += tags or []


Model = Any
"""A model, or what was made of one."""

TEMPERATURE = ConfigurableField(id="temp")

OPERATIONS: dict[str, Callable[[Model], Model]] = {
    "stop": lambda model: model.bind(stop=["S"]),
    "temperature": lambda model: model.bind(temperature=0.7),
    "tools": lambda model: model.bind_tools([measure]),
    "structured": lambda model: model.with_structured_output(Point),
    "raw": lambda model: model.with_structured_output(Point, include_raw=True),
    "forced": lambda model: model.with_structured_output(Point, method="function_calling"),
    "tags": lambda model: model.with_config(tags=["tagged"]),
    "configuration": lambda model: model.with_config(configurable={"temp": 0.9}),
    "fields": lambda model: model.configurable_fields(temperature=TEMPERATURE),
    "alternatives": lambda model: model.configurable_alternatives(ConfigurableField(id="which"), other=Recorder()),
    "retry": lambda model: model.with_retry(),
    "fallbacks": lambda model: model.with_fallbacks([Recorder(who="fallback")]),
    "listeners": lambda model: model.with_listeners(on_start=lambda _: None),
    "types": lambda model: model.with_types(output_type=object),
}
SCHEMAS = {"structured", "raw", "forced"}

DOORS: dict[str, Callable[[Runnable[Any, Any], Any], Any]] = {
    "invoke": lambda chain, config: chain.invoke("hi", config),
    "ainvoke": lambda chain, config: asyncio.run(chain.ainvoke("hi", config)),
    "batch": lambda chain, config: chain.batch(["hi"], config)[0],
    "abatch": lambda chain, config: asyncio.run(chain.abatch(["hi"], config))[0],
    "stream": lambda chain, config: list(chain.stream("hi", config))[-1],
    "astream": lambda chain, config: asyncio.run(last_of(chain, config)),
}


async def last_of(chain: Runnable[Any, Any], config: Any) -> Any:
    return [piece async for piece in chain.astream("hi", config)][-1]


def check(model_class: type[Recorder], operations: tuple[str, ...], door: str) -> None:
    """Do the operations one after the other, ask once, and look for each of them in what the model was asked."""
    model = model_class()
    chain: Model = model
    for operation in operations:
        chain = OPERATIONS[operation](chain)
    listener = Listener()
    answer = DOORS[door](chain, {"callbacks": [listener]})

    ((asked_of, request),) = model._asked  # each copy has the list of the first
    assert request.stop == (("S",) if "stop" in operations else ())
    assert asked_of.temperature == temperature_after(operations)
    if "tools" in operations:
        known = [tool["function"]["name"] for tool in request.tools]
        assert "measure" in known if model.tool_calling == "native" else "measure" in text_of(request)
    if "tags" in operations:
        assert "tagged" in listener.tags
    if "raw" in operations:
        assert answer["parsed"] == Point(x=1)
    elif SCHEMAS & {*operations}:
        assert answer == Point(x=1)


def temperature_after(operations: tuple[str, ...]) -> float:
    """What is bound after the field was made configurable wins over the configuration, as a call's own does."""
    configured = {"fields", "configuration"} <= {*operations}
    if "temperature" not in operations:
        return 0.9 if configured else 0.5
    bound_last = "fields" not in operations or operations.index("temperature") > operations.index("fields")
    return 0.9 if configured and not bound_last else 0.7


def sensible(*operations: str) -> bool:
    return len({*operations}) == len(operations) and len(SCHEMAS & {*operations}) < 2


PAIRS = [pair for pair in permutations(OPERATIONS, 2) if sensible(*pair)]


@pytest.mark.parametrize("operations", PAIRS, ids="-".join)
def test_two_operations_lose_nothing_in_either_order(operations: tuple[str, str]) -> None:
    """Whatever is said to a model first is still in force after what is said to it next."""
    for model_class in (Recorder, NativeRecorder, ToolRecorder):
        check(model_class, operations, "invoke")


@pytest.mark.product
@pytest.mark.parametrize(
    ("first", "second", "third", "door", "model_class"),
    [
        (*three, door, model_class)
        for three in permutations(OPERATIONS, 3)
        if sensible(*three)
        for door in DOORS
        for model_class in (Recorder, NativeRecorder, ToolRecorder)
    ],
)
def test_three_operations_lose_nothing_by_any_door(
    first: str, second: str, third: str, door: str, model_class: type[Recorder]
) -> None:
    """Three operations in any order, asked sync and async, whole, streamed and in a batch."""
    check(model_class, (first, second, third), door)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("stop", core.RunnableBinding),
        ("tools", core.RunnableBinding),
        ("tags", core.RunnableBinding),
        ("structured", core.RunnableSequence),
        ("fields", RunnableConfigurableFields),
        ("alternatives", RunnableConfigurableAlternatives),
        ("retry", RunnableRetry),
        ("fallbacks", RunnableWithFallbacks),
    ],
)
def test_a_wrapper_is_langchain_cores(operation: str, kind: type[Any]) -> None:
    """By `isinstance`, by the name in traces, graphs and dumps, with configuration specs and schemas, and pickled."""
    chain = OPERATIONS[operation](Recorder(temperature=0.25))
    assert isinstance(chain, kind)
    assert type(chain).__name__ == kind.__name__
    assert dumpd(chain)["id"][-1] == kind.__name__
    assert chain.get_graph().nodes
    assert chain.get_input_jsonschema()
    specs = {spec.id: spec.default for spec in chain.config_specs}
    assert specs == {"fields": {"temp": 0.25}, "alternatives": {"which": "default"}}.get(operation, {})
    if operation != "structured":  # a parser of a schema holds functions
        again = pickle.loads(pickle.dumps(chain)).bind(stop=["S"]).bind_tools([measure]).invoke("hi")
        assert again.text == '{"x": 1}'


@pytest.mark.parametrize("between", ["stop", "fields", "retry", "fallbacks", "structured"])
def test_tools_bound_again_replace_those_before(between: str) -> None:
    """As in langchain-core; with them goes the choice among them, and nothing else."""
    model = NativeRecorder()
    first = model.bind_tools([measure], tool_choice="measure", temperature=0.75)
    OPERATIONS[between](first).bind_tools([weigh]).invoke("hi")
    ((asked_of, request),) = model._asked
    assert [tool["function"]["name"] for tool in request.tools] == ["weigh"]
    assert request.tool_choice == ("none" if between == "structured" else "auto")
    assert asked_of.temperature == 0.75


def test_every_branch_has_what_was_said_to_all() -> None:
    """Alternatives, also such as are made later, and fallbacks get the tools, the schema and the configuration."""
    model, other, later, fallback = (
        NativeRecorder(who=who, failures=who == "default") for who in ("default", "other", "later", "fallback")
    )
    chain: Model = model.with_fallbacks([fallback]).configurable_alternatives(
        ConfigurableField(id="which"), other=other, later=lambda: later
    )
    chain = chain.configurable_fields(temperature=TEMPERATURE).bind_tools([measure]).with_structured_output(Point)
    for which, asked in (("default", fallback), ("other", other), ("later", later)):
        config = {"configurable": {"which": which, "temp": 0.9}}
        assert chain.bind(stop=["S"]).invoke("hi", config) == Point(x=1)
        ((asked_of, request),) = asked._asked
        assert [tool["function"]["name"] for tool in request.tools] == ["measure"]
        assert request.stop == ("S",)
        assert asked_of.temperature == 0.9


def test_a_configured_model_is_a_copy_and_not_a_new_one() -> None:
    """What it holds besides its fields (clients, private state) is the same as without configuration."""
    model = Recorder()
    model._failed = 7
    model.configurable_fields(temperature=TEMPERATURE).invoke("hi", {"configurable": {"temp": 0.9}})
    ((asked_of, _),) = model._asked
    assert asked_of._failed == 7
    with pytest.raises(ValueError, match="temperature"):
        model.configurable_fields(temperature=TEMPERATURE).invoke("hi", {"configurable": {"temp": "warm"}})


def test_configuration_adds_up() -> None:
    """`with_config` after `with_config` adds tags, metadata and configurable values, also where a field is one."""
    model = Recorder()
    for chain in (model, model.configurable_fields(temperature=TEMPERATURE, who=ConfigurableField(id="who"))):
        listener = Listener()
        once = chain.with_config(tags=["one"], configurable={"temp": 0.9}, callbacks=[listener])
        once.with_config({"configurable": {"who": "me"}, "tags": ["two"]}).invoke("hi")
        assert sorted(listener.tags) == ["one", "two"]
    assert (model._asked[-1][0].temperature, model._asked[-1][0].who) == (0.9, "me")


def test_an_unknown_field_is_named_wherever_it_is_made_configurable() -> None:
    """An error names it and what could be meant; it is never ignored."""
    for operation in ("stop", "structured", "retry", "fallbacks", "alternatives"):
        with pytest.raises(ValueError, match=r"'warmth'.*temperature"):
            OPERATIONS[operation](Recorder()).configurable_fields(warmth=ConfigurableField(id="warmth"))


def test_a_secret_bound_to_a_wrapper_does_not_show() -> None:
    """As one that is bound to the model itself."""
    for operation in ("stop", "tags", "fields", "retry", "fallbacks", "alternatives"):
        chain = OPERATIONS[operation](Recorder()).bind(api_key="sk-very-secret")
        assert "sk-very-secret" not in repr(chain)


def test_a_second_schema_is_refused() -> None:
    """One answer is one object."""
    structured: Model = Recorder().with_structured_output(Point)
    with pytest.raises(TypeError, match="already"):
        structured.with_structured_output(Point)


def test_an_authors_own_bind_tools_is_asked() -> None:
    """Also by a wrapper: what it binds besides the tools arrives."""

    class Own(NativeRecorder):
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return super().bind_tools(tools, **kwargs, temperature=0.1)

    model = Own()
    bound: Model = model.bind(stop=["S"])
    bound.bind_tools([measure]).invoke("hi")
    ((asked_of, request),) = model._asked
    assert (asked_of.temperature, request.stop, len(request.tools)) == (0.1, ("S",), 1)


@pytest.mark.parametrize("operation", ["stop", "tags", "fields", "alternatives", "retry", "fallbacks", "tools"])
def test_an_agent_of_a_wrapper_keeps_what_it_was_told(operation: str) -> None:
    """`create_agent` binds tools to what it is given; stop strings, tags and configuration are still there."""
    model = NativeRecorder()
    bound: Model = model.bind(stop=["S"])
    chain = OPERATIONS[operation](bound.configurable_fields(temperature=TEMPERATURE))
    agent: Any = create_agent(chain, [weigh], response_format=ToolStrategy(Point))
    state = agent.invoke({"messages": [HumanMessage("hi")]}, {"configurable": {"temp": 0.9}})
    asked_of, request = model._asked[0]
    assert asked_of.temperature == 0.9
    assert request.stop == ("S",)
    assert {tool["function"]["name"] for tool in request.tools} == {"weigh", "Point"}
    assert state["structured_response"] == Point(x=1)
