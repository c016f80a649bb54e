"""The pytest plugin: `pytest --langplug-check=REF` runs each statement of the contract as a test of a model.

Its entry point makes every pytest here import it, so it imports nothing of LangChain before the option is given.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from langplug_check import Check
    from langplug_check.isolation import Runner


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("langplug", "the contract of a LangChain chat model")
    group.addoption(
        "--langplug-check",
        metavar="REF",
        action="append",
        default=[],
        help="check the model at this reference (package.module:attribute, ./file.py:attribute), a test a statement",
    )
    group.addoption("--langplug-only", metavar="IDS", default="", help="only these checks or groups, such as A01,D")
    group.addoption("--langplug-offline", action="store_true", help="do not call the model as it is (group O)")
    group.addoption("--langplug-skip", metavar="IDS", default="", help="all but these checks or groups")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each statement and model, first of all plugins, so that `-k` and others select among them too."""
    for reference in config.getoption("--langplug-check") or ():
        model: Model = Model.from_parent(session, name=f"langplug-check::{reference}", reference=reference)
        items.extend(model.collect())


class Model(pytest.Collector):
    """A model, and where its checks run: in a process of their own, made for the first of them."""

    def __init__(self, *, reference: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reference = reference
        self._runner: Runner | None = None

    def collect(self) -> Iterator["Statement"]:
        """A test for each statement."""
        from langplug_check.session import select_checks

        only, skip = (
            [check_id for check_id in (self.config.getoption(option) or "").split(",") if check_id]
            for option in ("--langplug-only", "--langplug-skip")
        )
        try:
            checks = select_checks(only, skip)
        except ValueError as error:
            raise pytest.UsageError(str(error)) from error
        offline = self.config.getoption("--langplug-offline")
        for check in checks:
            if offline and check.calls_as_it_is:
                continue
            yield Statement.from_parent(self, name=check.id, check=check)

    def runner(self) -> "Runner":
        """Where the checks run."""
        if self._runner is None:
            from langplug_check.isolation import open_runner

            self._runner = open_runner(self.reference)
            # At the end of all tests: pytest may order them in any way, and has no end of a collector.
            self.config.add_cleanup(self._runner.close)
        return self._runner


class Statement(pytest.Item):
    """One statement, as a test."""

    parent: Model

    def __init__(self, *, check: "Check", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._check = check

    def runtest(self) -> None:
        """Check it."""
        from langplug_check.in_pytest import report_outcome

        report_outcome(self._check, self.parent.runner().run(self._check))

    def reportinfo(self) -> tuple[str, None, str]:
        """What it is called."""
        return self.parent.reference, None, f"{self.parent.reference} {self._check.id} {self._check.statement}"
