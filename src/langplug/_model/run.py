"""One call of one model: from the plan to the messages that LangChain is given, in both colours."""

from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGenerationChunk

from langplug._answer.chunks import RESTART, ChunkBuilder, Closing, MessageBuilder, Restart, generation_chunk, joined
from langplug._answer.parser import Piece
from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.source import aparts, parts
from langplug._errors import remember_partial
from langplug._model.plan import Plan
from langplug._model.requirements import REASKS, unmet

JOINED_AT_ONCE = 64
"""So many pieces are kept one by one, before those of a kind become one."""


class ModelRun:
    """What one call needs until its answer is complete."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._model = plan.model
        self._request = plan.request
        self._turn = plan.new_parser()
        self._asked = 1
        self._adaptations = list(plan.adaptations)
        self._spent: UsageMetadata | None = None  # on attempts that did not do
        self._estimated = False
        self._seen: list[Piece] = []
        self._joined = 0  # how many of them are not to be put together any more

    # --- one driver a colour ---

    def pieces(self) -> Generator[Piece | Restart, None, None]:
        """Drive the author's function and yield the clean pieces of its answer."""
        checked: Sequence[Piece] | None = None
        while checked is None:
            self._wait()
            source = parts(self._model.respond, self._model.shape, self._request, self._model.timeout)
            try:
                for part in source:
                    yield from self._shown(self._turn.feed(part))
                    if self._turn.stopped and self._cuts:
                        break
                source.close()
                yield from self._shown(self._turn.end())
                if (checked := self._settle()) is None and self._plan.live:
                    yield RESTART
            except GeneratorExit:
                raise
            except BaseException as error:
                remember_partial(error, self.partial())
                raise
            finally:
                source.close()
        yield from checked

    async def apieces(self) -> AsyncGenerator[Piece | Restart, None]:
        """As `pieces`, for an event loop."""
        checked: Sequence[Piece] | None = None
        while checked is None:
            await self._await()
            source = aparts(self._model.respond, self._model.shape, self._request, self._model.timeout)
            try:
                async for part in source:
                    for piece in self._shown(self._turn.feed(part)):
                        yield piece
                    if self._turn.stopped and self._cuts:
                        break
                await source.aclose()
                for piece in self._shown(self._turn.end()):
                    yield piece
                if (checked := self._settle()) is None and self._plan.live:
                    yield RESTART
            except GeneratorExit:
                raise
            except BaseException as error:
                remember_partial(error, self.partial())
                raise
            finally:
                await source.aclose()
        for piece in checked:
            yield piece

    # --- one of several answers, whose parts come together ---

    def take(self, part: Any) -> None:
        """Take one more part of this answer."""
        self._shown(self._turn.feed(part))

    def taken(self) -> AIMessage:
        """The whole answer, now that its parts have come."""
        self._shown(self._turn.end())
        return self._message(self._closing())

    # --- what LangChain is given ---

    def message(self) -> AIMessage:
        """The whole answer."""
        for _ in self.pieces():
            pass
        return self._message(self._closing())

    async def amessage(self) -> AIMessage:
        """As `message`, for an event loop."""
        async for _ in DetachedAsyncGenerator(self.apieces()):
            pass
        return self._message(self._closing())

    def chunks(self) -> Generator[ChatGenerationChunk, None, None]:
        """The answer chunk by chunk, as langchain-core wants it to tell its callbacks of them."""
        messages = self.messages()
        try:
            for message in messages:
                yield generation_chunk(message)
        finally:
            messages.close()

    async def achunks(self) -> AsyncGenerator[ChatGenerationChunk, None]:
        """As `chunks`, for an event loop."""
        messages = DetachedAsyncGenerator(self.amessages())
        try:
            async for message in messages:
                yield generation_chunk(message)
        finally:
            await messages.aclose()

    def messages(self, message_id: str | None = None) -> Generator[AIMessageChunk, None, None]:
        """The answer chunk by chunk; the last one carries all that is known of its end, and no other does.

        Args:
            message_id: The id of each, where langchain-core does not give them one.
        """
        builder = ChunkBuilder(v1=self._v1, message_id=message_id)
        pieces = self.pieces()
        try:
            for piece in pieces:
                yield builder.chunk(piece)
        finally:
            pieces.close()
        yield builder.last(self._closing())

    async def amessages(self, message_id: str | None = None) -> AsyncGenerator[AIMessageChunk, None]:
        """As `messages`, for an event loop."""
        builder = ChunkBuilder(v1=self._v1, message_id=message_id)
        pieces = DetachedAsyncGenerator(self.apieces())
        try:
            async for piece in pieces:
                yield builder.chunk(piece)
        finally:
            await pieces.aclose()
        yield builder.last(self._closing())

    # --- attempts ---

    def _shown(self, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """Keep `pieces`, and show them at once, unless the whole answer is to be looked at first."""
        self._seen += pieces
        if self._plan.requirement is None:
            if len(self._seen) - self._joined >= JOINED_AT_ONCE:
                self._join()
            return pieces
        return pieces if self._plan.live else ()

    def _join(self) -> None:
        """What was shown is kept in a few long pieces: many short ones take ten times the memory."""
        self._seen[self._joined :] = joined(self._seen[self._joined :])
        self._joined = len(self._seen)

    def _settle(self) -> Sequence[Piece] | None:
        """What is still to be shown of the answer; None to ask again.

        Raises:
            UnmetDemandError: If the answer does not hold what it must, and the model was asked often enough.
        """
        requirement = self._plan.requirement
        if requirement is None:
            return ()
        checked = requirement.check(self._seen)
        cut_off = self._turn.reason == "length"  # and would be again
        given_up = self._asked > REASKS or cut_off
        if checked.problem is None or (requirement.when_unmet == "give" and given_up):
            if self._plan.live:
                return ()
            self._seen = checked.pieces
            return checked.pieces
        if given_up:
            raise unmet(type(self._model).__name__, checked.problem, self._asked, cut_off=cut_off)
        self._ask_again(checked.problem)
        return None

    def _wait(self) -> None:
        """Wait until one more attempt is allowed; for the first, langchain-core waits."""
        if self._asked > 1 and (limiter := self._model.rate_limiter) is not None:
            limiter.acquire(blocking=True)

    async def _await(self) -> None:
        if self._asked > 1 and (limiter := self._model.rate_limiter) is not None:
            await limiter.aacquire(blocking=True)

    def _ask_again(self, problem: str) -> None:
        requirement = self._plan.requirement
        self._spent = self._usage()
        self._request = self._plan.again(self._request, self._message(Closing()), problem)
        self._turn = self._plan.new_parser()
        self._seen = []
        self._asked += 1
        self._adaptations.append(
            {"feature": requirement.feature if requirement else "", "action": f"asked again: {problem}"}
        )

    # --- the answer and its end ---

    @property
    def _cuts(self) -> bool:
        """Whether the source is to be closed at the stop string: it does not end there by itself."""
        return self._turn.runs_on or not self._model.ends_at_stop

    @property
    def _v1(self) -> bool:
        return self._model.output_version == "v1"

    def _message(self, closing: Closing) -> AIMessage:
        builder = MessageBuilder(v1=self._v1)
        for piece in self._seen:
            builder.add(piece)
        return builder.message(closing)

    def partial(self) -> AIMessage | None:
        """What had been said when an error came, what was still held back included."""
        self._seen.extend(self._turn.rest())
        if not self._seen:
            return None
        return self._message(Closing(self._turn.usage.result(), dict(self._turn.metadata), id=self._turn.id))

    def _closing(self) -> Closing:
        """What is known of the answer now that it has ended."""
        usage = self._usage()
        turn = self._turn
        metadata: dict[str, Any] = {
            "model_name": self._model.reported_name,
            "model_provider": self._model.reported_provider,
            **turn.metadata,
            "finish_reason": turn.reason,
        }
        if turn.stop_sequence is not None:
            metadata["stop_sequence"] = turn.stop_sequence
        if self._estimated:
            metadata["usage_estimated"] = True
        if self._model.adaptations != "silent" and (adaptations := self._all_adaptations()):
            metadata["adaptations"] = adaptations
        return Closing(usage, metadata, turn.additional_kwargs, turn.id)

    def _usage(self) -> UsageMetadata | None:
        """The tokens used, by all attempts together; those of one that reported none are estimated, if they can be."""
        used = self._turn.usage.result()
        if used is None and (count := self._model.token_counter) is not None:
            used = self._estimate(count)
            self._estimated = True
        return add_usage(self._spent, used) if self._spent and used else used or self._spent

    def _estimate(self, count: Callable[[str], int]) -> UsageMetadata:
        read = sum(count(str(message.text)) for message in self._request.messages)
        wrote = count("".join(piece for piece in self._seen if isinstance(piece, str)))
        return UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)

    def _all_adaptations(self) -> list[dict[str, Any]]:
        notes = list(self._adaptations)
        if self._turn.stopped and self._cuts:
            notes.append({"feature": "stop", "action": "cut by langplug"})
        if self._turn.dropped_calls:
            notes.append(
                {"feature": "tools", "action": f"dropped {self._turn.dropped_calls} calls that were not allowed"}
            )
        return notes
