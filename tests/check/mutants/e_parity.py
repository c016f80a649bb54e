"""Mutants of group E: what a stream adds up to."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessageChunk
from tests.check.bench import Reference, mutant

# --- E04 ---


@mutant("E04", "strips what it streams")
class Strips(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.content = str(chunk.message.content).strip()
            yield chunk


@mutant("E04", "strips what it gives as a whole, asynchronously")
class StripsAsync(Reference):
    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        result = await super()._agenerate(*args, **kwargs)
        result.generations[0].message.content = str(result.generations[0].message.content).strip()
        return result


@mutant("E04", "has other words in an asynchronous stream")
class OtherWords(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            chunk.message.content = str(chunk.message.content).upper()
            yield chunk


# --- E05 ---


@mutant("E05", "reports no usage in a stream")
class NoUsage(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.usage_metadata = None  # type: ignore[attr-defined]
            yield chunk


@mutant("E05", "reports the same usage twice in an asynchronous stream")
class UsageTwice(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            if usage := chunk.message.usage_metadata:  # type: ignore[attr-defined]
                yield type(chunk)(message=AIMessageChunk("", usage_metadata=usage))
            yield chunk


@mutant("E05", "reports usage in a stream without its details")
class NoDetails(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            if usage := chunk.message.usage_metadata:  # type: ignore[attr-defined]
                for name in ("input_token_details", "output_token_details"):
                    usage.pop(name, None)
            yield chunk


@mutant("E05", "reports input tokens on two chunks, of which the second takes them back")
class InputTwice(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            if chunk.message.usage_metadata:  # type: ignore[attr-defined]
                for tokens in (5, -5):
                    usage: Any = {"input_tokens": tokens, "output_tokens": 0, "total_tokens": tokens}
                    yield type(chunk)(message=AIMessageChunk("", usage_metadata=usage))
            yield chunk


# --- E06, E07 ---


@mutant("E06", "says on every chunk why it ended")
class Doubled(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message.response_metadata = {**chunk.message.response_metadata, "finish_reason": "stop"}
            yield chunk


@mutant("E06", "says that another model answered in a stream")
class OtherModel(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            if chunk.message.response_metadata:
                chunk.message.response_metadata["model_name"] = "another"
            yield chunk


@mutant("E07", "does not say why a stream ended")
class NoReason(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            # langchain-core adds `generation_info` to the metadata.
            for said in (chunk.message.response_metadata, chunk.generation_info or {}):
                said.pop("finish_reason", None)
            yield chunk


@mutant("E07", "has no metadata in an asynchronous stream")
class NoMetadata(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        async for chunk in super()._astream(*args, **kwargs):
            chunk.message.response_metadata = {}
            yield chunk


# --- E12 ---


@mutant("E12", "refuses `streaming=True`")
class RefusesStreaming(Reference):
    def __init__(self, **kwargs: Any) -> None:
        if kwargs.get("streaming"):
            raise ValueError("no streaming here")
        super().__init__(**kwargs)


mutant("E12", "reports no usage where `invoke` reads a stream")(type("NoUsageInside", (NoUsage,), {}))
mutant("E12", "says other words where `ainvoke` reads a stream")(type("OtherWordsInside", (OtherWords,), {}))
mutant("E12", "does not say why it ended where `invoke` reads a stream")(type("NoReasonInside", (NoReason,), {}))


# --- E14, E15 ---


@mutant("E14", "streams text, and then blocks")
class TextAndBlocks(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for number, chunk in enumerate(super()._stream(*args, **kwargs)):
            if number:
                chunk.message.content = [{"type": "text", "text": chunk.message.content, "index": 0}]
            yield chunk


@mutant("E14", "has an empty text before the blocks of an asynchronous stream")
class EmptyText(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        number = 0
        async for chunk in super()._astream(*args, **kwargs):
            if not number:
                yield type(chunk)(message=AIMessageChunk(""))
            chunk.message.content = [{"type": "text", "text": chunk.message.content, "index": 0}]
            number += 1
            yield chunk


class OneByOne(AIMessageChunk):
    """Can be added to one chunk at a time."""

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, AIMessageChunk):
            raise TypeError(f"unsupported operand: {type(other).__name__}")
        return OneByOne(**AIMessageChunk.__add__(self, other).model_dump())


class FirstOfSeveral(AIMessageChunk):
    """Adds the first of several chunks alone."""

    def __add__(self, other: Any) -> Any:
        return super().__add__(other[0] if isinstance(other, list) else other)


class OwnChunks(Reference):
    """Streams chunks of a class of its own."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for chunk in super()._stream(*args, **kwargs):
            chunk.message = self.own(chunk.message)
            yield chunk

    def own(self, message: Any) -> Any:
        return OneByOne(**message.model_dump())


mutant("E15", "streams chunks that know no lists")(OwnChunks)


@mutant("E15", "streams chunks that add the first of a list alone")
class OwnFirst(OwnChunks):
    def own(self, message: Any) -> Any:
        return FirstOfSeveral(**message.model_dump())
