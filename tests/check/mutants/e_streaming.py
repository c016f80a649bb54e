"""Mutants of group E: the chunks, and when they come."""

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from tests.check.bench import Reference, mutant

# --- E01 ---


@mutant("E01", "streams its whole answer as one chunk")
class OneChunk(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield reduce(add, super()._stream(*args, **kwargs))


@mutant("E01", "streams asynchronously its whole answer as one chunk")
class OneAsyncChunk(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield reduce(add, [chunk async for chunk in super()._astream(*args, **kwargs)])


@mutant("E01", "streams messages in place of chunks")
class Messages(Reference):
    def stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:  # type: ignore[override]
        for chunk in super().stream(*args, **kwargs):
            yield AIMessage(chunk.content)


# --- E02 ---


class Marking(Reference):
    """Marks chunks in a way of its own; `marks` says which, of so many."""

    def marks(self, number: int, whole: int) -> bool:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        chunks = list(super()._stream(*args, **kwargs))
        for number, chunk in enumerate(chunks, start=1):
            chunk.message.chunk_position = "last" if self.marks(number, len(chunks)) else None  # type: ignore[attr-defined]
            yield chunk


@mutant("E02", "marks every chunk as the last")
class AllLast(Marking):
    def marks(self, number: int, whole: int) -> bool:
        return True


@mutant("E02", "marks the last chunk but one, too")
class TwoLast(Marking):
    def marks(self, number: int, whole: int) -> bool:
        return number >= whole - 1


@mutant("E02", "goes on in an asynchronous stream behind the chunk that is marked as the last")
class GoesOn(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
        yield ChatGenerationChunk(message=AIMessageChunk(""))


@mutant("E02b", "leaves the mark to langchain-core", verdict="advisory")
class NoMark(Marking):
    def marks(self, number: int, whole: int) -> bool:
        return False


@mutant("E02b", "leaves the mark of an asynchronous stream to langchain-core", verdict="advisory")
class NoAsyncMark(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            chunk.message.chunk_position = None  # type: ignore[attr-defined]
            yield chunk


# --- E03 ---


class Named(Reference):
    """Gives its chunks ids of its own."""

    def named(self) -> str | None:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.id = self.named()
            yield chunk


@mutant("E03", "gives each chunk an id of its own")
class ManyIds(Named):
    def named(self) -> str:
        return f"chunk-{uuid.uuid4()}"


@mutant("E03", "gives all its answers the same id")
class OneId(Named):
    def named(self) -> str:
        return "chatcmpl-1"


@mutant("E03", "leaves the mark to langchain-core, so that the last chunk lacks the provider's id")
class UnnamedEnd(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        name = f"chatcmpl-{uuid.uuid4()}"
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.id, chunk.message.chunk_position = name, None  # type: ignore[attr-defined]
            yield chunk


# --- E13 ---


@mutant("E13", "hands a stream over when it is all there")
class Buffers(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        yield from list(super()._stream(*args, **kwargs))


@mutant("E13", "hands an asynchronous stream over when it is all there")
class BuffersAsync(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        for chunk in [chunk async for chunk in super()._astream(*args, **kwargs)]:
            yield chunk


# --- E16 ---


@mutant("E16", "cannot stream without a run manager")
class NeedsManager(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(messages, stop, run_manager, **kwargs):
            run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


@mutant("E16", "cannot stream with a run manager, as the page's echo at an empty answer")
class BreaksWithManager(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        told: Callable[[str], Any] | None = run_manager and run_manager.on_new_token
        for chunk in super()._stream(messages, stop, None, **kwargs):
            if told:
                told(chunk.text)
            yield chunk


@mutant("E16", "says more with a run manager")
class SaysMore(Reference):
    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async for chunk in super()._astream(messages, stop, None, **kwargs):
            yield chunk
        if run_manager:
            yield ChatGenerationChunk(message=AIMessageChunk("!"))
