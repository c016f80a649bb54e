"""Group I: calls and results in the conversation, and agents."""

import importlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import StructuredTool

from langplug_backend import ChatRequest, Reply
from langplug_check.groups._tools import NO_CALL, OFFERED, add, last_exchange, request_in, whole_call
from langplug_check.paths import BUGS, error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotObserved

# Ids of a form that every API takes: nine letters and digits.
_FIRST, _SECOND = "call00001", "call00002"

_ARGS = {_FIRST: "first-thing", _SECOND: "second-thing"}
_RESULTS = {_FIRST: "alpha-result", _SECOND: "beta-result"}


def _history(*, swapped: bool = False, status: Any = "success") -> list[BaseMessage]:
    """Two calls of one tool, and their results, the second first. `swapped`: each result has the other call's id."""
    ids = {_FIRST: _SECOND, _SECOND: _FIRST} if swapped else {_FIRST: _FIRST, _SECOND: _SECOND}
    calls = [{"name": "look", "args": {"what": what}, "id": one} for one, what in _ARGS.items()]
    return [
        HumanMessage("Look both up."),
        AIMessage("", tool_calls=calls),
        ToolMessage(_RESULTS[_SECOND], tool_call_id=ids[_SECOND], name="look"),
        ToolMessage(_RESULTS[_FIRST], tool_call_id=ids[_FIRST], name="look", status=status),
    ]


_HISTORY_HINT = """
# in the function that turns messages into the request
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
    "In the history that is sent, each result is linked to its call by id, and a result with `status='error'` differs "
    "from one without.",
    rank="must",
    why="Results of parallel calls come in any order, and a model believes a result unless it learns of the failure.",
    hint=_HISTORY_HINT,
    needs=("tools", "replies", "requests"),
)
def results_linked(subject: Subject) -> None:
    """Send two calls and their results, then with the ids swapped, then with a failed one; compare the requests."""
    # Requests are compared with each other, not read: every API links results to calls in its own way.
    sent = _request_json(subject, _history())
    if sent != _request_json(subject, _history()):
        raise NotObserved("the same history does not make the same request twice")
    _check_complete(sent)
    if sent == _request_json(subject, _history(swapped=True)):
        raise Failed("the request does not show which result belongs to which call", "the call's id beside both")
    # Linked, but perhaps the wrong way round.
    body, wrong = json.loads(sent), []
    for one, other in ((_FIRST, _SECOND), (_SECOND, _FIRST)):
        for text in (_ARGS[one], _RESULTS[one]):
            nearest = next((ids for ids in _ids_around(body, text) if ids), set())
            if nearest == {other}:
                wrong.append(f"{text!r} of the call {one!r} is sent with the id {other!r}")
    if wrong:
        raise Failed("; ".join(wrong))
    if sent == _request_json(subject, _history(status="error")):
        raise Failed("a result with status='error' is sent like one without", "some sign of it, such as 'Error: ...'")


def _request_json(subject: Subject, history: list[BaseMessage], *, tools: bool = True) -> str:
    """The request that a history makes, as JSON."""
    model: Any = subject.says(NO_CALL)
    subject.ask(model.bind_tools(list(OFFERED)) if tools else model, history).answer  # noqa: B018
    exchange = last_exchange(subject)
    body = exchange.body if exchange.body is not None else [said.text for said in request_in(exchange).messages]
    return json.dumps(body, sort_keys=True, default=str)


def _check_complete(request: str) -> None:
    lost = [repr(text) for text in (*_ARGS.values(), *_RESULTS.values()) if text not in request]
    if lost:
        raise Failed(f"{', '.join(lost)} of the calls and their results do not arrive")


def _ids_around(value: Any, text: str) -> Iterator[set[str]]:
    """The ids beside a text: first in the innermost object that holds it, last in the outermost."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _ids_around(one, text)
    whole = json.dumps(value, default=str)
    if text in whole and isinstance(value, Mapping):
        yield {one for one in _ARGS if one in whole}


@statement(
    "I14",
    "A history with calls is accepted even if no tools are bound, and `parallel_tool_calls=False` is honoured or "
    "refused.",
    rank="could",
    why="Models without tools write summaries of such histories; calls that depend on each other must be made one at a "
    "time.",
    hint="""
    # turn messages into the request whatever is bound, and
    def bind_tools(self, tools, *, tool_choice=None, parallel_tool_calls=None, **kwargs):
        ...                                            # send it in the backend's words or, if it has none:
        if parallel_tool_calls is not None:
            raise ValueError("parallel_tool_calls is not supported by this model")
    """,
    needs=("tools", "replies", "requests"),
)
def without_tools(subject: Subject) -> str:
    """Send a history with calls, without tools; then bind tools with parallel calls forbidden, and have two called."""
    _check_complete(_request_json(subject, _history(), tools=False))
    two = Reply(calls=tuple(whole_call("look", {"what": what}) for what in _ARGS.values()))
    try:
        bound: Any = subject.says(two).bind_tools(list(OFFERED), parallel_tool_calls=False)
        message = bound.invoke(subject.prompt)
    except BUGS:
        raise
    except Exception as error:  # noqa: BLE001 - a refusal is an answer here
        return f"parallel_tool_calls=False is refused: {error_text(error)}"
    # The test backend makes both calls whatever it is asked: the wish in the request is enough. In OpenAI's API it is
    # `parallel_tool_calls`, in Anthropic's it is in `tool_choice`.
    body = last_exchange(subject).body
    is_asked_for = _has(body, "parallel_tool_calls", value=False) or _has(body, "disable_parallel_tool_use", value=True)
    if len(message.tool_calls) > 1 and not is_asked_for:
        raise Failed(f"parallel_tool_calls=False changes nothing: {len(message.tool_calls)} calls were made at once")
    return ""


def _has(body: Any, name: str, *, value: bool) -> bool:
    """Whether a field has this value, somewhere in the body."""
    if isinstance(body, Mapping):
        return body.get(name) is value or any(_has(one, name, value=value) for one in body.values())
    return isinstance(body, list) and any(_has(one, name, value=value) for one in body)


# --- agents ---

_SUM = "The sum of both is three."


def _add_once(request: ChatRequest) -> Reply:
    """Calls the tool, and says the sum once the tool's result is there."""
    if any("=3" in said.text for said in request.messages):
        return Reply(text=_SUM)
    return Reply(calls=(whole_call("add", {"a": 1, "b": 2}),))


@statement(
    "I10",
    "The loop of `create_agent` finishes, synchronously and asynchronously, and `stream_mode='messages'` shows the "
    "answer as it arrives.",
    why="It is what most people use a chat model for.",
    hint="""
    # see I01, I03, I04 and I09: tools are bound, calls have names, arguments and ids, results reach the model;
    # and `_stream` yields more than one chunk
    """,
    link="https://docs.langchain.com/oss/python/langchain/agents",
    needs=("tools", "replies"),
    limit_s=40.0,
)
def agents_finish(subject: Subject) -> None:
    """Make an agent with one tool, and ask it by invoke, by ainvoke, and by a stream of messages."""
    try:
        agents: Any = importlib.import_module("langchain.agents")
    except ImportError:
        raise NotObserved("langchain, which has create_agent, is not installed: pip install langchain") from None
    # An agent whose model never sees the result would call the tool until LangGraph's own limit of steps.
    question, config = {"messages": [{"role": "user", "content": "What is 1 + 2?"}]}, {"recursion_limit": 8}
    for path in ("invoke", "ainvoke", "stream"):
        calls: list[tuple[int, int]] = []
        agent: Any = agents.create_agent(subject.says(_add_once), [_recording_tool(calls)])
        pieces: list[str] = []
        try:
            if path == "stream":
                streamed = agent.stream(question, config, stream_mode="messages")
                messages = [cast("BaseMessage", message) for message, _ in streamed]
                answers = [message for message in messages if isinstance(message, AIMessage | AIMessageChunk)]
                pieces = [str(message.text) for message in answers if message.text]
                text = "".join(pieces)
            elif path == "ainvoke":
                text = str(run(agent.ainvoke(question, config), alone=False)["messages"][-1].text)
            else:
                text = str(agent.invoke(question, config)["messages"][-1].text)
        except Exception as error:
            raise Failed(f"by {path}, the agent raised {error_text(error)}") from error
        if calls != [(1, 2)]:
            raise Failed(f"by {path}, the agent's tool was called with {calls}", "[(1, 2)]")
        if text != _SUM:
            raise Failed(f"by {path}, the agent's last message is {text!r}", repr(_SUM))
        # LangGraph attaches a streaming handler, so that `invoke` in a node streams, see F12.
        if path == "stream" and len(pieces) < 2 and not subject.lacks("streaming"):
            raise Failed(f"stream_mode='messages' showed the answer in {len(pieces)} piece", "pieces, as they arrive")


def _recording_tool(calls: list[tuple[int, int]]) -> StructuredTool:
    """The tool `add`, which appends its arguments to `calls`."""

    def add_and_record(a: int, b: int) -> str:
        calls.append((a, b))
        return f"{a}+{b}={a + b}"

    return StructuredTool.from_function(add_and_record, name=add.name, description=add.description)
