"""The examples run, each as a reader runs it: as a program of its own, whose output is read."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NEED_WEIGHTS = {"agent.py", "ctranslate2_batches.py", "onnx_batches.py", "transformers_batches.py"}
"""Those that test_example_batches.py and the tests of `ChatGGUF` look after."""

shown_elsewhere = pytest.mark.some(2, "what an example shows has tests of its own")


def output_of(name: str, *needs: str) -> list[str]:
    """The lines that the example prints; skipped if what it needs is not installed."""
    if missing := [package for package in needs if find_spec(package) is None]:
        pytest.skip(f"{name} needs {', '.join(missing)}, which dev does not have")
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env={**os.environ, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=150,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout.splitlines()


@shown_elsewhere
def test_a_gateway_with_oauth2() -> None:
    """One token for twenty calls at once, another when it expires, a third when that is taken back."""
    assert [
        "20 of 20. I see token-1.",
        "Two seconds later. I see token-2.",
        "The second was taken back. I see token-3.",
        "3 tokens for 22 calls",
    ] == output_of("gateway_oauth2.py")


@shown_elsewhere
def test_rag_with_citations() -> None:
    """Each part of an answer cites the document that it comes from."""
    assert [
        "Every employee has 30 days of leave a year.",
        "  leave.md: Every employee has 30 days of leave a year.",
        "Flights need the approval of a manager, given before the booking. A laptop is replaced after four years.",
        "  travel.md: Flights need the approval of a manager, given before the booking.",
        "  devices.md: A laptop is replaced after four years.",
    ] == output_of("rag_citations.py")


@shown_elsewhere
def test_an_agent_with_a_checkpointer() -> None:
    """The agent waits for a person, goes on with what is decided, and remembers it in that thread."""
    assert [
        "monday: Pay 120 euros to Bo?",
        "monday: yes → It is paid.",
        "tuesday: Pay 120 euros to Bo?",
        "tuesday: no → Refused.",
        "monday: You asked: Pay Bo for the chairs. (6 messages in the thread)",
    ] == output_of("agent_checkpointer.py")


@shown_elsewhere
def test_a_served_agent() -> None:
    """What the agent does is reasoning, and its last message the answer."""
    lines = output_of("served_agent.py")
    assert 'weather(city="Oslo") reasoning_content: weather → 4 °C and clear' in " ".join(lines)
    assert "content: In Oslo it is 4 °C and clear." == lines[-1]


@shown_elsewhere
def test_a_fastapi_endpoint() -> None:
    """The client reads three words and leaves, and the model ends long before its hundredth."""
    assert ["the client read: 1 2 3", "the model has stopped: True"] == output_of(
        "fastapi_stream.py", "fastapi", "uvicorn"
    )


@shown_elsewhere
def test_a_csv() -> None:
    """The second run asks the row that was fixed and the one that was added, and no other."""
    assert [
        "asked 3: 2 answered, 1 failed",
        '  lamp: {"good": true}',
        '  kettle: {"good": false}',
        "  chair: ValueError: there is no review",
        "asked 2: 4 answered, 0 failed",
        '  lamp: {"good": true}',
        '  kettle: {"good": false}',
        '  chair: {"good": true}',
        '  rug: {"good": false}',
    ] == output_of("batch_csv.py")


@shown_elsewhere
def test_the_batch_door() -> None:
    """All 64 are answered in a few batches, in about the time that these cost, and far sooner than one by one."""
    batches, *times = output_of("batch_door.py")
    assert batches.endswith("= 64")
    assert batches.count("+") < 6
    arithmetic, measured, one_by_one = (float(re.findall(r"[\d.]+", line)[0]) for line in times)
    assert arithmetic * 0.95 < measured < one_by_one / 2


def test_the_list_is_complete() -> None:
    """The folder's README names every example, and each of them is run by a test."""
    listed = re.findall(r"^\| \[(\w+\.py)\]\(\1\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    there = {path.name for path in EXAMPLES.glob("*.py")}
    assert sorted(there) == sorted(listed)
    run = set(re.findall(r'"(\w+\.py)"', Path(__file__).read_text(encoding="utf-8")))
    assert there == run >= NEED_WEIGHTS
