"""What pages say of the code is what the code says."""

import sys

import pytest
from tests.docs import mirrored
from tests.docs.generated import GENERATED, LANGUAGES, PICTURES, is_right, path_of
from tests.docs.pages import ROOT, translation_of
from tests.docs.reference.command_line import VERBS
from tests.docs.reference.writing import Language, table

from langplug.cli._verbs import describe_verbs


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", [*GENERATED, *PICTURES])
def test_a_page_says_what_the_code_says(page: str, language: Language) -> None:
    """A generated page is up to date, in both languages."""
    if page == "reference/command-line.md" and sys.version_info[:2] != (3, 11):
        pytest.skip("argparse writes help in another way in other versions")
    if language == "en" or path_of(page, language).exists():
        assert is_right(page, language), "run: python -m tests.docs.generated"


@pytest.mark.parametrize("page", mirrored.pages())
def test_measured_tables_are_the_same_in_both_languages(page: str) -> None:
    """The tables of a measured page are those of the English one, with the words of their heads in Chinese."""
    chinese = translation_of(ROOT / page).read_text(encoding="utf-8")
    assert mirrored.text_of(page) == chinese, "run: python -m tests.docs.generated"


def test_each_verb_is_on_the_page() -> None:
    """The command line's page has every verb that there is."""
    assert sorted(VERBS) == sorted(describe_verbs())


def test_a_cell_may_hold_anything() -> None:
    """A `|` in a cell is no end of it, and an empty cell is seen."""
    assert "| a | b |\n|---|---|\n| `x \\| y` | – |\n" == table("ab", [("`x | y`", "")])
