"""Calls of a function from many requests to many answers, gathered into batches.

No timer, unless one is asked for: an idle function is called at once, and what arrives meanwhile is its next batch. So
a lone caller waits for nobody, and under load the batches grow by themselves.

Callers in lockstep are all in the batch that runs, and come back one after the other when it ends. Whoever is first
would be asked alone, and all others would wait for that. So for moments after a batch, a smaller one lets its callers
catch up: as long as some still come, and at most for a tenth of the time that their batch took.
"""

import contextvars
import copy
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, Final, cast

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.channel import Channel
from langplug._bridge.loop import Submitted, long_lived_loop, run_for, waiting_loops
from langplug._bridge.shapes import needs_loop, needs_thread
from langplug._bridge.threads import spawn
from langplug._parts import Finish
from langplug._request import Request

_inside: contextvars.ContextVar[frozenset[int]] = contextvars.ContextVar("langplug_inside_batches", default=frozenset())
"""The queues whose function is running around what runs here."""

_CATCHING_UP: Final = 0.1
"""How long callers of a batch may take to come back, as a part of the time that it took."""

_QUIET: Final = 0.01
"""When nobody has come back for this part of that time, and for `_QUIET_S`, nobody is waited for any more."""

_QUIET_S: Final = 0.001

_UNLIMITED: Final = sys.maxsize
"""Parts that a slow reader may leave unread: it must not hold up the others of its batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How calls are gathered.

    Attributes:
        max_batch: How many requests the function is given at most; None: all that wait.
        max_wait: Seconds that a batch which is not full waits for more; None: it lets callers of the last one catch up.
        splits: Whether a batch that failed is tried again in halves, until the request that fails is alone.
    """

    max_batch: int | None = None
    max_wait: float | None = None
    splits: bool = False


class Ticket:
    """One request's place in the queue and in its batch.

    Args:
        ask: The function from many requests to many answers, of the model that the request is for.
        request: The request.
        group: Only requests with equal groups share a batch.
        limits: How such requests are gathered.
        where: What the function is called in errors.
    """

    def __init__(
        self,
        ask: Callable[[Sequence[Request]], Any],
        request: Request,
        group: object,
        limits: BatchLimits,
        where: str,
    ) -> None:
        self.ask = ask
        self.request = request
        self.group = group
        self.limits = limits
        self.where = where
        self.entered = time.monotonic()
        self.waiting_loops = waiting_loops()
        self.parts: Channel[Any] = Channel(_UNLIMITED)
        self.batch: _Batch | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not (self.parts.closed or self.request.cancelled)

    def fail(self, error: BaseException) -> None:
        """End the answer with an error, the caller's own: who raises it adds to it, and others raise it, too."""
        try:
            own = copy.copy(error).with_traceback(error.__traceback__)
        except Exception:  # noqa: BLE001 - an exception need not be such as can be copied
            own = error
        own.__cause__ = error.__cause__
        self.parts.finish(own)

    def leave(self) -> None:
        """Say that nobody waits for the answer any more. A batch that nobody waits for is stopped, where it can be."""
        self.parts.close()
        if self.batch is not None:
            self.batch.stop_if_unwanted()


class MicroBatches:
    """The queue before one such function, for threads and event loops of any number.

    Args:
        at_once: How many batches run at once.
    """

    def __init__(self, at_once: int) -> None:
        self._idle = at_once
        self._arrival = threading.Condition(threading.RLock())
        self._queue: list[Ticket] = []
        self._last_size = 0
        self._last_took = 0.0
        self._last_ended = 0.0

    def enter(self, ticket: Ticket) -> None:
        """Queue a request. Its answer's parts come through the ticket's channel."""
        if id(self) in _inside.get():  # the function asks its own model: in the queue it would wait for itself
            spawn(lambda: self._answer([ticket]))
            return
        with self._arrival:
            self._queue.append(ticket)
            begins = self._idle > 0
            self._idle -= begins
            self._arrival.notify_all()
        if begins:
            try:
                spawn(self._answer_all)
            except BaseException:
                with self._arrival:
                    self._idle += 1
                    self._queue.remove(ticket)
                raise

    def _answer_all(self) -> None:
        """What a worker does: batch after batch, until nobody waits."""
        while batch := self._next_batch():
            self._answer(batch)

    def _next_batch(self) -> list[Ticket]:
        """The requests that have waited longest and go together; none: the worker has ended."""
        with self._arrival:
            while True:
                for ticket in self._queue:
                    if not ticket.is_wanted:
                        ticket.parts.finish()
                self._queue = [ticket for ticket in self._queue if not ticket.parts.finished]
                if not self._queue:
                    self._idle += 1
                    return []
                first = self._queue[0]
                limits = first.limits
                # The first is in it whatever its group says of itself: a NaN is not equal to itself.
                same = [one for one in self._queue if one is first or one.group == first.group]
                batch = same[: limits.max_batch]
                if len(batch) == limits.max_batch or not self._has_grown(first):
                    taken = set(map(id, batch))
                    self._queue = [ticket for ticket in self._queue if id(ticket) not in taken]
                    return batch

    def _has_grown(self, first: Ticket) -> bool:
        """Wait for more requests, if there is reason to. Returns whether some have come."""
        now, size = time.monotonic(), len(self._queue)
        if first.limits.max_wait is not None:
            left = first.entered + first.limits.max_wait - now
            return left > 0 and self._arrival.wait(left)
        left = self._last_ended + _CATCHING_UP * self._last_took - now
        if size >= self._last_size or left <= 0:
            return False
        quiet = min(left, max(_QUIET_S, _QUIET * self._last_took))
        self._arrival.wait_for(lambda: len(self._queue) >= self._last_size, quiet)
        return len(self._queue) > size

    def _answer(self, batch: list[Ticket]) -> None:
        """Answer a batch; whatever happens, each of its callers gets an end."""
        now = time.monotonic()
        for ticket in batch:
            if ticket.request.run.queue_time is None:
                ticket.request.run.queue_time = now - ticket.entered
        running = _Batch(batch)

        def run() -> None:
            _inside.set(_inside.get() | {id(self)})
            running.run()

        try:
            run_for(max(ticket.waiting_loops for ticket in batch), run)
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must see it
            failed = [ticket for ticket in batch if not ticket.parts.finished]
            if batch[0].limits.splits and len(failed) > 1 and not running.has_begun and isinstance(error, Exception):
                middle = len(failed) // 2
                self._answer(failed[:middle])
                self._answer(failed[middle:])
            else:
                for ticket in failed:
                    ticket.fail(error)
        else:
            for ticket in batch:
                if not ticket.parts.finished:
                    ticket.parts.finish()
        self._last_ended = time.monotonic()
        self._last_size, self._last_took = len(batch), self._last_ended - now


class _Batch:
    """One call of the function."""

    def __init__(self, tickets: Sequence[Ticket]) -> None:
        self.has_begun = False
        self._tickets = tickets
        self._where = tickets[0].where
        self._running: Submitted[None] | None = None
        for ticket in tickets:
            ticket.batch = self

    def stop_if_unwanted(self) -> None:
        """Cancel what runs on an event loop, once the last caller has left; a thread looks at `request.cancelled`."""
        running = self._running
        if running is not None and not any(ticket.is_wanted for ticket in self._tickets):
            running.cancel()

    def run(self) -> None:
        """Call the function, and give each caller what is theirs."""
        answers = self._tickets[0].ask([ticket.request for ticket in self._tickets])
        if needs_loop(answers):
            self._running = running = long_lived_loop().submit(self._arun(answers), contextvars.copy_context())
            self.stop_if_unwanted()  # the last caller may have left before there was anything to cancel
            running.result()
        elif needs_thread(answers):
            try:
                for given in answers:
                    if not self._give_part(given):
                        break
            finally:
                if callable(close := getattr(answers, "close", None)):
                    close()
        else:
            self._give_answers(answers)

    async def _arun(self, answers: Any) -> None:
        while isinstance(answers, Awaitable):
            answers = await answers
        if not isinstance(answers, AsyncIterator):
            self._give_answers([*answers] if isinstance(answers, Iterator) else answers)
            return
        stream = DetachedAsyncGenerator(cast("Any", answers)) if hasattr(answers, "aclose") else answers
        try:
            async for given in stream:
                if not self._give_part(given):
                    break
        finally:
            if isinstance(stream, DetachedAsyncGenerator):
                await stream.aclose()

    def _give_part(self, given: Any) -> bool:
        """Give a part to whom it is for. Returns whether anybody still waits."""
        match given:
            case (int(index), part) if 0 <= index < len(self._tickets):
                self._give(self._tickets[index], part, is_last=isinstance(part, Finish))
            case _:
                raise TypeError(
                    f"{self._where} yielded {given!r:.200}. It must yield pairs of an index (0 to "
                    f"{len(self._tickets) - 1} here, as there are {len(self._tickets)} requests) and a part of that "
                    "answer; or return a list of answers, one for each request."
                )
        return any(ticket.is_wanted and not ticket.parts.finished for ticket in self._tickets)

    def _give_answers(self, answers: Any) -> None:
        # An array or a deque is as good as a list. A text or a mapping has a length, too, and is no list of answers.
        is_list = isinstance(answers, Sized) and isinstance(answers, Iterable) and not isinstance(answers, str | dict)
        if not is_list or len(answers) != len(self._tickets):
            got = f"{len(answers)} answers" if is_list else f"{answers!r:.200} ({type(answers).__name__})"
            raise TypeError(
                f"{self._where} returned {got} to {len(self._tickets)} requests. It must return a list with one answer "
                "for each request, in their order; in the place of an answer that failed, its exception."
            )
        for ticket, answer in zip(self._tickets, cast("Iterable[Any]", answers), strict=True):
            self._give(ticket, answer, is_last=True)

    def _give(self, ticket: Ticket, part: Any, *, is_last: bool) -> None:
        self.has_begun = True
        if isinstance(part, BaseException):
            ticket.parts.finish(part)
        elif not ticket.parts.finished:
            ticket.parts.put(part)
            if is_last:
                ticket.parts.finish()
