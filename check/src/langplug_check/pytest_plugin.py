"""The pytest plugin: `pytest --langplug-check=REF` runs each statement of the contract as a test of a model.

The fixture `cassette` gives each test a cassette of its own, to which it records a model, or from which it plays it.

Its entry point makes every pytest here import it, so it imports nothing of LangChain before the option is given.
"""

import re
from collections.abc import Callable, Iterator
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
    group.addoption(
        "--cassette-mode",
        choices=("none", "once", "new", "rewrite"),
        default="once",
        help="what the fixture `cassette` records: nothing, all if there is no cassette yet, what it lacks, or all",
    )
    group.addoption("--langplug-skip", metavar="IDS", default="", help="all but these checks or groups")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each statement and model, first of all plugins, so that `-k` and others select among them too."""
    for reference in config.getoption("--langplug-check") or ():
        model: Model = Model.from_parent(session, name=f"langplug-check::{reference}", reference=reference)
        items.extend(model.collect())


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """A function from a model to a `ChatReplay` with this test's cassette, `cassettes/MODULE/TEST.yaml` beside it.

    The model may also be a function that makes it, which is called only if something may be recorded.
    """
    from langplug.models import ChatReplay

    test = re.sub(r"[^\w.=,-]", "_", request.node.nodeid.partition("::")[2].replace("::", "."))
    file = request.path.parent / "cassettes" / request.path.stem / f"{test}.yaml"
    mode = request.config.getoption("--cassette-mode")
    if mode == "rewrite":
        file.unlink(missing_ok=True)
    # Decided once for the test: when its second model is made, the first may have begun the cassette.
    records = mode != "none" and (mode != "once" or not file.exists())

    def replay(model: Any = None, **settings: Any) -> Any:
        is_recipe = callable(model) and not hasattr(model, "invoke")
        if is_recipe:
            model = model() if records else None
        return ChatReplay(
            cassette=file, model=model, mode="new" if records and model is not None else "none", **settings
        )

    return replay


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
