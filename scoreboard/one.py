"""Checks one model of the scoreboard, and prints what was found as JSON.

python one.py NAME
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from entries import ENTRIES, Entry

from langplug_check import check

LANGCHAINS_OWN = "T"
"""The group of langchain-tests' cases, which are no statements of the contract."""


def found(entry: Entry, **which: Any) -> dict[str, Any]:
    """What one run of the checks found."""
    report: dict[str, Any] = json.loads(check(entry.target, recipe=entry.recipe, **which).to_json())
    return report


if __name__ == "__main__":
    entry = ENTRIES[sys.argv[1]]
    everything = found(entry, skip=(LANGCHAINS_OWN, *entry.hangs_in))
    for name in entry.hangs_in:
        everything["results"] += found(entry, only=(name,))["results"]
    print(json.dumps(everything))
