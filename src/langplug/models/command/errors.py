"""What can go wrong with a command, and what is said of it."""

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


class CommandNotFoundError(ModelNotFoundError, FileNotFoundError):
    """There is no such program, or no such directory to run it in."""


class CommandNotExecutableError(ModelNotFoundError, PermissionError):
    """The file is there, but may or can not be run."""


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


def not_started(owner: str, error: OSError, directory: str | None) -> ModelError:
    """The error for a program that the system did not start."""
    if directory is not None and error.filename == directory:
        return CommandNotFoundError(
            f"{owner} cannot run in cwd={directory!r}: {error.strerror}. Name a directory that is there."
        )
    if error.errno == errno.ENOENT:
        return CommandNotFoundError(
            f"{owner} was not found: there is no such program on the PATH, or its first line names an interpreter that "
            "is not there. Install it, or give the whole path to it."
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOEXEC):
        return CommandNotExecutableError(
            f"{owner} cannot be run: {error.strerror}. Make it executable (chmod +x), and let a script begin with #! "
            "and its interpreter."
        )
    if error.errno == errno.E2BIG:
        return ContextOverflowError(
            f"{owner} was to be given arguments that are longer than the system allows (on Linux 128 KiB each). "
            "Give the prompt on stdin: input='prompt', and no {prompt} in `command`."
        )
    if error.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        return ModelConnectionError(
            f"{owner} was not started: {error.strerror}. Lower `max_parallel`, or raise the system's limits."
        )
    return ModelInvalidRequestError(f"{owner} was not started: {error.strerror or error}. Look into `command`.")


def failed(owner: str, status: int, stderr: str, *, begun: bool) -> CommandFailedError:
    """The error for an exit status other than 0, before or after the answer has `begun`."""
    how = f"ended with status {status}" if status > 0 else f"was ended by {_signal_name(-status)}"
    when = "in the middle of its answer; what had come is this error's `partial`" if begun else "without an answer"
    kind = CommandBrokeOffError if begun else CommandFailedError
    return kind(
        f"{owner} {how}, {when}.{said_on_stderr(stderr)}\nSee what it complains of, or run it by hand.",
        status=status,
        stderr=stderr,
    )


def said_on_stderr(stderr: str) -> str:
    """What an error says of the program's own words."""
    return f" Its stderr ends with:\n{stderr}" if stderr else " It wrote nothing to its stderr."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
