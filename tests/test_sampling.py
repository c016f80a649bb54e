"""The sample of a cross product that an everyday run tries."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import sampling
from tests.sampling import sample

pytest_plugins = ["pytester"]

CASES = st.integers(1, 4).flatmap(lambda axes: st.lists(st.tuples(*[st.sampled_from("abcdef")] * axes), unique=True))


@given(cases=CASES, name=st.text())
def test_each_value_is_there(cases: list[tuple[str, ...]], name: str) -> None:
    """Each value of each parameter is in the sample at least once, and each case of the sample is there for one."""
    chosen = [cases[place] for place in sample(name, cases)]
    assert {*enumerate_all(cases)} == {*enumerate_all(chosen)}
    assert len(chosen) == len(set(chosen)) <= len({*enumerate_all(cases)})


def enumerate_all(cases: list[tuple[str, ...]]) -> list[tuple[int, str]]:
    return [pair for case in cases for pair in enumerate(case)]


@pytest.mark.parametrize("sizes", [(11, 6, 9, 2), (8, 6), (2, 2, 2), (1, 7)])
def test_a_product_shrinks_to_its_longest_side(sizes: tuple[int, ...]) -> None:
    """Of a whole product there are as many cases as the parameter with the most values has."""
    assert max(sizes) == len(sample("a test", list(product(*map(range, sizes)))))


def test_single_cases_are_all_there() -> None:
    """A list of single cases is not thinned out, and neither is a test without parameters."""
    assert [*range(50)] == sample("a test", [(number,) for number in range(50)])
    assert [0] == sample("a test", [()])


def test_all_tests_together_bring_all_pairs_together() -> None:
    """The sample depends on the test's name, so that what one test does not bring together, another does."""
    cases = list(product(range(8), range(6)))
    assert sample("a test", cases) == sample("a test", cases)
    assert 48 == len({place for number in range(60) for place in sample(f"test {number}", cases)})


def test_a_sample_is_the_same_everywhere() -> None:
    """No machine and no `PYTHONHASHSEED` draws another one: the processes of pytest-xdist must agree."""
    cases = list(product(["function", "generator"], ["invoke", "stream", "v3"], [None, "v1"]))
    assert SAME == [cases[place] for place in sample("test_of_something", cases)]


SAME = [("function", "invoke", "v1"), ("generator", "stream", None), ("generator", "v3", None)]

TESTS = """
import pytest

@pytest.fixture(params=["cat", "dog", "cow"])
def animal(request):
    return request.param

@pytest.mark.parametrize("number", range(3))
def test_product(animal, number):
    pass

@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_list(one, other):
    pass

@pytest.mark.product
@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 2), (2, 2)])
def test_part_of_a_product(one, other):
    pass

def test_alone():
    pass

@pytest.mark.thorough("the others say nearly the same")
def test_thorough():
    pass

@pytest.mark.some(2, "another test has each")
class TestSome:
    @pytest.mark.parametrize("number", range(8))
    def test_some(self, number):
        pass
"""


SAMPLED = {"test_product": 3, "test_list": 4, "test_part_of_a_product": 2, "test_alone": 1, "test_some": 4}
ALL = {
    "test_product": 9,
    "test_list": 4,
    "test_part_of_a_product": 3,
    "test_alone": 1,
    "test_thorough": 1,
    "test_some": 8,
}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param([], SAMPLED, id="nothing"),
        pytest.param(["--all"], ALL, id="all"),
        pytest.param(["test_it.py::test_product[cow-1]"], {"test_product": 1}, id="one case"),
        pytest.param(["test_it.py::test_product"], {"test_product": 3}, id="one function"),
        pytest.param(["test_it.py::test_thorough"], {"test_thorough": 1}, id="one that is left for all"),
        pytest.param(["test_it.py::TestSome::test_some"], {"test_some": 8}, id="all of some"),
        pytest.param(["-k", "cow and not list"], {"test_product": 3}, id="words"),
        pytest.param(["-k", "cow and 1"], {"test_product": 1}, id="words for one case"),
    ],
)
def test_what_is_asked_for_is_run(pytester: pytest.Pytester, arguments: list[str], expected: dict[str, int]) -> None:
    """The sample is of what ids and words have selected: a case that is asked for by its id is always run."""
    pytester.makepyfile(test_it=TESTS)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    recorded = pytester.inline_run("--collect-only", *arguments, plugins=[sampling])
    (finished,) = recorded.getcalls("pytest_collection_finish")
    names = [item.name.partition("[")[0] for item in finished.session.items]
    assert expected == {name: names.count(name) for name in names}
