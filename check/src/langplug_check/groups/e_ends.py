"""Group E: streaming. How a stream ends: left early, broken off, or never begun."""

import asyncio
import time
from contextlib import aclosing, closing
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGeneration

from langplug_backend import Fault, Reply
from langplug_check.groups._streams import first_text, first_text_async, streaming_paths
from langplug_check.paths import PathName, error_text
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Failed, NotApplicable

_API = "https://reference.langchain.com/python/langchain-core/language_models/chat_models/BaseChatModel"

# --- leaving early ---

_LONG = Reply(text=" ".join(["word"] * 80), pace=0.05)
"""Four seconds of speech."""

_PROMPT_S = 2.0
"""Seconds within which what was closed must be over: half of the speech, since the machine may be busy."""

_CLOSE_HINT = """
def _stream(self, messages, stop=None, run_manager=None, **kwargs):
    response = self._client.send(..., stream=True)
    try:
        for line in response.iter_lines():
            yield ...
    finally:                # runs as soon as the stream is closed
        response.close()    # in `_astream`: await response.aclose()
"""


@statement(
    "E08",
    "`close()` of a stream returns promptly, ends the run in callbacks, and stops the backend.",
    why="When a user presses Stop, nobody wants to wait for the rest, nor to pay for it.",
    hint=_CLOSE_HINT,
    needs=("answer", "streaming"),
)
def closes(subject: Subject) -> str:
    """Close a stream of four seconds after its first text; look at the clock, at callbacks, and at the backend."""
    if "stream" not in subject.streams:
        raise NotApplicable("it streams only asynchronously: see E09")
    model, recorder = _talking_model(subject), Recorder()
    with closing(model.stream(subject.prompt, {"callbacks": [recorder]})) as stream:
        first_text(stream)
        began = time.monotonic()
    _check_run_ended("close()", time.monotonic() - began, recorder)
    return _check_backend_stopped("close()", subject)


@statement(
    "E09",
    "`aclose()` of an asynchronous stream returns promptly, ends the run in callbacks, and stops the backend.",
    why="When a client disconnects, nobody wants to wait for the rest, nor to pay for it.",
    hint=_CLOSE_HINT,
    needs=("answer", "streaming"),
)
async def closes_async(subject: Subject) -> str:
    """Close an asynchronous stream of four seconds after its first text; look at the same three."""
    model, recorder = _talking_model(subject), Recorder()
    # Closing while the model waits for the next word is the hard case: langchain-core's own `_astream` sits in a thread
    # then, which nothing interrupts; an upstream was seen to close 2.7 s later, only when the next token came.
    async with aclosing(model.astream(subject.prompt, {"callbacks": [recorder]})) as stream:
        await first_text_async(stream)
        began = time.monotonic()
    _check_run_ended("aclose()", time.monotonic() - began, recorder)
    return await asyncio.to_thread(_check_backend_stopped, "aclose()", subject)


def _talking_model(subject: Subject) -> Any:
    return subject.model() if subject.lacks("pace") else subject.says(_LONG)


def _check_run_ended(call: str, seconds: float, recorder: Recorder) -> None:
    if seconds > _PROMPT_S:
        raise Failed(f"{call} returned after {seconds:.1f} s, in which nobody listened", "at once")
    # langchain-core reports a closed generator to `on_llm_error`, as GeneratorExit; a model may also end it well.
    if len(recorder.kinds) != 2:
        seen = ", ".join(recorder.kinds) or "nothing"
        raise Failed(f"after {call}, callbacks had seen: {seen}", "a start, and one end or error")


def _check_backend_stopped(call: str, subject: Subject) -> str:
    if subject.lacks("pace") or subject.lacks("requests"):
        return "the run ends at once; what becomes of the request cannot be seen"
    (exchange,) = subject.exchanges
    subject.wait_for(lambda: exchange.outcome, _PROMPT_S)
    if exchange.outcome != "client_gone":
        what = "the answer was still being sent" if exchange.outcome is None else "the whole answer had been sent"
        raise Failed(f"{_PROMPT_S:g} s after {call}, {what}", "the backend is told that nobody listens")
    return f"stopped when {exchange.pieces_sent} of {len(_LONG.in_pieces())} words were sent"


# --- breaking off ---

_SIX = "One two three four five six."

# Three, since another part has to notice each: the socket, the HTTP client and, where the body ends well and only the
# API's own end marker is missing, the class itself.
_SILENT: dict[str, Fault] = {
    "the connection is reset": Fault.reset(after=3),
    "the body breaks off": Fault.cut(after=3),
    "the body ends, without finish reason and end marker": Fault.truncate(after=3),
}


@statement(
    "E10",
    "An answer that breaks off is an error: it is raised, `on_llm_error` is called once and with the text so far, and "
    "half an answer never passes for a whole one.",
    rank="must",
    why="Half a summary, half a JSON document or half a decision looks whole to everything that comes after.",
    hint="""
    finish = None
    for event in events:
        finish = event.get("finish_reason") or finish
        yield ...
    if finish is None:      # the stream ended, and the answer did not
        raise ModelConnectionError("the answer broke off")
    # and let exceptions of the client through: no `except: return` around the loop
    """,
    needs=("faults", "streaming"),
)
def breaks_off(subject: Subject) -> None:
    """Break an answer off after three words, in each way that there is, and read it by every streaming path."""
    over_a_wire = not subject.lacks("backend")
    for how, fault in _SILENT.items():
        if fault.kind != "reset" and not over_a_wire:
            continue  # to a function in this process, all of them are one
        for path in streaming_paths(subject) if fault.kind == "reset" else subject.streams:
            which = f"{path}: {how} after three words" if over_a_wire else path
            model = subject.suffers(fault, Reply(text=_SIX, pace=0.02))
            if path in ("v3", "av3"):
                outcome = subject.ask(model, None, path)
                _check_error(which, outcome.error, outcome.text, outcome.recorder)
                continue
            recorder, chunks = Recorder(), list[Any]()
            error = _read_to_error(subject, model, path, recorder, chunks)
            text = "".join(str(chunk.text) for chunk in chunks)
            _check_error(which, error, text, recorder)
            # langchain-core passes the sum of the chunks so far as `response`, and after it what the error's own HTTP
            # response says: traces and resumption rely on it.
            response = recorder.of("error")[0].more.get("response")
            generations = [one for several in getattr(response, "generations", []) for one in several]
            partial = "".join(one.text for one in generations if isinstance(one, ChatGeneration) and one.text)
            if partial != text:
                raise Failed(
                    f"{which}: the stream gave {text!r} until the error, and on_llm_error got {partial!r}", "the same"
                )


def _read_to_error(
    subject: Subject, model: Any, path: PathName, recorder: Recorder, chunks: list[Any]
) -> Exception | None:
    """Read a stream into `chunks`, which keeps those before an error; the error, if there is one."""

    async def read() -> None:
        async for chunk in model.astream(subject.prompt, {"callbacks": [recorder]}):
            chunks.append(chunk)  # noqa: PERF401 - a comprehension would lose those before the error

    try:
        if path == "astream":
            run(read(), alone=False)
        else:
            chunks.extend(model.stream(subject.prompt, {"callbacks": [recorder]}))
    except Failed:
        raise
    except Exception as error:  # noqa: BLE001 - it is what is to be seen
        return error
    return None


def _check_error(which: str, error: BaseException | None, text: str, recorder: Recorder) -> None:
    if error is None:
        raise Failed(f"{which}: no error, and {text!r} is given as the whole answer", "an error")
    if recorder.kinds != ["start", "error"]:
        raise Failed(f"{which}: {error_text(error)}; callbacks saw {', '.join(recorder.kinds)}", "start, error")


# --- switched off ---


@statement(
    "E11",
    "With `disable_streaming=True` a stream is one message, and the backend is not asked to stream.",
    rank="could",
    why="The switch is there for servers and gateways whose streaming is broken.",
    hint="""
    # ask for a stream in `_stream` and `_astream` only; `_generate` and `_agenerate` ask for a whole answer
    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        answer = self._client.chat(..., stream=False)
    """,
    link=f"{_API}/disable_streaming",
    needs=("answer", "streaming"),
)
def not_streamed(subject: Subject) -> str:
    """Stream with a model whose streaming is disabled; count the chunks, and look at the request."""
    for path in subject.streams:
        outcome = subject.ask(subject.model(disable_streaming=True), None, path)
        outcome.answer  # noqa: B018 - an error here is a failure
        if len(outcome.chunks) != 1:
            raise Failed(f"{path} gave {len(outcome.chunks)} chunks", "one message")
        if not subject.lacks("requests") and any(exchange.streaming for exchange in subject.exchanges):
            raise Failed(f"{path} gave one message, and asked for a stream to get it", "a request for a whole answer")
    return "one message; the request cannot be seen" if subject.lacks("requests") else "not asked to stream"


@statement(
    "E11b",
    "What `stream` yields where nothing is streamed is an `AIMessageChunk` all the same.",
    rank="could",
    why="Code that adds chunks gets a `ChatPromptTemplate` as the sum of two messages, and no error.",
    hint="""
    # langchain-core yields what `invoke` returns: overriding `stream` and `astream` is the only cure
    def stream(self, input, config=None, *, stop=None, **kwargs):
        for chunk in super().stream(input, config, stop=stop, **kwargs):
            yield chunk if isinstance(chunk, AIMessageChunk) else AIMessageChunk(
                **chunk.model_dump(exclude={"type"}), chunk_position="last")
    # in `astream`, so that the inner stream is closed with the outer one, see E09:
        async with aclosing(super().astream(input, config, stop=stop, **kwargs)) as chunks:
            async for chunk in chunks: ...
    """,
    link=f"{_API}/stream",
    needs=("answer",),
    blame="langchain-core",
)
def still_a_chunk(subject: Subject) -> None:
    """Stream with a model whose streaming is disabled, by `stream` and `astream`; look at the types."""
    # `BaseChatModel.stream` casts the message of `invoke` to AIMessageChunk for the type checker alone.
    for path in ("stream", "astream"):
        outcome = subject.ask(subject.model(disable_streaming=True), None, path)
        outcome.answer  # noqa: B018 - an error here is a failure
        others = {type(chunk).__name__ for chunk in outcome.chunks if not isinstance(chunk, AIMessageChunk)}
        if others:
            raise Failed(f"with disable_streaming=True, {path} gave {', '.join(others)}", "AIMessageChunk")
