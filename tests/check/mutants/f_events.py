"""Mutants of group F: events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from functools import reduce
from operator import add
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from tests.check.bench import Reference, mutant
from tests.check.mutants.f_callbacks import Streamer

# --- versions 1 and 2 ---


@mutant("F11", "streams its answer in one piece")
class OnePiece(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        yield reduce(add, [chunk async for chunk in super()._astream(*args, **kwargs)])


@mutant("F11", "shows each piece twice")
class ShowsTwice(Reference):
    async def astream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        async for chunk in super().astream(*args, **kwargs):
            yield chunk
            yield chunk


@mutant("F11", "makes a second run of a stream")
class TwoRuns(Reference):
    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncGenerator[Any, None]:
        await self.ainvoke(input, config, **kwargs)
        async for chunk in super().astream(input, config, **kwargs):
            yield chunk


@mutant("F12", "does not stream where it is invoked")
class WholeInChains(Reference):
    def _should_stream(self, **kwargs: Any) -> bool:
        return bool(kwargs.get("stream")) and super()._should_stream(**kwargs)


@mutant("F12", "shows each piece twice where it is invoked")
class TwiceInChains(WholeInChains):
    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        result = await super()._agenerate(messages, stop, run_manager, **kwargs)
        for _ in range(2):
            text = result.generations[0].text
            await run_manager.on_llm_new_token(text, chunk=ChatGenerationChunk(message=AIMessageChunk(text)))
        return result

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        return asyncio.run(self.ainvoke(*args, **kwargs))


@mutant("F12", "reports no usage where it streams within a chain")
class UnpaidInChains(Streamer):
    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        chunk.message.usage_metadata = None  # type: ignore[attr-defined]
        yield chunk


@mutant("F13", "streams bare text")
class BareText(Reference):
    async def astream(self, *args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
        async for chunk in super().astream(*args, **kwargs):
            yield chunk.text


@mutant("F13", "streams past whoever listens")
class Private(Reference):
    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncGenerator[Any, None]:
        async for chunk in super().astream(input, {"callbacks": []}, **kwargs):
            yield chunk


@mutant("F13", "has no log")
class NoLog(Reference):
    def astream_log(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("astream_log is old")


# --- version 3 ---


class InEvents(Streamer):
    """Is wrong in version 3 alone, where `_stream` gets a `run_manager`."""

    def meddle(self, chunk: ChatGenerationChunk, run_manager: Any) -> Iterator[ChatGenerationChunk]:
        if run_manager is None:
            yield chunk
        else:
            yield from self.in_events(chunk)

    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        raise NotImplementedError


@mutant("F14", "reports no usage in version 3")
@mutant("F15", "reports no usage in version 3")
class UnpaidEvents(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        chunk.message.usage_metadata = None  # type: ignore[attr-defined]
        yield chunk


@mutant("F14", "says in version 3 that another model answered")
class OtherName(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        if "model_name" in chunk.message.response_metadata:
            chunk.message.response_metadata["model_name"] = "another"
        yield chunk


@mutant("F14", "says in version 3 not why the answer ended")
class NoReasonInEvents(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        # langchain-core adds `generation_info` to the metadata.
        for said in (chunk.message.response_metadata, chunk.generation_info or {}):
            said.pop("finish_reason", None)
        yield chunk


@mutant("F14", "makes a block of each piece")
class BlockForEach(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        if chunk.text:
            chunk.message.content = [{"type": "text", "text": chunk.text, "index": hash(chunk.text)}]
        yield chunk


@mutant("F14", "loses a piece in version 3")
class LosesAPiece(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        if "how" not in str(chunk.text):
            yield chunk


@mutant("F14", "says all at once in version 3")
class AllAtOnce(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        chunks = super()._stream(messages, stop, run_manager, **kwargs)
        yield from chunks if run_manager is None else [reduce(add, chunks)]


class Native(Reference):
    """Makes the events of version 3 by itself."""

    def events(self) -> Iterator[dict[str, Any]]:
        raise NotImplementedError

    def _stream_chat_model_events(self, *_: Any, **__: Any) -> Iterator[Any]:
        yield {"event": "message-start", "role": "ai"}
        yield from self.events()
        yield {"event": "message-finish", "metadata": {}}

    async def _astream_chat_model_events(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        for event in self._stream_chat_model_events():
            yield event


@mutant("F14", "does not finish a block")
@mutant("F15", "does not finish a block")
class Unfinished(Native):
    def events(self) -> Iterator[dict[str, Any]]:
        yield {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
        yield {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "Hello"}}


@mutant("F14", "finishes a block with other text than it showed")
class FinishesOtherwise(Native):
    def events(self) -> Iterator[dict[str, Any]]:
        yield {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
        yield {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "Hello"}}
        yield {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "Goodbye"}}


@mutant("F14", "numbers its blocks from 1")
class FromOne(Native):
    def events(self) -> Iterator[dict[str, Any]]:
        yield {"event": "content-block-start", "index": 1, "content": {"type": "text", "text": ""}}
        yield {"event": "content-block-finish", "index": 1, "content": {"type": "text", "text": ""}}


@mutant("F15", "does not mind being cancelled")
class Unstoppable(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
        except asyncio.CancelledError:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))


# --- tool calls in version 3 ---


@mutant("F17", "gives its calls no index")
class NoIndex(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        for call in getattr(chunk.message, "tool_call_chunks", ()):
            call["index"] = None
        yield chunk


@mutant("F17", "yields its calls whole, in one chunk each")
class WholeCalls(Reference):
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        message = self._generate(messages, stop, **kwargs).generations[0].message
        for call in getattr(message, "tool_calls", ()):
            yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_calls=[call]))


@mutant("F17", "gives both of its calls one id")
class OneCallId(InEvents):
    def in_events(self, chunk: ChatGenerationChunk) -> Iterator[ChatGenerationChunk]:
        for call in getattr(chunk.message, "tool_call_chunks", ()):
            call["id"] = call["id"] and "call_1"
        yield chunk
