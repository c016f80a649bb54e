"""Streams as several groups read them: which paths stream, what is streamed, and the first text that arrives."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langplug_backend import Call, Reply
from langplug_check.groups._tools import OFFERED, last_exchange, request_in
from langplug_check.paths import STREAMED, PathName
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_WITH_A_CALL = Reply(text="One two three.", calls=(Call(name="add", args={"a": 1, "b": 2}),))


def streaming_paths(subject: Subject) -> Sequence[PathName]:
    """The paths that show an answer as it arrives, as far as this model has them."""
    return [path for path in STREAMED if path in subject.paths]


def event_paths(subject: Subject) -> Sequence[PathName]:
    """The paths by version 3 of the events; langchain-core has each only for a model that streams that way."""
    paths: Sequence[PathName] = ("v3", "av3")
    return [path for path in paths if path in subject.paths]


def kinds_of_answers(subject: Subject) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Kinds of answers, each with a name and a function that makes a model which gives it."""
    yield "text", subject.model
    if not subject.lacks("replies") and not subject.lacks("tools"):
        yield "text and a tool call", lambda: subject.says(_WITH_A_CALL).bind_tools(list(OFFERED))


def streamed_chunks(subject: Subject, make: Callable[[], Any]) -> Iterator[tuple[PathName, Sequence[Any]]]:
    """The chunks of a new model's answer, for each of `stream` and `astream` that the class implements."""
    for outcome in subject.each_path(make, paths=subject.streams):
        outcome.answer  # noqa: B018 - an error here is a failure
        yield outcome.path, outcome.chunks


def first_text(stream: Iterator[Any]) -> Any:
    """Read up to the first chunk that has text.

    Raises:
        Failed: If none has.
    """
    for chunk in stream:
        if chunk.text:
            return chunk
    raise Failed("the stream has no text", "text, chunk by chunk")


async def first_text_async(stream: AsyncIterator[Any]) -> Any:
    """As `first_text`, of an asynchronous stream."""
    async for chunk in stream:
        if chunk.text:
            return chunk
    raise Failed("the stream has no text", "text, chunk by chunk")


def need_reasoning(subject: Subject, reply: Reply) -> None:
    """Do nothing if the model tells reasoning, as `reply` has it.

    Raises:
        NotApplicable, NotObserved: If it does not.
    """
    blocks: Sequence[Any] = subject.ask(subject.says(reply)).answer.content_blocks
    # Clients of Anthropic's API read it in another way where it was not asked for, and each has its own way to ask.
    if not subject.lacks("backend") and request_in(last_exchange(subject)).dialect == "anthropic":
        raise NotObserved("its API tells reasoning only where it was asked for it")
    if not any(block["type"] == "reasoning" for block in blocks):
        raise NotApplicable("it does not tell reasoning: see C22")
