"""Group F: errors, as they travel: through pickle, and into logs."""

import pickle
import traceback
from typing import Any

from langplug_backend import Fault
from langplug_check.fields import MARKED_KEY
from langplug_check.groups._secrets import marked_keys
from langplug_check.paths import error_text
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable

_ERRORS = "https://reference.langchain.com/python/langchain-core/exceptions"


@statement(
    "F18",
    "An error of the backend survives pickling, with its type and its text.",
    rank="could",
    why="Process pools, Celery and Ray bring errors back that way; one that cannot be pickled breaks the pool.",
    hint="""
    class AcmeError(ModelAPIError):
        def __init__(self, message, *, status=None):
            super().__init__(message)     # all that is positional, so that pickle can make it anew
            self.status = status
    """,
    link=_ERRORS,
    needs=("faults",),
)
def errors_are_pickled(subject: Subject) -> str:
    """Have the backend reply with status 500 and with 401, and send the errors through pickle."""
    for code in (500, 401):
        retries: dict[str, Any] = {"max_retries": 0} if subject.takes("max_retries") else {}
        error = subject.ask(subject.suffers(Fault.status(code), **retries)).error
        if error is None:
            raise Failed(f"status {code} is no error", "an error")
        try:
            arrived = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
        except Exception as problem:  # noqa: BLE001 - pickle raises of every kind
            raise Failed(f"{type(error).__name__} of status {code} cannot be pickled: {error_text(problem)}") from None
        if type(arrived) is not type(error) or str(arrived) != str(error):
            raise Failed(f"{error_text(error)} arrived as {error_text(arrived)}", "the same type and text")
    return type(error).__name__


@statement(
    "F19",
    "No secret shows in an error, neither in its text nor in what it carries, though the server may repeat it.",
    why="Errors go to logs, to trackers, and often to the user's screen.",
    hint="""
    # take your own key out of what the server said, before it becomes the text of an error
    text = text.replace(self.api_key.get_secret_value(), "**********")
    """,
    link=_ERRORS,
    needs=("faults", "backend"),
)
def errors_keep_secrets(subject: Subject) -> None:
    """Have the server refuse the key and repeat it in the error; look for it in the error, its causes and `repr`s."""
    keys: dict[str, Any] = dict(marked_keys(subject))
    if not keys:
        raise NotApplicable("it has no secrets")
    for path in ("invoke", "astream"):
        error = subject.ask(subject.suffers(Fault(kind="auth_echo"), **keys), None, path).error
        if error is None:
            raise Failed(f"{path} with a key that is refused gave an answer", "an error")
        told = "".join(traceback.format_exception_only(error)) + repr(error) + repr(error.args) + str(vars(error))
        if MARKED_KEY in told:
            raise Failed(
                f"{path}: the key that the server repeated shows in the error {type(error).__name__}", "a mask"
            )
