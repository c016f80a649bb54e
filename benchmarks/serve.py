"""`langplug serve` compared with other servers: the same words at the same pace, one run.

    make servers && .venv-others/bin/python benchmarks/serve.py [--rounds N] [--write]

Every server runs in a process of its own, pinned to the last core, and streams 100 words to each of its clients, one
every 20 ms. The clients are another process, pinned to the first core. Ours is the command with all that it does unless
told not to: ids, usage, metrics, a queue, pings, and a key that it asks for. CPU time is the server's, with its
children's; the first token is counted from before the connection is made. In each round every server has its turn, so
that a busy machine is busy for all.

To compare two versions of langplug, give the other one's `src` as `--before`.
"""

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from peers.report import between_markers
from servers import report
from servers.contestants import OURS, SERVERS, Server
from servers.process import Figures, ServerProcess

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "en" / "reference" / "performance.md"
RECORD = HERE / "figures" / "serve.json"
BEGIN, END = "<!-- measured by benchmarks/serve.py -->", "<!-- end of what was measured of servers -->"
LIBRARIES = (
    *("langplug", "langchain-core", "aiohttp", "orjson", "fastapi", "uvicorn", "sse-starlette"),
    *("langgraph-openai-serve", "litellm"),
)


def samples(streams: int, servers: Sequence[Server], rounds: int) -> dict[str, list[Figures]]:
    """Measure so many streams at once, saying each figure on stderr as soon as it is there."""
    found: dict[str, list[Figures]] = {}
    with contextlib.ExitStack() as stack:
        running: dict[str, ServerProcess] = {}
        for server in servers:
            if streams <= server.most_streams:
                try:
                    running[server.title] = stack.enter_context(ServerProcess(server))
                except RuntimeError as error:
                    print(f"{server.title}: {error}", file=sys.stderr)
        for _ in range(rounds):
            for title, process in running.items():
                figures = process.figures(streams)
                told = ", ".join(f"{value:.1f} {unit}" for unit, value in figures.items())
                print(f"{streams:5} {title:24} {told}", file=sys.stderr, flush=True)
                found.setdefault(title, []).append(figures)
    return found


def record(found: Mapping[int, dict[str, list[Figures]]], load: Mapping[str, str]) -> dict[str, Any]:
    """What was measured, when, and with what."""
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{library} {version(library)}" for library in LIBRARIES),
        "load": load,
        "samples": {str(streams): by_title for streams, by_title in found.items()},
    }


def main() -> None:
    """Measure, print the tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--streams", type=int, nargs="+", default=[200, 1000], help="at once (default: 200 1000)")
    parser.add_argument("--who", nargs="+", choices=SERVERS, default=list(SERVERS), help="these servers alone")
    parser.add_argument("--before", type=Path, metavar="SRC", help="the sources of another version of langplug")
    parser.add_argument("--from", dest="source", type=Path, metavar="FILE", help="measure nothing, but read figures")
    parser.add_argument("--write", action="store_true", help=f"write {RECORD.name} and {PAGE.name} in docs/")
    given = parser.parse_args()
    servers = [SERVERS[title] for title in given.who]
    if given.before:
        servers.append(replace(SERVERS[OURS], title="before", source=str(given.before.resolve())))
    if given.source:
        made: dict[str, Any] = json.loads(given.source.read_text(encoding="utf-8"))
    else:
        load, found = {}, {}
        for streams in given.streams:
            load[str(streams)] = f"{os.getloadavg()[0]:.1f}"
            found[streams] = samples(streams, servers, given.rounds)
        made = record(found, load)
    print(report.page(made))
    if given.write:
        RECORD.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        text = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(between_markers(text, BEGIN, END, report.page(made)), encoding="utf-8")


if __name__ == "__main__":
    main()
