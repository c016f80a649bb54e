"""What has been answered, kept so that it survives whatever ends the process."""

import sqlite3
import threading
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple, Self

_VERSION: Final = 1
_MOST_AT_ONCE: Final = 500
"""Keys in one query; older SQLites take 999."""

KEEP: Final = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)"
"""Keeps an `Entry`, in a transaction of a journal."""


class JournalError(Exception):
    """The journal cannot be used; the message says why, and what to do."""


class Entry(NamedTuple):
    """One answered row.

    Attributes:
        key: The row's.
        failed: Whether it could not be answered.
        record: What is written of it, as JSON, without its place and id.
    """

    key: bytes
    failed: bool
    record: str


class Journal:
    """The answers of a job by their rows' keys, in a file of SQLite.

    What has been committed is there after `kill -9` at any moment, and after a disk that was full: SQLite's write-ahead
    log holds whole transactions alone. One process has it at a time; the system ends its lock when it ends.

    Args:
        file: Where; it is made if there is none.

    Raises:
        JournalError: If another process has it, or it is no journal.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._base: sqlite3.Connection | None = None
        self._lock = threading.Lock()
        try:
            # several threads use it, one at a time
            self._base = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
            self._base.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the log, which then needs no shared memory
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.execute("BEGIN IMMEDIATE")
            (version,) = self._base.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._base.execute(f"PRAGMA user_version = {_VERSION}")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, failed INTEGER, record TEXT) WITHOUT ROWID"
            )
            self._base.execute("COMMIT")
        except sqlite3.Error as error:
            self.close()
            raise self._explained(error) from error
        if version not in (0, _VERSION):
            self.close()
            raise JournalError(f"{file} was written by another version of langplug: move it away to begin anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, keys: Sequence[bytes]) -> dict[bytes, Entry]:
        """The entries that there are of these keys.

        Raises:
            JournalError: If it cannot be read.
        """
        found: dict[bytes, Entry] = {}
        try:
            for start in range(0, len(keys), _MOST_AT_ONCE):
                some = keys[start : start + _MOST_AT_ONCE]
                asked = f"SELECT key, failed, record FROM answers WHERE key IN ({','.join('?' * len(some))})"  # noqa: S608 - marks
                with self._lock:
                    rows = self._open.execute(asked, some).fetchall()
                found |= {key: Entry(key, bool(failed), record) for key, failed, record in rows}
        except sqlite3.Error as error:
            raise self._explained(error) from error
        return found

    def add(self, entries: Iterable[Entry]) -> None:
        """Keep entries, in the place of those with the same keys. They are safe when this returns.

        Raises:
            OSError: If the disk is full.
            JournalError: If it cannot be written otherwise.
        """
        with self.transaction() as base:
            base.executemany(KEEP, entries)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        """The database, for changes that are safe, all of them, when this ends; if it raises, none is made.

        Raises:
            OSError: If the disk is full.
            JournalError: If it cannot be used otherwise.
        """
        with self._lock:
            try:
                self._open.execute("BEGIN IMMEDIATE")
                yield self._open
                self._open.execute("COMMIT")
            except BaseException as error:
                with suppress(sqlite3.Error):
                    self._open.execute("ROLLBACK")
                if isinstance(error, sqlite3.Error):
                    raise self._explained(error) from error
                raise

    def close(self) -> None:
        """Let others have it."""
        if self._base is not None:
            with suppress(sqlite3.Error):  # as on a full disk: what was committed stays in the log
                self._base.close()

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._base is not None
        return self._base

    def _explained(self, error: sqlite3.Error) -> Exception:
        said = str(error)
        if "locked" in said:
            return JournalError(f"another run has {self._file}: wait until it ends, or name another output")
        if "full" in said or "disk I/O" in said:
            return OSError(f"{self._file} cannot be written, as the disk is full or broken: {said}")
        if "unable to open" in said:
            return OSError(f"{self._file} cannot be opened: {said}")
        return JournalError(f"{self._file} cannot be used: {said}. Move it away to begin anew.")
