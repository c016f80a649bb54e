"""The whole contract of a LangChain chat model, or of a server, checked on any of them, statement by statement."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langplug_check.statement import GROUPS, Check, all_checks, statement
from langplug_check.verdicts import Advisory, Failed, NotApplicable, NotObserved, Result, Verdict

if TYPE_CHECKING:
    from langplug_check.findings import Found
    from langplug_check.in_pytest import ContractTests
    from langplug_check.recipes import Recipe
    from langplug_check.report import Report
    from langplug_check.servers.session import ServerReport, check_server
    from langplug_check.session import Progress, Step, check
    from langplug_check.subject import Subject, run

# What needs langchain-core, which takes a second, or pytest, is imported when it is first used: `langplug check --help`
# comes at once. The other modules are light, and the function `statement` must not be hidden by its own module.
_LAZY = {
    "ContractTests": "in_pytest",
    "Found": "findings",
    "Progress": "session",
    "Recipe": "recipes",
    "Report": "report",
    "ServerReport": "servers.session",
    "Step": "session",
    "Subject": "subject",
    "check": "session",
    "check_server": "servers.session",
    "run": "subject",
}

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
    "ServerReport",
    "Step",
    "Subject",
    "Verdict",
    "all_checks",
    "check",
    "check_server",
    "run",
    "statement",
]


def __getattr__(name: str) -> Any:
    """Import a name of `_LAZY` when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'langplug_check' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"langplug_check.{_LAZY[name]}"), name)
    return value
