"""`ChatEndpoint` compared with its peers: the same server, the same bytes, one run.

    make peers && .venv-peers/bin/python benchmarks/endpoint.py [--quick] [--write]

Every contestant asks the same server (`langplug_backend.Backend`) from a process of its own, the client pinned to one
core and the server to another where the system allows it. Times are CPU time of the client's process, all threads
included. Every contestant runs once in each round, so that a busy machine slows down all of them. Reported are the
median of the rounds, the lowest and the highest. "With callbacks" is a call with a callback handler that does nothing
and is called inline, as LangGraph's and LangSmith's are; "with async callbacks", one that langchain-core runs in a task
for each event.

A full run takes half an hour, most of which the peers need for 1,000 streams.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers import report
from peers.contestants import CONTESTANTS
from peers.rounds import measured
from peers.scenarios import SCENARIOS, Figures

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "en" / "reference" / "performance.md"
RECORD = HERE / "figures" / "endpoint.json"
BEGIN, END = "<!-- measured by benchmarks/endpoint.py -->", "<!-- end of what was measured -->"
LIBRARIES = ("langplug", "langchain-core", "aiohttp", "orjson", "httpx", "openai", "langchain-openai", "litellm")


def samples(name: str, titles: Sequence[str], rounds: int) -> dict[str, list[Figures]]:
    """Measure one scenario, saying each figure on stderr as soon as it is there."""
    found: dict[str, list[Figures]] = {}
    for title, figures in measured(name, rounds, titles):
        told = "failed" if figures is None else ", ".join(f"{value:.1f} {unit}" for unit, value in figures.items())
        print(f"{SCENARIOS[name].title:20} {title:36} {told}", file=sys.stderr, flush=True)
        found.setdefault(title, []).extend([] if figures is None else [figures])
    return found


def record(before: dict[str, Any], name: str, found: dict[str, list[Figures]], load: str) -> dict[str, Any]:
    """What was measured `before`, and now of scenario `name`."""
    by_name = {**before.get("samples", {}), name: found}
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{library} {version(library)}" for library in LIBRARIES),
        "load": {**before.get("load", {}), name: load},
        "samples": {known: by_name[known] for known in SCENARIOS if known in by_name},
    }


def write(found: dict[str, Any]) -> None:
    """Put the figures into `docs/`."""
    RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(report.between_markers(text, BEGIN, END, report.page(found)), encoding="utf-8")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def main() -> None:
    """Measure, print the tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS), help="these scenarios alone")
    parser.add_argument("--who", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="these alone")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="measure nothing, but read figures")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name} and {PAGE.name} in docs/")
    given = parser.parse_args()
    kept = given.source or (RECORD if given.write and RECORD.exists() and set(given.only) < set(SCENARIOS) else None)
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept else {}
    for name in () if given.source else given.only:
        load = _load()
        found = record(found, name, samples(name, given.who, 1 if given.quick else given.rounds), load)
        if given.write:
            write(found)
    print(report.page(found))
    if given.write:
        write(found)


if __name__ == "__main__":
    main()
