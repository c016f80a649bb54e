"""The page about the mutants: `python -m tests.check.table --help`.

`docs/en/reference/mutants.md` has each statement with models that break it, and who sees it: its check, and
langchain-tests' own cases, where what counts is what they fail on a mutant and not on the reference. These take seconds
a mutant.
"""

import argparse
import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.check.bench import KEY_VARIABLE, Mutant, Reference, all_mutants

from langplug.models.endpoint import ChatEndpoint
from langplug_check import Recipe, Subject, all_checks
from langplug_check.job import Job
from langplug_check.process.channel import Intruded
from langplug_check.recipes import recipe_for
from langplug_check.runner import capture_output, run_check
from langplug_check.standard import cases as standard_cases
from langplug_check.standard.cases import PytestRun, prepare

DOCS = Path(__file__).parents[2] / "docs" / "en"
CASES_LIMIT_S = 120.0
"""Seconds within which langchain-tests have to end on a mutant."""

SIGNS = {True: "seen", False: "–", None: "?"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A mutant, and who sees that it is one.

    Attributes:
        mutant: The mutant.
        ours: Whether its check says of it what it has to.
        standard: Whether langchain-tests fail on it; None if they were not run.
    """

    mutant: Mutant
    ours: bool
    standard: bool | None = None


def seen(mutant: Mutant) -> bool:
    """Whether the check of its statement says of a mutant what it has to."""
    with capture_output():
        subject = Subject(mutant.target, recipe=mutant.recipe)
    with subject:
        return run_check(all_checks()[mutant.id], subject).verdict == mutant.verdict


def standard_failures(target: Any, recipe: Recipe | None = None) -> set[str]:
    """The cases of langchain-tests that a model fails. Where they cannot be run at all, that is one more.

    They run in a fork of this process, which has imported already what takes most of their time, and which need not
    find the model by a name. So it must not have begun a thread.
    """
    with tempfile.TemporaryDirectory(prefix="langplug-mutant-") as name:
        cases = prepare(Job(), Path(name))
        if (child := os.fork()) == 0:
            standard_cases.subject_of_job = lambda job: Subject(target, recipe=recipe)
            _run_cases(cases, Path(name) / "output")
        deadline = time.monotonic() + CASES_LIMIT_S
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return {"they hang"}
            time.sleep(0.02)
        try:
            return {found.check.id for found in cases.read_report() if found.result.verdict == "fail"}
        except (OSError, ValueError, Intruded):
            return {"they cannot be run"}


def _run_cases(cases: PytestRun, output: Path) -> NoReturn:
    with output.open("wb") as told:
        for number, stream in enumerate((cases.request, cases.answer, told)):
            os.dup2(stream.fileno(), number)
    os.environ.update(cases.environment)
    os._exit(pytest.main([*cases.arguments]))


def standard_rows(mutants: Sequence[Mutant]) -> list[bool]:
    """Whether langchain-tests notice each mutant: fail on more than on what it was made from."""
    for module in ("unit_tests", "integration_tests"):
        importlib.import_module(f"langchain_tests.{module}")
    references = {kind: standard_failures(kind) for kind in (Reference, ChatEndpoint)}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
        failures = pool.map(_failures_of, (all_mutants().index(mutant) for mutant in mutants))
        return [
            bool(failed - references[ChatEndpoint if _is_over_wire(mutant) else Reference])
            for mutant, failed in zip(mutants, _told(mutants, failures), strict=True)
        ]


def _failures_of(place: int) -> set[str]:
    """Those of the mutant in this place: not each could be pickled."""
    mutant = all_mutants()[place]
    return standard_failures(mutant.target, mutant.recipe)


def _told(mutants: Sequence[Mutant], failures: Iterable[set[str]]) -> Iterator[set[str]]:
    for mutant, failed in zip(mutants, failures, strict=True):
        sys.stderr.write(f"langchain-tests on {mutant.name}: {', '.join(sorted(failed)) or 'nothing'}\n")
        yield failed


def _is_over_wire(mutant: Mutant) -> bool:
    return mutant.recipe is not None or (isinstance(mutant.target, type) and recipe_for(mutant.target) is not None)


def rows(*, standard: bool) -> Iterator[Row]:
    """Each mutant, group after group."""
    in_order = {name: place for place, name in enumerate(all_checks())}
    mutants = sorted(all_mutants(), key=lambda one: in_order[one.id])
    noticed = standard_rows(mutants) if standard else [None] * len(mutants)
    for mutant, theirs in zip(mutants, noticed, strict=True):
        yield Row(mutant=mutant, ours=seen(mutant), standard=theirs)


def mutants_page(rows: Sequence[Row]) -> str:
    """The page of the mutants."""
    numbers = f"{len(rows)} models, each wrong in one way, break {len({row.mutant.id for row in rows})} statements"
    ours = sum(row.ours for row in rows)
    theirs = sum(bool(row.standard) for row in rows)
    ran = any(row.standard is not None for row in rows)
    standard = (
        f"langchain-tests {version('langchain-tests')} notices {theirs}" if ran else "langchain-tests was not run"
    )
    lines = [
        "# Models that break the contract",
        "",
        "Generated by `make mutants`; do not edit.",
        "",
        "A check that nothing was seen to fail is none. So for each statement there are models that are wrong in just",
        f"that way. {numbers}: `langplug check` notices {ours}, {standard}",
        (
            f"(langchain-core {version('langchain-core')}). "
            "langchain-tests count as noticing where one of their cases fails"
        ),
        "on the mutant, and does not on the reference.",
        "They stand in `tests/check/mutants/`.",
    ]
    group = ""
    for row in rows:
        check = all_checks()[row.mutant.id]
        if check.id[0] != group:
            group = check.id[0]
            lines += ["", f"## {group}. {check.group.title}", ""]
            lines += [
                "| id | statement | a model that ... | `langplug check` | langchain-tests |",
                "|---|---|---|---|---|",
            ]
        wrong, statement = map(_cell, (row.mutant.wrong, check.statement))
        lines.append(f"| {check.id} | {statement} | {wrong} | {SIGNS[row.ours]} | {SIGNS[row.standard]} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Print the page of the mutants, or write it."""
    parser = argparse.ArgumentParser(description="The page about the mutants.")
    parser.add_argument("--standard", action="store_true", help="run langchain-tests on each mutant, too")
    parser.add_argument("--write", action="store_true", help="write the page, not stdout")
    options = parser.parse_args()
    os.environ.setdefault(KEY_VARIABLE, "sk-reference")
    found = []
    for row in rows(standard=options.standard):
        found.append(row)
        sys.stderr.write(f"{row.mutant.name}: {SIGNS[row.ours]} {SIGNS[row.standard]}\n")
    if options.write:
        (DOCS / "reference" / "mutants.md").write_text(mutants_page(found), encoding="utf-8")
    else:
        sys.stdout.write(mutants_page(found))


if __name__ == "__main__":
    main()
