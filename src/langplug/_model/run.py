"""One run of one model: from the plan to the messages that LangChain is given, in both colours."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage
from langchain_core.outputs import ChatGenerationChunk

from langplug._answer.carried import carried_record
from langplug._answer.chunks import RESTART, ChunkBuilder, Closing, MessageBuilder, Restart, join_pieces
from langplug._answer.events import Event, EventBuilder
from langplug._answer.fast_chunks import generation_chunk, plain_message
from langplug._answer.parser import AnswerParser, Piece, is_refusal, text_of
from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.source import Deadline, aparts, parts
from langplug._log import log, strike_out
from langplug._messages.carried import CARRIED
from langplug._model.plan import Plan
from langplug._model.requirements import MOST_ATTEMPTS, unmet_requirement
from langplug._model.retries import Tries
from langplug._parts import Reasoning
from langplug._request import Cancellation

JOINED_AT_ONCE = 64
"""Pieces that are kept one by one before those of a kind become one: many short ones take ten times the memory."""


class ModelRun:
    """Drives the author's function, as often as the plan needs it, until the answer is complete."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._model = plan.model
        self._request = plan.request
        self._parser = plan.new_parser()
        self._attempt = 1
        self._deadline: Deadline | None = None
        self._adaptations = plan.adaptations
        self._spent: UsageMetadata | None = None  # by earlier attempts
        self._estimated = False
        self._seen: list[Piece] = []
        self._joined = 0  # how many of them are joined already
        self._events: EventBuilder | None = None  # where events are yielded instead of pieces

    # --- one driver a colour: the same lines, for nothing can be both a generator and an async one ---

    def pieces(self) -> Generator[Piece | Restart, None, None]:
        """Drive the author's function and yield the clean pieces of its answer, or events of them."""
        held: Sequence[Piece] | None = None
        tries = self._start()
        model = self._model
        queue = model.__langplug_queue__()
        while True:
            source = parts(model.respond, model.__langplug_shape__, self._request, self._deadline, queue)
            with tries:
                try:
                    for part in source:
                        yield from self._keep(self._parser.feed(part))
                        if self._parser.stopped and self._cuts:
                            break
                    # Closed before the end is read: what the author does in `finally` may still fail the answer.
                    source.close()
                    yield from self._keep(self._parser.end())
                    if (held := self._check_answer(tries)) is None and self._plan.live:
                        yield RESTART
                finally:
                    source.close()
            if held is not None:
                break
            if tries.wait_s is not None:
                self._begin_anew()
                time.sleep(tries.wait_s)  # a signal, such as Ctrl-C's, ends it
            if model.rate_limiter is not None:  # langchain-core has waited for the first try already
                model.rate_limiter.acquire(blocking=True)
        yield from self._end(held)

    async def apieces(self) -> AsyncGenerator[Piece | Restart, None]:  # noqa: C901 - `yield from` is a loop here
        """As `pieces`, for an event loop."""
        held: Sequence[Piece] | None = None
        tries = self._start()
        model = self._model
        queue = model.__langplug_queue__()
        while True:
            source = aparts(*model.__langplug_on_loop__(self._request), self._request, self._deadline, queue)
            with tries:
                try:
                    async for part in source:
                        for piece in self._keep(self._parser.feed(part)):
                            yield piece
                        if self._parser.stopped and self._cuts:
                            break
                    await source.aclose()
                    for piece in self._keep(self._parser.end()):
                        yield piece
                    if (held := self._check_answer(tries)) is None and self._plan.live:
                        yield RESTART
                finally:
                    await source.aclose()
            if held is not None:
                break
            if tries.wait_s is not None:
                self._begin_anew()
                await asyncio.sleep(tries.wait_s)
            if model.rate_limiter is not None:
                await model.rate_limiter.aacquire(blocking=True)
        for piece in self._end(held):
            yield piece

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
        """The answer chunk by chunk, as langchain-core wants it for its callbacks."""
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
        builder = ChunkBuilder(v1=self._model.output_version == "v1", message_id=message_id)
        pieces = self.pieces()
        try:
            for piece in pieces:
                yield builder.chunk(piece)
        finally:
            pieces.close()
        yield builder.last(self._closing())

    async def amessages(self, message_id: str | None = None) -> AsyncGenerator[AIMessageChunk, None]:
        """As `messages`, for an event loop."""
        builder = ChunkBuilder(v1=self._model.output_version == "v1", message_id=message_id)
        pieces = DetachedAsyncGenerator(self.apieces())
        try:
            async for piece in pieces:
                yield builder.chunk(piece)
        finally:
            await pieces.aclose()
        yield builder.last(self._closing())

    def events(self, message_id: str = "") -> Generator[Event, None, None]:
        """The answer as events of version 3.

        Args:
            message_id: The message's id, unless the source has given one when its answer begins.
        """
        self._begin_events(message_id)
        return cast("Generator[Event, None, None]", self.pieces())

    def aevents(self, message_id: str = "") -> AsyncGenerator[Event, None]:
        """As `events`, for an event loop."""
        self._begin_events(message_id)
        return cast("AsyncGenerator[Event, None]", self.apieces())

    def _begin_events(self, message_id: str) -> None:
        model = self._model
        self._events = EventBuilder(
            v1=model.output_version == "v1",
            message_id=message_id,
            model=model.reported_name,
            provider=model.reported_provider,
        )
        self._parser = self._new_parser()

    # --- one of several answers whose parts come together (`Choices` drives the author's function then) ---

    def add_part(self, part: Any) -> None:
        """Read one more part of this answer."""
        self._keep(self._parser.feed(part))

    def collected_message(self) -> AIMessage:
        """The whole answer, once `add_part` was given its last part."""
        self._keep(self._parser.end())
        return self._message(self._closing())

    # --- attempts ---

    def _start(self) -> Tries:
        timeout = self._model.timeout
        self._deadline = None if timeout is None else Deadline(timeout)
        return Tries(self._model, self._deadline, self.partial)

    def _new_parser(self) -> AnswerParser:
        parser = self._plan.new_parser()
        # Of an answer that may be asked for again, no call is shown before it is known to stay.
        parser.shows_fragments = self._events is not None and self._plan.requirement is None
        return parser

    def _begin_anew(self) -> None:
        """Forget a try that failed before it gave anything."""
        self._request = replace(self._request, cancellation=Cancellation())
        self._parser = self._new_parser()
        self._seen = []
        self._joined = 0

    def _keep(self, pieces: Sequence[Piece]) -> Sequence[Any]:
        """Keep `pieces` for the whole answer; return what may be shown at once.

        An answer that must hold something is held back until it is checked, unless the reader can take it back.
        """
        self._seen += pieces
        if self._plan.requirement is not None:
            return pieces if self._plan.live else ()
        if len(self._seen) - self._joined >= JOINED_AT_ONCE:
            self._seen[self._joined :] = join_pieces(self._seen[self._joined :])
            self._joined = len(self._seen)
        # One layer of generators less than events that are made of what `pieces` yields: a tenth of what a delta costs.
        return pieces if self._events is None else self._events.add(pieces, self._parser.id)

    def _end(self, held: Sequence[Piece]) -> Sequence[Any]:
        """What is to be shown last: what was held back, and of events, those that end the answer."""
        builder = self._events
        if builder is None:
            return held
        closing = self._closing()
        if self._model.output_version != "v1" and any(isinstance(piece, Reasoning) for piece in self._seen):
            # Standard blocks hold it too, but those who read `invoke`'s plain content look for it there.
            closing = replace(closing, additional_kwargs=self._message(closing).additional_kwargs)
        return [*builder.add(held, closing.id), *builder.end(closing)]

    def _check_answer(self, tries: Tries) -> Sequence[Piece] | None:
        """What is still to be shown of the answer; None after preparing one more attempt.

        Raises:
            UnmetDemandError: If the answer does not hold what it must, and the model was asked often enough.
        """
        requirement = self._plan.requirement
        if requirement is None:
            return ()
        if any(map(is_refusal, self._seen)):  # who declines is not asked again
            return () if self._plan.live else self._seen
        checked = requirement.check(self._seen)
        # The next attempt would be cut off as well, at the limit of tokens or by the provider's filter.
        cut_off = self._parser.reason in ("length", "content_filter", "refusal")
        given_up = self._attempt == MOST_ATTEMPTS or cut_off
        if checked.note:
            self._adaptations = [*self._adaptations, {"feature": requirement.feature, "action": checked.note}]
            if self._parser.reason == "stop" and self._parser.stop_sequence is None:
                self._parser.reason = "tool_calls"  # as of any call that was read out of the text
        if checked.problem is None or (checked.is_bearable and given_up):
            if self._plan.live:
                return ()
            self._seen = checked.pieces
            return checked.pieces
        if given_up:
            reason = self._parser.reason if cut_off else ""
            raise unmet_requirement(type(self._model).__name__, checked.problem, self._attempt, reason)
        self._spent = self._usage()
        self._request = self._plan.next_request(self._request, self._message(Closing()), checked.problem)
        self._parser = self._new_parser()
        self._seen = []
        self._attempt += 1
        tries.begin_again()
        owner = type(self._model).__name__
        log.info("%s: asked again (%d of %d): %s", owner, self._attempt, MOST_ATTEMPTS, strike_out(checked.problem))
        self._adaptations = [
            *self._adaptations,
            {"feature": requirement.feature, "action": f"asked again: {checked.problem}"},
        ]
        return None

    # --- the answer and its end ---

    @property
    def _cuts(self) -> bool:
        """Whether the source is to be closed at the stop string: it does not end there by itself."""
        return self._parser.runs_on or not self._model.ends_at_stop

    def _message(self, closing: Closing) -> AIMessage:
        v1 = self._model.output_version == "v1"
        is_given_more = bool(closing.additional_kwargs or closing.id)
        if not (v1 or is_given_more) and all(type(piece) is str for piece in self._seen):  # most answers
            text = "".join(cast("list[str]", self._seen))
            return plain_message(text, closing.usage, closing.response_metadata)
        builder = MessageBuilder(v1=v1)
        for piece in self._seen:
            builder.add(piece)
        return builder.message(closing)

    def partial(self) -> AIMessage | None:
        """The answer as far as it had come when an error broke it off, with what was still held back."""
        # Half a tag or the beginning of a stop string belongs to what was said, now that nothing follows it.
        self._seen.extend(self._parser.rest())
        if not self._seen:
            return None
        with suppress(TypeError):  # another error is on its way
            self._parser.make_plain()
        return self._message(Closing(self._parser.usage(), dict(self._parser.metadata), id=self._parser.id))

    def _closing(self) -> Closing:
        """What is known of the answer now that it has ended."""
        usage = self._usage()
        parser, model = self._parser, self._model
        metadata: dict[str, Any] = {
            "model_name": model.reported_name,
            "finish_reason": None,  # these two first, as langchain-core puts what stands in `generation_info`
            "model_provider": model.reported_provider,
            **parser.metadata,
        }
        if parser.reason:
            metadata["finish_reason"] = parser.reason  # an author's metadata cannot contradict it
        else:  # unknown where nobody said it: a local model may have met its limit of tokens
            del metadata["finish_reason"]
        if parser.stop_sequence is not None:
            metadata["stop_sequence"] = parser.stop_sequence
        if self._estimated:
            metadata["usage_estimated"] = True
        if (queue_time := self._request.run.queue_time) is not None:
            metadata["queue_time"] = queue_time
            log.debug("%s: waited %.3f s for its turn", type(model).__name__, queue_time)
        notes = [*self._adaptations, *metadata.pop("adaptations", ())]  # a ready-made model's own are in the metadata
        if parser.stopped and self._cuts:
            notes.append({"feature": "stop", "action": "cut by langplug"})
        if parser.leaked_calls:
            notes.append(
                {"feature": "tools", "action": f"calls left in the text, and read there: {parser.leaked_calls}"}
            )
        if parser.dropped_calls:
            notes.append({"feature": "tools", "action": f"dropped {parser.dropped_calls} calls that were not allowed"})
        if notes and model.adaptations != "silent":
            metadata["adaptations"] = notes
        kwargs = parser.additional_kwargs
        # An author who passes a message on has it from whom it goes back to.
        if CARRIED not in kwargs and (record := carried_record(self._seen, parser.carried, self._request.origin)):
            kwargs = {**kwargs, CARRIED: record}
        return Closing(usage, metadata, kwargs, parser.id)

    def _usage(self) -> UsageMetadata | None:
        """The tokens used, by all attempts together; those of one that reported none are estimated, if they can be."""
        used = self._parser.usage()
        if used is None and (count := self._model.token_counter) is not None:
            read = sum(count(str(message.text)) for message in self._request.messages)
            wrote = count(text_of(self._seen))
            used = UsageMetadata(input_tokens=read, output_tokens=wrote, total_tokens=read + wrote)
            self._estimated = True
        return add_usage(self._spent, used) if self._spent and used else used or self._spent
