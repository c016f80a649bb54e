"""The pages about the statements say what there is."""

import re

from tests.check.bench import all_mutants
from tests.check.table import DOCS

from langplug_check import all_checks


def test_the_recipes_are_named() -> None:
    """`docs/en/guides/check.md` names every class that there is a recipe for."""
    from langplug_check.recipes import RECIPES

    page = (DOCS / "guides" / "check.md").read_text(encoding="utf-8")
    assert [] == [name for name in RECIPES if not re.search(rf"\b{name.rpartition('.')[2]}\b", page)]


def test_each_mutant_is_on_the_page() -> None:
    """`docs/en/reference/mutants.md` has every mutant with its statement, and its check notices each."""
    page = (DOCS / "reference" / "mutants.md").read_text(encoding="utf-8")
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in page.splitlines() if "|" in line]
    rows = [row for row in cells if row[0] in all_checks()]
    expected = sorted((one.id, one.wrong.replace("|", "\\|")) for one in all_mutants())
    assert expected == sorted((row[0], row[2]) for row in rows), "run: make mutants"
    assert {"seen"} == {row[3] for row in rows}
    assert f"{len(rows)} models, each wrong in one way, break {len({row[0] for row in rows})} statements" in page
    assert {row[1].replace("\\|", "|") for row in rows} == {all_checks()[row[0]].statement for row in rows}
