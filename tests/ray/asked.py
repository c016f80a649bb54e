"""A model that notes who is asked what, and when; as `python -m tests.ray.asked ADDRESS FOLDER`, a run to be killed."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from langplug import Request, chat_model

ROWS = 300


class Note(NamedTuple):
    """A call that began, or ended."""

    pid: int
    is_begin: bool
    at: float
    text: str


@chat_model
async def noting(request: Request, *, notes: str, wait_s: float = 0.02) -> str:
    """Answers with the question; notes when it has it, and when it is done, each in one write."""

    def note(what: str) -> None:
        with Path(notes).open("ab", buffering=0) as file:
            file.write(f"{os.getpid()} {what} {time.time()} {request.text}\n".encode())

    if "crash" in request.text:
        os._exit(1)
    if "fail" in request.text:
        raise ValueError("it must")
    note("begin")
    await asyncio.sleep(wait_s)
    note("end")
    return request.text.upper()


def noted(notes: Path) -> list[Note]:
    """What was noted, in order."""
    lines = [line.split(" ", 3) for line in notes.read_text().splitlines()] if notes.exists() else []
    return [Note(int(pid), what == "begin", float(at), text) for pid, what, at, text in lines]


def begun(notes: Path) -> Counter[str]:
    """How often each question was asked."""
    return Counter(note.text for note in noted(notes) if note.is_begin)


def rows() -> Iterator[dict[str, str]]:
    """The rows of the run that is killed."""
    return ({"id": str(n), "prompt": f"row {n}"} for n in range(ROWS))


if __name__ == "__main__":
    import signal
    import sys

    from langplug import batch

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever starts the tests may have it ignored
    address, folder = sys.argv[1], Path(sys.argv[2])
    model = noting(notes=str(folder / "notes"), wait_s=0.1)
    batch.run(model, rows(), folder / "out.jsonl", max_concurrency=16, engine=batch.Ray(address=address, cpus=0.5))
