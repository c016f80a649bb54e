"""Agents: langchain's `create_agent` and LangGraph's loop over `ToolNode`, on every model that calls tools."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelCallLimitMiddleware, ModelRetryMiddleware, SummarizationMiddleware
from langchain.agents.structured_output import ProviderStrategy, StructuredOutputValidationError, ToolStrategy
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphRecursionError
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from pydantic import BaseModel
from tests.callers import CALLERS, TOOLS, MakeCaller, Turn, call, caller
from tests.stub_models import STUB_MODELS, answer_in_text

from langplug import (
    ChatModel,
    IncompleteAnswerError,
    Part,
    Request,
    ToolCall,
    UnmetDemandError,
    UnsupportedError,
    chat_model,
)
from langplug.models import ChatScripted

QUESTION: Any = {"messages": [HumanMessage("What is 1 + 2?")]}

ONE: tuple[Turn, ...] = (["Let me see:", call("add", a=1, b=2)], ["It is ", "three."])
PARALLEL: tuple[Turn, ...] = ([call("add", a=1, b=2), call("now"), call("greet", name="Bo")], ["It is three."])
CHAIN: tuple[Turn, ...] = ([call("now")], ["Next:", call("add", a=1, b=2)], ["It is three."])


@tool
def fail(reason: str) -> str:
    """Fails."""
    raise ToolException(reason)


fail.handle_tool_error = True


@pytest.fixture(params=list(CALLERS))
def make(request: pytest.FixtureRequest) -> MakeCaller:
    """Each model that calls tools in turn."""
    return CALLERS[request.param]


# --- the two kinds of agent ---


class State(TypedDict):
    """The state of a graph made by hand."""

    messages: Annotated[list[AnyMessage], add_messages]


def by_hand(model: ChatModel, tools: list[Any]) -> Any:
    """A graph as LangGraph's documentation has it."""
    bound = model.bind_tools(tools)

    def ask(state: State) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    async def aask(state: State) -> dict[str, Any]:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    graph = StateGraph(State)
    graph.add_node("ask", RunnableLambda(ask, aask))
    graph.add_node("tools", ToolNode(tools, handle_tool_errors=True))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", tools_condition)
    graph.add_edge("tools", "ask")
    return graph.compile()


def ready(model: ChatModel, tools: list[Any]) -> Any:
    return create_agent(model, tools)


AGENTS: dict[str, Callable[..., Any]] = {"create_agent": ready, "graph": by_hand}


@pytest.fixture(params=list(AGENTS))
def agent_of(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Each kind of agent in turn."""
    return AGENTS[request.param]


def run(agent: Any, config: Any = None) -> list[BaseMessage]:
    return agent.invoke(QUESTION, config)["messages"]  # type: ignore[no-any-return]


def arun(agent: Any, config: Any = None) -> list[BaseMessage]:
    return asyncio.run(agent.ainvoke(QUESTION, config))["messages"]  # type: ignore[no-any-return]


RUNS = {"invoke": run, "ainvoke": arun}


@pytest.fixture(params=list(RUNS))
def finished(request: pytest.FixtureRequest) -> Callable[..., list[BaseMessage]]:
    """Runs an agent to its end, sync and async."""
    return RUNS[request.param]


def tokens(agent: Any) -> list[Any]:
    return [message for message, _ in agent.stream(QUESTION, stream_mode="messages")]


def atokens(agent: Any) -> list[Any]:
    async def read() -> list[Any]:
        return [message async for message, _ in agent.astream(QUESTION, stream_mode="messages")]

    return asyncio.run(read())


READS = {"stream": tokens, "astream": atokens}


def told(messages: list[BaseMessage]) -> list[tuple[str, str, int]]:
    """Who said what, with how many calls."""
    return [(one.type, one.text, len(one.tool_calls) if isinstance(one, AIMessage) else 0) for one in messages[1:]]


# --- loops ---


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (ONE, [("ai", "Let me see:", 1), ("tool", "3", 0), ("ai", "It is three.", 0)]),
        (
            PARALLEL,
            [("ai", "", 3), *(("tool", said, 0) for said in ("3", "noon", "Hello Bo")), ("ai", "It is three.", 0)],
        ),
        (CHAIN, [("ai", "", 1), ("tool", "noon", 0), ("ai", "Next:", 1), ("tool", "3", 0), ("ai", "It is three.", 0)]),
    ],
    ids=["one call", "parallel calls", "a chain"],
)
def test_a_loop_completes(make: MakeCaller, agent_of: Any, finished: Any, turns: Any, expected: Any) -> None:
    """An agent calls, reads the results and answers; each result is linked to its call; ids are unique."""
    version: Any
    for version in (None, "v1"):
        model, _ = caller(make, *turns, output_version=version)
        messages = finished(agent_of(model, TOOLS))
        assert expected == told(messages)
        calls = [one["id"] for message in messages if isinstance(message, AIMessage) for one in message.tool_calls]
        assert calls == [message.tool_call_id for message in messages if isinstance(message, ToolMessage)]
        assert len(messages) == len({message.id for message in messages})


def test_the_model_sees_what_came_of_its_calls(make: MakeCaller) -> None:
    """In the last turn, the model is shown its call and the result."""
    model, seen = caller(make, *ONE)
    run(create_agent(model, TOOLS))
    assert 2 == len(seen)
    conversation = seen[-1].openai_messages()
    assert ["user", "assistant"] == [turn["role"] for turn in conversation if turn["role"] != "system"][:2]
    assert "3" in conversation[-1]["content"]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_loop_streams(make: MakeCaller, agent_of: Any, read: Any) -> None:
    """`stream_mode="messages"` gives the text as it comes, the calls, and each message once."""
    model, _ = caller(make, *ONE)
    given = read(agent_of(model, TOOLS))
    chunks = [message for message in given if isinstance(message, AIMessageChunk)]
    assert "Let me see:It is three." == "".join(chunk.text for chunk in chunks)
    assert [{"a": 1, "b": 2}] == [one["args"] for chunk in chunks for one in chunk.tool_calls]
    assert 2 == len({chunk.id for chunk in chunks})
    assert ["3"] == [message.text for message in given if isinstance(message, ToolMessage)]


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize(
    "name", ["native, generator", "native, async generator", "prompted, generator", "prompted, decorated"]
)
def test_a_streaming_model_streams_in_a_loop(name: str, read: Any) -> None:
    """A model that yields piece by piece is not read as one lump, in whichever colour the agent runs."""
    model, _ = caller(CALLERS[name], ["One ", "two ", "three ", "four."])
    chunks = [message for message in read(create_agent(model, TOOLS)) if message.text]
    assert len(chunks) > 2


def test_a_failing_tool_does_not_end_the_loop(make: MakeCaller, agent_of: Any, finished: Any) -> None:
    """What a tool failed with is shown to the model as an error, and it answers."""
    model, seen = caller(make, [call("fail", reason="no luck")], ["Sorry."])
    messages = finished(agent_of(model, [fail]))
    assert [("ai", "", 1), ("tool", "no luck", 0), ("ai", "Sorry.", 0)] == told(messages)
    shown = seen[-1].openai_messages()[-1]["content"]
    assert "no luck" in shown
    assert "error" in shown.lower()


def test_wrong_arguments_do_not_end_the_loop(make: MakeCaller) -> None:
    """Arguments that a tool does not take come back to the model, which may try again."""
    model, _ = caller(make, [call("add", a="x", b=2)], [call("add", a=1, b=2)], ["It is three."])
    messages = run(create_agent(model, TOOLS))
    assert ["error", "success"] == [message.status for message in messages if isinstance(message, ToolMessage)]
    assert "It is three." == messages[-1].text


@pytest.mark.parametrize("name", ["native, generator", "native, async generator", "scripted"])
def test_broken_arguments_end_the_loop_with_what_was_said(name: str, finished: Any) -> None:
    """A call that is no JSON is no call: the loop ends, and the message holds it as invalid."""
    model, _ = caller(CALLERS[name], ["Well:", ToolCall(name="add", args='{"a": 1')])
    messages = finished(create_agent(model, TOOLS))
    assert [("ai", "Well:", 0)] == told(messages)
    assert ["add"] == [one["name"] for one in messages[-1].invalid_tool_calls]


def test_a_model_that_never_stops_ends_clearly(make: MakeCaller, agent_of: Any, finished: Any) -> None:
    """A model that only ever calls ends as an error that says so."""
    model, seen = caller(make, [call("now")])
    with pytest.raises(GraphRecursionError, match="Recursion limit of 6"):
        finished(agent_of(model, TOOLS), {"recursion_limit": 6})
    assert len(seen) < 6


def test_an_error_of_the_model_ends_the_loop(agent_of: Any, finished: Any) -> None:
    """What the model raises comes out of the agent as it is, with the partial answer."""
    model = ChatScripted(replies=[call("now"), ["It is ", IncompleteAnswerError("cut")]])
    with pytest.raises(IncompleteAnswerError) as caught:
        finished(agent_of(model, TOOLS))
    assert caught.value.partial is not None
    assert "It is " == caught.value.partial.text


def test_conversations_go_on(make: MakeCaller) -> None:
    """With a checkpointer, the next question finds the calls of the last one."""
    model, seen = caller(make, *ONE, [call("now")], ["Noon."])
    agent = create_agent(model, TOOLS, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    agent.invoke(QUESTION, config)
    messages = agent.invoke({"messages": [HumanMessage("And the time?")]}, config)["messages"]
    assert ["It is three.", "", "noon", "Noon."] == [message.text for message in messages if message.type != "human"][
        2:
    ]
    assert '"a": 1, "b": 2' in str(seen[-1].openai_messages())


# --- structured answers ---


class Person(BaseModel):
    """A person."""

    name: str
    age: int


BO = Person(name="Bo", age=3)
BOUNDED: dict[str, Any] = {"recursion_limit": 12}
ABOUT_BO: Any = {"messages": [HumanMessage("Who is 'Bo', who is 3?")]}

FORMATS: dict[str, tuple[Any, Any]] = {
    "class": (Person, BO),
    "tool": (ToolStrategy(Person), BO),
    "provider": (ProviderStrategy(Person), BO),
    "strict provider": (ProviderStrategy(Person, strict=True), BO),
    "schema": (Person.model_json_schema(), BO.model_dump()),
    "tool, schema": (ToolStrategy(Person.model_json_schema()), BO.model_dump()),
}


@tool
def look_up(name: str) -> str:
    """Looks somebody up."""
    return f"{name} is 3"


def aresult(agent: Any) -> dict[str, Any]:
    return asyncio.run(agent.ainvoke(ABOUT_BO, BOUNDED))  # type: ignore[no-any-return]


def result(agent: Any) -> dict[str, Any]:
    return agent.invoke(ABOUT_BO, BOUNDED)  # type: ignore[no-any-return]


def streamed_result(agent: Any) -> dict[str, Any]:
    """As a user interface reads it: the model is then read as a stream."""
    values = [
        value for mode, value in agent.stream(ABOUT_BO, BOUNDED, stream_mode=["values", "messages"]) if mode == "values"
    ]
    return values[-1]  # type: ignore[no-any-return]


@pytest.mark.parametrize("tools", [[], [look_up]], ids=["without tools", "with tools"])
@pytest.mark.parametrize(("response_format", "expected"), FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("model_name", ["stub-1", "gpt-5-internal"])
@pytest.mark.parametrize("name", ["native", "native tools", "prompted"])
def test_an_agent_answers_with_an_object(
    name: str, model_name: str, response_format: Any, expected: Any, tools: Any
) -> None:
    """`response_format` works with every strategy, with and without tools, whatever the model is called."""
    agent = create_agent(STUB_MODELS[name](model=model_name), tools, response_format=response_format)
    assert [expected] * 3 == [get(agent)["structured_response"] for get in (result, aresult, streamed_result)]


def test_an_agent_asks_again() -> None:
    """An answer that does not fit is asked for again within the turn, and the agent never sees it."""
    model = ChatScripted(replies=['{"name": "Bo"}', "no idea", BO.model_dump_json()])
    given = create_agent(model, [], response_format=Person).invoke(ABOUT_BO)
    assert BO == given["structured_response"]
    assert 2 == len(given["messages"])
    assert "$.age: Field required" in model.requests[1].text or "lacks 'age'" in model.requests[1].text


def test_an_agent_that_gets_no_object_ends_clearly() -> None:
    """Where the model never fits the schema, the agent ends with an error and not in a loop."""
    model = ChatScripted(replies=["no idea"], when_exhausted="repeat")
    with pytest.raises(StructuredOutputValidationError, match="Person"):
        create_agent(model, [], response_format=Person).invoke(ABOUT_BO)
    with pytest.raises(UnmetDemandError, match="You must call the tool 'Person'"):
        create_agent(model, [], response_format=ToolStrategy(Person)).invoke(ABOUT_BO)
    assert 6 == len(model.requests)


def test_a_model_without_tools_is_an_agent_without_tools() -> None:
    """`tool_calling = "off"` allows an agent without tools, and with one says which line turns them on."""

    class ChatMute(ChatModel):
        tool_calling = "off"

        def respond(self, request: Request, /) -> str:
            return BO.model_dump_json()

    assert BO == create_agent(ChatMute(), [], response_format=Person).invoke(ABOUT_BO)["structured_response"]
    with pytest.raises(UnsupportedError, match=r'Write `tool_calling = "prompted"`'):
        create_agent(ChatMute(), TOOLS).invoke(QUESTION)


# --- middleware ---


def test_middleware_finds_what_it_needs() -> None:
    """Limits, retries and summaries work: the profile says how much fits, errors say whether to try again."""
    model = ChatScripted(replies=[call("now"), IncompleteAnswerError("cut"), "It is noon."], context_window=1000)
    middleware: list[Any] = [
        ModelRetryMiddleware(max_retries=2, initial_delay=0),
        SummarizationMiddleware(model=model, trigger=("fraction", 0.9)),
        ModelCallLimitMiddleware(run_limit=5),
    ]
    messages = run(create_agent(model, TOOLS, middleware=middleware))
    assert "It is noon." == messages[-1].text


# --- a new user ---


def test_six_lines_make_an_agent() -> None:
    """A function from text to text, decorated, is an agent's model as it stands."""

    @chat_model
    def mine(request: Request) -> str:
        if "<tool_response>" in request.text:
            return f"It is {json.loads(request.text.splitlines()[1])['content']}"
        return '<tool_call>{"name": "now", "arguments": {}}</tool_call>'

    messages = run(create_agent(mine(), TOOLS))
    assert [("ai", "", 1), ("tool", "noon", 0), ("ai", "It is noon", 0)] == told(messages)


def test_the_reader_does_as_well_in_a_loop() -> None:
    """A model that reads its tools and results in text completes the loop with the right values."""

    @chat_model
    def reader(request: Request) -> Iterator[Part]:
        yield from answer_in_text(request)

    messages = run(create_agent(reader(), TOOLS))
    assert "The answer is 2." == messages[-1].text
