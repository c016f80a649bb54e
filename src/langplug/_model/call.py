"""One call of one model: from the request to the messages that LangChain is given, in both colours."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk

from langplug._bridge.owned import Owned
from langplug._bridge.source import aparts, parts
from langplug._errors import remember_partial
from langplug._request import Request
from langplug._wire.chunks import ChunkBuilder, Closing, MessageBuilder
from langplug._wire.turn import Piece, Turn

if TYPE_CHECKING:
    from langplug._model.chat_model import ChatModel


class Call:
    """What one call needs until its answer is complete.

    Attributes:
        model: The model as it is set up for this call, parameters of the call applied.
        request: What its author gets.
        turn: The parser of what its author gives.
    """

    def __init__(self, model: "ChatModel", request: Request, turn: Turn, adaptations: list[dict[str, Any]]) -> None:
        self.model = model
        self.request = request
        self.turn = turn
        self._adaptations = adaptations
        self._seen: list[Piece] = []

    # --- one driver a colour ---

    def pieces(self) -> Generator[Piece, None, None]:
        """Drive the author's function and yield the clean pieces of its answer."""
        source = parts(self.model.respond, self.model.shape, self.request, self.model.timeout)
        try:
            for part in source:
                yield from self._fed(self.turn.feed(part))
                if self.turn.stopped:
                    break
            source.close()
            yield from self._fed(self.turn.end())
        except GeneratorExit:
            raise
        except BaseException as error:
            remember_partial(error, self._partial())
            raise
        finally:
            source.close()

    async def apieces(self) -> AsyncGenerator[Piece, None]:
        """As `pieces`, for an event loop."""
        source = aparts(self.model.respond, self.model.shape, self.request, self.model.timeout)
        try:
            async for part in source:
                for piece in self._fed(self.turn.feed(part)):
                    yield piece
                if self.turn.stopped:
                    break
            await source.aclose()
            for piece in self._fed(self.turn.end()):
                yield piece
        except GeneratorExit:
            raise
        except BaseException as error:
            remember_partial(error, self._partial())
            raise
        finally:
            await source.aclose()

    # --- what LangChain is given ---

    def message(self) -> AIMessage:
        """The whole answer."""
        for _ in self.pieces():
            pass
        return self._message(self.closing())

    async def amessage(self) -> AIMessage:
        """As `message`, for an event loop."""
        async for _ in Owned(self.apieces()):
            pass
        return self._message(self.closing())

    def chunks(self) -> Generator[ChatGenerationChunk, None, None]:
        """The answer chunk by chunk; the last one carries all that is known of its end, and no other does."""
        builder = ChunkBuilder(v1=self._v1)
        pieces = self.pieces()
        try:
            for piece in pieces:
                yield ChatGenerationChunk(message=builder.chunk(piece))
        finally:
            pieces.close()
        yield ChatGenerationChunk(message=builder.last(self.closing()))

    async def achunks(self) -> AsyncGenerator[ChatGenerationChunk, None]:
        """As `chunks`, for an event loop."""
        builder = ChunkBuilder(v1=self._v1)
        pieces = Owned(self.apieces())
        try:
            async for piece in pieces:
                yield ChatGenerationChunk(message=builder.chunk(piece))
        finally:
            await pieces.aclose()
        yield ChatGenerationChunk(message=builder.last(self.closing()))

    def closing(self) -> Closing:
        """What is known of the answer now that it has ended."""
        usage, estimated = self._usage()
        turn = self.turn
        metadata: dict[str, Any] = {
            "model_name": self.model.reported_name,
            "model_provider": self.model.reported_provider,
            **turn.metadata,
            "finish_reason": turn.reason,
        }
        if turn.stop_sequence is not None:
            metadata["stop_sequence"] = turn.stop_sequence
        if estimated:
            metadata["usage_estimated"] = True
        if adaptations := self._noted_adaptations():
            metadata["adaptations"] = adaptations
        return Closing(usage, metadata, turn.additional_kwargs, turn.id)

    @property
    def _v1(self) -> bool:
        return self.model.output_version == "v1"

    def _fed(self, pieces: Iterable[Piece]) -> Iterable[Piece]:
        self._seen.extend(pieces)
        return pieces

    def _message(self, closing: Closing) -> AIMessage:
        builder = MessageBuilder(v1=self._v1)
        for piece in self._seen:
            builder.add(piece)
        return builder.message(closing)

    def _partial(self) -> AIMessage | None:
        """What had been said when an error came, what was still held back included."""
        self._seen.extend(self.turn.rest())
        if not self._seen:
            return None
        return self._message(Closing(self.turn.usage.result(), dict(self.turn.metadata), id=self.turn.id))

    def _usage(self) -> tuple[UsageMetadata | None, bool]:
        """The tokens used, and whether they are only estimated."""
        if (reported := self.turn.usage.result()) is not None:
            return reported, False
        if (count := self.model.token_counter) is None:
            return None, False
        return self._estimate(count), True

    def _estimate(self, count: Callable[[str], int]) -> UsageMetadata:
        read = sum(count(str(message.text)) for message in self.request.messages)
        wrote = count("".join(piece for piece in self._seen if isinstance(piece, str)))
        return UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)

    def _noted_adaptations(self) -> list[dict[str, Any]]:
        if self.model.adaptations == "silent":
            return []
        if self.turn.stopped:
            return [*self._adaptations, {"feature": "stop", "action": "cut by langplug"}]
        return self._adaptations
