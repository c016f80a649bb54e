"""An adopted agent or graph: its steps, its answer, and what it used."""

import asyncio
import threading
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from langplug import Reasoning, ToolCall, Usage, adopt, chat_model
from langplug.models import ChatScripted


@tool
def weather(city: str) -> str:
    """The weather in a city."""
    return f"21 °C in {city}"


@tool
def long_story() -> str:
    """A long one."""
    return "x" * 5000


@tool
def approve(question: str) -> str:
    """Ask a person."""
    return str(interrupt(question))


@tool
def breaks() -> str:
    """It does."""
    raise RuntimeError("out of order")


def agent(*replies: Any, tools: Any = (weather, long_story, approve, breaks), **options: Any) -> Any:
    """One whose model gives these replies."""
    return create_agent(ChatScripted(replies=[*replies]), tools=[*tools], **options)


def call(name: str, **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args)


def thought(message: Any) -> str:
    """The reasoning of an answer."""
    return "".join(block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning")


STEPS = 'Let me look.\nweather(city="Köln")\nweather(city="Bonn")'
ONE = Usage(input_tokens=1, output_tokens=1)
LOOK = [
    "Let me look.",
    call("weather", city="Köln"),
    call("weather", city="Bonn"),
    ONE,
]


async def whole(stream: Any) -> Any:
    """A stream's chunks as one."""
    chunks = [chunk async for chunk in stream]
    return sum(chunks[1:], chunks[0])


PATHS: dict[str, Any] = {
    "invoke": lambda model: model.invoke("hi"),
    "ainvoke": lambda model: asyncio.run(model.ainvoke("hi")),
    "stream": lambda model: sum((chunks := [*model.stream("hi")])[1:], chunks[0]),
    "astream": lambda model: asyncio.run(whole(model.astream("hi"))),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("show_steps", [True, False])
def test_steps_are_reasoning_or_hidden(path: str, *, show_steps: bool) -> None:
    """The text of the answer is the last message's alone, its usage that of all steps; steps are reasoning if shown."""
    answer = PATHS[path](adopt(agent(LOOK, ["Warm.", ONE]), show_steps=show_steps))
    assert answer.text == "Warm."
    assert not answer.tool_calls
    assert answer.usage_metadata["total_tokens"] == 4
    calls, *results = thought(answer).strip().split("\n\n") if show_steps else ("", "")
    if show_steps:
        assert calls == STEPS
        assert sorted(results) == ["weather → 21 °C in Bonn", "weather → 21 °C in Köln"]
    else:
        assert thought(answer) == ""


def test_a_step_is_told_before_the_next_begins() -> None:
    """A call is told while its tool runs, and its result while the model thinks on."""
    told, tool_may_end = threading.Event(), threading.Event()

    @tool
    def wait() -> str:
        """Until it may end."""
        assert told.wait(30)
        return "over" if tool_may_end.is_set() else "too early"

    model = adopt(agent([call("wait")], "Done.", tools=[wait]), show_steps=True)
    for chunk in model.stream("hi"):
        if "wait()" in thought(chunk):
            tool_may_end.set()
            told.set()
        if "→" in thought(chunk):
            assert "wait → over" in thought(chunk)


def test_what_is_long_is_cut() -> None:
    """A long result is shown by its beginning, with its length."""
    shown = thought(adopt(agent([call("long_story")], "Done."), show_steps=True).invoke("hi"))
    assert "xxx… (5000 characters)" in shown
    assert len(shown) < 700


@pytest.mark.parametrize("show_steps", [True, False])
def test_an_agent_as_a_tool_shows_its_steps_and_counts(*, show_steps: bool) -> None:
    """The steps of an agent in an agent are shown, its answer once, as the tool's result; its tokens are counted."""
    inner = agent(
        [call("weather", city="Köln"), ONE],
        ["Warm there.", ONE],
    )

    @tool
    def expert(question: str) -> str:
        """Ask an expert."""
        return str(inner.invoke({"messages": [("user", question)]})["messages"][-1].text)

    outer = agent(
        [call("expert", question="?"), ONE],
        ["It is warm.", ONE],
        tools=[expert],
    )
    answer = adopt(outer, show_steps=show_steps).invoke("hi")
    assert answer.usage_metadata is not None
    assert (answer.text, answer.usage_metadata["total_tokens"]) == ("It is warm.", 8)
    steps = ['expert(question="?")', 'weather(city="Köln")', "weather → 21 °C in Köln", "expert → Warm there."]
    assert thought(answer).strip().split("\n\n") == (steps if show_steps else [""])


def test_every_node_before_the_last_is_a_step() -> None:
    """Of a graph whose nodes each say something, the last one's word is the answer, with or without ids."""

    def node(text: str) -> Any:
        return lambda state: {"messages": AIMessage(text)}

    inner = StateGraph(MessagesState).add_node("a", node("First.")).add_edge(START, "a").compile()
    built = StateGraph(MessagesState).add_sequence([("inner", inner), ("b", node("Second.")), ("c", node("Third."))])
    answer = adopt(built.add_edge(START, "inner").compile(), show_steps=True).invoke("hi")
    assert (thought(answer), answer.text) == ("First.\n\nSecond.\n\n", "Third.")
    assert answer.usage_metadata is None


def test_reasoning_on_the_way_is_shown() -> None:
    """What a model thinks before it calls a tool is part of that step; what it thinks of the answer stays there."""
    graph = agent([Reasoning("Hm."), call("weather", city="Köln")], [Reasoning("Ah."), "Warm."])
    shown = thought(adopt(graph, show_steps=True).invoke("hi"))
    assert shown == 'Hm.\nweather(city="Köln")\n\nweather → 21 °C in Köln\n\nAh.'


def as_state(messages: Any) -> dict[str, Any]:
    return {"messages": messages}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wrap", [lambda graph: graph, lambda graph: RunnableLambda(as_state) | graph])
def test_a_graph_that_waits_for_a_person_says_so(path: str, wrap: Any) -> None:
    """An interrupt is an error that names what is asked, and no call of a tool that the caller does not have."""
    with pytest.raises(ModelError, match=r"waits for a person.*'Sure'"):
        PATHS[path](adopt(wrap(agent([call("approve", question="Sure")], "Done."))))


def test_a_tool_that_fails_fails_the_run_or_is_a_step() -> None:
    """What a tool raises is raised; what the agent makes a result of is shown as a failure."""
    with pytest.raises(RuntimeError, match="out of order"):
        adopt(agent([call("breaks")], "Done."), show_steps=True).invoke("hi")
    shown = thought(adopt(agent([call("weather", town="Köln")], "Done."), show_steps=True).invoke("hi"))
    assert "weather failed: " in shown


def test_an_agents_structured_response_is_its_answer() -> None:
    """An agent that ends with an object instead of a message answers with that object as JSON."""

    class Report(BaseModel):
        degrees: int

    graph = agent([call("Report", degrees=21)], response_format=ToolStrategy(Report))
    assert adopt(graph).invoke("hi").text == '{"degrees":21}'


class Question(TypedDict):
    """A state without a conversation."""

    question: str
    answer: str


class Both(MessagesState):
    """A conversation, and more."""

    answer: str


def test_a_graph_without_a_conversation_is_refused_at_once() -> None:
    """A graph whose state, or whose output, has no messages is refused when it is adopted, with what it has."""
    built = StateGraph(Question).add_node("a", lambda state: {"answer": "x"}).add_edge(START, "a")
    with pytest.raises(TypeError, match=r"state of .* has no `messages`, but question, answer"):
        adopt(built.compile())
    other = StateGraph(Both, output_schema=Question).add_node("a", lambda state: {"answer": "x"}).add_edge(START, "a")
    with pytest.raises(TypeError, match=r"output of .* has no `messages`, but question, answer"):
        adopt(other.compile())


def test_a_graph_that_is_a_function_answers() -> None:
    """A function of LangGraph's (`@entrypoint`) answers with what it returns, streamed or not."""

    @entrypoint()
    def shout(messages: list[Any]) -> AIMessage:
        return AIMessage(messages[-1].text.upper())

    @entrypoint()
    def shout_state(state: MessagesState) -> MessagesState:
        return {"messages": [*state["messages"], AIMessage(state["messages"][-1].text.upper())]}

    for model in (adopt(shout), adopt(shout_state)):
        assert [model.invoke([HumanMessage("hi")]).text, PATHS["stream"](model).text] == ["HI", "HI"]


# --- threads ---


def test_a_graph_with_a_checkpointer_goes_on_with_the_thread_that_is_named() -> None:
    """In a thread it remembers, and what it asks is its answer, which the next message answers; elsewhere neither."""

    @chat_model(tool_calling="native")
    def model(request: Any) -> Any:
        if request.text == "ask":
            return ToolCall(name="approve", args={"question": "Sure?"})
        return ", ".join(one.text for one in request.messages if one.type != "ai")

    memory = InMemorySaver()
    adopted = adopt(create_agent(model(), tools=[approve], checkpointer=memory))
    thread: Any = {"configurable": {"thread_id": "1"}}
    assert [adopted.invoke(text, thread).text for text in ("one", "two")] == ["one", "one, two"]
    assert asyncio.run(adopted.ainvoke("three", thread)).text == "one, two, three"
    assert [adopted.invoke(text, thread).text for text in ("ask", "yes")] == ["Sure?", "one, two, three, ask, yes"]
    kept = len(memory.storage)
    assert [adopted.invoke(text).text for text in ("one", "two")] == ["one", "two"]
    with pytest.raises(ModelError, match="waits for a person"):
        adopted.invoke("ask")
    assert len(memory.storage) == kept


def test_the_plan_of_a_graph_is_not_a_graph() -> None:
    """A graph that was not compiled is refused with the word that makes it one."""
    with pytest.raises(TypeError, match=r"plan of a graph.*\.compile\(\)"):
        adopt(StateGraph(MessagesState))
