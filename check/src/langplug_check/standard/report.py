"""A plugin of the pytest that runs langchain-tests' cases: it writes down what became of each.

It takes standard input and output for itself as it is imported, which is before any of the model's code is: from the
one it reads the job and the number of its answer, to the other it writes that. See `process.channel` for the form.
"""

import os
import pickle
import sys
from typing import Any

import pytest

from langplug_check.process.channel import write_answer
from langplug_check.standard.cases import REPORT, capabilities, first_sentence, subject_of_job

_inbox, _outbox = os.dup(0), os.dup(1)
with open(_inbox, "rb") as _request:  # noqa: PTH123 - not a path
    _nonce, JOB = pickle.load(_request)  # noqa: S301 - from the process that started this one
with open(os.devnull, "rb") as _nothing:  # noqa: PTH123 - not a path of ours
    os.dup2(_nothing.fileno(), 0)
os.dup2(2, 1)
sys.path[:] = JOB.path

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
    claimed = capabilities(subject_of_job(JOB))
    cases = [{**case, "capabilities": claimed} for case in _cases.values()]
    with open(_outbox, "wb") as answer:  # noqa: PTH123 - not a path
        answer.write(write_answer(_nonce, REPORT, {"cases": cases}))
