"""The statements of the contract as tests of pytest: what a result means there, and a class to inherit from."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pytest

from langplug_check.isolation import Runner, open_runner
from langplug_check.recipes import Recipe
from langplug_check.statement import Check, all_checks
from langplug_check.verdicts import Result


def report_outcome(check: Check, result: Result) -> None:
    """Report what was found to pytest: a failure, a skip with its reason, or nothing.

    A failure that is not the model's own fault is an expected failure, which names whose fault it is.
    """
    if result.counts_against:
        pytest.fail(failure_text(check, result), pytrace=False)
    if result.verdict == "fail":
        pytest.xfail(f"{result.blame}'s fault: {result.observed} ({check.link})")
    if result.verdict in ("not applicable", "not observed"):
        pytest.skip(f"{result.verdict}: {result.observed}")


def failure_text(check: Check, result: Result) -> str:
    """A failure, and how to fix it."""
    lines = [f"{check.id} {check.statement}", "", f"observed  {result.observed}"]
    if result.expected and result.expected != check.statement:
        lines.append(f"expected  {result.expected}")
    lines += [
        f"why       {check.why}",
        "",
        *(f"    {line}" for line in check.hint.splitlines()),
        *(["", f"see {check.link}"] if check.link else []),
    ]
    return "\n".join([*lines, *(["", "printed:", result.noise] if result.noise else [])])


class ContractTests:
    """Every statement of the contract as a test of a model. Inherit from it, and say what makes the model.

    No statement can be left out silently: overriding a test is an error. Name one that a model is known to break in
    `expected_failures`, with the reason; if the model keeps it after all, that is an error too.

    Class variables:
        factory: A model, its class, a function without arguments that makes one, or a reference to one of these.
        recipe: How to point the model at the backend of the test kit. Default: the known one for its class.
        expected_failures: Reasons, by the ids of checks.
        isolated: Whether the checks run in a process of their own, if that is possible.
        offline: Whether to leave out the statements of group O, which call the model as it is: at most 20 times, which
            may cost money or need a network.

    Example:
        >>> class TestMine(ContractTests):
        ...     factory = "acme.chat:ChatAcme"
        ...     expected_failures = {"M07": "the engine cannot be interrupted"}
    """

    factory: ClassVar[Any]
    recipe: ClassVar[Recipe | None] = None
    expected_failures: ClassVar[Mapping[str, str]] = {}
    isolated: ClassVar[bool] = True
    offline: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Dunders are what Python itself puts into every class.
        own = [name for name in vars(cls) if hasattr(ContractTests, name) and name not in _TO_BE_SET]
        if own and not all(name.startswith("__") for name in own):
            names = ", ".join(name for name in own if not name.startswith("__"))
            raise TypeError(
                f"{cls.__name__} overrides {names}: no statement can be left out like that. Name what the model is "
                "known to break in `expected_failures`, with the reason."
            )
        unknown = set(vars(cls).get("expected_failures", ())) - set(all_checks())
        if unknown:
            raise ValueError(f"{cls.__name__}.expected_failures names no check: {', '.join(sorted(unknown))}")

    # One for all statements: to make a model may take as long as to check it.
    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[Runner]:
        """Where the checks of this class run."""
        target: Any = getattr(cls, "factory", None)
        if target is None:
            raise TypeError(f"{cls.__name__} does not say what makes the model: set `factory`")
        runner = open_runner(target, cls.recipe, isolated=cls.isolated)
        yield runner
        runner.close()

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test for each statement, also for users' own that were registered since."""
        # Not by `parametrize` on the test: that is read once, when this module is imported.
        if "check_id" in metafunc.fixturenames:
            metafunc.parametrize("check_id", list(all_checks()))

    def test_statement(self, check_id: str, runner: Runner) -> None:
        """The model keeps the statement."""
        check = all_checks()[check_id]
        if self.offline and check.calls_as_it_is:
            pytest.skip("the model is not called as it is: `offline` is set")
        result = runner.run(check)
        reason = type(self).expected_failures.get(check_id)
        if reason is None:
            report_outcome(check, result)
        elif result.counts_against:
            pytest.xfail(f"{reason}: {result.observed}")
        else:
            pytest.fail(f"{check_id} was expected to fail ({reason}), and: {result.verdict}", pytrace=False)


_TO_BE_SET = frozenset({"factory", "recipe", "expected_failures", "isolated", "offline"})
