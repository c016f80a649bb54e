"""Group F: events. What `astream_events`, `astream_log` and version 3 of the events show of an answer."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool

from langplug_backend import Call, Reply
from langplug_check.groups._lifecycle import broken_rule, finished_blocks, text_deltas
from langplug_check.groups.f_callbacks import (
    SPOKEN,
    in_words,
    own_kinds,
    reporting,
    same_usage,
    streams_by,
)
from langplug_check.paths import beta_allowed, shown
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed

_EVENTS = "https://reference.langchain.com/python/langchain-core/runnables/base/Runnable/astream_events"

START, STREAM, END = "on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"

# --- versions 1 and 2 ---


async def _events_of(runnable: Any, given: Any, version: Literal["v1", "v2"]) -> list[Mapping[str, Any]]:
    """The events of chat models."""
    events = [event async for event in runnable.astream_events(given, version=version)]
    return [event for event in events if event["event"].startswith("on_chat_model_")]


def _of_the_outermost(events: Sequence[Mapping[str, Any]], depth: int) -> list[Mapping[str, Any]]:
    """The events of the model itself; a model that it asks is a child of its run."""
    return [event for event in events if len(event["parent_ids"]) == depth]


def _check_one_run(which: str, events: Sequence[Mapping[str, Any]]) -> None:
    """A start, what is streamed, and an end, of one run; the chunks join to the output."""
    kinds = [event["event"] for event in events]
    if kinds[:1] != [START] or kinds[-1:] != [END] or set(kinds[1:-1]) - {STREAM}:
        raise Failed(f"{which}: the events are {_brief(kinds)}", f"{START}, {STREAM} each time, {END}")
    if len({event["run_id"] for event in events}) != 1:
        raise Failed(f"{which}: the events are of {len({event['run_id'] for event in events})} runs", "one run")
    chunks = [event["data"].get("chunk") for event in events[1:-1]]
    if odd := [chunk for chunk in chunks if not isinstance(chunk, BaseMessage)]:
        raise Failed(f"{which}: {STREAM} has the chunk {odd[0]!r:.80}", "a chunk of the message")
    streamed = "".join(str(chunk.text) for chunk in chunks if chunk is not None)
    output = str(_output(which, events).text)
    if streamed != output:
        raise Failed(f"{which}: the chunks join to {streamed!r}, and the output is {output!r}", "the same text")


def _output(which: str, events: Sequence[Mapping[str, Any]]) -> BaseMessage:
    output = events[-1]["data"].get("output")
    if not isinstance(output, BaseMessage):
        raise Failed(f"{which}: {END} has the output {output!r:.80}", "the message")
    return output


def _brief(kinds: Sequence[str]) -> str:
    """Such as `"start, 3 x stream, end"`."""
    runs: list[tuple[str, int]] = []
    for kind in kinds:
        if runs and runs[-1][0] == kind:
            runs[-1] = (kind, runs[-1][1] + 1)
        else:
            runs.append((kind, 1))
    return ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in runs) or "none"


@statement(
    "F11",
    "`astream_events` of version 2 shows a start, the answer in several pieces, and an end, of one run, and the pieces "
    "join to the output.",
    why="LangServe and user interfaces show what comes here.",
    hint="""
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for piece in pieces:                    # one chunk for each piece, as it comes
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    """,
    link=_EVENTS,
    needs=("answer", "streaming"),
)
def events_of_version_2(subject: Subject) -> str:
    """Collect the events of one call."""
    events = _of_the_outermost(run(_events_of(subject.model(), subject.prompt, "v2"), alone=False), 0)
    _check_one_run("astream_events", events)
    pieces = len(events) - 2
    if pieces < 2:
        raise Failed(f"astream_events: the answer came in {pieces} piece", "at least 2")
    return f"{pieces} pieces"


@statement(
    "F12",
    "A model that is only invoked inside a chain streams into the chain's events: once, and with its usage.",
    why="So most nodes of a LangGraph are written, and users expect to see their answers as they come.",
    hint="""
    # leave invoke and ainvoke as langchain-core has them: where somebody listens to events, they call `_stream`
    # itself. So `_stream` must report what `_generate` does (usage too), and call no callback.
    # Over OpenAI's wire: "stream_options": {"include_usage": True} in each request for a stream
    """,
    link=_EVENTS,
    needs=("answer", "streaming"),
)
def events_inside_a_chain(subject: Subject) -> None:
    """Invoke it within a function of a chain, in both ways; collect the chain's events."""
    alone = subject.ask(reporting(subject)).answer.usage_metadata
    methods = ("invoke", "ainvoke") if "stream" in streams_by(subject) else ("ainvoke",)
    for method in methods:
        which = f"{method} inside a chain, astream_events"
        node = _node(reporting(subject), method)
        events = _of_the_outermost(run(_events_of(RunnableLambda(node), subject.prompt, "v2"), alone=False), 1)
        if not any(event["event"] == STREAM for event in events):
            raise Failed(f"{which}: the events are {_brief([event['event'] for event in events])}", f"some {STREAM}")
        _check_one_run(which, events)
        usage = getattr(_output(which, events), "usage_metadata", None)
        if not same_usage(subject, usage, alone):
            raise Failed(f"{which}: the output reports {in_words(usage)}", f"{in_words(alone)}, as by invoke alone")


def _node(model: Any, method: str) -> Any:
    """A function that invokes the model."""

    async def by_ainvoke(given: Any, config: RunnableConfig) -> Any:
        return await model.ainvoke(given, config)

    async def by_invoke(given: Any, config: RunnableConfig) -> Any:
        return await asyncio.to_thread(model.invoke, given, config)

    return by_ainvoke if method == "ainvoke" else by_invoke


@statement(
    "F13",
    "`astream_events` of version 1 and `astream_log` show the whole answer.",
    why="Older applications are made of them.",
    hint="""
    # both read `astream`: leave it as langchain-core has it. Where you override it, yield AIMessageChunks, which can
    # be added up, and hand `config` on, by which these two listen
    """,
    link="https://reference.langchain.com/python/langchain-core/runnables/base/Runnable/astream_log",
    needs=("answer",),
)
def older_events(subject: Subject) -> None:
    """Collect both, and compare the last of each with what was streamed."""
    try:
        events = run(_events_of(subject.model(), subject.prompt, "v1"), alone=False)
    except Exception as error:
        raise Failed(f"astream_events(version='v1') raised {shown(error)}", "the events of the answer") from error
    first = events[0]["run_id"] if events else None  # version 1 does not say whose child a run is
    _check_one_run("astream_events(version='v1')", [event for event in events if event["run_id"] == first])
    try:
        state = run(_logged(subject.model(), subject.prompt), alone=False)
    except Exception as error:
        raise Failed(f"astream_log raised {shown(error)}", "a log that ends with the answer") from error
    final = state.get("final_output")
    streamed = "".join(str(getattr(one, "text", one)) for one in state.get("streamed_output", ()))
    if not isinstance(final, BaseMessage):
        raise Failed(f"astream_log: the final output is {final!r:.80}", "the message")
    if not streamed or str(final.text) != streamed:
        raise Failed(f"astream_log: it streamed {streamed!r}, and ends with {str(final.text)!r}", "the same text")


async def _logged(model: Any, given: Any) -> Mapping[str, Any]:
    log: Any = None
    async for patch in model.astream_log(given):
        log = patch if log is None else log + patch
    return {} if log is None else dict(log.state)


# --- version 3 ---

_V3_HINT = """
def _stream(self, messages, stop=None, run_manager=None, **kwargs):
    for piece in pieces:                        # text alone: one block; an index only where there are several
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    yield ChatGenerationChunk(message=AIMessageChunk(   # the rest, once: what `_generate` says, too
        content="", usage_metadata=usage, chunk_position="last",
        response_metadata={"model_name": self.model_name, "finish_reason": "stop"},
    ))
"""

_KEPT = ("model_name", "finish_reason", "stop_reason")
"""What the metadata have to say of an answer, whichever of it they say."""

_V3 = "https://docs.langchain.com/oss/python/langchain/streaming"


@statement(
    "F14",
    "`stream_events` of version 3 is a valid stream: one text block that grows by pieces, with the text, usage, model "
    "name and finish reason that `invoke` gives.",
    why="It is what new user interfaces and LangGraph read.",
    hint=_V3_HINT,
    link=_V3,
    needs=("answer", "streaming"),
)
def events_of_version_3(subject: Subject) -> str:
    """Collect the events of one call, and compare the message with that of `invoke`."""
    with beta_allowed():
        stream = reporting(subject).stream_events(subject.prompt, version="v3")
        events = list(stream)
        message = stream.output
    return _check_version_3(subject, "v3", events, message)


def _check_version_3(subject: Subject, path: Literal["v3", "av3"], events: list[Any], message: AIMessage) -> str:
    if wrong := broken_rule(events):
        raise Failed(f"{path}: {wrong}", "a valid stream of events")
    texts = finished_blocks(events, "text")
    if len(texts) != 1:
        raise Failed(f"{path}: the text came in {len(texts)} blocks", "one text block")
    _check_like_invoke(subject, path, message)
    pieces = len(text_deltas(events))
    twin = streams_by(subject)[0 if path == "v3" else -1]
    streamed = [chunk for chunk in subject.ask(reporting(subject), None, twin).chunks if chunk.text]
    if pieces < 2 <= len(streamed):
        raise Failed(
            f"{path}: the text came in {pieces} piece, and by {twin} in {len(streamed)}", "more than one delta"
        )
    return f"{pieces} deltas"


def _check_like_invoke(subject: Subject, path: str, message: AIMessage) -> None:
    """The message's text, usage, model and finish reason are those of `invoke`."""
    whole = subject.ask(reporting(subject)).answer
    text = SPOKEN if subject.lacks("replies") is None else subject.answer()
    if str(message.text) != text:
        raise Failed(f"{path}: the output's text is {str(message.text)!r}", repr(text))
    used, usage = whole.usage_metadata, message.usage_metadata
    if not same_usage(subject, usage, used):
        raise Failed(f"{path}: the output reports {in_words(usage)}", f"{in_words(used)}, as by invoke")
    for name in _KEPT:
        expected, found = whole.response_metadata.get(name), message.response_metadata.get(name)
        if found != expected:
            raise Failed(f"{path}: response_metadata[{name!r}] is {found!r}", f"{expected!r}, as by invoke")


@statement(
    "F15",
    "`astream_events` of version 3 is as valid as the synchronous one, and `aclose()` ends its run.",
    why="A client that goes must not leave a run that never ends, and an answer that is paid for and read by nobody.",
    hint=f"""
    {_V3_HINT.strip().replace("def _stream", "async def _astream")}
    # and let asyncio.CancelledError through: whoever catches it raises it again
    """,
    link=_V3,
    needs=("answer", "streaming"),
)
def async_events_of_version_3(subject: Subject) -> str:
    """Collect the events of one call; then close another one behind its first piece."""
    told = _check_version_3(subject, "av3", *run(_collected(reporting(subject), subject.prompt), alone=False))
    slow = subject.lacks("pace") is None
    model = subject.says(Reply(text="one two three four five six seven eight", pace=0.3)) if slow else subject.model()
    recorder = Recorder()
    run(_left(model, subject.prompt, recorder), alone=False)
    kinds = own_kinds(recorder)
    if kinds != ["start", "error"] and (slow or kinds != ["start", "end"]):
        raise Failed(f"av3: aclose() behind the first piece, and handlers were told {kinds}", "['start', 'error']")
    return told


async def _collected(model: Any, given: Any) -> tuple[list[Any], AIMessage]:
    with beta_allowed():
        async with await model.astream_events(given, version="v3") as stream:
            events = [event async for event in stream]
            return events, await stream.output


async def _left(model: Any, given: Any, recorder: Recorder) -> None:
    with beta_allowed():
        stream = await model.astream_events(given, {"callbacks": [recorder]}, version="v3")
        async for _ in stream.text:
            break
        await stream.aclose()


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiplies two numbers."""
    return a * b


_CALLS = (
    Call(name="add", args={"a": 1, "b": 2}, id="call_1", cut=0),
    Call(name="multiply", args={"a": 3, "b": 4}, id="call_2", cut=0),
)


@statement(
    "F17",
    "Parallel tool calls stay apart in version 3 of the events, each in its own chunk as they come.",
    why="langchain-core tells blocks without an index apart by their place in a chunk: of two calls in two chunks, one "
    "is lost, or both become one that is invalid.",
    hint="""
    # AIMessageChunk(tool_calls=[...]) has no index: give pieces, and each call a number, behind that of the text
    for number, call in enumerate(calls, start=1):
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[
            tool_call_chunk(name=call.name, args=json.dumps(call.args), id=call.id, index=number),
        ]))
    """,
    link="https://github.com/langchain-ai/langchain/issues/40392",
    needs=("tools", "streaming", "replies"),
)
def parallel_calls_stay_apart(subject: Subject) -> None:
    """Have it call two tools at once, and compare the output's calls with those that were made."""
    wanted = [(call.name, call.args) for call in _CALLS]
    for outcome in subject.each_path(lambda: _with_tools(subject), paths=("v3", "av3")):
        path, message = outcome.path, outcome.answer
        found = [(call["name"], call["args"]) for call in message.tool_calls]
        if found != wanted:
            invalid = [(call["name"], call["args"]) for call in message.invalid_tool_calls]
            beside = f", invalid_tool_calls {invalid}" if invalid else ""
            raise Failed(f"{path}: tool_calls are {found}{beside}", str(wanted))
        if len({call["id"] for call in message.tool_calls}) != len(wanted):
            raise Failed(
                f"{path}: the calls have the ids {[call['id'] for call in message.tool_calls]}", "one for each"
            )


def _with_tools(subject: Subject) -> Any:
    model: Any = subject.says(Reply(calls=_CALLS))
    return model.bind_tools([add, multiply])
