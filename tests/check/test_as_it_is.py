"""The model as it is: what only its own function shows, how often it is called, and what is said where it was not."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.check.bench import Reference
from tests.check.subjects import Foreign

from langplug import ChatModel, Request
from langplug.cli import main
from langplug_check import Report, Step, check
from langplug_check.trial import MOST_CALLS

HERE = "tests.check.test_as_it_is"
MUTANTS = "tests.check.mutants.o_own_function"


class Counts(ChatModel):
    """Writes a line into the file that CALLS names for each call, and takes its time as an engine does."""

    async def respond(self, request: Request) -> Any:
        import asyncio

        with Path(os.environ["CALLS"]).open("a", encoding="utf-8") as calls:  # noqa: ASYNC230 - it is short
            calls.write("called\n")
        for word in request.text.split(" "):
            await asyncio.sleep(0.05)
            yield f"{word} "


class Reaches(Foreign):
    """Looks for a server that is not on this machine."""

    def answer(self, prompt: str) -> str:
        try:
            socket.getaddrinfo("nowhere.invalid", 443)
        except OSError as error:
            return "blocked" if "offline:" in str(error) else "allowed"
        return "allowed"


def failed(report: Report) -> set[str]:
    return {found.check.id for found in report.failures}


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("NeverWorks", {"O01"}),
        ("YieldsANumber", {"O01"}),
        ("SleepsOnTheLoop", {"O05"}),
        ("MixesUp", {"O03"}),
        ("WritesIntoMessages", {"O04"}),
        ("SwallowsClose", {"O06"}),
        ("SwallowsCancel", {"O07"}),
        ("LeavesFiles", {"O08"}),
    ],
)
def test_what_only_its_own_function_shows_is_seen(name: str, ids: set[str]) -> None:
    """A function that is wrong by itself is never ready, though langplug derives everything around it rightly."""
    report = check(f"{MUTANTS}:{name}", only=["O", "D01"])
    assert not report.ready
    assert ids <= failed(report)
    assert "not ready" in report.to_text()


def test_a_model_that_never_answers_is_named_as_such() -> None:
    """Nothing else is said about a model that never answers, and it is said first."""
    report = check(f"{MUTANTS}:NeverWorks", skip=["T"])
    assert {"O01"} == failed(report)
    assert {"fail": 1, "not observed": len(report.found) - 1} == {k: n for k, n in report.counts().items() if n}
    assert report.summary().startswith("not ready: it never answered (")
    assert "RuntimeError: I never work" in report.summary()


def test_the_model_is_called_at_most_twenty_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All statements of the group together make at most 20 calls; the others make none of the function itself."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    report = check(f"{HERE}:Counts", skip=["T", *"ABCEFGHIJKLMN"])
    assert report.ready, report.to_text()
    assert 10 < len((tmp_path / "calls").read_text().splitlines()) <= MOST_CALLS == 20


def test_offline_the_model_is_not_called_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `offline`, a function that scripts stand in for is not called, and nobody says that it is ready."""
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    report = check(f"{HERE}:Counts", only=["O", "D"], offline=True)
    assert not (tmp_path / "calls").exists()
    assert (False, False) == (report.ready, report.has_failed)
    assert report.summary().startswith("nothing failed, but the model's own function was not called: ")
    assert {"the model was not called as it is (--offline)"} == {
        found.result.observed for found in report.with_verdict("not observed")
    }
    assert "its own function was NOT called: scripts stood in for it" in " ".join(report.to_text().split())


def test_what_was_called_is_said() -> None:
    """The report says what was run, and what was scripted."""
    assert "the model itself was called" == check(Foreign(), only=["A08"]).called
    scripted = check(Reference, only=["O01", "D01"], isolated=False)
    assert "scripts stood in for it in all other groups" in scripted.called
    assert scripted.called in " ".join(scripted.to_text(width=200).split())


def test_the_network_is_open_for_the_model_as_it_is_alone() -> None:
    """Its own function may need a network; no other statement may reach beyond this machine."""
    found = {one.check.id: one.result for one in check(f"{HERE}:Reaches", only=["O01", "C01"], skip=["T"]).found}
    assert "allowed" in found["O01"].observed
    assert "pass" == found["C01"].verdict


def test_the_calls_are_announced(capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first call of the model as it is, it is said that calls may cost money; not where none is made."""
    steps: list[Step] = []
    check(f"{HERE}:Reaches", only=["A08", "O01", "O04"], progress=steps.append)
    assert [True, False, False, False] == ["may cost money" in step.note for step in steps]
    check(f"{HERE}:Reaches", only=["A08", "O01"], progress=steps.append, offline=True)
    check("langplug.models:ChatEndpoint", only=["O01"], progress=steps.append)  # its server is the test kit's
    assert 1 == sum(bool(step.note) for step in steps)
    assert 0 == main(["check", f"{HERE}:Reaches", "--only", "O01"])
    assert "up to 20 times as it is, which may cost money" in capsys.readouterr().err
    assert 0 == main(["check", f"{HERE}:Reaches", "--only", "A08", "--offline"])
    assert "may cost money" not in capsys.readouterr().err


class HangsInStream(Foreign):
    """Hangs where it streams, and nowhere else."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        os._exit(4)
        yield


def test_a_model_that_dies_as_it_is_is_not_called_again() -> None:
    """What ended its process is not repeated: that would be more calls than were announced."""
    report = check(f"{HERE}:HangsInStream", only=["O"])
    assert {"O02"} == failed(report)
    reasons = {found.result.observed for found in report.with_verdict("not observed")}
    assert {"the model hung or died in O02, and was not called again as it is"} == reasons
