"""What `langplug batch --engine ray` takes and costs beside the same job in one process: one line a case.

    python benchmarks/batch_ray.py [--rows 10000,100000] [--actors 0,1,2] [--wait-s 0.02] [--at-once 64]

Each case runs in a process of its own, 0 actors being that process alone; Ray is started by it. Seconds to the first
answer are from the call of `run`; rows a second are from there to the last; CPU is the driver's, of the job without
what started it; memory is the driver's at its peak, and the actors' by what they say of themselves.
"""

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from langplug import Request, batch, chat_model


@chat_model
async def waiting(request: Request, *, wait_s: float, notes: str) -> str:
    """Answers after so many seconds, and notes now and then how much memory its process has had."""
    await asyncio.sleep(wait_s)
    if request.text.endswith("99"):
        (Path(notes) / str(os.getpid())).write_text(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    return "answered"


def measure(rows: int, actors: int, wait_s: float, at_once: int) -> dict[str, Any]:
    """One job, in this process."""
    seen: list[tuple[float, float, int]] = []

    def progress(summary: batch.Summary) -> None:
        if summary.answered:  # the first, and the last before Ray is left
            seen[1:] = [(time.monotonic(), time.process_time(), summary.answered)]

    with tempfile.TemporaryDirectory() as folder:
        model = waiting(wait_s=wait_s, notes=folder)
        engine = batch.Ray(address="local", actors=actors) if actors else "local"
        began = time.monotonic()
        asked = (f"row {n}" for n in range(rows))
        out = f"{folder}/out.jsonl"
        summary = batch.run(model, asked, out, engine=engine, max_concurrency=at_once, progress=progress)
        of_actors = {file.name: int(file.read_text()) for file in Path(folder).iterdir() if file.name.isdigit()}
    of_actors.pop(str(os.getpid()), None)
    (first, cpu_then, answered), (last, cpu, all_) = seen
    done = all_ - answered
    return {
        "actors": actors,
        "rows": rows,
        "first_s": round(first - began, 1),
        "rows_a_second": round(done / (last - first)),
        "driver_cpu_us_a_row": round((cpu - cpu_then) / done * 1e6),
        "driver_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "actor_mb": max(of_actors.values(), default=0) // 1024,
        "failed": summary.failed,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Measure each case in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", default="10000,100000")
    parser.add_argument("--actors", default="0,1,2")
    parser.add_argument("--wait-s", type=float, default=0.02)
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--one", action="store_true", help="this case, in this process")
    args = parser.parse_args()
    cases = [(int(rows), int(actors)) for rows in args.rows.split(",") for actors in args.actors.split(",")]
    if args.one:
        print(json.dumps(measure(*cases[0], args.wait_s, args.at_once)))
        return
    for rows, actors in cases:
        case = ["--one", "--rows", str(rows), "--actors", str(actors), "--wait-s", str(args.wait_s)]
        case += ["--at-once", str(args.at_once)]
        subprocess.run([sys.executable, __file__, *case], check=True)


if __name__ == "__main__":
    main()
