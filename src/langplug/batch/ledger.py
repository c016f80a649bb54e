"""What a provider's batch API has been asked, and what is known of it: in the journal, beside the answers."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from langplug.batch.journal import KEEP, Entry, Journal

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS parts (number INTEGER PRIMARY KEY, url TEXT, file TEXT, batch TEXT, is_over INTEGER)",
    """CREATE TABLE IF NOT EXISTS requests (key BLOB PRIMARY KEY, question TEXT, known TEXT, asked INTEGER, url TEXT,
    body TEXT, part INTEGER, is_wanted INTEGER)""",
    "CREATE INDEX IF NOT EXISTS requests_of_parts ON requests (part)",
)

_UNCUT: Final = (
    "SELECT rowid, key, url, length(CAST(body AS BLOB)) FROM requests "
    "WHERE part IS NULL AND is_wanted AND rowid > ? ORDER BY rowid LIMIT ?"
)
_OF_PART: Final = "SELECT rowid, key, question, known, asked, url, body FROM requests WHERE part = ?"

_AT_ONCE: Final = 1_000
"""Rows that are looked at together."""


@dataclass(frozen=True, slots=True)
class Part:
    """Requests that are one batch.

    Attributes:
        number: Its number in this journal.
        url: Where its requests go.
        file: The id of its file at the server, once that is known.
        batch: The id of the batch, once that is known.
    """

    number: int
    url: str
    file: str | None
    batch: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A row that waits for the answer to a request.

    Attributes:
        key: The row's.
        question: The row's.
        known: Status and body of the answers to its earlier requests, by the hash of these.
        asked: How often the row has been asked from its beginning, this time included.
        url: Where the request goes.
        body: The request, as JSON.
    """

    key: bytes
    question: Any
    known: Mapping[str, tuple[int, str]]
    asked: int
    url: str
    body: str

    def values(self) -> tuple[Any, ...]:
        """As they stand in the table, before the number of its part."""
        question = json.dumps(self.question, default=str)
        return (self.key, question, json.dumps(self.known), self.asked, self.url, self.body)


class Load(NamedTuple):
    """How much a file may hold.

    Attributes:
        requests: How many requests.
        bytes: How many bytes.
    """

    requests: int
    bytes: int


class Ledger:
    """The requests of a job at a provider. Every change is safe when its method returns.

    A row that is answered is in the journal, and no longer here: both in one transaction.

    Args:
        journal: Where it is kept.

    Raises:
        OSError: If the disk is full, as each of its methods does.
        JournalError: If the journal cannot be used, likewise.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        with journal.transaction() as base:
            for table in _TABLES:
                base.execute(table)

    def begin(self) -> None:
        """Forget what an earlier run had planned, and asked of nobody: this run plans it anew, as it wants it."""
        with self._journal.transaction() as base:
            base.execute("DELETE FROM requests WHERE part IS NULL AND known = '{}'")
            base.execute("UPDATE requests SET is_wanted = 0")

    def want(self, keys: Iterable[bytes]) -> set[bytes]:
        """Of these keys, those that are waited for, from an earlier run: from now on, by this one, too."""
        wanted: set[bytes] = set()
        with self._journal.transaction() as base:
            for key in keys:
                if base.execute("UPDATE requests SET is_wanted = 1 WHERE key = ?", (key,)).rowcount:
                    wanted.add(key)
        return wanted

    def settle(self, entries: Iterable[Entry], again: Iterable[Pending], part: Part | None = None) -> None:
        """Keep what came of rows, and what has to be asked for others. With a part, it is over with that."""
        with self._journal.transaction() as base:
            for entry in entries:
                base.execute(KEEP, entry)
                base.execute("DELETE FROM requests WHERE key = ?", (entry.key,))
            for pending in again:
                base.execute("INSERT OR REPLACE INTO requests VALUES (?, ?, ?, ?, ?, ?, NULL, 1)", pending.values())
            if part is not None:
                base.execute("UPDATE parts SET is_over = 1 WHERE number = ?", (part.number,))

    def cut(self, most: Load) -> None:
        """Make parts of the requests that belong to none. Each part goes to one place."""
        with self._journal.transaction() as base:
            last, number, place, room = -1, 0, None, Load(0, 0)
            while some := base.execute(_UNCUT, (last, _AT_ONCE)).fetchall():
                for row, key, url, size in some:
                    taken = size + len(_line(key, url, ""))
                    if url != place or not room.requests or taken > room.bytes:
                        made = base.execute("INSERT INTO parts (url, is_over) VALUES (?, 0)", (url,))
                        number, place, room = made.lastrowid or 0, url, most
                    room = Load(room.requests - 1, room.bytes - taken)
                    base.execute("UPDATE requests SET part = ? WHERE rowid = ?", (number, row))
                last = some[-1][0]

    def parts(self, *, all_of_them: bool = False) -> list[Part]:
        """The parts that are not over, and that this run waits for; or all that are not over."""
        wanted = "" if all_of_them else "AND number IN (SELECT part FROM requests WHERE is_wanted)"
        with self._journal.transaction() as base:
            found = base.execute(f"SELECT number, url, file, batch FROM parts WHERE NOT is_over {wanted}")  # noqa: S608 - ours
            return [Part(*row) for row in found.fetchall()]

    def note(self, part: Part, *, file: str | None = None, batch: str | None = None) -> Part:
        """The part with the id of its file, or of its batch."""
        noted = Part(part.number, part.url, file or part.file, batch or part.batch)
        with self._journal.transaction() as base:
            base.execute(
                "UPDATE parts SET file = ?, batch = ? WHERE number = ?", (noted.file, noted.batch, part.number)
            )
        return noted

    def undo(self, part: Part) -> None:
        """Nothing of this part was asked: its requests belong to none again."""
        with self._journal.transaction() as base:
            base.execute("UPDATE requests SET part = NULL WHERE part = ?", (part.number,))
            base.execute("DELETE FROM parts WHERE number = ?", (part.number,))

    def lines(self, part: Part) -> Iterator[bytes]:
        """The file of a part, line by line.

        Source: https://platform.openai.com/docs/api-reference/batch/request-input.
        """
        for pending in self.waiting(part):
            yield _line(pending.key, pending.url, pending.body).encode()

    def find(self, part: Part, keys: Iterable[bytes]) -> dict[bytes, Pending]:
        """Those of these rows that wait for this part."""
        with self._journal.transaction() as base:
            found = [base.execute(f"{_OF_PART} AND key = ?", (part.number, key)).fetchone() for key in keys]
        return {row[1]: _pending(row) for row in found if row is not None}

    def waiting(self, part: Part) -> Iterator[Pending]:
        """The rows that wait for this part."""
        last = -1
        while True:
            with self._journal.transaction() as base:
                asked = f"{_OF_PART} AND rowid > ? ORDER BY rowid LIMIT ?"
                rows: list[Any] = base.execute(asked, (part.number, last, _AT_ONCE)).fetchall()
            yield from map(_pending, rows)
            if not rows:
                return
            last = rows[-1][0]

    def size(self, part: Part) -> int:
        """How many rows wait for this part."""
        with self._journal.transaction() as base:
            (count,) = base.execute("SELECT count(*) FROM requests WHERE part = ?", (part.number,)).fetchone()
        return int(count)


def warn_of_unread_batches(journal: Journal) -> None:
    """Warn if a server has batches, of jobs with this journal, whose answers no run has read: they were paid for."""
    with journal.transaction() as base:
        if base.execute("SELECT 1 FROM sqlite_master WHERE name = 'parts'").fetchone() is None:
            return  # no job has sent any
        (count,) = base.execute("SELECT count(*) FROM parts WHERE NOT is_over AND file IS NOT NULL").fetchone()
    if count:
        warnings.warn(
            f"{count} batches that `via='provider'` has sent were not read, and this run asks its rows all the same: "
            "to wait for the batches, end it, and give `via` again.",
            stacklevel=3,
        )


def _pending(row: Any) -> Pending:
    _, key, question, known, asked, url, body = row
    said = {name: (status, text) for name, (status, text) in json.loads(known).items()}
    return Pending(key=key, question=json.loads(question), known=said, asked=asked, url=url, body=body)


def _line(key: bytes, url: str, body: str) -> str:
    # the body as it was written: to read it, and write it again, would cost more than all else here
    return f'{{"custom_id": "{key.hex()}", "method": "POST", "url": {json.dumps(url)}, "body": {body}}}\n'
