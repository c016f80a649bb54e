"""What local engines leave behind: memory over 500 calls, and how soon a call that is left frees its slot.

    python benchmarks/local_life.py [--calls 500] [--leaves 50] [--write]

Each engine that is installed answers in a process of its own. Its calls take turns: an answer, JSON by a schema, one
that ends at a stop string, a stream that is left, and a prompt that is too long; four run at once. Memory is what the
process holds (RSS) once all calls of a hundred have ended. Leaving is timed from `aclose` of a stream, which has begun
to speak, to the moment at which the only slot can be had by somebody else. `--write` puts the table into
docs/en/reference/overhead.md.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from langchain_core.exceptions import ContextOverflowError
from local import has, write_table

from langplug.models import ChatGGUF

ENGINES = {"llama.cpp": "xllamacpp", "openvino": "openvino_genai"}
STORY = "Write a very long story about the sea."
BEGIN, END = "<!-- engines' lives: begin -->", "<!-- engines' lives: end -->"


def held_mb() -> float:
    """What this process holds in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def one_call(model: ChatGGUF, number: int) -> None:
    """A call of one of five kinds."""
    match number % 5:
        case 0:
            await model.ainvoke(f"What is {number} + 1?", temperature=1)
        case 1:
            schema = {"title": "n", "type": "object", "properties": {"n": {"type": "integer", "maximum": number}}}
            with suppress(ValueError):  # cut off
                await model.with_structured_output(schema).ainvoke("A number, please.")
        case 2:
            await model.ainvoke("What is the capital of Japan?", stop=["Tokyo"])
        case 3:
            async for chunk in (stream := model.astream(STORY)):
                if chunk.text:
                    break
            await stream.aclose()  # type: ignore[attr-defined]
        case _:
            with suppress(ContextOverflowError):
                await model.ainvoke("word " * 1000)


async def memory(engine: Any, calls: int) -> list[float]:
    """What is held after each hundred calls."""
    model = ChatGGUF(engine=engine, n_ctx=512, parallel=4, max_tokens=12)
    held: list[float] = []
    for first in range(0, calls, 100):
        for four in range(first, first + 100, 4):
            await asyncio.gather(*(one_call(model, number) for number in range(four, four + 4)))
        held.append(held_mb())
    model.close()
    return held


async def leaving(engine: Any, times: int) -> list[float]:
    """Milliseconds until the only slot is free, each time."""
    model = ChatGGUF(engine=engine, n_ctx=2048, parallel=1, temperature=1)
    slots = model.runtime._slots  # type: ignore[attr-defined]
    took: list[float] = []
    for _ in range(times):
        async for chunk in (stream := model.astream(STORY)):
            if chunk.text:
                break
        started = time.perf_counter()
        await stream.aclose()  # type: ignore[attr-defined]
        await slots.acquire()
        took.append((time.perf_counter() - started) * 1e3)
        slots.release()
    model.close()
    return took


def main() -> None:
    """Measure, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500, help="calls whose memory is looked at (default: 500)")
    parser.add_argument("--leaves", type=int, default=50, help="calls that are left (default: 50)")
    parser.add_argument("--engine", choices=ENGINES, help="measure this one, and print its figures as JSON")
    parser.add_argument("--write", action="store_true", help="write the table into docs/en/reference/overhead.md")
    given = parser.parse_args()
    if given.engine:
        measured = asyncio.run(memory(given.engine, given.calls)), asyncio.run(leaving(given.engine, given.leaves))
        print(json.dumps(measured))
        return
    rows = [
        f"| engine | memory after 100 calls | after {given.calls} | a slot is free again, median | at the latest |",
        "|---|---|---|---|---|",
    ]
    for engine, package in ENGINES.items():
        if not has(package):
            continue
        asked = ["--engine", engine, "--calls", str(given.calls), "--leaves", str(given.leaves)]
        done = subprocess.run([sys.executable, __file__, *asked], stdout=subprocess.PIPE, check=True)
        held, took = json.loads(done.stdout)
        print(f"{engine}: MB {held}", file=sys.stderr, flush=True)
        figures = f"{held[0]:.0f} MB | {held[-1]:.0f} MB | {statistics.median(took):.0f} ms | {max(took):.0f} ms"
        rows.append(f"| {engine} | {figures} |")
    rows += ["", f"{given.leaves} calls were left; {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}."]
    print("\n".join(rows))
    if given.write:
        write_table("\n".join(rows), BEGIN, END)


if __name__ == "__main__":
    main()
