"""Each value at least once: the sample of a cross product of parameters that an everyday run tries.

A test over 11 models, 6 paths and 9 answers has 594 cases. A fault nearly always needs one of these values and no
particular company: in a trial with 20 planted faults, the whole products killed none that the sample missed. So
`pytest` runs 11 of the 594, and `pytest --all` every one. Which values meet is drawn by a hash of the test's name:
each test always tries the same ones, and all the tests together bring every model and path together.
"""

from collections.abc import Hashable, Sequence
from zlib import crc32

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare `--all`."""
    parser.addoption(
        "--all", action="store_true", help="every case of each cross product, and many more examples of each property"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marks."""
    config.addinivalue_line("markers", "thorough(reason): only with --all, or by its id, as others say nearly the same")
    config.addinivalue_line(
        "markers", "some(one_in, reason): without --all, one case in so many, drawn by its id; for what others vary too"
    )
    config.addinivalue_line(
        "markers", "product: the list of cases is a product, written out as not all of it makes sense"
    )


@pytest.hookimpl(trylast=True)  # after `-k` and `-m`, so that the sample is of what was asked for
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the sample, unless all is asked for."""
    if config.getoption("--all"):
        return
    by_id = any("::" in argument for argument in config.args)
    chosen = sample_of([item for item in items if by_id or not is_left_out(item)])
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = [item for item in items if item in chosen]


def is_left_out(item: pytest.Item) -> bool:
    """Whether the marks of a test keep it for `--all`."""
    some = item.get_closest_marker("some")
    return item.get_closest_marker("thorough") is not None or (
        some is not None and crc32(item.nodeid.encode()) % some.args[0] != 0
    )


def sample(name: str, cases: Sequence[Sequence[Hashable]]) -> list[int]:
    """The places of the cases to run, so that each value of each parameter is among them; in order.

    Args:
        name: What the sample is drawn by. The same name and cases give the same sample, on every machine.
        cases: The values of each case, one for each parameter. A list of single cases, which has one parameter, is
            taken whole.
    """
    missing = {(axis, value) for case in cases for axis, value in enumerate(case)}
    drawn = sorted(range(len(cases)), key=lambda place: crc32(f"{name} {cases[place]}".encode()))
    chosen = set() if missing else set(drawn)
    while missing:
        best = max(drawn, key=lambda place: len(missing.intersection(enumerate(cases[place]))))
        missing.difference_update(enumerate(cases[best]))
        chosen.add(best)
    return sorted(chosen)


def sample_of(items: Sequence[pytest.Item]) -> set[pytest.Item]:
    """The sample of these tests, drawn for each function by itself."""
    functions: dict[str, list[pytest.Item]] = {}
    for item in items:
        functions.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return {
        cases[place]
        for function, cases in functions.items()
        for place in sample(function.rpartition("::")[2], [values_of(item) for item in cases])
    }


def values_of(item: pytest.Item) -> Sequence[str]:
    """The parameters of a test, one for each `parametrize` and each parametrized fixture, as its id shows them."""
    callspec = getattr(item, "callspec", None)
    if callspec is None:
        return ()
    if item.get_closest_marker("product"):
        return [str(value) for value in callspec.params.values()]
    return callspec._idlist  # type: ignore[no-any-return]  # `indices` would be public, but numbers cases, not values
