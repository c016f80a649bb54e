"""Group F: events. What `astream_events`, `astream_log` and version 3 of the events show of an answer."""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda

from langplug_backend import Call, Reply
from langplug_check.groups._lifecycle import broken_rule, finished_blocks, text_deltas
from langplug_check.groups._runs import own_kinds
from langplug_check.groups._streams import event_paths
from langplug_check.groups._tools import add, multiply
from langplug_check.groups._usage import SPOKEN, is_same_usage, reporting_model, usage_text
from langplug_check.paths import allow_beta, error_text
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable

_EVENTS = "https://reference.langchain.com/python/langchain-core/runnables/base/Runnable/astream_events"

START, STREAM, END = "on_chat_model_start", "on_chat_model_stream", "on_chat_model_end"

# --- versions 1 and 2 ---


async def _model_events(runnable: Any, given: Any, version: Literal["v1", "v2"]) -> list[Mapping[str, Any]]:
    """The events of chat models."""
    events = [event async for event in runnable.astream_events(given, version=version)]
    return [event for event in events if event["event"].startswith("on_chat_model_")]


def _at_depth(events: Sequence[Mapping[str, Any]], depth: int) -> list[Mapping[str, Any]]:
    """The events with this many parents: those of the model itself, not of a model that it asks."""
    return [event for event in events if len(event["parent_ids"]) == depth]


def _check_one_run(which: str, events: Sequence[Mapping[str, Any]]) -> BaseMessage:
    """Fail unless these are a start, chunks and an end of one run, and the chunks join to the output; the output."""
    kinds = [event["event"] for event in events]
    if kinds[:1] != [START] or kinds[-1:] != [END] or set(kinds[1:-1]) - {STREAM}:
        raise Failed(f"{which}: the events are {_kinds_text(kinds)}", f"{START}, any number of {STREAM}, {END}")
    if len({event["run_id"] for event in events}) != 1:
        raise Failed(f"{which}: the events are of {len({event['run_id'] for event in events})} runs", "one run")
    chunks = [event["data"].get("chunk") for event in events[1:-1]]
    if odd := [chunk for chunk in chunks if not isinstance(chunk, BaseMessage)]:
        raise Failed(f"{which}: {STREAM} has the chunk {odd[0]!r:.80}", "a chunk of the message")
    output = events[-1]["data"].get("output")
    if not isinstance(output, BaseMessage):
        raise Failed(f"{which}: {END} has the output {output!r:.80}", "the message")
    streamed, text = "".join(str(chunk.text) for chunk in chunks), str(output.text)
    if streamed != text:
        raise Failed(f"{which}: the chunks join to {streamed!r}, and the output is {text!r}", "the same text")
    return output


def _kinds_text(kinds: Sequence[str]) -> str:
    """Such as `"start, 3 x stream, end"`."""
    runs = [(kind, len(list(group))) for kind, group in groupby(kinds)]
    return ", ".join(kind if count == 1 else f"{count} x {kind}" for kind, count in runs) or "none"


@statement(
    "F11",
    "`astream_events` of version 2 shows a start, the answer in several pieces, and an end, of one run, and the pieces "
    "join to the output.",
    why="LangServe and user interfaces show these events.",
    hint="""
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for piece in pieces:                    # one chunk for each piece, as it arrives
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    """,
    link=_EVENTS,
    needs=("answer", "streaming"),
)
def events_of_version_2(subject: Subject) -> str:
    """Collect the events of one call."""
    events = _at_depth(run(_model_events(subject.model(), subject.prompt, "v2"), alone=False), 0)
    _check_one_run("astream_events", events)
    pieces = len(events) - 2
    if pieces < 2:
        raise Failed(f"astream_events: the answer came in {pieces} piece", "at least 2")
    return f"{pieces} pieces"


@statement(
    "F12",
    "A model that is only invoked inside a chain streams into the chain's events: once, and with its usage.",
    why="Most nodes of a LangGraph are written this way, and users expect to see their answers as they arrive.",
    hint="""
    # leave invoke and ainvoke as langchain-core has them: if somebody listens to events, they call `_stream`.
    # So `_stream` must report what `_generate` does (usage too), and call no callback.
    # For OpenAI-compatible servers: "stream_options": {"include_usage": True} in each request for a stream
    """,
    link=_EVENTS,
    needs=("answer", "streaming"),
)
def events_inside_a_chain(subject: Subject) -> None:
    """Invoke it within a function of a chain, in both ways; collect the chain's events."""
    alone = subject.ask(reporting_model(subject)).answer.usage_metadata
    # `BaseChatModel._should_stream` makes `invoke` read `_stream` when a streaming handler is attached. Without a
    # synchronous `_stream`, only `ainvoke` does.
    methods = ("invoke", "ainvoke") if "stream" in subject.streams else ("ainvoke",)
    for method in methods:
        model = reporting_model(subject)

        async def node(given: Any, config: RunnableConfig, method: str = method, model: Any = model) -> Any:
            if method == "ainvoke":
                return await model.ainvoke(given, config)
            return await asyncio.to_thread(model.invoke, given, config)

        which = f"{method} inside a chain, astream_events"
        events = _at_depth(run(_model_events(RunnableLambda(node), subject.prompt, "v2"), alone=False), 1)
        if not any(event["event"] == STREAM for event in events):
            kinds = [event["event"] for event in events]
            raise Failed(f"{which}: the events are {_kinds_text(kinds)}", f"some {STREAM}")
        usage = getattr(_check_one_run(which, events), "usage_metadata", None)
        if not is_same_usage(subject, usage, alone):
            raise Failed(f"{which}: the output reports {usage_text(usage)}", f"{usage_text(alone)}, as invoke alone")


@statement(
    "F13",
    "`astream_events` of version 1 and `astream_log` show the whole answer.",
    rank="could",
    why="Older applications are built on them.",
    hint="""
    # both read `astream`: leave it as langchain-core has it. If you override it, yield AIMessageChunks, which can be
    # added up, and pass `config` on, through which these two listen
    """,
    link="https://reference.langchain.com/python/langchain-core/runnables/base/Runnable/astream_log",
    needs=("answer",),
)
def older_events(subject: Subject) -> None:
    """Collect both, and compare the last of each with what was streamed."""
    try:
        events = run(_model_events(subject.model(), subject.prompt, "v1"), alone=False)
    except Exception as error:
        raise Failed(f"astream_events(version='v1') raised {error_text(error)}", "the events of the answer") from error
    # Version 1 has no `parent_ids`: the first run is the model's own.
    first = events[0]["run_id"] if events else None
    _check_one_run("astream_events(version='v1')", [event for event in events if event["run_id"] == first])

    async def read_log() -> Mapping[str, Any]:
        # A log is the sum of its patches, as JSON Patch operations.
        log: Any = None
        async for patch in subject.model().astream_log(subject.prompt):
            log = patch if log is None else log + patch
        return {} if log is None else dict(log.state)

    try:
        state = run(read_log(), alone=False)
    except Exception as error:
        raise Failed(f"astream_log raised {error_text(error)}", "a log that ends with the answer") from error
    final = state.get("final_output")
    streamed = "".join(str(getattr(one, "text", one)) for one in state.get("streamed_output", ()))
    if not isinstance(final, BaseMessage):
        raise Failed(f"astream_log: the final output is {final!r:.80}", "the message")
    if not streamed or str(final.text) != streamed:
        raise Failed(f"astream_log: it streamed {streamed!r}, and ends with {str(final.text)!r}", "the same text")


# --- version 3 ---

_V3_HINT = """
def _stream(self, messages, stop=None, run_manager=None, **kwargs):
    for piece in pieces:                        # text only: one block; an index only if there are several blocks
        yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    yield ChatGenerationChunk(message=AIMessageChunk(   # the rest, once: what `_generate` reports, too
        content="", usage_metadata=usage, chunk_position="last",
        response_metadata={"model_name": self.model_name, "finish_reason": "stop"},
    ))
"""

_V3 = "https://docs.langchain.com/oss/python/langchain/streaming"


@statement(
    "F14",
    "`stream_events` of version 3 is a valid stream: one text block that grows by pieces, with the text, usage, model "
    "name and finish reason that `invoke` gives.",
    why="New user interfaces and LangGraph read it.",
    hint=_V3_HINT,
    link=_V3,
    needs=("answer", "streaming"),
)
def events_of_version_3(subject: Subject) -> str:
    """Collect the events of one call, and compare the message with that of `invoke`."""
    if "v3" not in subject.paths:
        raise NotApplicable("it streams only asynchronously: see F15")
    with allow_beta():
        stream = reporting_model(subject).stream_events(subject.prompt, version="v3")
        events = list(stream)
        message = stream.output
    return _check_version_3(subject, "v3", events, message)


def _check_version_3(subject: Subject, path: Literal["v3", "av3"], events: list[Any], message: AIMessage) -> str:
    """Fail unless the events are valid and the message is that of `invoke`; how many deltas there were."""
    if wrong := broken_rule(events):
        raise Failed(f"{path}: {wrong}", "a valid stream of events")
    blocks = len(finished_blocks(events, "text"))
    if blocks != 1:
        raise Failed(f"{path}: the text came in {blocks} blocks", "one text block")
    # langchain-core bridges `_stream` to events (`_compat_bridge`), and builds the message from these anew: text, usage
    # and metadata go another way than in `stream`.
    whole = subject.ask(reporting_model(subject)).answer
    text = subject.answer() if subject.lacks("replies") else SPOKEN
    if str(message.text) != text:
        raise Failed(f"{path}: the output's text is {str(message.text)!r}", repr(text))
    if not is_same_usage(subject, message.usage_metadata, whole.usage_metadata):
        found, expected = usage_text(message.usage_metadata), usage_text(whole.usage_metadata)
        raise Failed(f"{path}: the output reports {found}", f"{expected}, as invoke does")
    for name in ("model_name", "finish_reason", "stop_reason"):
        wanted, given = whole.response_metadata.get(name), message.response_metadata.get(name)
        if given != wanted:
            raise Failed(f"{path}: response_metadata[{name!r}] is {given!r}", f"{wanted!r}, as by invoke")
    pieces = len(text_deltas(events))
    twin = subject.streams[0 if path == "v3" else -1]
    streamed = [chunk for chunk in subject.ask(reporting_model(subject), None, twin).chunks if chunk.text]
    # An answer that `stream` gives in one piece, too, is for E01.
    if pieces < 2 <= len(streamed):
        raise Failed(f"{path}: the text came in {pieces} piece, by {twin} in {len(streamed)}", "more than one delta")
    return f"{pieces} deltas"


@statement(
    "F15",
    "`astream_events` of version 3 is as valid as the synchronous one, and `aclose()` ends its run.",
    why="A client that leaves must not leave behind a run that never ends, and an answer that is paid for and never "
    "read.",
    hint=f"""
    {_V3_HINT.strip().replace("def _stream", "async def _astream")}
    # and let asyncio.CancelledError through: code that catches it must raise it again
    """,
    link=_V3,
    needs=("answer", "streaming"),
)
def async_events_of_version_3(subject: Subject) -> str:
    """Collect the events of one call; then close another one after its first piece."""

    async def collect(model: Any) -> tuple[list[Any], AIMessage]:
        with allow_beta():
            async with await model.astream_events(subject.prompt, version="v3") as stream:
                return [event async for event in stream], await stream.output

    async def leave(model: Any, recorder: Recorder) -> None:
        with allow_beta():
            stream = await model.astream_events(subject.prompt, {"callbacks": [recorder]}, version="v3")
            async for _ in stream.text:
                break
            await stream.aclose()

    summary = _check_version_3(subject, "av3", *run(collect(reporting_model(subject)), alone=False))
    is_slow = not subject.lacks("pace")
    slow = Reply(text="one two three four five six seven eight", pace=0.3)
    recorder = Recorder()
    run(leave(subject.says(slow) if is_slow else subject.model(), recorder), alone=False)
    kinds = own_kinds(recorder)
    # A fast answer may be over by the time the stream is closed: then an end is right.
    if kinds != ["start", "error"] and (is_slow or kinds != ["start", "end"]):
        raise Failed(f"av3: after aclose() at the first piece, handlers were called with {kinds}", "['start', 'error']")
    return summary


_CALLS = (
    Call(name="add", args={"a": 1, "b": 2}, id="call_1", cut=0),
    Call(name="multiply", args={"a": 3, "b": 4}, id="call_2", cut=0),
)


@statement(
    "F17",
    "Parallel tool calls stay apart in version 3 of the events, each in its own chunk as they arrive.",
    why="langchain-core tells blocks without an index apart by their place in a chunk: of two calls in two chunks, one "
    "is lost, or both become one invalid call.",
    hint="""
    # AIMessageChunk(tool_calls=[...]) has no index: yield pieces, and number the calls, starting after the text
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

    def make() -> Any:
        model: Any = subject.says(Reply(calls=_CALLS))
        return model.bind_tools([add, multiply])

    # `_iter_protocol_blocks` takes (type, position in the chunk) for the identity of a block without an index, and the
    # first call of every chunk has the same.
    wanted = [(call.name, call.args) for call in _CALLS]
    for outcome in subject.each_path(make, paths=event_paths(subject)):
        path, message = outcome.path, outcome.answer
        found = [(call["name"], call["args"]) for call in message.tool_calls]
        if found != wanted:
            invalid = [(call["name"], call["args"]) for call in message.invalid_tool_calls]
            also = f", invalid_tool_calls {invalid}" if invalid else ""
            raise Failed(f"{path}: tool_calls are {found}{also}", str(wanted))
        ids = [call["id"] for call in message.tool_calls]
        if len(set(ids)) != len(wanted):
            raise Failed(f"{path}: the calls have the ids {ids}", "an id for each")
