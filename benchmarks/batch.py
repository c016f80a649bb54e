"""What `langplug batch` costs a row beside the model's own cost, its memory over the rows, and how often it is refused.

    python benchmarks/batch.py [--rows 10000,100000] [--rounds 3] [--storm-s 20]

Each size runs in a process of its own, which reports its peak of memory. The peer is `ainvoke` alone, 64 at once, of
the same model with the same messages, in the same process, in turns with the run: what is beyond it is the job's. In a
storm, a server takes so many calls a second and refuses the others; refusals after its first five seconds are counted.
"""

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ModelRateLimitError
from pydantic import PrivateAttr

from langplug import ChatModel, Request, batch, chat_model

AT_ONCE = 64
MOST_ALONE = 20_000


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
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="10000,100000", help="sizes (default: 10000,100000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each size (default: 3)")
    parser.add_argument("--storm-s", type=float, default=20, help="seconds of the storm (default: 20)")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.rounds)))
        return
    print(f"{'rows':>10} {'µs a row':>10} {'(spread)':>16} {'alone':>8} {'beyond':>8} {'peak MB':>8}")
    for count in map(int, given.rows.split(",")):
        command = [sys.executable, __file__, "--one", str(count), "--rounds", str(given.rounds)]
        told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        spread = f"({told['low']:.0f} to {told['high']:.0f})"
        beyond = told["run"] - told["alone"]
        print(f"{count:>10,} {told['run']:10.0f} {spread:>16} {told['alone']:8.0f} {beyond:8.0f} {told['mb']:8.1f}")
    taken, refused = storm(given.storm_s)
    print(f"storm: {refused} of {taken + refused} calls refused after five seconds ({refused / (taken + refused):.1%})")


if __name__ == "__main__":
    main()
