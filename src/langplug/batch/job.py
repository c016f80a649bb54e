"""A job: rows are read as they are needed, asked at a pace, and written when their answers are safe."""

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from langchain_core.exceptions import ModelRateLimitError

from langplug._bridge.threads import in_thread
from langplug.batch.asking import Asker, Outcome
from langplug.batch.files import Out
from langplug.batch.journal import Entry, Journal, JournalError
from langplug.batch.pace import Pace
from langplug.batch.rows import Row
from langplug.batch.summary import Summary

_encode = json.JSONEncoder(default=str).encode

_SAFE_AFTER_S: Final = 0.25
"""Seconds after which an answer is in the journal."""

_READ_AT_ONCE: Final = 256

_MOST_UNWRITTEN: Final = 2_000
"""Records that wait for the next save, before no more rows are looked at."""

_MOST_HELD: Final = 10_000
"""Rows that wait for an earlier one, where they are written in order, before no more are asked."""

_PATIENCE_S: Final = 600.0
"""Seconds for which a row is asked again that is refused because there are too many: that is no fault of its own.
A server that asks to wait longer ends the job."""

_TOLD_FROM_S: Final = 5.0
"""Seconds that a server asks to wait, from which on the progress says so: less would only flicker."""

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0

_JUDGED_FROM: Final = 100
"""Rows after which a part of them that may fail is looked at."""


class TooManyErrors(Exception):
    """More rows failed than may; the message says how many, and what was wrong with the last one."""


@dataclass(kw_only=True)
class Job:
    """Asks rows, and writes what comes of them.

    Attributes:
        rows: The rows, in order.
        asker: How one is asked.
        pace: When one is asked.
        journal: What has been answered; None for a run that is not to be continued.
        out: Where records go.
        attempts: How often a row is asked, at most, that fails for a reason that may pass.
        retry_failed: Whether rows that failed in an earlier run are asked again.
        is_ordered: Whether records are written in the order of the rows, and not as they come.
        most_errors: How many rows may fail; a part of all if it is below 1; None for any number.
        progress: Told of the figures some times a second.
        summary: The figures.
    """

    rows: Iterable[Row]
    asker: Asker
    pace: Pace
    journal: Journal | None
    out: Out
    attempts: int = 5
    retry_failed: bool = False
    is_ordered: bool = False
    most_errors: float | None = None
    progress: Callable[[Summary], None] = lambda _: None
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self._began = time.monotonic()
        self._unsafe: list[Entry] = []
        self._unwritten: list[dict[str, Any]] = []
        self._held: dict[int, dict[str, Any]] = {}
        self._next = 0
        self._released = asyncio.Event()
        self._saving: asyncio.Future[None] | None = None
        # a row that waits to be asked again counts, or a server that refuses all would have all of them wait in memory
        self._begun = asyncio.Semaphore(2 * self.pace.most)

    async def run(self) -> Summary:
        """Ask every row. Whatever ends this, what was answered before is safe, and the output so far is beside `out`.

        Raises:
            TooManyErrors: If more rows failed than may.
            ModelRateLimitError: If the server asks to wait for longer than a job waits.
            OSError: If the disk is full, or a file cannot be read or written.
            JournalError: If the journal cannot be used.
            Exception: What reading the rows raises.
        """

        async def keep() -> None:
            while True:
                await asyncio.sleep(_SAFE_AFTER_S)
                await self._save()
                self._show(self.pace.paused_s)

        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(keep())
                async with asyncio.TaskGroup() as asking:
                    async for row in self._unanswered():
                        await self._begun.acquire()
                        await self.pace.turn()
                        asking.create_task(self._answer(row))
                keeping.cancel()
            await self._save()
            await asyncio.to_thread(self.out.finish)
        except BaseException as error:  # noqa: BLE001 - raised below, when what there is is safe
            with suppress(OSError, JournalError):  # as it may be what has ended the job
                await self._save()
            self.out.leave()
            cause = error
            while isinstance(cause, BaseExceptionGroup):  # a task group's, which is no matter of the caller's
                cause = cause.exceptions[0]
            raise cause from cause.__cause__
        finally:
            self._show()
        return self.summary

    async def _unanswered(self) -> AsyncIterator[Row]:
        """The rows that have to be asked, in order; of the others, what is known of them is written."""
        rows = iter(self.rows)

        def read() -> list[tuple[Row, Entry | None]]:
            some: list[Row] = []
            began = time.monotonic()
            for row in itertools.islice(rows, _READ_AT_ONCE):
                some.append(row)
                if time.monotonic() - began > _SAFE_AFTER_S:  # from a pipe that gives a row now and then
                    break
            known = self.journal.find([row.key for row in some]) if self.journal is not None else {}
            return [(row, known.get(row.key)) for row in some]

        # one that nobody waits for after Ctrl-C: a pipe may give no row for hours
        while chunk := await in_thread(read):
            if len(self._unwritten) >= _MOST_UNWRITTEN:  # an earlier run's answers come faster than they are saved
                await self._save()
            for row, entry in chunk:
                while len(self._held) >= _MOST_HELD:
                    self._released.clear()
                    await self._released.wait()
                self.summary.rows += 1
                if row.problem is not None:
                    self._settle(row, self.asker.unasked(row.problem), attempts=0, seconds=0.0)
                elif entry is not None and not (entry.failed and self.retry_failed):
                    self.summary.resumed += 1
                    self._write(row, json.loads(entry.record), failed=entry.failed)
                else:
                    yield row
        self.summary.expected = self.summary.rows  # lines were counted until now, and rows may have several

    async def _answer(self, row: Row) -> None:
        """Ask a row, which has its turn, until it is answered or asking again is of no use."""
        began = time.monotonic()
        attempts = failures = 0
        while True:
            asked = time.monotonic()
            try:
                outcome = await self.asker.ask(row)
            except BaseException:
                self.pace.leave()
                raise
            now = time.monotonic()
            attempts += 1
            self.summary.calls += 1
            self.summary.input_tokens += outcome.tokens[0]
            self.summary.output_tokens += outcome.tokens[1]
            if outcome.is_refused:
                self.pace.refuse(outcome.retry_after)
            else:
                self.pace.end(tokens=sum(outcome.tokens))
            failures += not outcome.is_refused
            is_over = now - began > _PATIENCE_S if outcome.is_refused else failures >= self.attempts
            if not outcome.is_retryable or is_over:
                break
            if (asked_s := outcome.retry_after or 0.0) > _PATIENCE_S:
                raise ModelRateLimitError(
                    f"the server asks to wait until {_clock_after(asked_s)}, longer than the {_PATIENCE_S / 60:.0f} "
                    "minutes that a job waits: run the same again then. It goes on from here, with the rows not yet "
                    "answered"
                )
            wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (attempts - 1)) * random.uniform(0.5, 1)  # noqa: S311
            await asyncio.sleep(max(wait_s, asked_s))
            await self.pace.turn()
        self._begun.release()
        seconds = now - asked if outcome.seconds is None else outcome.seconds
        self._settle(row, outcome, attempts=attempts, seconds=seconds)

    def _settle(self, row: Row, outcome: Outcome, *, attempts: int, seconds: float) -> None:
        """A row is done: its record is kept, and written."""
        record = self.asker.told(outcome, attempts=attempts, seconds=seconds)
        if row.problem is None:
            self._unsafe.append(Entry(row.key, outcome.failed, _encode(record)))
        self._write(row, record, failed=outcome.failed)

    def _write(self, row: Row, record: dict[str, Any], *, failed: bool) -> None:
        placed = self.asker.placed(row, record)
        if self.is_ordered:
            self._held[row.index] = placed
            while (due := self._held.pop(self._next, None)) is not None:
                self._unwritten.append(due)
                self._next += 1
            self._released.set()
        else:
            self._unwritten.append(placed)
        if not failed:
            self.summary.answered += 1
            return
        self.summary.failed += 1
        said = str(record.get("error") or record.get("response"))
        self.summary.problem = self.summary.problem or f"row {row.id!r}: {said:.300}"
        most = self.most_errors
        if most is None or (most < 1 and self.summary.rows < _JUDGED_FROM):
            return
        if self.summary.failed > (most * self.summary.rows if most < 1 else most):
            raise TooManyErrors(
                f"{self.summary.failed} of {self.summary.rows} rows failed, which is more than may. The last, row "
                f"{row.id!r}: {said:.300}"
            )

    async def _save(self) -> None:
        """Make safe, and then write, what has been answered. A save that somebody no longer waits for goes on."""
        while self._saving is not None and not self._saving.done():  # by then, another may save for somebody else
            await asyncio.wait({self._saving})
        entries, self._unsafe = self._unsafe, []
        records, self._unwritten = self._unwritten, []

        def save() -> None:
            if self.journal is not None and entries:
                self.journal.add(entries)
            if records:
                self.out.write(records)

        self._saving = asyncio.ensure_future(asyncio.to_thread(save))
        await asyncio.shield(self._saving)

    def _show(self, paused_s: float = 0.0) -> None:
        self.summary.seconds = time.monotonic() - self._began
        is_told = paused_s >= _TOLD_FROM_S
        self.summary.waits_for = f"the server asks to wait until {_clock_after(paused_s)}" if is_told else ""
        self.progress(self.summary)


def _clock_after(seconds: float) -> str:
    """What a clock on the wall shows then, with the day if that is not today."""
    now = datetime.now().astimezone()
    then = now + timedelta(seconds=seconds)
    return f"{then:%H:%M:%S}" if then.date() == now.date() else f"{then:%Y-%m-%d %H:%M:%S}"
