"""Faults of a backend, as an author's function in this process would meet them: as exceptions, or as waiting."""

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
)

from langplug import IncompleteAnswerError
from langplug_backend import FAULTS, Fault
from langplug_check.verdicts import NotObserved


@dataclass(frozen=True, slots=True)
class ScriptFault:
    """What an author's function meets.

    Attributes:
        error: What it raises; None: it waits until the caller goes.
        after: How many pieces it has given by then.
    """

    error: Exception | None
    after: int = 0


_BY_STATUS: Mapping[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    429: ModelRateLimitError,
}

_BY_KIND: Mapping[str, type[ModelError]] = {
    "auth": ModelAuthenticationError,
    "permission": ModelPermissionDeniedError,
    "not_found": ModelNotFoundError,
    "invalid_request": ModelInvalidRequestError,
    "content_policy": ModelInvalidRequestError,
    "context_overflow": ContextOverflowError,
    "rate_limit": ModelRateLimitError,
    "quota": ModelRateLimitError,
    "overloaded": ModelAPIError,
    "server_error": ModelAPIError,
    "malformed": ModelAPIError,
    "error_event": ModelAPIError,
    "error_object": ModelAPIError,
}

_STALLS = frozenset({"stall", "stall_before_headers", "stall_after_headers"})
_AT_ONCE = frozenset({"close_at_accept", "reset_at_accept", "close_before_headers", "reset_before_headers"})


def to_script_fault(fault: Fault) -> ScriptFault:
    """The trouble that a fault is for a function in this process.

    Raises:
        NotObserved: If it is a fault of a wire, and nothing that a function could meet.
    """
    if fault.kind in _STALLS:
        return ScriptFault(None, fault.after)
    if not FAULTS[fault.kind].error:
        raise NotObserved(f"the fault {fault.kind!r} is one of a wire, and the model answers in this process")
    message = fault.message or f"scripted fault: {FAULTS[fault.kind].does}"
    return ScriptFault(_kind_of(fault)(message), fault.after)


def _kind_of(fault: Fault) -> type[Exception]:
    if fault.kind in _BY_KIND:
        return _BY_KIND[fault.kind]
    if fault.kind.startswith("status"):
        return _BY_STATUS.get(fault.code) or (ModelAPIError if fault.code >= 500 else ModelInvalidRequestError)
    return ModelConnectionError if fault.kind in _AT_ONCE else IncompleteAnswerError
