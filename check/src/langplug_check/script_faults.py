"""Faults of a backend as an author's function in this process meets them: as exceptions, or as waiting."""

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
        after: How many parts it has given by then.
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
_BEFORE_ANSWER = frozenset({"close_at_accept", "reset_at_accept", "close_before_headers", "reset_before_headers"})


def to_script_fault(fault: Fault) -> ScriptFault:
    """What a function in this process meets for a fault.

    Raises:
        NotObserved: If only a wire can have the fault.
    """
    if fault.kind in _STALLS:
        return ScriptFault(None, fault.after)
    if not FAULTS[fault.kind].error:
        raise NotObserved(f"only a wire has the fault {fault.kind!r}, and the model answers in this process")
    error: type[Exception]
    if fault.kind in _BY_KIND:
        error = _BY_KIND[fault.kind]
    elif fault.kind.startswith("status"):
        error = _BY_STATUS.get(fault.code) or (ModelAPIError if fault.code >= 500 else ModelInvalidRequestError)
    else:
        # A connection that breaks before the answer is safe to try again; one that breaks in it is half an answer.
        error = ModelConnectionError if fault.kind in _BEFORE_ANSWER else IncompleteAnswerError
    return ScriptFault(error(fault.message or f"scripted fault: {FAULTS[fault.kind].does}"), fault.after)
