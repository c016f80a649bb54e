"""The table of the mutants: each statement, who breaks it, and who sees it. `python -m tests.testing.check.table`.

With `--standard`, langchain-tests' own cases are run on each mutant too, beside the reference's: what they see is what
they fail on more. That takes seconds a mutant.
"""

import argparse
import os
import pickle
import sys
from collections.abc import Iterator

from tests.testing.check.bench import KEY_VARIABLE, Mutant, Reference, all_mutants

from langplug.testing.contract import Subject, all_checks
from langplug.testing.contract.judge import judge, listening
from langplug.testing.contract.order import Order
from langplug.testing.contract.standard import StandardCases


def seen(mutant: Mutant) -> bool:
    """Whether the check of its statement says of a mutant what it has to."""
    with listening():
        subject = Subject(mutant.target, recipe=mutant.recipe)
    with subject:
        return judge(all_checks()[mutant.id], subject).verdict == mutant.verdict


def standard_failures(mutant: Mutant | None = None) -> set[str]:
    """The cases of langchain-tests that a mutant fails; without one, those that the reference does."""
    order = Order(pickled=pickle.dumps(mutant.target if mutant else Reference), recipe=mutant and mutant.recipe)
    with StandardCases(order) as cases:
        return {found.check.id for found in cases.found() if found.result.verdict == "fail"}


def rows(*, standard: bool) -> Iterator[str]:
    """The table in Markdown, line by line."""
    anyway = standard_failures() if standard else set()
    yield f"| id | statement | a model that ... | `check` |{' langchain-tests |' if standard else ''}"
    yield f"|---|---|---|---|{'---|' if standard else ''}"
    for mutant in all_mutants():
        told = f"| {mutant.id} | {all_checks()[mutant.id].statement} | {mutant.wrong} | {sign(seen(mutant))} |"
        yield f"{told} {sign(bool(standard_failures(mutant) - anyway))} |" if standard else told


def sign(is_seen: bool) -> str:
    """A sign for seen or not."""
    return "seen" if is_seen else "–"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="The table of the mutants.")
    parser.add_argument("--standard", action="store_true", help="run langchain-tests on each of them, too")
    options = parser.parse_args()
    os.environ.setdefault(KEY_VARIABLE, "sk-reference")
    for row in rows(standard=options.standard):
        sys.stdout.write(f"{row}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
