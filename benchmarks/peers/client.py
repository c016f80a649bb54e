"""The process of one contestant: `python -m peers.client TITLE URL`, scenario names on stdin, figures on stdout."""

import json
import os
import sys

from peers.contestants import CONFIGS, CONTESTANTS
from peers.scenarios import SCENARIOS, Measurement

MARK = "figures: "
"""Begins a line of ours on stdout, where libraries may print as well."""

OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGCHAIN_TRACING_V2": "false",
    "LANGSMITH_TRACING": "false",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
"""What keeps the contestants from asking anybody but our server."""


def pin(core: int) -> None:
    """Keep this process on one core, where the system lets it and has another for the server."""
    if hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {core})


def main() -> None:
    """Measure what is asked for until stdin ends."""
    title, url, core = sys.argv[1:]
    pin(int(core))
    contestant = CONTESTANTS[title]
    measurement = Measurement(contestant.make(url), CONFIGS[contestant.listener]())
    for line in sys.stdin:
        figures = measurement.figures(SCENARIOS[line.strip()])
        print(MARK + json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
