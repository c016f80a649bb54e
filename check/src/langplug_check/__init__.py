"""The whole contract of a LangChain chat model, checked on any of them, statement by statement."""

from typing import TYPE_CHECKING, Any

from langplug_check.recipes import Recipe
from langplug_check.report import Found, Report
from langplug_check.session import Progress, Step, check
from langplug_check.statement import GROUPS, Check, all_checks, statement
from langplug_check.subject import Subject, run
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved, Result, Verdict

if TYPE_CHECKING:
    from langplug_check.in_pytest import ContractTests

__all__ = [
    "GROUPS",
    "Advisory",
    "Check",
    "ContractTests",
    "Failed",
    "Found",
    "NotApplicable",
    "NotObserved",
    "Progress",
    "Recipe",
    "Report",
    "Result",
    "Step",
    "Subject",
    "Verdict",
    "all_checks",
    "check",
    "run",
    "statement",
]


def __getattr__(name: str) -> Any:
    """Import `ContractTests` when it is first used: it needs pytest, which a check does not."""
    if name != "ContractTests":
        raise AttributeError(f"module 'langplug_check' has no attribute {name!r}")
    from langplug_check.in_pytest import ContractTests

    return ContractTests
