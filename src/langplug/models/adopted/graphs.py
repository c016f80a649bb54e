"""LangGraph's graphs: what they are given, their steps as they happen, and what of their state is the answer.

Which message of a state is the answer is known at its end: a model that says something may yet call a tool, and the
next node may say it better. So the answer comes whole, and what came before it is a step.
"""

import inspect
import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from functools import reduce
from typing import Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import merge_configs
from pydantic_core import to_json

from langplug._parts import Part, Reasoning
from langplug._request import Request
from langplug.models.adopted.checkpointers import has_checkpointer, on_loop

_MESSAGES: Final = "messages"
INTERRUPT: Final = "__interrupt__"
"""The key of what a graph gives that stands for what it asks a person."""

_MOST_SHOWN: Final = 500
"""Characters that are shown of a tool's arguments, and of its result."""


def is_graph(runnable: Runnable[Any, Any]) -> bool:
    """Whether it is a graph of nodes that share a state: no function (`@entrypoint`), and not what passes one on."""
    channels = vars(runnable).get("output_channels", "")
    return not isinstance(channels, str) and "subgraphs" in inspect.signature(runnable.stream).parameters


def is_function(runnable: Runnable[Any, Any]) -> bool:
    """Whether it is a graph that is a function (`@entrypoint`). A stream of one tells its steps."""
    return isinstance(vars(runnable).get("output_channels"), str)


def check_graph(graph: Any) -> None:
    """Refuse a graph that has no conversation.

    Raises:
        TypeError: If `messages` are not in its state, or not in what it gives.
    """
    for channels, place in ((graph.channels, "state"), (graph.output_channels, "output")):
        if _MESSAGES not in channels:
            keys = ", ".join(key for key in channels if not key.startswith(("__", "branch:"))) or "nothing"
            raise TypeError(
                f"The {place} of {graph.get_name()} has no `messages`, but {keys}. A graph can be asked as a model if "
                "its state has `messages` (`MessagesState`), and ends with the model's answer. Of any other make a "
                "function from messages to an answer: `adopt(RunnableLambda(lambda messages: ...))`."
            )


def check_interrupts(output: Mapping[str, Any]) -> None:
    """Refuse what a graph gives that waits for a person, where nobody can go on with it.

    Raises:
        ModelError: With what it asks.
    """
    if interrupts := output.get(INTERRUPT):
        asked = "; ".join(f"{one.value!r:.200}" for one in interrupts)
        raise ModelError(f"The graph was interrupted, and waits for a person to answer this: {asked}.")


def read_graph(graph: Any, request: Request, *, show_steps: bool) -> Iterator[Part]:
    """The parts of what a graph answers: its steps, if they are shown, and then the answer."""
    place = Place(graph, request)
    given = place.enter({_MESSAGES: [*request.messages]})
    reader = GraphReader(show_steps=show_steps)
    for event in place.graph.stream(given, reader.heard(request.run.config), **reader.modes):
        yield from reader.feed(event)
    yield reader.answer(in_thread=place.in_thread)


async def aread_graph(graph: Any, request: Request, *, show_steps: bool) -> AsyncGenerator[Part]:
    """As `read_graph`, for an event loop."""
    place = Place(graph, request)
    given = await place.aenter({_MESSAGES: [*request.messages]})
    reader = GraphReader(show_steps=show_steps)
    events: AsyncGenerator[Any] = place.graph.astream(given, reader.heard(request.run.config), **reader.modes)
    try:
        async for event in events:
            for part in reader.feed(event):
                yield part
    finally:
        await events.aclose()
    yield reader.answer(in_thread=place.in_thread)


class Place:
    """Where a graph is run: in the thread that the call names, or in none.

    Attributes:
        graph: The graph. Without a thread, it is one that keeps nothing.
        in_thread: Whether it goes on with what it remembers.
    """

    def __init__(self, graph: Any, request: Request) -> None:
        configurable = request.run.config.get("configurable") or {}
        is_within_another = any(key.startswith("__pregel") for key in configurable)  # then that one sees to it
        keeps = has_checkpointer(graph) and not is_within_another
        self.in_thread = keeps and "thread_id" in configurable
        self.graph = graph if not keeps else on_loop(graph) if self.in_thread else graph.copy({"checkpointer": None})
        self._request = request

    def enter(self, given: Any) -> Any:
        """What the graph is given: `given`, or what a person answers to what it has asked.

        Raises:
            ModelError: If it has asked several things at once.
        """
        return self._input(given, self.graph.get_state(self._request.run.config)) if self.in_thread else given

    async def aenter(self, given: Any) -> Any:
        """As `enter`, for an event loop."""
        return self._input(given, await self.graph.aget_state(self._request.run.config)) if self.in_thread else given

    def _input(self, given: Any, state: Any) -> Any:
        if not state.interrupts:
            return given
        if len(state.interrupts) > 1:
            message = f"The graph has asked {len(state.interrupts)} things at once, which one message cannot answer."
            raise ModelError(message)
        from langgraph.types import Command  # it is there: so is a graph

        text = self._request.text
        try:
            answer = json.loads(text)
        except ValueError:
            answer = text
        return Command(resume=answer if isinstance(answer, dict | list) else text)


def question_of(asked: Any) -> AIMessage:
    """What a graph asks a person, as an answer."""
    value = asked.value
    return AIMessage(value if isinstance(value, str) else to_json(value, fallback=repr).decode())


class GraphReader:
    """Reads what a graph tells while it runs.

    Args:
        show_steps: Whether what comes before the answer is told, as reasoning.
    """

    def __init__(self, *, show_steps: bool) -> None:
        modes = ["values", "updates"] if show_steps else ["values"]
        self.modes: Mapping[str, Any] = {"stream_mode": modes, "subgraphs": show_steps}
        """How the graph has to be streamed."""
        self._used = _Used()
        self._state: Mapping[str, Any] | None = None
        self._seen = _Seen()
        self._shown = _Seen()
        self._waiting: AIMessage | None = None

    def heard(self, config: RunnableConfig) -> RunnableConfig:
        """The configuration with which the tokens are counted of every model in the graph."""
        return merge_configs(config, {"callbacks": [self._used]})

    def feed(self, event: tuple[Any, ...]) -> Iterator[Part]:
        """The steps in what the graph, or one within it, tells.

        Args:
            event: Where that is, if graphs within it tell, too; `"values"` for a state, `"updates"` for what nodes have
                added to it; and that.
        """
        *place, mode, told = event
        if mode == "updates":
            for node, update in told.items():
                if node != INTERRUPT:
                    yield from self._steps(update)
        elif place in ([], [()]):
            if self._state is None:  # before the first node: what it was given, and what it remembers
                for message in told.get(_MESSAGES) or ():
                    self._seen.add(message)
                    self._shown.add(message)
            self._state = told

    def answer(self, *, in_thread: bool) -> AIMessage:
        """The last message of the state, with the tokens that all of it took; in a thread, also what a person is asked.

        Raises:
            TypeError: If the last message is not the answer of a model.
            ModelError: If the graph waits for a person, and there is no thread in which it could be answered.
        """
        state = self._state or {}
        asked = state.get(INTERRUPT) or ()
        if not in_thread or len(asked) > 1:
            check_interrupts(state)
        said = [*(state.get(_MESSAGES) or ())]
        usage = self._used.usage
        if usage is None:  # of messages that no model of LangChain's has written
            new = (one.usage_metadata for one in said if isinstance(one, AIMessage) and one not in self._seen)
            told = [one for one in new if one is not None]
            usage = reduce(add_usage, told) if told else None
        if asked:
            return question_of(asked[0]).model_copy(update={"usage_metadata": usage})
        if said and isinstance(said[-1], AIMessage):
            return said[-1].model_copy(update={"usage_metadata": usage})
        if (found := state.get("structured_response")) is not None:  # of `create_agent(response_format=...)`
            return AIMessage(to_json(found).decode(), usage_metadata=usage)
        last = type(said[-1]).__name__ if said else "no message"
        raise TypeError(f"The state ends with {last}, not with the answer of a model (an AIMessage).")

    def _steps(self, update: Any) -> Iterator[Part]:
        """What a node adds. What a model says is a step when something follows it: the last is the answer."""
        for one in update if isinstance(update, list | tuple) else [update]:
            added = one.get(_MESSAGES) if isinstance(one, Mapping) else None
            for message in added if isinstance(added, list | tuple) else [added]:
                if not isinstance(message, AIMessage | ToolMessage) or message in self._shown:
                    continue
                self._shown.add(message)
                before, self._waiting = self._waiting, None
                # the answer of an agent that is called as a tool is that tool's result
                if before is not None and before.text != message.text:
                    yield Reasoning(text_of_step(before))
                if isinstance(message, AIMessage) and not message.tool_calls:
                    self._waiting = message
                else:
                    yield Reasoning(text_of_step(message))


class _Seen:
    """A set of messages, by their ids, or by what they are: some have none, or are given one later."""

    def __init__(self) -> None:
        self._ids: set[str | None] = {None}
        self._messages: dict[int, BaseMessage] = {}

    def add(self, message: BaseMessage) -> None:
        self._ids.add(message.id)
        self._messages[id(message)] = message  # kept, so that no other is given its place in memory

    def __contains__(self, message: BaseMessage) -> bool:
        return id(message) in self._messages or (message.id is not None and message.id in self._ids)


class _Used(BaseCallbackHandler):
    """Adds up the tokens of the models that are called."""

    run_inline = True

    def __init__(self) -> None:
        self.usage: UsageMetadata | None = None

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        for generations in response.generations:
            for one in generations:
                message = one.message if isinstance(one, ChatGeneration) else None
                if isinstance(message, AIMessage) and message.usage_metadata:
                    self.usage = add_usage(self.usage, message.usage_metadata)


def text_of_step(message: AIMessage | ToolMessage) -> str:
    """A message on the way to the answer, in plain words: what was said, what was called, what came of it.

    An empty line ends it, so that the next begins a paragraph; it is empty if it says nothing.
    """
    if isinstance(message, ToolMessage):
        verb = "failed:" if message.status == "error" else "→"
        lines = [f"{message.name or 'tool'} {verb} {_short(str(message.text))}"]
    else:
        thoughts = [str(one.get("reasoning") or "") for one in message.content_blocks if one["type"] == "reasoning"]
        lines = [*thoughts, str(message.text)]
        for call in message.tool_calls:
            args = (f"{name}={to_json(value, fallback=repr).decode()}" for name, value in call["args"].items())
            lines.append(f"{call['name']}({_short(', '.join(args))})")
    told = "\n".join(line for line in map(str.strip, lines) if line)
    return f"{told}\n\n" if told else ""


def _short(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}… ({len(text)} characters)"
