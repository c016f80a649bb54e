"""Group I: calls and results in the conversation, and agents."""

import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool

from langplug_backend import ChatRequest, Reply
from langplug_check.groups.i_tools import OFFERED, SAID, add, asked_in, last_exchange, whole_call
from langplug_check.paths import BUGS, shown
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotObserved

_FIRST, _SECOND = "call00001", "call00002"
"""Ids of a form that every API takes."""

_ARGS = {_FIRST: "first-thing", _SECOND: "second-thing"}
_RESULTS = {_FIRST: "alpha-result", _SECOND: "beta-result"}


def _history(*, swapped: bool = False, status: Any = "success") -> list[BaseMessage]:
    """Two calls of one tool, and their results in another order; or the same results, each of the other call."""
    ids = {_FIRST: _SECOND, _SECOND: _FIRST} if swapped else {_FIRST: _FIRST, _SECOND: _SECOND}
    calls = [{"name": "look", "args": {"what": what}, "id": one} for one, what in _ARGS.items()]
    return [
        HumanMessage("Look both up."),
        AIMessage("", tool_calls=calls),
        ToolMessage(_RESULTS[_SECOND], tool_call_id=ids[_SECOND], name="look"),
        ToolMessage(_RESULTS[_FIRST], tool_call_id=ids[_FIRST], name="look", status=status),
    ]


_HISTORY_HINT = """
# in what turns messages into the request
case AIMessage():
    {"role": "assistant", "content": message.text or None, "tool_calls": [
        {"id": call["id"], "type": "function",
         "function": {"name": call["name"], "arguments": json.dumps(call["args"])}}
        for call in message.tool_calls]}
case ToolMessage():
    text = f"Error: {message.text}" if message.status == "error" else message.text
    {"role": "tool", "tool_call_id": message.tool_call_id, "content": text}
"""


@statement(
    "I09",
    "In the history that is sent, each result is linked to its call by id, and a result with `status='error'` can be "
    "told from one without.",
    why="Results of parallel calls come in any order, and a model believes a result if it is not told of the failure.",
    hint=_HISTORY_HINT,
    needs=("tools", "replies", "requests"),
)
def results_linked(subject: Subject) -> None:
    """Send two calls and their results, then the results the other way round, then a failed one; compare requests."""
    sent = _told(subject, _history())
    if sent != _told(subject, _history()):
        raise NotObserved("the same history does not make the same request twice")
    _expect_all(sent)
    if sent == _told(subject, _history(swapped=True)):
        raise Failed("which result belongs to which call cannot be told from the request", "the call's id beside both")
    if wrong := list(_wrong_links(json.loads(sent))):
        raise Failed("; ".join(wrong))
    if sent == _told(subject, _history(status="error")):
        raise Failed("a result with status='error' is sent like one without", "some sign of it, such as 'Error: ...'")


def _told(subject: Subject, history: list[BaseMessage], *, tools: bool = True) -> str:
    """The request that a history makes."""
    model: Any = subject.says(SAID)
    subject.ask(model.bind_tools(list(OFFERED)) if tools else model, history).answer  # noqa: B018
    exchange = last_exchange(subject)
    told = exchange.body if exchange.body is not None else [said.text for said in asked_in(exchange).messages]
    return json.dumps(told, sort_keys=True, default=str)


def _expect_all(sent: str) -> None:
    lost = [repr(text) for text in (*_ARGS.values(), *_RESULTS.values()) if text not in sent]
    if lost:
        raise Failed(f"{', '.join(lost)} of the calls and their results do not arrive")


def _wrong_links(body: Any) -> Iterator[str]:
    """The texts that stand beside the id of the other call, and not beside their own."""
    for one, other in ((_FIRST, _SECOND), (_SECOND, _FIRST)):
        for text in (_ARGS[one], _RESULTS[one]):
            nearest = next((ids for ids in _ids_around(body, text) if ids), set())
            if nearest == {other}:
                yield f"{text!r} of the call {one!r} is sent with the id {other!r}"


def _ids_around(value: Any, text: str) -> Iterator[set[str]]:
    """The ids that stand beside a text, from the nearest object that holds it to the farthest."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _ids_around(one, text)
    shown_value = json.dumps(value, default=str)
    if text in shown_value and isinstance(value, Mapping):
        yield {one for one in _ARGS if one in shown_value}


@statement(
    "I14",
    "A history with calls is taken also where no tools are bound, and `parallel_tool_calls=False` is honoured or "
    "refused.",
    why="Summaries are written by models without tools; where calls depend on each other there may be one at a time.",
    hint="""
    # turn messages into the request whatever is bound, and
    def bind_tools(self, tools, *, tool_choice=None, parallel_tool_calls=None, **kwargs):
        ...                                            # send it in the backend's words, or, where it has none:
        if parallel_tool_calls is not None:
            raise ValueError("parallel_tool_calls is not known to this model")
    """,
    needs=("tools", "replies", "requests"),
)
def without_tools(subject: Subject) -> str:
    """Send a history with calls, without tools; then bind tools that may not be called at once, and have two called."""
    _expect_all(_told(subject, _history(), tools=False))
    two = Reply(calls=tuple(whole_call("look", {"what": what}) for what in _ARGS.values()))
    try:
        bound: Any = subject.says(two).bind_tools(list(OFFERED), parallel_tool_calls=False)
        message = bound.invoke(subject.prompt)
    except BUGS:
        raise
    except Exception as error:  # noqa: BLE001 - a refusal is an answer here
        return f"parallel_tool_calls=False is refused: {shown(error)}"
    if len(message.tool_calls) > 1 and not _forbids(last_exchange(subject).body):
        raise Failed(f"parallel_tool_calls=False changes nothing: {len(message.tool_calls)} calls were made at once")
    return ""


def _forbids(body: Any) -> bool:
    """Whether a request forbids parallel calls: in OpenAI's words, or in Anthropic's."""
    named = {"parallel_tool_calls": False, "disable_parallel_tool_use": True}
    return any(_has(body, name, value) for name, value in named.items())


def _has(body: Any, name: str, value: bool) -> bool:
    if isinstance(body, Mapping):
        return body.get(name) is value or any(_has(one, name, value) for one in body.values())
    return isinstance(body, list) and any(_has(one, name, value) for one in body)


# --- agents ---

_SUM = "The sum of both is three."


def _adding(asked: ChatRequest) -> Reply:
    """Calls the tool, and says the sum once there is a result."""
    if any("=3" in said.text for said in asked.messages):
        return Reply(text=_SUM)
    return Reply(calls=(whole_call("add", {"a": 1, "b": 2}),))


class _Watched:
    """A tool that keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def tool(self) -> BaseTool:
        return StructuredTool.from_function(self._add, name="add", description=str(add.__doc__))

    def _add(self, a: int, b: int) -> str:
        self.calls.append((a, b))
        return f"{a}+{b}={a + b}"


@statement(
    "I10",
    "The loop of `create_agent` comes to its end, synchronously and asynchronously, and `stream_mode='messages'` "
    "shows the answer as it comes.",
    why="It is what most people use a chat model for.",
    hint="""
    # see I01, I03, I04 and I09: tools are bound, calls have names, arguments and ids, results reach the model;
    # and `_stream` gives more than one chunk
    """,
    link="https://docs.langchain.com/oss/python/langchain/agents",
    needs=("tools", "replies"),
    limit_s=40.0,
)
def agents_finish(subject: Subject) -> None:
    """Make an agent with one tool, and ask it by invoke, by ainvoke, and by a stream of messages."""
    for path in ("invoke", "ainvoke", "stream"):
        watched = _Watched()
        agent = _agent(subject, watched)
        try:
            text, pieces = _AGENT_PATHS[path](agent)
        except Exception as error:
            raise Failed(f"by {path}, the agent raised {shown(error)}") from error
        if watched.calls != [(1, 2)]:
            raise Failed(f"by {path}, the agent's tool was called with {watched.calls}", "[(1, 2)]")
        if text != _SUM:
            raise Failed(f"by {path}, the agent's last message is {text!r}", repr(_SUM))
        if path == "stream" and pieces < 2 and not subject.lacks("streaming"):
            raise Failed(f"stream_mode='messages' showed the answer in {pieces} piece", "the pieces as they come")


def _agent(subject: Subject, watched: _Watched) -> Any:
    try:
        agents: Any = importlib.import_module("langchain.agents")
    except ImportError:
        raise NotObserved("langchain, which has create_agent, is not installed: pip install langchain") from None
    return agents.create_agent(subject.says(_adding), [watched.tool()])


_GIVEN = {"messages": [{"role": "user", "content": "What is 1 + 2?"}]}
_CONFIG = {"recursion_limit": 8}


def _invoked(agent: Any) -> tuple[str, int]:
    return _last(agent.invoke(_GIVEN, _CONFIG)), 1


def _ainvoked(agent: Any) -> tuple[str, int]:
    return _last(run(agent.ainvoke(_GIVEN, _CONFIG), alone=False)), 1


def _last(state: Any) -> str:
    return str(state["messages"][-1].text)


def _streamed(agent: Any) -> tuple[str, int]:
    """The text that was shown, and in how many pieces."""
    messages = [cast("BaseMessage", message) for message, _ in agent.stream(_GIVEN, _CONFIG, stream_mode="messages")]
    texts = [str(message.text) for message in messages if isinstance(message, AIMessage | AIMessageChunk)]
    return "".join(texts), len([text for text in texts if text])


_AGENT_PATHS: Mapping[str, Any] = {"invoke": _invoked, "ainvoke": _ainvoked, "stream": _streamed}
