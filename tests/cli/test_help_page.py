"""docs/en/reference/command-line.md shows each verb's help as it is.

`python -m tests.cli.test_help_page` writes it anew.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "en" / "reference" / "command-line.md"

VERBS = ("batch", "bench", "chat", "check", "completion", "explain", "new", "pull", "serve")


def help_of(verb: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "langplug", verb, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="argparse writes help in another way in other versions")
@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb(verb: str) -> None:
    """The page shows what `langplug VERB --help` says at 80 columns."""
    shown = re.search(rf"### `langplug {verb}`\n\n```text\n(.*?)\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None
    assert help_of(verb) == shown[1]


def write_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    kept, _, _ = text.partition("## The verbs\n")
    helps = "\n".join(f"### `langplug {verb}`\n\n```text\n{help_of(verb)}\n```\n" for verb in VERBS)
    PAGE.write_text(f"{kept}## The verbs\n\n{helps}", encoding="utf-8")


if __name__ == "__main__":
    write_page()
