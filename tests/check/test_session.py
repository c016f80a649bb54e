"""Running the checks: whatever a model does, there is a report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.check import subjects
from tests.check.bench import Reference

from langplug_check import Check, Found, Recipe, Report, Result, Step, Subject, all_checks, check
from langplug_check.job import Job
from langplug_check.process.pool import MEMORY_LIMIT, CannotBeMade, Ended, Pool, Worker
from langplug_check.runner import run_check_in_thread
from langplug_check.session import select_checks
from langplug_check.standard.cases import excuse_mute_model

HERE = "tests.check.subjects"

MADE = ("A04", "A08")
"""A check that asks the model, and one that does not."""


def verdicts(report: Report) -> dict[str, str]:
    return {result.id: result.verdict for result in report.results}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Aborts", "aborted the whole Python process (signal 6, SIGABRT)"),
        ("Leaves", "ended the whole Python process (exit status 3)"),
    ],
)
def test_a_model_that_kills_its_process_fails_the_check_alone(name: str, expected: str) -> None:
    """What ends the interpreter fails the check in which it did, with what it printed; the next ones go on."""
    report = check(f"{HERE}:{name}", only=MADE)
    asked, untouched = report.results
    assert ("fail", "pass") == (asked.verdict, untouched.verdict)
    assert expected in asked.observed
    assert name != "Aborts" or "GGML_ASSERT" in asked.noise


def test_a_model_that_hangs_fails_the_check_alone() -> None:
    """A check that does not end within its limit has failed, and its process is replaced."""
    pool = Pool(Job(reference=f"{HERE}:Hangs", probe=False))
    try:
        hung = pool.run(short(the("A04"), 0.5))
        untouched = pool.run(the("A08"))
    finally:
        pool.close()
    assert ("fail", "pass") == (hung.verdict, untouched.verdict)
    assert "it hung: no end within" in hung.observed


def test_a_model_that_dies_again_and_again_is_left_alone() -> None:
    """After three checks in a row that it did not survive, it is not asked again; what needs no answer goes on."""
    pool = Pool(Job(reference=f"{HERE}:Leaves", probe=False))
    try:
        results = [pool.run(the(name)) for name in ("A04", "C01", "C03", "C04", "A08")]
    finally:
        pool.close()
    assert ["fail", "fail", "fail", "not observed", "pass"] == [result.verdict for result in results]
    assert "the model hung or died in each of A04, C01, C03, and was not asked again" == results[3].observed


def test_a_model_that_dies_now_and_then_goes_on() -> None:
    """An answer in between shows that it is worth while to go on asking."""
    pool = Pool(Job(reference=f"{HERE}:LeavesOnEmpty"))
    try:
        results = [pool.run(the(name)) for name in ("C08", "C08", "C01", "C08", "C01")]
    finally:
        pool.close()
    assert ["fail", "fail", "pass", "fail", "pass"] == [result.verdict for result in results]


def test_three_ends_cost_only_what_they_concern() -> None:
    """A model that dies at faults alone is still asked for answers, which does not make its faults any better."""
    pool = Pool(Job(reference=f"{HERE}:LeavesOnEmpty"))
    faulty = replace(the("C08"), needs=("answer", "faults"))
    try:
        results = [pool.run(one) for one in (faulty, faulty, faulty, the("C01"), faulty)]
    finally:
        pool.close()
    assert ["fail", "fail", "fail", "pass", "not observed"] == [result.verdict for result in results]
    assert results[-1].observed.endswith("and was not asked again for faults")


def test_a_model_that_dies_as_it_is_made_is_an_error() -> None:
    """What ends the process on import is told as that, with the last that was printed, and not tried in this one."""
    with pytest.raises(Ended, match=r"importing or making .* SIGABRT.*the last line that it printed: GGML_ASSERT"):
        check("tests.check.aborts_on_import:model", only=MADE)


def test_a_model_that_eats_memory_fails_the_check() -> None:
    """A check in which the memory grows beyond the limit has failed, before the machine suffers."""
    pool = Pool(Job(reference=f"{HERE}:Eats", probe=False), memory_limit=200 * 2**20)
    try:
        eaten = pool.run(the("A04"))
    finally:
        pool.close()
    assert "fail" == eaten.verdict
    assert "memory" in eaten.observed


def the(name: str) -> Check:
    return all_checks()[name]


def short(one: Check, limit_s: float) -> Check:
    return replace(one, limit_s=limit_s - 5)  # what the process is given beyond it


def test_a_model_that_cannot_be_made_elsewhere_is_checked_here() -> None:
    """What cannot be pickled is checked in this process, and the report says why."""
    report = check(subjects.HereOnly(), only=MADE)
    assert {"A04": "pass", "A08": "pass"} == verdicts(report)
    assert "in this process: it cannot be pickled (TypeError: cannot pickle a socket)" == report.where


def test_a_model_that_hangs_in_this_process_leaves_the_check() -> None:
    """In this process too, a check has a limit of time."""
    result = run_check_in_thread(short(the("A04"), 5.2), Subject(subjects.Hangs(), probe=False))
    assert ("fail", "no end within 0.2 seconds") == (result.verdict, result.observed)


def test_a_model_that_cannot_be_made_is_an_error() -> None:
    """Without a model there is nothing to report: what its constructor raised is raised."""
    with pytest.raises(ValueError, match="no weights"):
        check(f"{HERE}:Unmakeable", only=MADE)
    with pytest.raises(CannotBeMade, match="no weights"):
        Worker(Job(reference=f"{HERE}:Unmakeable"))


@pytest.mark.parametrize(
    ("target", "driver", "isolated"),
    [
        (f"{HERE}:make_echo", "echo", True),
        (subjects.Echo(said="?"), "echo", True),
        (f"{HERE}:Foreign", "plain", False),
        (f"{HERE}:rule", "scripted", False),
        (subjects.Foreign, "plain", False),
        (subjects.make_echo, "echo", False),
        (Reference, "scripted", False),
    ],
    ids=lambda value: str(getattr(value, "__name__", value))[:40],
)
def test_anything_that_leads_to_a_model_is_checked(target: Any, driver: str, isolated: bool) -> None:
    """References, classes, instances, factories and plain functions, of langplug and of others."""
    report = check(target, only=["A08"], isolated=isolated)
    assert {"A08": "pass"} == verdicts(report)
    assert (driver, "in a process of their own" if isolated else "in this process: as requested") == (
        report.driver,
        report.where,
    )


def test_a_model_that_does_not_answer_is_not_judged_by_it() -> None:
    """What needs an answer was not observed where there is none."""
    report = check(subjects.Broken(), only=MADE, isolated=False)
    assert {"A04": "not observed", "A08": "pass"} == verdicts(report)
    assert (False, "ConnectionError: no server there") == (report.ready, report.error)
    assert "the model does not answer here (ConnectionError: no server there)" == report.results[0].observed


def test_a_class_that_its_recipe_can_make(tmp_path: Path) -> None:
    """A recipe says how a class in a file is pointed at the backend, even where it cannot be made without that."""
    (tmp_path / "needy.py").write_text(NEEDY)
    recipe = Recipe(arguments={"base_url": "{url}"})
    report = check(f"{tmp_path}/needy.py:Needy", recipe=recipe, only=["A02", "D01"])
    assert ("wire", {"A02": "fail", "D01": "pass"}) == (report.driver, verdicts(report))
    assert "wire" == check(f"{tmp_path}/needy.py:Needy", only=["A08"]).driver  # by that of the class it is derived from


def test_a_model_that_lacks_a_package_cannot_be_had() -> None:
    """Where a package is missing there is one error that says what to install, and not one in each check."""
    recipe = Recipe(arguments={"base_url": "{url}"})
    for isolated in (True, False):
        with pytest.raises(ModuleNotFoundError, match="pip install acme"):
            check(subjects.Incomplete, recipe=recipe, only=["A08"], isolated=isolated)


NEEDY = """
from langplug.models import ChatEndpoint

class Needy(ChatEndpoint):
    base_url: str
    seed: int = 0
    def __init__(self, **kwargs):
        kwargs.pop("timeout", None)
        super().__init__(**{"model": "stub", **kwargs})
"""


def test_a_case_of_langchain_tests_that_could_not_be_seen() -> None:
    """Where the model does not answer, its standard cases that fail by it were not observed; others failed."""
    case = Found(the("A08"), Result(id="A08", verdict="fail", observed="ConnectionError: no server there"))
    other = replace(case, result=replace(case.result, observed="AssertionError"))
    trouble = "ConnectionError: no server there"
    assert ["not observed", "fail"] == [excuse_mute_model(one, trouble).result.verdict for one in (case, other)]
    assert case == excuse_mute_model(case, "")


def test_nothing_to_check_is_an_error() -> None:
    """Where no check is left to run there is no report, which would be ready."""
    with pytest.raises(ValueError, match="no check is left: of A08, A is skipped"):
        check(subjects.Foreign(), only=["A08"], skip=["A"])
    with pytest.raises(ValueError, match="no statement is in group X"):
        check(subjects.Foreign(), only=["X"])


def test_what_a_model_prints_is_kept() -> None:
    """Prints and warnings go into the result, and not to the terminal."""
    for isolated in (True, False):
        (result,) = check(subjects.Noisy(), only=["A04"], isolated=isolated).results
        assert "loading" in result.noise
        assert "UserWarning: low on memory" in result.noise


def test_how_far_it_is_is_told() -> None:
    """Progress is called before each check, and at the end."""
    steps: list[Step] = []
    check(subjects.Foreign(), only=MADE, progress=steps.append, isolated=False)
    assert [(0, "A04", None), (1, "A08", "A04"), (2, None, "A08")] == [
        (step.done, step.check and step.check.id, step.last and step.last.id) for step in steps
    ]


@pytest.mark.parametrize(
    ("only", "skip", "expected"),
    [
        (["A08", "b12"], [], ["A08", "B12"]),
        (["N"], [], ["N03"]),
        (["A08", "N03"], ["N"], ["A08"]),
    ],
)
def test_checks_are_chosen_by_id_and_group(only: list[str], skip: list[str], expected: list[str]) -> None:
    """Ids and letters of groups, in any case, say what runs and what does not."""
    assert set(expected) <= {one.id for one in select_checks(only, skip)}
    assert all(one.id[0] in {wanted[0] for wanted in expected} for one in select_checks(only, skip))


def test_an_unknown_check_suggests_a_near_one() -> None:
    """An id that there is not is an error that names one that may have been meant."""
    with pytest.raises(ValueError, match=r"unknown check 'A6b', did you mean A06b"):
        check(subjects.Foreign(), only=["A6b"])


def test_the_memory_that_a_check_may_take_is_plenty() -> None:
    """The limit is there for what never stops: weights have to fit."""
    assert MEMORY_LIMIT >= 2**32
