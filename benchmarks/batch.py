"""What `langplug batch` costs a row beside the model's own cost, its memory over the rows, and how often it is refused.

    python benchmarks/batch.py [--rows 10000,100000] [--rounds 3] [--storm-s 20] [--write]

Each size runs in a process of its own, which reports its peak of memory. The peer is `ainvoke` alone, 64 at once, of
the same model with the same messages, in the same process, in turns with the run: what is beyond it is the job's. In a
storm, a server takes so many calls a second and refuses the others; refusals after its first five seconds are counted.
`--write` puts the figures into docs/en/guides/batch.md.
"""

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ModelRateLimitError
from pydantic import PrivateAttr

from langplug import ChatModel, Request, batch, chat_model

AT_ONCE = 64
MOST_ALONE = 20_000
MANY = 1_000_000
"""Rows of which one round takes minutes."""

PAGE = Path(__file__).parents[1] / "docs" / "en" / "guides" / "batch.md"
BEGIN, END = "<!-- measured by benchmarks/batch.py -->", "<!-- end of what was measured -->"


@chat_model
async def answering(request: Request) -> str:
    """Answers at once."""
    return "answered"


class Limited(ChatModel):
    """A server that takes `rate` calls a second, as a bucket of a tenth of a second does."""

    rate: float = 50.0
    _room: float = 5.0
    _at: float = 0.0
    _refused: list[float] = PrivateAttr(default_factory=list)
    _taken: list[float] = PrivateAttr(default_factory=list)

    async def respond(self, request: Request) -> str:
        """Refuses what comes too fast; takes 50 ms for the rest."""
        now = time.monotonic()
        self._room = min(self.rate / 10, self._room + (now - self._at) * self.rate)
        self._at = now
        if self._room < 1:
            self._refused.append(now)
            raise ModelRateLimitError("too many")
        self._room -= 1
        self._taken.append(now)
        await asyncio.sleep(0.05)
        return "taken"


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows that are made as they are needed."""
    return ({"id": number, "prompt": f"What is row {number} about?"} for number in range(count))


async def alone(model: ChatModel, count: int) -> None:
    """The model's own cost: as many calls at once, and nothing kept."""
    room = asyncio.Semaphore(AT_ONCE)

    async def ask(row: dict[str, Any]) -> None:
        await model.ainvoke([{"role": "user", "content": row["prompt"]}])
        room.release()

    async with asyncio.TaskGroup() as group:
        for row in rows(count):
            await room.acquire()
            group.create_task(ask(row))


def measure(count: int, rounds: int) -> dict[str, float]:
    """Microseconds of CPU a row of a run and of the model alone, and the peak of memory in MB."""
    model = answering()
    asyncio.run(alone(model, 1000))
    runs: list[float] = []
    owns: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            batch.run(model, rows(count), Path(folder) / "out.jsonl", max_concurrency=AT_ONCE)
            runs.append((time.process_time() - began) / count * 1e6)
        few = min(count, MOST_ALONE)
        began = time.process_time()
        asyncio.run(alone(model, few))
        owns.append((time.process_time() - began) / few * 1e6)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "run": statistics.median(runs),
        "alone": statistics.median(owns),
        "low": min(runs),
        "high": max(runs),
        "mb": peak,
    }


def storm(seconds: float) -> tuple[int, int]:
    """How many calls were taken, and how many refused, after the first five seconds of a storm."""
    model = Limited()
    with tempfile.TemporaryDirectory() as folder:
        batch.run(model, rows(int(seconds * model.rate)), Path(folder) / "out.jsonl")
    begins = min(model._taken) + 5
    return sum(at > begins for at in model._taken), sum(at > begins for at in model._refused)


def main() -> None:
    """Measure, print a table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000", help="sizes (default: 10000,100000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each size, of a million one (default: 3)")
    parser.add_argument("--storm-s", type=float, default=20, help="seconds of the storm (default: 20)")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name} in docs/")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.rounds)))
        return
    table = [
        "| rows | µs of CPU a row | of which the model | beyond it | peak of memory, MB |",
        "|---:|---:|---:|---:|---:|",
    ]
    loads: list[float] = []
    for count in map(int, given.rows.split(",")):
        rounds = given.rounds if count < MANY else 1
        command = [sys.executable, __file__, "--one", str(count), "--rounds", str(rounds)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        loads.append(os.getloadavg()[0])
        spread = f" ({told['low']:.0f} to {told['high']:.0f})" if rounds > 1 else ""
        figures = (
            f"{told['run']:.0f}{spread} | {told['alone']:.0f} | {told['run'] - told['alone']:.0f} | {told['mb']:.1f}"
        )
        table.append(f"| {count:,} | {figures} |")
        print(table[-1], flush=True)
    taken, refused = storm(given.storm_s)
    versions = ", ".join(f"{name} {version(name)}" for name in ("langplug", "langchain-core"))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    share = f"{refused} of {taken + refused} calls were refused after the first five seconds"
    table += [
        "",
        f"In a storm of 429, {share} ({refused / (taken + refused):.1%}).",
        "",
        f"{dt.datetime.now(dt.UTC).date()}; {versions}; {machine}; load {min(loads):.1f} to {max(loads):.1f}.",
    ]
    print("\n".join(table))
    if given.write:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
        text = "\n".join([BEGIN, "", *table, "", END])
        PAGE.write_text(f"{before}{text}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
