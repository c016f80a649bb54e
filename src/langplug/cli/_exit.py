"""How a command ends: its exit codes, and the errors that mean one of them."""

import sys
import traceback
from typing import Final

OK: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

_LONGEST_MESSAGE: Final = 600


class UsageError(Exception):
    """The command was given something it cannot work with. Its message is one sentence with the next step."""


class OutputError(Exception):
    """The answer could not be written, such as on a full disk."""


class ReaderGone(Exception):  # noqa: N818 - to read no further is no error
    """Nobody reads the output any more (`langplug ... | head`): no failure, and nothing left to say."""


def sentence(error: BaseException) -> str:
    """What went wrong, on one line.

    The error's type is left out where langplug itself raised it: such a message is written to stand alone.
    """
    message = " ".join(str(error).split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " ..."
    if message and (isinstance(error, UsageError | OutputError) or _raised_by_langplug(error)):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def print_traceback(error: BaseException) -> None:
    """Show where `error` came from, on stderr."""
    traceback.print_exception(error, file=sys.stderr)


def _raised_by_langplug(error: BaseException) -> bool:
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("langplug.")
