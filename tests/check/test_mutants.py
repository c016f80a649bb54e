"""The checks are tested by models that are wrong: each check lets the reference pass and kills its mutants."""

import re
from collections.abc import Iterator

import pytest
from tests.check.bench import Mutant, Reference, all_mutants
from tests.check.mutants.o_own_function import end_leftovers

from langplug.models.endpoint import ChatEndpoint
from langplug_check import GROUPS, Check, Result, Subject, all_checks
from langplug_check.runner import capture_output, run_check

CHECKS = all_checks()
MUTANTS = all_mutants()

REFERENCES = {"in process": Reference, "over a wire": ChatEndpoint}
"""Models that keep the whole contract. A check passes at least one of them, and fails none."""


@pytest.fixture(autouse=True)
def no_leftovers() -> Iterator[None]:
    """What mutants leave behind is gone when the next test begins."""
    yield
    end_leftovers()


def verdict_on(check: Check, target: object, recipe: object = None) -> Result:
    with capture_output():
        subject = Subject(target, recipe=recipe)
    with subject:
        return run_check(check, subject)


@pytest.mark.parametrize("name", CHECKS)
def test_a_check_passes_the_reference(name: str) -> None:
    """A model that keeps the contract passes each check, and what it shows of it is seen on one reference at least."""
    results = {kind: verdict_on(CHECKS[name], target) for kind, target in REFERENCES.items()}
    assert [] == [(kind, result) for kind, result in results.items() if result.verdict == "fail"]
    assert "pass" in [result.verdict for result in results.values()], results


@pytest.mark.parametrize("tool_calling", ["native", "prompted"])
def test_a_key_that_is_missing_may_be_refused_by_the_constructor(tool_calling: str) -> None:
    """However the model calls tools, which the kit may have to help with as it makes the model."""
    cls = type("Keyed", (Reference,), {"tool_calling": tool_calling, "__module__": __name__})
    assert "pass" == verdict_on(CHECKS["A12"], cls).verdict


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_check_kills_its_mutants(mutant: Mutant) -> None:
    """A model that breaks one statement is seen by the check of that statement, which says what it saw."""
    result = verdict_on(CHECKS[mutant.id], mutant.target, mutant.recipe)
    assert mutant.verdict == result.verdict, f"a model that {mutant.wrong}: {result}"
    assert result.observed


def test_each_check_has_a_mutant() -> None:
    """A check that nothing was seen to fail is none."""
    assert [] == [name for name in CHECKS if name not in {mutant.id for mutant in MUTANTS}]


def test_each_check_says_all_there_is_to_say() -> None:
    """A check has an id of its group, a sentence, a reason, a hint, a link and a docstring."""
    for name, check in CHECKS.items():
        assert re.fullmatch(r"[A-Z]\d\d[a-z]?", name)
        assert name[0] in GROUPS
        assert check.statement.endswith(".")
        assert check.why.endswith((".", "?", "!"))
        assert check.hint.strip()
        assert check.link.startswith("https://")
        assert check.run.__doc__
