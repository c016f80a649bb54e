"""A run that was ended, however, goes on where it was."""

import asyncio
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.batch.asked import noted, noting, upper
from tests.batch.test_run import answers, records

from langplug import batch
from langplug.batch.journal import Entry

ROWS = 200


def start(folder: Path, *, wait_s: float, rows: int = ROWS, limit: tuple[str, int] | None = None) -> Any:
    """A run in a process; with a limit, no file of it may have more bytes: that is an error, or kills it at once."""
    given = [str(rows), str(folder), str(wait_s), *map(str, limit or ())]
    command = [sys.executable, "-m", "tests.batch.asked", *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def expected(rows: int = ROWS) -> dict[str, str]:
    return {str(n): f"1: row {n}" for n in range(rows)}


def is_safe(folder: Path) -> set[str]:
    """The ids whose answers are in the journal of a run that nobody runs."""
    with closing(sqlite3.connect(folder / "out.jsonl.journal")) as base:
        found = base.execute("SELECT record FROM answers").fetchall()
    return {json.loads(record)["answer"].removeprefix("1: row ") for (record,) in found}


def test_killed_anywhere(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Killed at random moments, and once in a write, a job ends as if nobody had; nothing safe is asked again."""
    kills = 50 if request.config.getoption("--all") else 3
    rows = 400 + 180 * kills  # more than are asked before the last kill
    rng = random.Random(kills)
    safe: set[str] = set()
    for kill in range(kills):
        before = len(noted(tmp_path / "notes"))
        in_a_write = ("kill", 700 + max(file.stat().st_size for file in tmp_path.iterdir())) if kill == 1 else None
        process = start(tmp_path, wait_s=0.05, rows=rows, limit=in_a_write)
        process.stdout.readline()
        first = 0 if kill else 400  # by then some rows are safe
        while in_a_write is None and len(noted(tmp_path / "notes")) <= before + first + rng.randrange(150):
            time.sleep(rng.random() / 20)
        if in_a_write is None:
            process.kill()
        _, said = process.communicate()
        assert process.returncode == -(signal.SIGKILL if in_a_write is None else signal.SIGXFSZ), said
        assert not safe & {text.removeprefix("row ") for text in noted(tmp_path / "notes")[before:]}
        safe |= is_safe(tmp_path) if (tmp_path / "out.jsonl.journal").exists() else set()
    before = len(noted(tmp_path / "notes"))
    last = start(tmp_path, wait_s=0.05, rows=rows)
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert answers(tmp_path / "out.jsonl") == expected(rows)
    assert len(records(tmp_path / "out.jsonl")) == rows
    assert not safe & {text.removeprefix("row ") for text in noted(tmp_path / "notes")[before:]}
    assert 0 < len(safe) < rows


def test_full_disk(tmp_path: Path) -> None:
    """On a disk that is full the run ends and says so; with room, the same call goes on."""
    process = start(tmp_path, wait_s=0.0, limit=("fail", 30_000))
    _, said = process.communicate()
    assert process.returncode == 1
    assert "OSError" in said
    last = start(tmp_path, wait_s=0.0)
    _, said = last.communicate()
    assert last.returncode == 0, said
    assert answers(tmp_path / "out.jsonl") == expected()


def test_two_at_once(tmp_path: Path) -> None:
    """A job that runs is not run beside itself, and is not harmed by who tries."""
    process = start(tmp_path, wait_s=0.2)
    assert process.stdout is not None
    process.stdout.readline()
    while not noted(tmp_path / "notes"):
        time.sleep(0.02)
    with pytest.raises(batch.JournalError, match=r"another run has .*out\.jsonl\.journal"):
        batch.run(upper(), ["x"], tmp_path / "out.jsonl")
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert answers(tmp_path / "out.jsonl") == expected()


def test_terminated(tmp_path: Path) -> None:
    """Ctrl-C in a run of one's own ends it with what was answered kept."""
    process = start(tmp_path, wait_s=0.05)
    assert process.stdout is not None
    process.stdout.readline()
    while len(noted(tmp_path / "notes")) < 40:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGINT)
    process.communicate()
    assert len(is_safe(tmp_path)) >= 20


async def test_cancelled(tmp_path: Path) -> None:
    """A run that is cancelled keeps what was answered, and the next asks the rest alone."""
    notes = str(tmp_path / "notes")
    model = noting(notes=notes)
    rows = [str(n) for n in range(50)]
    seen = asyncio.Event()

    def progress(summary: batch.Summary) -> None:
        if summary.answered >= 10:
            seen.set()

    slow = model.model_copy(update={"wait_s": 0.01})
    running = asyncio.create_task(batch.arun(slow, rows, tmp_path / "out.jsonl", max_concurrency=1, progress=progress))
    await seen.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    asked = len(noted(Path(notes)))
    summary = await batch.arun(slow, rows, tmp_path / "out.jsonl")
    assert summary.resumed >= 10
    assert len(noted(Path(notes))) - asked == 50 - summary.resumed
    assert answers(tmp_path / "out.jsonl") == {str(n): f"1: {n}" for n in range(50)}


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [{"id": "a", "prompt": "other"}]},
        {"rows": [{"id": "b", "prompt": "hello"}]},
        {"system": "Be kind."},
        {"parameters": {"wait_s": 0.001}},
        {"model": {"version": 2}},
        {"schema": {"title": "T", "type": "object", "properties": {}}},
    ],
    ids=["prompt", "id", "system", "parameters", "model", "schema"],
)
def test_changed_job(change: dict[str, Any], tmp_path: Path) -> None:
    """An answer to another question, or of another model, is never taken for this one's."""
    notes = tmp_path / "notes"
    model = noting(notes=str(notes))
    rows = [{"id": "a", "prompt": "hello"}]
    batch.run(model, rows, tmp_path / "out.jsonl")
    batch.run(model, rows, tmp_path / "out.jsonl")
    assert len(noted(notes)) == 1
    changed = noting(notes=str(notes), **change.pop("model", {}))
    batch.run(changed, change.pop("rows", rows), tmp_path / "out.jsonl", **change)
    assert len(noted(notes)) > 1
    (record,) = records(tmp_path / "out.jsonl")
    assert record["index"] == 0


NAMED_CHAIN = """
import sys
from langplug import batch
from tests.batch.asked import upper

chain = upper() | (lambda message: message)
sys.stdout.write(str(batch.run(chain, ["x"], sys.argv[1], identity="upper, first version").resumed))
"""


def test_model_that_cannot_be_known_again(tmp_path: Path) -> None:
    """Of a model that another process could not know again a warning says so, unless a text stands for it."""
    with pytest.warns(UserWarning, match="will ask every row again"):
        batch.run(upper() | (lambda message: message), ["x"], tmp_path / "out.jsonl")
    command = [sys.executable, "-c", NAMED_CHAIN, str(tmp_path / "named.jsonl")]
    done = [subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert done == ["0", "1"]


def test_more_rows(tmp_path: Path) -> None:
    """Rows that are added are asked, rows that are gone are in the output no more, and the others are as they were."""
    notes = tmp_path / "notes"
    model = noting(notes=str(notes))
    batch.run(model, [{"id": n, "prompt": str(n)} for n in (1, 2, 3)], tmp_path / "out.jsonl")
    summary = batch.run(model, [{"id": n, "prompt": str(n)} for n in (4, 3, 1)], tmp_path / "out.jsonl", ordered=True)
    assert noted(notes)[3:] == ["4"]
    assert [record["id"] for record in records(tmp_path / "out.jsonl")] == ["4", "3", "1"]
    assert summary.resumed == 2


def test_failed_rows(tmp_path: Path) -> None:
    """A row that failed is asked again only when that is wanted."""
    rows = [{"id": n, "prompt": "please fail" if n == 1 else "ok"} for n in range(3)]
    assert batch.run(upper(), rows, tmp_path / "out.jsonl").failed == 1
    again = batch.run(upper(), rows, tmp_path / "out.jsonl")
    assert (again.calls, again.failed, again.resumed) == (0, 1, 3)
    third = batch.run(upper(), rows, tmp_path / "out.jsonl", retry_failed=True)
    assert (third.calls, third.failed, third.resumed) == (1, 1, 2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), size=st.integers(1, 5))
def test_torn_write(data: st.DataObject, size: int, tmp_path: Path) -> None:
    """However much of the last write reached the disk, the journal opens, and holds whole entries that were added."""
    for file in tmp_path.iterdir():
        file.unlink()
    entries = [[Entry(bytes([turn, n]), failed=False, record="x" * 500) for n in range(size)] for turn in range(4)]
    journal = batch.Journal(tmp_path / "whole")
    sizes = []
    for some in entries:
        journal.add(some)
        sizes.append((tmp_path / "whole-wal").stat().st_size)
    shutil.copy(tmp_path / "whole", tmp_path / "torn")
    log = (tmp_path / "whole-wal").read_bytes()
    (tmp_path / "torn-wal").write_bytes(log[: (cut := data.draw(st.integers(0, len(log))))])
    journal.close()
    with batch.Journal(tmp_path / "torn") as torn:
        for some, needed in zip(entries, sizes, strict=True):
            found = torn.find([entry.key for entry in some])
            assert sorted(found.values()) == (some if cut >= needed else [])


@pytest.mark.parametrize(
    "content", [b"", b"not a database, but some text that is long enough" * 50, b"SQLite format 3\0broken"]
)
def test_file_that_is_no_journal(content: bytes, tmp_path: Path) -> None:
    """A file that is no journal is not written over; an empty one becomes one."""
    (tmp_path / "out.jsonl.journal").write_bytes(content)
    if content:
        with pytest.raises(batch.JournalError, match="Move it away"):
            batch.run(upper(), ["x"], tmp_path / "out.jsonl")
        assert (tmp_path / "out.jsonl.journal").read_bytes() == content
    else:
        batch.run(upper(), ["x"], tmp_path / "out.jsonl")
        assert answers(tmp_path / "out.jsonl") == {"0": "X"}
