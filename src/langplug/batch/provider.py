"""A job by a provider's own batch API: rows are sent as files, waited for, and merged into the output.

What was sent, and as which batch, is in the journal before and after each step, so that a row is paid for once: a file
that was never made a batch costs nothing, and which file a batch was made of, the server knows.
"""

import asyncio
import itertools
import json
import pickle
import re
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, NamedTuple, TypeVar

from langchain_core.exceptions import ModelError

from langplug._bridge.threads import in_thread
from langplug.batch.api import BatchAPI
from langplug.batch.asking import ChatAsker, Outcome
from langplug.batch.bodies import ChatWriter, EnvelopeWriter, Outgoing
from langplug.batch.job import Job
from langplug.batch.journal import Entry
from langplug.batch.ledger import Ledger, Load, Part, Pending
from langplug.batch.rows import Row
from langplug.batch.summary import Summary
from langplug.models import ChatEndpoint

MOST_BYTES: Final = 200_000_000
"""How large a file may be. Source: https://platform.openai.com/docs/api-reference/batch/create."""

_ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})

_ENQUEUED: Final = "token_limit_exceeded"
"""The code of a batch that has to wait until others have ended."""

_OWN_ID: Final = re.compile("[0-9a-f]{32}").fullmatch
"""Finds what the ids of this job's requests look like: a row's key."""

_FIRST_LOOK_S: Final = 0.1
_LONGEST_LOOK_S: Final = 60.0
_GROWTH: Final = 1.5
"""Seconds between two looks at the batches: the first, the longest, and how they grow."""

_PATIENCE_S: Final = 600.0
"""Seconds for which a server that does not answer is asked again. Its batches go on meanwhile."""

_AT_ONCE: Final = 500
"""Rows that are written, or read, together."""


T = TypeVar("T")

Done = tuple[Pending, Outcome]
"""A row that is over, and what came of it."""


class ProviderError(Exception):
    """A server refuses a batch; the message says why, and what to do."""


class Look(NamedTuple):
    """How a batch is.

    Attributes:
        part: What it has of the job.
        told: What the server says of it.
    """

    part: Part
    told: dict[str, Any]


class Provider:
    """Has the rows of a job answered by a server's batch API.

    Args:
        job: The job. It writes the output when all is answered.
        endpoint: The model, with the server's address and key.
        rows_per_batch: The most rows in a batch.

    Raises:
        ValueError: If the job has no journal.
    """

    def __init__(self, job: Job, endpoint: ChatEndpoint, *, rows_per_batch: int) -> None:
        if job.journal is None:
            raise ValueError("a batch at a server outlives this process: name a file as the output, or a journal")
        self._job = job
        self._journal = job.journal
        self._ledger = Ledger(job.journal)
        self._api = BatchAPI(endpoint)
        self._writer = ChatWriter(job.asker) if isinstance(job.asker, ChatAsker) else EnvelopeWriter(endpoint)
        self._most = Load(rows_per_batch, MOST_BYTES)
        self._summary = Summary()
        self._spool = Spool()
        self._began = time.monotonic()
        self._first_look: tuple[float, int] | None = None
        self._is_full = False

    async def run(self) -> Summary:
        """Send what is not answered, wait until it is, and write the output. Whoever ends this may begin it again.

        Raises:
            ProviderError: If the server refuses a batch.
            ModelError: If the server does not answer for ten minutes.
            ValueError: If it has no batch API.
            Exception: As of `Job.run`.
        """
        try:
            await self.find_again()
            await self.plan()
            await self.submit()
            await self.wait()
            return await self.merge()
        except BaseException:
            self._job.out.leave()
            raise
        finally:
            self._spool.close()

    async def wait(self) -> None:
        """Wait until nothing is at the server any more; what has to be asked again is sent again."""
        wait_s = _FIRST_LOOK_S
        while parts := self._ledger.parts():
            looks = [Look(part, await self._patiently(self._api.retrieve, part.batch)) for part in parts]
            self._show(looks)
            if ended := [look for look in looks if look.told.get("status") in _ENDED]:
                refusals = [await self.collect(look) for look in ended]
                self._is_full = all(refusals)
                if self._is_full and len(ended) == len(looks):
                    raise ProviderError(f"{refusals[0]} Once there is room, the same command goes on.")
                await self.submit()
                wait_s = _FIRST_LOOK_S
            else:
                await asyncio.sleep(wait_s)
                wait_s = min(_LONGEST_LOOK_S, wait_s * _GROWTH)

    # --- what is sent ---

    async def find_again(self) -> None:
        """Look for the batches that an earlier run may have created, and did not live to hear of."""
        for part in self._ledger.parts(all_of_them=True):
            if part.batch is not None:
                continue
            batch = await self._patiently(self._api.find, part.file) if part.file is not None else None
            if batch is not None:
                self._ledger.note(part, batch=batch)
            else:
                self._ledger.undo(part)
        self._ledger.begin()

    async def plan(self) -> None:
        """Write down what has to be asked, and keep the rest of each row for the output."""
        rows = iter(self._job.rows)
        while some := await in_thread(lambda: list(itertools.islice(rows, _AT_ONCE))):
            self._summary.rows += len(some)
            self._spool.add(some)
            by_key = {row.key: row for row in some if row.problem is None}
            known = self._journal.find(list(by_key))
            again = {key for key, entry in known.items() if entry.failed and self._job.retry_failed}
            found = [known[row.key] for row in some if row.key in known and row.key not in again]
            self._summary.resumed += len(found)
            self._count(found)
            open_keys = [key for key in by_key if key not in known or key in again]
            waiting = self._ledger.want(open_keys)
            asked = [
                Pending(key=key, question=by_key[key].question, known={}, asked=1, url="", body="")
                for key in open_keys
                if key not in waiting
            ]
            await self._go_on(asked)
            self._show([])

    async def submit(self) -> None:
        """Send what has not been sent, unless the server takes no more for now."""
        if self._is_full:
            return
        self._ledger.cut(self._most)
        for part in self._ledger.parts():
            if part.batch is not None:
                continue
            file = await self._patiently(lambda part=part: self._api.upload(self._ledger.lines(part)))
            noted = self._ledger.note(part, file=file)
            self._ledger.note(noted, batch=await self.create(noted))
            self._summary.calls += self._ledger.size(part)

    async def create(self, part: Part) -> str:
        """Make a part a batch, once: after a failure that says nothing of it, it is looked for first."""
        assert part.file is not None
        tries = itertools.count()

        async def create() -> str:
            found = await self._api.find(str(part.file)) if next(tries) else None
            return found or await self._api.create(str(part.file), part.url)

        return await self._patiently(create)

    # --- what comes back ---

    async def collect(self, look: Look) -> str:
        """Keep what a batch that has ended says of its rows, and what has to be asked after that.

        Returns:
            Why it has to be sent again when others have ended; empty if it need not.
        """
        part, told = look
        if told["status"] == "failed":
            return self.take_back(look)
        for file in (told.get("output_file_id"), told.get("error_file_id")):
            if file:
                await self._patiently(self.read, part, file)
        reason = f"The batch {part.batch} ended ({told['status']}) without an answer to this row."
        left = [(pending, self._job.asker.unasked(reason)) for pending in self._ledger.waiting(part)]
        self._settle(left, [], part)
        return ""

    async def read(self, part: Part, file: str) -> None:
        """Keep what a file of a batch says."""
        lines: list[dict[str, Any]] = []
        async for line in self._api.lines(file):
            lines.append(line)
            if len(lines) >= _AT_ONCE:
                await self._take(part, lines)
                lines = []
        await self._take(part, lines)

    async def _take(self, part: Part, lines: Iterable[dict[str, Any]]) -> None:
        """Keep what lines of a batch's files say."""
        by_key = {bytes.fromhex(line["custom_id"]): line for line in lines if _OWN_ID(str(line.get("custom_id")))}
        answered: list[Pending] = []
        failed: list[Done] = []
        for key, pending in self._ledger.find(part, by_key).items():
            response, error = by_key[key].get("response"), by_key[key].get("error") or {}
            if response is None:
                problem = self._job.asker.unasked(f"{error.get('code')}: {error.get('message')}")
                failed.append((pending, problem))
                continue
            body = response.get("body")
            # what is no JSON, as a proxy's page, is text; half a character of it could not be kept
            text = body.encode("utf-8", "replace").decode() if isinstance(body, str) else json.dumps(body)
            answer = (int(response.get("status_code") or 200), text)
            answered.append(replace(pending, known={**pending.known, Outgoing(pending.url, pending.body).hash: answer}))
        self._settle(failed, [])
        await self._go_on(answered)

    async def _go_on(self, rows: Iterable[Pending]) -> None:
        """Keep what came of rows, or what they ask next."""
        done: list[Done] = []
        again: list[Pending] = []
        for pending in rows:
            said = await self._writer.go_on(pending.question, pending.known)
            if isinstance(said, Outgoing):
                again.append(replace(pending, url=said.url, body=said.body))
            elif said.is_retryable and pending.asked < self._job.attempts and pending.body:
                # as it was asked before, so without the answer that it is to have another one of
                last = Outgoing(pending.url, pending.body).hash
                known = {hash_: answer for hash_, answer in pending.known.items() if hash_ != last}
                again.append(replace(pending, known=known, asked=pending.asked + 1))
            else:
                done.append((pending, said))
        self._settle(done, again)

    def _settle(
        self, done: Iterable[tuple[Pending, Outcome]], again: Iterable[Pending], part: Part | None = None
    ) -> None:
        entries: list[Entry] = []
        for pending, outcome in done:
            record = self._job.asker.told(outcome, attempts=pending.asked, seconds=None)
            entries.append(Entry(pending.key, outcome.failed, json.dumps(record, default=str)))
            self._summary.input_tokens += outcome.tokens[0]
            self._summary.output_tokens += outcome.tokens[1]
        self._ledger.settle(entries, again, part)
        self._count(entries)

    def take_back(self, look: Look) -> str:
        """A batch was refused as a whole, so nothing of it was asked. Lines that are wrong are rows that failed.

        Returns:
            As `_collect`.

        Raises:
            ProviderError: If it was refused neither for some of its lines nor for want of room.
        """
        part, told = look
        errors = (told.get("errors") or {}).get("data") or [{}]
        by_line = {error["line"]: error for error in errors if isinstance(error.get("line"), int)}
        size = self._ledger.size(part)
        wrong = [
            (pending, self._job.asker.unasked(f"{error.get('code')}: {error.get('message')}"))
            for number, pending in enumerate(self._ledger.waiting(part), 1)
            if (error := by_line.get(number)) is not None
        ]
        self._settle(wrong, [])
        self._ledger.undo(part)
        self._summary.calls -= size
        if wrong:
            return ""
        said = "; ".join(f"{error.get('message')} ({error.get('code')})" for error in errors[:3])
        refusal = f"the server refused a batch of {size:,} rows, and asked none of them: {said}"
        if all(error.get("code") == _ENQUEUED for error in errors):
            return refusal
        raise ProviderError(f"{refusal} Fix that, and give the same command again.")

    # --- the output ---

    async def merge(self) -> Summary:
        """Write the output, from what the journal has of each row."""
        mine = self._summary
        mine.waits_for = "writing the output"
        self._job.progress(mine)
        merging = replace(
            self._job,
            rows=self._spool,
            retry_failed=False,
            summary=Summary(),
            progress=lambda _: self._job.progress(mine),
        )
        done = await merging.run()
        done.resumed, done.calls = mine.resumed, mine.calls
        done.input_tokens, done.output_tokens = mine.input_tokens, mine.output_tokens
        done.seconds = time.monotonic() - self._began
        self._job.progress(done)
        return done

    # --- what all of these need ---

    async def _patiently(self, ask: Callable[..., Awaitable[T]], *args: Any) -> T:
        """What a question to the server gives, asked again for a while if it fails for a reason that may pass."""
        began, wait_s = time.monotonic(), _FIRST_LOOK_S
        while True:
            try:
                return await ask(*args)
            except ModelError as error:
                if not error.is_retryable or time.monotonic() - began > _PATIENCE_S:
                    raise
                self._summary.waits_for = f"asking the server again: {error!s:.200}"
                self._job.progress(self._summary)
            await asyncio.sleep(wait_s)
            wait_s = min(_LONGEST_LOOK_S, wait_s * _GROWTH)

    def _count(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._summary.failed += entry.failed
            self._summary.answered += not entry.failed

    def _show(self, looks: list[Look]) -> None:
        """Tell how far the batches are, and when they will have ended if they go on like this."""
        mine = self._summary
        counts = [look.told.get("request_counts") or {} for look in looks]
        done = sum(count.get("completed", 0) + count.get("failed", 0) for count in counts)
        total = sum(count.get("total", 0) for count in counts)
        now = time.monotonic()
        mine.seconds = now - self._began
        mine.waits_for = f"{mine.rows:,} rows read"
        if looks:
            over = done + mine.answered + mine.failed
            at, before = self._first_look = self._first_look or (now, over)
            left = ""
            if over > before and done < total:
                left = f", about {timedelta(seconds=int((now - at) / (over - before) * (total - done)))} left"
            states = ", ".join(sorted({str(look.told.get("status")) for look in looks}))
            several = "batches" if len(looks) > 1 else "batch"
            mine.waits_for = f"{len(looks)} {several} at the server ({states}): {done:,} of {total:,} requests{left}"
        self._job.progress(mine)


async def cancel(ledger: Ledger, api: BatchAPI) -> int:
    """Have the server answer no more of what was sent. Returns how many batches that was; they end a little later.

    Raises:
        ModelError: If the server does not do it.
    """
    cancelled = 0
    for part in ledger.parts(all_of_them=True):
        batch = part.batch or (await api.find(part.file) if part.file else None)
        if batch is not None and (await api.retrieve(batch)).get("status") not in _ENDED:
            await api.cancel(batch)
            cancelled += 1
    return cancelled


class Spool:
    """Rows without their questions, in a file that nobody sees, until the output is written."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows after those that are kept."""
        pickle.dump([replace(row, question=None) for row in rows], self._file)

    def close(self) -> None:
        """Nobody needs them any more."""
        self._file.close()

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        while True:
            try:
                yield from pickle.load(self._file)  # noqa: S301 - what `add` has written
            except EOFError:
                return
