"""Group F: version 3 of the events: what is not text has its own blocks."""

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage

from langplug_backend import Fault, Reply
from langplug_check.groups._lifecycle import broken_rule, finished_blocks
from langplug_check.groups._streams import need_reasoning
from langplug_check.groups._tools import DECLINED, add, whole_call
from langplug_check.paths import allow_beta, error_text
from langplug_check.process.loop import run_on_shared_loop
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Blame, Failed

_V3 = "https://docs.langchain.com/oss/python/langchain/streaming"

_HOOKS = ("_stream_chat_model_events", "_astream_chat_model_events")
"""With these a class emits the events itself. Without them langchain-core makes them of the chunks of its stream."""

_THOUGHT, _TEXT = "First I think. ", "Then I say."


def _blame(subject: Subject) -> Blame:
    """Whose work the events are."""
    emits = any(hasattr(subject.cls, name) and not hasattr(BaseChatModel, name) for name in _HOOKS)
    return "model" if emits else "langchain-core"


def _events_of(subject: Subject, reply: Reply, tools: Any = ()) -> Iterator[tuple[str, list[Any], AIMessage]]:
    """The path, the events and the message, synchronously and asynchronously, as far as the model streams so."""

    async def collect(model: Any) -> tuple[list[Any], AIMessage]:
        async with await model.astream_events(subject.prompt, version="v3") as stream:
            return [event async for event in stream], await stream.output

    for path in ("v3", "av3"):
        if path not in subject.paths:
            continue
        made: Any = subject.says(reply)
        model = made.bind_tools(list(tools)) if tools else made
        with allow_beta():
            if path == "v3":
                stream = model.stream_events(subject.prompt, version="v3")
                events, message = list(stream), stream.output
            else:
                events, message = run_on_shared_loop(collect(model))
        if wrong := broken_rule(events):
            raise Failed(f"{path}: {wrong}", "a valid stream of events", blame=_blame(subject))
        yield path, events, message


@statement(
    "F20",
    "In version 3 of the events, reasoning and text are blocks of their own, in the order in which they came.",
    why="User interfaces show what is thought apart from what is said.",
    hint="""
    # langchain-core makes a reasoning block of this, and a text block of the content
    AIMessageChunk("", additional_kwargs={"reasoning_content": piece})
    """,
    link=_V3,
    needs=("replies", "streaming"),
)
def reasoning_is_apart(subject: Subject) -> None:
    """Have it think, and then speak; read the blocks as they are finished, and the output."""
    reply = Reply(thinking=_THOUGHT, text=_TEXT)
    need_reasoning(subject, reply)
    for path, events, message in _events_of(subject, reply):
        kinds = [str(kind) for event in events if event["event"] == "content-block-start" for kind in [_kind(event)]]
        if kinds != ["reasoning", "text"]:
            raise Failed(f"{path}: the blocks are {kinds}", "['reasoning', 'text']", blame=_blame(subject))
        thought = [str(block.get("reasoning", "")).strip() for block in finished_blocks(events, "reasoning")]
        if thought != [_THOUGHT.strip()] or _THOUGHT.strip() not in _reasoning(message):
            raise Failed(f"{path}: the reasoning is {thought}, and {_reasoning(message)!r} in the output", _THOUGHT)
        if str(message.text).strip() != _TEXT:
            raise Failed(f"{path}: the output's text is {str(message.text)!r}", _TEXT)


def _kind(event: Mapping[str, Any]) -> Any:
    return (event.get("content") or event.get("content_block") or {}).get("type")


def _reasoning(message: AIMessage) -> str:
    return "".join(str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning")


@statement(
    "F21",
    "In version 3 of the events, a refusal is a block, with all of its words, in the events and in the output.",
    why="A refusal that the events lose is an empty answer, without an error.",
    hint="""
    # langchain-core's bridge from chunks drops a refusal that stands alone; a class that emits events itself tells it
    {"event": "content-block-finish", "index": 0, "content": {"type": "refusal", "refusal": text}}
    """,
    link="https://reference.langchain.com/python/langchain-core/messages/content/RefusalContentBlock",
    needs=("refusals", "streaming"),
)
def refusals_are_blocks(subject: Subject) -> None:
    """Have it decline, and read the blocks."""
    for path, events, message in _events_of(subject, Reply(refusal=DECLINED)):
        told = "".join(str(block.get("refusal", "")) for block in finished_blocks(events, "refusal"))
        blocks: list[Any] = list(message.content_blocks)
        kept = "".join(str(block.get("refusal", "")) for block in blocks if block["type"] == "refusal")
        for where, words in (("the events tell", told), ("the output has", kept)):
            if words != DECLINED:
                raise Failed(f"{path}: of a refusal, {where} {words!r}", repr(DECLINED), blame=_blame(subject))


@statement(
    "F22",
    "In version 3 of the events, text before a call and the call are blocks of their own, and `tool_calls` has it.",
    why="Agents read calls from these events, and would run one with half of its arguments.",
    hint="""
    # number what is told: the text 0, the first call 1
    tool_call_chunk(name=name, args=piece, id=id, index=1)
    """,
    link=_V3,
    needs=("replies", "streaming", "tools"),
)
def calls_are_apart(subject: Subject) -> None:
    """Have it speak and then call a tool; read the blocks and the calls."""
    args = {"a": 1, "b": 2}
    for path, events, message in _events_of(subject, Reply(text=_TEXT, calls=(whole_call(add.name, args),)), [add]):
        texts = [str(block.get("text", "")).strip() for block in finished_blocks(events, "text")]
        calls = [(block.get("name"), block.get("args")) for block in finished_blocks(events, "tool_call")]
        if [text for text in texts if text] != [_TEXT] or calls != [(add.name, args)]:
            raise Failed(f"{path}: the blocks are the texts {texts} and the calls {calls}", f"{_TEXT!r}, and {args}")
        if [(call["name"], call["args"]) for call in message.tool_calls] != [(add.name, args)]:
            raise Failed(f"{path}: tool_calls are {message.tool_calls}", f"{add.name} with {args}")


@statement(
    "F23",
    "In version 3 of the events, an error of the backend is raised to whoever reads them, by `text` and by `output`.",
    rank="must",
    why="A reader that gets no error takes an empty answer for the model's.",
    hint="""
    # let errors out of `_stream`, and of hooks that emit events: langchain-core fails the stream with them
    """,
    link=_V3,
    needs=("faults", "streaming"),
)
def errors_reach_readers(subject: Subject) -> None:
    """Have the backend break down, and read the stream by its text alone, and by its output alone."""
    retries: dict[str, Any] = {"max_retries": 0} if subject.takes("max_retries") else {}
    fault = Fault.status(500)
    expected = type(subject.ask(subject.suffers(fault, **retries)).error)
    for path in ("v3", "av3"):
        if path not in subject.paths:
            continue
        for name in ("text", "output"):
            error = _error_of(subject.suffers(fault, **retries), subject.prompt, path, name)
            if error is None:
                raise Failed(f"{path}: the stream's `{name}` ended without an error", expected.__name__)
            if type(error) is not expected:
                raise Failed(f"{path}: the stream's `{name}` raised {error_text(error)}", expected.__name__)


def _error_of(model: Any, prompt: str, path: str, name: str) -> Exception | None:
    """What one projection of the events raises."""

    async def read() -> None:
        async with await model.astream_events(prompt, version="v3") as stream:
            if name == "text":
                [piece async for piece in stream.text]
            else:
                await stream.output

    try:
        with allow_beta():
            if path == "av3":
                run_on_shared_loop(read())
            else:
                stream = model.stream_events(prompt, version="v3")
                list(stream.text) if name == "text" else stream.output
    except Exception as error:  # noqa: BLE001 - whatever it is
        return error
    return None
