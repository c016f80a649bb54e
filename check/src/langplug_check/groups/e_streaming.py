"""Group E: streaming. The chunks, and when they come. See `e_ends` for how a stream ends, `e_parity` for its sum."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, HumanMessage

from langplug_backend import Call, Reply
from langplug_check.paths import STREAMED, Outcome, PathName, added_up, shown
from langplug_check.recorder import Recorder
from langplug_check.statement import statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Advisory, Failed, NotObserved

_ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}

_WITH_A_CALL = Reply(text="One two three.", calls=(Call(name="add", args={"a": 1, "b": 2}),))


def streaming(subject: Subject) -> Sequence[PathName]:
    """All paths that show an answer as it comes, as far as they lead to one."""
    return [path for path in STREAMED if path in subject.paths]


def answers(subject: Subject) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Answers of several kinds: each in a word, and what makes a model that gives it."""
    yield "text", subject.model
    if not subject.lacks("replies") and not subject.lacks("tools"):
        yield "text and a tool call", lambda: subject.says(_WITH_A_CALL).bind_tools([_ADD])


def streamed(subject: Subject, make: Callable[[], Any]) -> Iterator[tuple[PathName, Sequence[Any]]]:
    """The chunks of a new model's answer, for each path that is its own."""
    for outcome in subject.each_path(make, paths=subject.streams):
        outcome.answer  # noqa: B018 - an error here is a failure
        yield outcome.path, outcome.chunks


# --- the chunks ---


@statement(
    "E01",
    "A stream gives only `AIMessageChunk`s, and more than one of them has text.",
    why="A message is no chunk: adding two of them makes a prompt template. And a stream of one chunk is none: users "
    "wait for the whole answer.",
    hint="""
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        for piece in self._pieces(messages, stop):      # as they come, not when they are all there
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
    """,
    needs=("answer", "streaming"),
)
def chunks_alone(subject: Subject) -> str:
    """Stream an answer of several words, and look at the types of what comes, and at how much of it has text."""
    seen = []
    for path, chunks in streamed(subject, subject.model):
        others = {type(chunk).__name__ for chunk in chunks if not isinstance(chunk, AIMessageChunk)}
        if others:
            raise Failed(f"{path} gave {', '.join(sorted(others))}", "AIMessageChunk alone")
        with_text = [chunk for chunk in chunks if chunk.text]
        if len(with_text) < 2:
            _check_long_enough(path, "".join(str(chunk.text) for chunk in chunks))
        seen.append(f"{path}: {len(with_text)} chunks with text")
    return ", ".join(seen)


def _check_long_enough(path: PathName, text: str) -> None:
    if len(text.split()) < 2:
        raise NotObserved(f"its answer, {text!r}, is too short to come in pieces")
    raise Failed(f"{path} gave {text!r} in one chunk", "a chunk for each piece, as it comes")


_LAST_HINT = """
# once, at the very end
yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))
"""


@statement(
    "E02",
    "Exactly one chunk has `chunk_position='last'`, and it is the last one.",
    why="Pieces of tool calls are put together when it comes: too early, and arguments are cut off.",
    hint=_LAST_HINT,
    needs=("answer", "streaming"),
)
def one_last_chunk(subject: Subject) -> None:
    """Stream text, and a tool call where that can be had, and look at the chunks' positions."""
    for kind, make in answers(subject):
        for path, chunks in streamed(subject, make):
            marked = [at for at, chunk in enumerate(chunks, start=1) if _position(chunk) == "last"]
            if marked != [len(chunks)]:
                told = f"{len(marked)}: number {', '.join(map(str, marked[:6]))}" if marked else "none"
                raise Failed(
                    f"{path}, {kind}: of {len(chunks)} chunks, those marked as last are {told}",
                    f"number {len(chunks)} alone",
                )


def _position(chunk: Any) -> Any:
    return getattr(chunk, "chunk_position", None)


@statement(
    "E02b",
    "The model's own `_stream` marks its final chunk.",
    why="Else langchain-core appends an empty chunk, an event more for everyone; and who reads `_stream` itself, as "
    "wrappers do, sees no end.",
    hint=_LAST_HINT,
    needs=("answer", "streaming"),
)
def marks_its_own(subject: Subject) -> None:
    """Call `_stream` and `_astream`, those of them that are its own, and look at the last chunk of each."""
    for name, chunks in _hooks(subject):
        if not chunks or _position(chunks[-1]) != "last":
            raise Advisory(f"the last of {name}'s {len(chunks)} chunks has no mark, so that an empty one is added")


def _hooks(subject: Subject, manager: Any = None, amanager: Any = None) -> Iterator[tuple[str, list[Any]]]:
    """What the model's own `_stream` and `_astream` give, called as langchain-core calls them, and by it alone."""
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
    why="LangGraph and user interfaces put chunks together by id: another id is another message.",
    hint="""
    AIMessageChunk(content=piece)   # leave `id` out: langchain-core gives all chunks of a run the same
    # an id of the provider's has to be on every chunk, that with chunk_position="last" among them
    """,
    needs=("answer", "streaming"),
)
def one_id(subject: Subject) -> None:
    """Stream each kind of answer twice with one model, and compare the ids."""
    for kind, make in answers(subject):
        for path in subject.streams:
            model = make()
            first, second = (_id_of(f"{path}, {kind}", subject.ask(model, None, path)) for _ in range(2))
            if first == second:
                raise Failed(f"{path}, {kind}: two answers have the same id, {first!r}", "an id for each")


def _id_of(told: str, outcome: Outcome) -> str:
    message = outcome.answer
    ids = list(dict.fromkeys(chunk.id for chunk in outcome.chunks))
    if len(ids) != 1 or not ids[0]:
        raise Failed(f"{told}: {len(outcome.chunks)} chunks have the ids {ids[:3]!r}", "one id for all")
    if message.id != ids[0]:
        raise Failed(f"{told}: the chunks have the id {ids[0]!r}, their sum {message.id!r}", "the same")
    return str(message.id)


# --- as they come ---


def first_text(stream: Iterator[Any]) -> Any:
    """Read up to the first chunk that has text."""
    for chunk in stream:
        if chunk.text:
            return chunk
    raise Failed("the stream has no text", "text, chunk by chunk")


async def first_text_async(stream: AsyncIterator[Any]) -> Any:
    """Read up to the first chunk that has text."""
    async for chunk in stream:
        if chunk.text:
            return chunk
    raise Failed("the stream has no text", "text, chunk by chunk")


_SLOW = Reply(text=" ".join(["word"] * 30), pace=0.1)
"""Three seconds of talk. Who hands on what comes is done with it at the first word."""


@statement(
    "E13",
    "The first chunk arrives while the answer is still being made, synchronously and asynchronously.",
    why="A stream that is handed over at its end is none: users look at an empty screen.",
    hint="""
    # no list in between: `for line in response.iter_lines()`, and not `for line in response.text.splitlines()`
    def _stream(self, messages, stop=None, run_manager=None, **kwargs):
        with self._client.stream("POST", ...) as response:
            for line in response.iter_lines():
                yield ...
    """,
    needs=("pace", "streaming"),
)
def as_it_comes(subject: Subject) -> str:
    """Have it talk for three seconds, and look how far it is when the first text arrives."""

    async def first() -> None:
        async with aclosing(model.astream(subject.prompt)) as stream:
            await first_text_async(stream)
            seen.append(_how_far("astream", subject))

    seen: list[str] = []
    for path in subject.streams:
        model: Any = subject.says(_SLOW)
        if path == "astream":
            run(first(), alone=False)
            continue
        with closing(model.stream(subject.prompt)) as stream:
            first_text(stream)
            seen.append(_how_far("stream", subject))
    return ", ".join(seen)


def _how_far(path: PathName, subject: Subject) -> str:
    exchange = subject.exchanges[-1]
    whole = len(_SLOW.in_pieces())
    if exchange.outcome == "complete" or exchange.pieces_sent >= whole:
        raise Failed(f"{path}: the first text came when all {whole} words were out", "with the first word")
    return f"{path}: the first text came when {exchange.pieces_sent} of {whole} words were out"


@statement(
    "E16",
    "`_stream` and `_astream` work with and without a `run_manager`, and give the same.",
    why="langchain-core hands one over in `stream_events(version='v3')` and inside `invoke`, and none in `stream`.",
    hint="""
    # langchain-core reports each chunk to callbacks by itself. Who wants to all the same asks first:
    if run_manager:
        run_manager.on_llm_new_token(chunk.text, chunk=chunk)   # the text of this chunk, and nothing else
    """,
    needs=("answer", "streaming"),
)
def with_and_without(subject: Subject) -> None:
    """Call the hooks without one, then with one that has a handler, and compare the texts."""
    manager, amanager = CallbackManagerForLLMRun.get_noop_manager(), AsyncCallbackManagerForLLMRun.get_noop_manager()
    for one in (manager, amanager):
        one.handlers.append(Recorder())
    without = _texts(subject, "without a run_manager", None, None)
    given = _texts(subject, "with a run_manager", manager, amanager)
    for name, text in without.items():
        if given[name] != text:
            raise Failed(f"{name} gives {text!r} without a run_manager, and {given[name]!r} with one", "the same")


def _texts(subject: Subject, told: str, manager: Any, amanager: Any) -> dict[str, str]:
    try:
        return {name: added_up(chunks)[0] for name, chunks in _hooks(subject, manager, amanager)}
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"{told}, it raised {shown(error)}", "an answer with and without one") from error
