"""The whole contract of a LangChain chat model, checked on any of them, statement by statement."""

from langplug.testing.contract.recipes import Recipe
from langplug.testing.contract.report import Found, Report
from langplug.testing.contract.session import Progress, Step, check
from langplug.testing.contract.statement import GROUPS, Check, all_checks, statement
from langplug.testing.contract.subject import Subject, run
from langplug.testing.contract.verdicts import Advisory, Failed, NotApplicable, NotObserved, Result, Verdict

__all__ = [
    "GROUPS",
    "Advisory",
    "Check",
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
