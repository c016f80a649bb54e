"""What a client is told of a call that failed."""

import traceback
from collections.abc import Mapping

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelRateLimitError,
    ModelRefusalError,
    ModelTimeoutError,
    OutputParserException,
)

from langplug import IncompleteAnswerError, UnmetDemandError
from langplug._errors import words_for_clients
from langplug.http import retry_after_of


class ApiError(Exception):
    """An error in the terms that all wires share; each writes it in its own shape.

    Attributes:
        status: The HTTP status.
        type: The kind, such as `"invalid_request_error"`.
        message: What was wrong, what was expected and what to do next.
        param: Where in the body, as `input[0].content`.
        code: A word for programs, such as `"context_length_exceeded"`.
        retry_after: Seconds after which it is worth another attempt.
        is_final: Whether no other attempt is worth it, though the status may look so.
    """

    def __init__(  # noqa: PLR0917 - in the order in which they are said
        self,
        status: int,
        type: str,  # noqa: A002 - the wire's word
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        *,
        is_final: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.param = param
        self.code = code
        self.retry_after = retry_after
        self.is_final = is_final


class ModelEndedError(Exception):
    """The model has raised its cause, which would end a program or a task, as `SystemExit` does. It ends a call."""


def refused(path: str, problem: str) -> ApiError:
    """The error for a body that is wrong at `path`."""
    return ApiError(400, "invalid_request_error", f"{path}: {problem}", path)


_STATUS: Mapping[type[Exception], tuple[int, str, str | None]] = {
    ContextOverflowError: (400, "invalid_request_error", "context_length_exceeded"),
    ModelRefusalError: (400, "invalid_request_error", "content_filter"),
    ModelInvalidRequestError: (400, "invalid_request_error", None),
    ModelRateLimitError: (429, "rate_limit_error", "rate_limit_exceeded"),
    ModelTimeoutError: (504, "server_error", "timeout"),
    ModelError: (502, "server_error", "model_error"),
    OutputParserException: (502, "server_error", "model_error"),
}
"""What is answered for an exception of a model; the first class that fits counts."""

_WORDS: Mapping[type[Exception], str] = {
    ModelAuthenticationError: "The model's own credentials were refused.",
    IncompleteAnswerError: "The model's answer broke off before it was complete; asking again may help.",
    ModelConnectionError: "The model cannot be reached.",
    ModelTimeoutError: "The model took too long to answer.",
    OutputParserException: "The model did not answer in the form that is read here; asking again may help.",
}
"""What is told in the place of an exception's own words, which speak of settings, addresses and another server's bytes:
they are for the log. The first class that fits counts."""


def api_error_of(error: Exception) -> ApiError:
    """What a client is told of what a model raised.

    langchain-core's errors are told in their own words where these are about the request, and so are langplug's
    `ValueError`s, by which it refuses what a model cannot be asked; without what only the model's author can do about
    it. One that comes out of an author's code, or of what that calls, is a failure of the model's. Credentials of the
    server's own that are refused are no fault of the client's: 502, and not 401. Of any other exception, a file's
    included, only its class is told: its text may hold what is no client's business.
    """
    if isinstance(error, ApiError):
        return error
    told = next((words for kind, words in _WORDS.items() if isinstance(error, kind)), None) or words_for_clients(error)
    if isinstance(error, ModelAuthenticationError):  # first: a missing secret is a ValueError, and names a variable
        return ApiError(502, "server_error", told, code="model_error")
    if told and not isinstance(error, OSError):
        for kind, (status, name, code) in _STATUS.items():
            if isinstance(error, kind):
                wait_s = retry_after_of(error) if isinstance(error, ModelError) else None
                is_final = isinstance(error, UnmetDemandError)  # it has been asked as often as it is worth
                return ApiError(status, name, told, code=code, retry_after=wait_s, is_final=is_final)
        if isinstance(error, ValueError) and _is_of_langplug(error):
            return ApiError(400, "invalid_request_error", told)
    raised = error.__cause__ if isinstance(error, ModelEndedError) else error
    return ApiError(500, "server_error", f"The model failed with {type(raised).__name__}.", code="model_error")


def _is_of_langplug(error: Exception) -> bool:
    """Whether langplug itself has raised it: an author's function, or a tool, raises from another module."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("langplug.")
