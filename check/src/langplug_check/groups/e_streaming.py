"""Group E: streaming. The chunks, and when they arrive. `e_ends` is about the end of a stream, `e_parity` its sum."""

from collections.abc import Iterator
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, HumanMessage

from langplug_backend import Reply
from langplug_check.groups._streams import first_text, first_text_async, kinds_of_answers, streamed_chunks
from langplug_check.paths import PathName, collect_stream, error_text
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Advisory, Failed, NotObserved

# --- the chunks ---


@statement(
    "E01",
    "A stream yields only `AIMessageChunk`s, and more than one of them has text.",
    why="A message is not a chunk: adding two messages makes a prompt template. And a stream of one chunk is not a "
    "stream: users wait for the whole answer.",
    hint="""
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for piece in self._pieces(messages, stop):      # as they arrive, not once they are all there
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    """,
    needs=("answer", "streaming"),
)
def only_chunks(subject: Subject) -> str:
    """Stream an answer of several words; look at the types of the chunks, and at how many have text."""
    seen = []
    for path, chunks in streamed_chunks(subject, subject.model):
        others = {type(chunk).__name__ for chunk in chunks if not isinstance(chunk, AIMessageChunk)}
        if others:
            raise Failed(f"{path} gave {', '.join(sorted(others))}", "AIMessageChunk only")
        with_text = [chunk for chunk in chunks if chunk.text]
        if len(with_text) < 2:
            text = "".join(str(chunk.text) for chunk in chunks)
            if len(text.split()) < 2:
                raise NotObserved(f"its answer, {text!r}, is too short to come in pieces")
            raise Failed(f"{path} gave {text!r} in one chunk", "a chunk for each piece, as it arrives")
        seen.append(f"{path}: {len(with_text)} chunks with text")
    return ", ".join(seen)


_LAST_HINT = """
# once, at the very end
yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))
"""


@statement(
    "E02",
    "Exactly one chunk has `chunk_position='last'`, and it is the last one.",
    why="The pieces of tool calls are put together when it arrives: if that is too early, arguments are cut off.",
    hint=_LAST_HINT,
    needs=("answer", "streaming"),
)
def one_last_chunk(subject: Subject) -> None:
    """Stream text, and a tool call where that is possible, and look at the chunks' positions."""
    # langchain-tests looks at the last chunk alone, which a model that marks every chunk passes. `AIMessageChunk`
    # finalises the calls of whatever sum has the mark.
    for kind, make in kinds_of_answers(subject):
        for path, chunks in streamed_chunks(subject, make):
            marked = [at for at, chunk in enumerate(chunks, start=1) if _position(chunk) == "last"]
            if marked != [len(chunks)]:
                numbers = f"{len(marked)}: number {', '.join(map(str, marked[:6]))}" if marked else "none"
                raise Failed(
                    f"{path}, {kind}: of {len(chunks)} chunks, those marked as last are {numbers}",
                    f"number {len(chunks)} only",
                )


def _position(chunk: Any) -> Any:
    return getattr(chunk, "chunk_position", None)


@statement(
    "E02b",
    "The model's own `_stream` marks its final chunk.",
    rank="could",
    why="Otherwise langchain-core appends an empty chunk, one more event for everyone; and code that reads `_stream` "
    "itself, as wrappers do, sees no end.",
    hint=_LAST_HINT,
    needs=("answer", "streaming"),
)
def marks_its_own(subject: Subject) -> None:
    """Call `_stream` and `_astream`, those of them that the class implements, and look at the last chunk of each."""
    # Not through `stream`: langchain-core adds the mark there, to an empty chunk of its own.
    for name, chunks in _hook_chunks(subject):
        if not chunks or _position(chunks[-1]) != "last":
            raise Advisory(
                f"the last of {name}'s {len(chunks)} chunks has no mark, so langchain-core adds an empty one"
            )


def _hook_chunks(subject: Subject, manager: Any = None, amanager: Any = None) -> Iterator[tuple[str, list[Any]]]:
    """The chunks of the class's own `_stream` and `_astream`, called as langchain-core calls them."""
    given = [HumanMessage(subject.prompt)]
    if subject.overrides("_stream"):
        kwargs = {"run_manager": manager} if manager else {}
        model: Any = subject.model()
        yield "_stream", [chunk.message for chunk in model._stream(given, **kwargs)]  # noqa: SLF001 - documented hook
    if subject.overrides("_astream"):
        akwargs = {"run_manager": amanager} if amanager else {}
        amodel: Any = subject.model()

        async def read() -> list[Any]:
            return [chunk.message async for chunk in amodel._astream(given, **akwargs)]  # noqa: SLF001 - documented hook

        yield "_astream", run(read(), alone=False)


@statement(
    "E03",
    "All chunks of an answer share one id, which their sum keeps and no other answer has.",
    why="LangGraph and user interfaces merge chunks by id: another id is another message.",
    hint="""
    AIMessageChunk(content=piece)   # leave `id` out: langchain-core gives all chunks of a run the same id
    # a provider's id must be on every chunk, the one with chunk_position="last" included
    """,
    needs=("answer", "streaming"),
)
def one_id(subject: Subject) -> None:
    """Stream each kind of answer twice with one model, and compare the ids."""
    for kind, make in kinds_of_answers(subject):
        for path in subject.streams:
            model, which = make(), f"{path}, {kind}"
            seen = set[str]()
            for outcome in (subject.ask(model, None, path) for _ in range(2)):
                message = outcome.answer
                # The chunks' ids, not that of their sum alone: user interfaces have shown a message for each chunk,
                # langgraphjs#798 and lc#39233.
                ids = list(dict.fromkeys(chunk.id for chunk in outcome.chunks))
                if len(ids) != 1 or not ids[0]:
                    raise Failed(f"{which}: {len(outcome.chunks)} chunks have the ids {ids[:3]!r}", "one id for all")
                if message.id != ids[0]:
                    raise Failed(f"{which}: the chunks have the id {ids[0]!r}, their sum {message.id!r}", "the same")
                if ids[0] in seen:
                    raise Failed(f"{which}: two answers have the same id, {ids[0]!r}", "an id for each")
                seen.add(ids[0])


# --- as they arrive ---

_SLOW = Reply(text=" ".join(["word"] * 30), pace=0.1)
"""Three seconds of speech. A model that yields each word as it arrives yields the first after 0.1 s."""


@statement(
    "E13",
    "The first chunk arrives while the answer is still being generated, synchronously and asynchronously.",
    why="A stream that is handed over at its end is not a stream: users look at an empty screen.",
    hint="""
    # no list in between: `for line in response.iter_lines()`, not `for line in response.text.splitlines()`
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        with self._client.stream("POST", ...) as response:
            for line in response.iter_lines():
                yield ...
    """,
    needs=("pace", "streaming"),
)
def as_it_comes(subject: Subject) -> str:
    """Have it speak for three seconds, and see how far the backend is when the first text arrives."""

    def progress(path: PathName) -> str:
        # The backend's progress, not a clock: a busy machine delays both sides.
        exchange = subject.exchanges[-1]
        whole = len(_SLOW.in_pieces())
        if exchange.outcome == "complete" or exchange.pieces_sent >= whole:
            raise Failed(f"{path}: the first text arrived after all {whole} words were sent", "with the first word")
        return f"{path}: the first text arrived when {exchange.pieces_sent} of {whole} words were sent"

    async def read_first(model: Any) -> str:
        async with aclosing(model.astream(subject.prompt)) as stream:
            await first_text_async(stream)
            return progress("astream")

    seen = []
    for path in subject.streams:
        model: Any = subject.says(_SLOW)
        if path == "astream":
            seen.append(run(read_first(model), alone=False))
            continue
        with closing(model.stream(subject.prompt)) as stream:
            first_text(stream)
            seen.append(progress("stream"))
    return ", ".join(seen)


@statement(
    "E16",
    "`_stream` and `_astream` work with and without a `run_manager`, and give the same text.",
    rank="could",
    why="langchain-core passes one in `stream_events(version='v3')`, and none in `stream`.",
    hint="""
    # langchain-core reports each chunk to callbacks itself. If you must report chunks nevertheless, ask first:
    if run_manager:
        run_manager.on_llm_new_token(chunk.text, chunk=chunk)   # the text of this chunk, and nothing else
    """,
    needs=("answer", "streaming"),
)
def with_and_without(subject: Subject) -> None:
    """Call the hooks without one, then with one that has a handler, and compare the texts."""

    def texts(call: str, *managers: Any) -> dict[str, str]:
        try:
            return {name: collect_stream(chunks)[0] for name, chunks in _hook_chunks(subject, *managers)}
        except Failed:
            raise
        except Exception as error:
            raise Failed(f"{call}, it raised {error_text(error)}", "an answer with and without one") from error

    manager, amanager = CallbackManagerForLLMRun.get_noop_manager(), AsyncCallbackManagerForLLMRun.get_noop_manager()
    for one in (manager, amanager):
        one.handlers.append(Recorder())
    without, given = texts("without a run_manager"), texts("with a run_manager", manager, amanager)
    for name, text in without.items():
        if given[name] != text:
            raise Failed(f"{name} gives {text!r} without a run_manager, and {given[name]!r} with one", "the same")
