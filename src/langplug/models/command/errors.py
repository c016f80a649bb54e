"""What can go wrong with a command, and what its error says."""

import errno
import signal

from langchain_core.exceptions import (
    ContextOverflowError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
)

from langplug import IncompleteAnswerError
from langplug._errors import advised


class CommandNotFoundError(ModelNotFoundError, FileNotFoundError):
    """There is no such program, or no such directory to run it in."""


class CommandNotExecutableError(ModelNotFoundError, PermissionError):
    """The file exists, but it may not or cannot be run."""


class CommandFailedError(ModelError):
    """The program said by its exit status that it failed, or a signal ended it.

    Attributes:
        status: Its exit status; for a signal, the signal's number, negative.
        stderr: The end of what it wrote to its stderr, without secrets.
        partial: What it had answered until then, or None.
    """

    is_retryable = False  # unless `retry_on` says otherwise

    def __init__(self, message: str, *, status: int = 1, stderr: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.stderr = stderr


class CommandBrokeOffError(CommandFailedError, IncompleteAnswerError):
    """As `CommandFailedError`, after the answer had begun; `partial` holds the beginning."""


def start_error(owner: str, error: OSError, directory: str | None) -> ModelError:
    """The error for a program that the system did not start.

    Args:
        owner: What the message calls the program.
        error: The system's own error.
        directory: Where the program was to run.
    """
    # The system reports a missing directory and a missing program alike: only the name tells them apart.
    if directory is not None and error.filename == directory:
        return CommandNotFoundError(
            f"{owner} cannot run in cwd={directory!r}: {error.strerror}. Name an existing directory."
        )
    if error.errno == errno.ENOENT:
        return CommandNotFoundError(
            f"{owner} was not found: there is no such program on the PATH, or its first line names an interpreter that "
            "does not exist. Install it, or give the whole path to it."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOEXEC):
        return CommandNotExecutableError(
            f"{owner} cannot be run: {error.strerror}. Make it executable (chmod +x), and let a script begin with #! "
            "and its interpreter."
        )
    if error.errno == errno.E2BIG:
        message = f"{owner} was to be given arguments that are longer than the system allows (on Linux 128 KiB each)."
        advice = "Give the prompt on stdin: input='prompt', and no {prompt} in `command`."
        return advised(ContextOverflowError(message), advice)
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return ModelConnectionError(
            f"{owner} was not started: {error.strerror}. Lower `max_parallel`, or raise the system's limits."
        )
    return advised(ModelInvalidRequestError(f"{owner} was not started: {error.strerror or error}. Check `command`."))


def exit_error(owner: str, status: int, stderr: str, *, begun: bool) -> CommandFailedError:
    """The error for an exit status other than 0, before or after the answer has `begun`."""
    if status > 0:
        how = f"ended with status {status}"
    else:
        try:
            how = f"was ended by {signal.Signals(-status).name}"
        except ValueError:  # most real-time signals have no name in Python
            how = f"was ended by signal {-status}"
    when = "in the middle of its answer; what had come is this error's `partial`" if begun else "without an answer"
    kind = CommandBrokeOffError if begun else CommandFailedError
    message = f"{owner} {how}, {when}.{quote_stderr(stderr)}\nSee what it complains about, or run it by hand."
    return advised(kind(message, status=status, stderr=stderr))


def quote_stderr(stderr: str) -> str:
    """The program's own words, as a sentence of an error."""
    return f" Its stderr ends with:\n{stderr}" if stderr else " It wrote nothing to its stderr."
