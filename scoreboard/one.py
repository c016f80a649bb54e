"""Checks one model of the scoreboard, and prints what was found as JSON.

python one.py NAME
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from entries import ENTRIES

from langplug.testing import check

if __name__ == "__main__":
    entry = ENTRIES[sys.argv[1]]
    report = check(entry.target, recipe=entry.recipe, skip=("T",))
    found = report.to_json()
    print(found if isinstance(found, str) else json.dumps(found))
