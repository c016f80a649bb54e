"""What each verb says of itself: the second half of `reference/command-line.md`."""

import os
import subprocess
import sys

from tests.docs.reference.writing import Language

VERBS = ("batch", "bench", "chat", "check", "completion", "explain", "new", "pull", "serve")


def verbs(_: Language) -> str:
    """The help of each verb, as it is."""
    return "\n".join(f"### `langplug {verb}`\n\n```text\n{help_of(verb)}\n```\n" for verb in VERBS)


def help_of(verb: str) -> str:
    """What `langplug VERB --help` says at 80 columns."""
    done = subprocess.run(
        [sys.executable, "-m", "langplug", verb, "--help"],
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()
