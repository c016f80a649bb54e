"""What is checked cannot end, fool or outlive the check: there is a whole report, and it is not a good one."""

import sys
from pathlib import Path

import pytest
from tests.check.test_launch import eventually, is_running

from langplug.cli import main
from langplug_check import check
from langplug_check.process.channel import Intruded, new_nonce, read_answer, write_answer

HERE = "tests.check.hostile"

ASKED = ("A08", "C01")
"""A check that does not ask the model, and one that does."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="some do what only Linux can")


@pytest.mark.parametrize(
    ("name", "observed"),
    [
        ("Exits", "SystemExit: 0"),
        ("Interrupts", "KeyboardInterrupt"),
        ("RaisesBase", "BaseException: nothing catches me"),
        ("Unprintable", "Worse: (its text cannot be read: RuntimeError)"),
        ("Forks", "it forked this process, and the copy came back"),
        ("Closes", "the process in which it ran closed its output"),
        ("Writes", "the model wrote into the pipe"),
        ("Forges", "the model wrote into the pipe"),
        ("Pickles", "the model wrote into the pipe"),
    ],
)
def test_a_model_cannot_end_or_fool_the_check(name: str, observed: str) -> None:
    """A model that exits, raises what nothing catches, forks, or closes or writes into the kit's pipe is not ready."""
    report = check(f"{HERE}:{name}", only=ASKED)
    assert list(ASKED) == [result.id for result in report.results]
    assert not report.ready
    untouched, asked = report.results
    assert "pass" != asked.verdict
    assert observed in f"{report.error} {asked.observed}"
    assert "pass" == untouched.verdict  # what needs no answer goes on


@pytest.mark.parametrize("name", ["Prints", "KillsItsParent", "ForksProperly"])
def test_what_is_no_fault_of_an_answer_is_survived(name: str) -> None:
    """A model that prints without end, kills its parent or has a child process does not disturb the check."""
    report = check(f"{HERE}:{name}", only=ASKED)
    assert list(ASKED) == [result.id for result in report.results]
    assert "pass" == report.results[0].verdict
    assert all(len(result.noise) <= 4000 for result in report.results)


def test_a_model_that_exits_as_it_is_made_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a model there is one sentence and a status that is not 0, whatever status the model wanted."""
    assert 2 == main(["check", f"{HERE}:ExitsAtOnce", "--only", "A08"])
    assert "making the model ended badly: it raised SystemExit: 0" in capsys.readouterr().err


def test_programs_that_a_model_started_end_with_the_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a model left running is gone when there is a report, even from a session of its own."""
    monkeypatch.setenv("LEFT", str(tmp_path / "left"))
    check(f"{HERE}:LeavesPrograms", only=ASKED)
    pids = [int(pid) for pid in (tmp_path / "left").read_text().split()]
    assert pids
    eventually(lambda: not any(map(is_running, pids)))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 100_000,
        write_answer("other", "A08", {}),
        b"junk" + write_answer("mine", "A08", {}),
        write_answer("mine", "A09", {}),
        write_answer("mine", "A08", {}).replace(b"{}", b"[]"),
    ],
    ids=lambda line: repr(line[:12]),
)
def test_what_is_not_the_answer_is_not_believed(line: bytes) -> None:
    """An answer is one line of JSON with the number and the name of its request; nothing else is."""
    assert ("A08", {}) == read_answer(write_answer("mine", "A08", {}), "mine", "A08")
    with pytest.raises(Intruded):
        read_answer(line, "mine", "A08")


def test_no_two_requests_have_the_same_number() -> None:
    """The number of a request cannot be guessed from another."""
    assert 100 == len({new_nonce() for _ in range(100)})
    assert all(len(new_nonce()) >= 32 for _ in range(3))
