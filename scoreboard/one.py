"""Checks one model of the scoreboard, and prints what was found as JSON.

python one.py NAME [adopted]
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from entries import Entry, entry_of

from langplug_check import check

LANGCHAINS_OWN = "T"
"""The group of langchain-tests' cases, which are no statements of the contract."""


def found(entry: Entry, **which: Any) -> dict[str, Any]:
    """What one run of the checks found."""
    report: dict[str, Any] = json.loads(check(entry.target, recipe=entry.recipe, **which).to_json())
    return report


if __name__ == "__main__":
    entry = entry_of(sys.argv[1], adopts=sys.argv[2:] == ["adopted"])
    everything = found(entry, skip=(LANGCHAINS_OWN, *entry.hangs_in))
    for name in entry.hangs_in:
        everything["results"] += found(entry, only=(name,))["results"]
    print(json.dumps(everything))
