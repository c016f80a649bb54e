"""How statements are registered: an id says where its statement stands, and belongs to one function alone."""

from collections.abc import Callable, Iterator

import pytest

from langplug_check import GROUPS, Subject, all_checks, statement
from langplug_check.statement import _registered


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test registers is gone after it."""
    all_checks()  # imports the groups: what these register must not be forgotten, for they are imported once
    before = dict(_registered)
    yield
    _registered.clear()
    _registered.update(before)


def added(check_id: str, module: str, name: str = "added") -> Callable[[Subject], None]:
    """A check of a module, registered."""

    def run(subject: Subject) -> None:
        """Nothing."""

    run.__module__, run.__qualname__ = module, name
    return statement(check_id, "It holds.", why="It should.", hint="Let it.")(run)


GROUP = "langplug_check.groups.e_streaming"


def test_a_new_statement_takes_its_place_by_its_id() -> None:
    """A statement that is added stands where its id says, and every other one is where it was."""
    before = list(all_checks())
    added("E12b", GROUP)
    after = list(all_checks())
    assert after[after.index("E12") : after.index("E12") + 3] == ["E12", "E12b", "E13"]
    assert [name for name in after if name != "E12b"] == before


def test_statements_are_in_the_order_of_their_groups_and_numbers() -> None:
    """Groups come in the order of `GROUPS`, numbers as numbers, and a letter right after its number."""
    for name in ("X100", "X99", "X99b"):
        added(name, "mine", name)
    assert list(all_checks())[-3:] == ["X99", "X99b", "X100"]
    letters = [name[0] for name in all_checks()]
    assert letters == sorted(letters, key=list(GROUPS).index)


def test_two_statements_cannot_share_an_id() -> None:
    """The second statement with an id is an error as its module is imported, and it names the first."""
    first = all_checks()["E12"].run
    with pytest.raises(ValueError, match=rf"'E12' already: {first.__module__}\.{first.__qualname__}"):
        added("E12", GROUP)
    added("X01", "mine", "polite")
    with pytest.raises(ValueError, match=r"'X01' already: mine\.polite"):
        added("X01", "mine", "rude")
    with pytest.raises(ValueError, match=r"'X01' already: mine\.polite"):
        added("X01", "yours", "polite")


def test_a_reloaded_statement_replaces_itself() -> None:
    """A notebook's cell can be run again: the function of the same name and module is the same statement."""
    added("X01", "mine", "polite")
    again = added("X01", "mine", "polite")
    assert all_checks()["X01"].run is again


@pytest.mark.parametrize("check_id", ["A99", "T01", "Z01", "X1", "x01", "X01B", ""])
def test_the_letters_of_the_contract_are_not_a_users(check_id: str) -> None:
    """An id that is malformed, or belongs to the contract or to langchain-tests, is refused with what to use."""
    with pytest.raises(ValueError, match="use 'X01', 'X02' and so on"):
        added(check_id, "mine")


def test_only_the_kit_extends_the_contract() -> None:
    """A user's statement is not part of the contract, and the contract's are."""
    added("X01", "mine")
    assert [name for name, check in all_checks().items() if not check.in_contract] == ["X01"]


def test_the_decorator_gives_the_function_back() -> None:
    """What is decorated stays a plain function, which can be called."""

    @statement("X01", "It holds.", why="It should.", hint="Let it.")
    def holds(subject: Subject) -> str:
        """Nothing."""
        return "seen"

    assert "seen" == holds(Subject.__new__(Subject))
