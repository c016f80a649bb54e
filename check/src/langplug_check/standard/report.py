"""A plugin of the pytest that runs langchain-tests' cases: it writes down what became of each."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from langplug_check.standard.cases import REPORT_VARIABLE, capabilities, first_sentence, subject_of_job

_cases: dict[str, dict[str, Any]] = {}
_sentences: dict[str, str] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Learn what each case is about."""
    for item in items:
        _sentences[item.nodeid] = first_sentence(getattr(item, "obj", None))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the outcome of the call, or of the phase that kept it from being made."""
    if report.when != "call" and report.passed:
        return
    if report.passed:
        observed = ""
    elif isinstance(report.longrepr, tuple):  # a skip: file, line and reason
        observed = str(report.longrepr[2]).removeprefix("Skipped: ")
    else:
        crash = getattr(report.longrepr, "reprcrash", None)
        observed = " ".join(str(crash.message if crash is not None else report.longrepr).split())[:400]
    _cases[report.nodeid] = {
        "name": report.nodeid.rsplit("::", 1)[1],
        "sentence": _sentences.get(report.nodeid, "It holds."),
        "outcome": report.outcome,
        "observed": observed,
        "seconds": report.duration,
    }


def pytest_sessionfinish() -> None:
    """Write it all down."""
    claimed = capabilities(subject_of_job())
    cases = [{**case, "capabilities": claimed} for case in _cases.values()]
    Path(os.environ[REPORT_VARIABLE]).write_text(json.dumps(cases), encoding="utf-8")
