"""How a command ends: its exit codes, and the errors that mean one of them."""

import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

OK: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130

_LONGEST_MESSAGE: Final = 600


class UsageError(Exception):
    """The command was given something it cannot work with. Its message is one sentence with the next step."""


class OutputError(Exception):
    """The answer could not be written, such as on a full disk."""


class ReaderGone(Exception):
    """Nobody reads the output any more (`langplug ... | head`): no failure, and nothing left to say."""


def sentence(error: BaseException) -> str:
    """What went wrong, on one line."""
    message = " ".join(_message(error).split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " ..."
    if " " in message and stands_alone(error):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def stands_alone(error: BaseException) -> bool:
    """Whether the error's message needs no more said: langplug itself raised it, and writes such messages."""
    return isinstance(error, UsageError | OutputError) or _raised_by_langplug(error)


def print_traceback(error: BaseException) -> None:
    """Show where `error` came from, on stderr."""
    traceback.print_exception(error, file=sys.stderr)


def _message(error: BaseException) -> str:
    problems: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
    if type(error).__module__.partition(".")[0] == "pydantic_core" and problems is not None:
        # without the links to pydantic's pages, and the rejected values, which may be secrets
        return "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in problems())
    return str(error)


def _raised_by_langplug(error: BaseException) -> bool:
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and str(frames[-1][0].f_globals.get("__name__", "")).startswith("langplug.")
