"""The test kit: what shows that a chat model keeps its promises, offline."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langplug.testing.backend import (
        FAULTS,
        Asked,
        Backend,
        BackendProcess,
        Call,
        Exchange,
        Fault,
        Reply,
        Thought,
        Tokens,
    )
    from langplug.testing.contract import (
        Advisory,
        Check,
        Failed,
        NotApplicable,
        NotObserved,
        Recipe,
        Report,
        Subject,
        check,
        statement,
    )
    from langplug.testing.contract.in_pytest import ContractTests

_HOMES = {
    "FAULTS": "backend",
    "Asked": "backend",
    "Backend": "backend",
    "BackendProcess": "backend",
    "Call": "backend",
    "Exchange": "backend",
    "Fault": "backend",
    "Reply": "backend",
    "Thought": "backend",
    "Tokens": "backend",
    **dict.fromkeys(
        ("Advisory", "Check", "Failed", "NotApplicable", "NotObserved", "Recipe", "Report", "Subject"), "contract"
    ),
    "ContractTests": "contract.in_pytest",
    "check": "contract",
    "statement": "contract",
}

__all__ = [
    "FAULTS",
    "Advisory",
    "Asked",
    "Backend",
    "BackendProcess",
    "Call",
    "Check",
    "ContractTests",
    "Exchange",
    "Failed",
    "Fault",
    "NotApplicable",
    "NotObserved",
    "Recipe",
    "Reply",
    "Report",
    "Subject",
    "Thought",
    "Tokens",
    "check",
    "statement",
]


def __getattr__(name: str) -> Any:
    """Import a part of the kit when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module 'langplug.testing' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"langplug.testing.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
