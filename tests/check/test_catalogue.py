"""Every statement of the contract has its check."""

from langplug_check import all_checks
from langplug_check.catalogue import NUMBERS


def test_each_statement_has_a_check() -> None:
    """The 139 statements of the contract are checked, all of them."""
    assert list(range(1, 140)) == list(NUMBERS.values())
    assert [] == [name for name in NUMBERS if name not in all_checks()]
