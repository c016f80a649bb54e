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
    _cases[report.nodeid] = {
        "name": report.nodeid.rsplit("::", 1)[1],
        "sentence": _sentences.get(report.nodeid, "It holds."),
        "outcome": report.outcome,
        "told": _told(report),
        "seconds": report.duration,
    }


def pytest_sessionfinish() -> None:
    """Write it all down."""
    able = capabilities(subject_of_job())
    cases = [{**case, "capabilities": able} for case in _cases.values()]
    Path(os.environ[REPORT_VARIABLE]).write_text(json.dumps(cases), encoding="utf-8")


def _told(report: pytest.TestReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr)
    return " ".join(text.split())[:400]
