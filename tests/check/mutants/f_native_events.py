"""Mutants of version 3 of the events: streams that tell less than whole answers."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from tests.check.bench import Reference, mutant


class Tells(Reference):
    """Tells of each chunk of a stream what `tell` leaves of it."""

    def tell(self, message: Any) -> None:
        raise NotImplementedError

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            self.tell(chunk.message)
            yield chunk

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            self.tell(chunk.message)
            yield chunk


@mutant("F20", "streams what it thinks as what it says")
class ThinksAloud(Tells):
    def tell(self, message: Any) -> None:
        if thought := message.additional_kwargs.pop("reasoning_content", ""):
            message.content = thought


@mutant("F21", "streams no refusals")
class StreamsNoRefusals(Tells):
    def tell(self, message: Any) -> None:
        if isinstance(message.content, list):
            message.content = [block for block in message.content if block.get("type") != "refusal"]


@mutant("F22", "streams no calls")
class StreamsNoCalls(Tells):
    def tell(self, message: Any) -> None:
        message.tool_call_chunks, message.tool_calls, message.invalid_tool_calls = [], [], []


@mutant("F23", "ends a stream in silence where it breaks")
class BreaksInSilence(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        try:
            yield from super()._stream(*args, **kwargs)
        except Exception:  # noqa: BLE001 - that is the point
            yield ChatGenerationChunk(message=AIMessageChunk("", chunk_position="last"))
