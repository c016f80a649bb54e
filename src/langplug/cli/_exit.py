"""How a command ends: its exit codes, and the errors that mean one of them."""

import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

OK: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report a program that Ctrl-C ended

_LONGEST_MESSAGE: Final = 600
"""Characters of a message that are shown. Some servers answer an error with a whole page of HTML."""


def exit_codes(done: str = "done", failed: str = "failed", wrong_use: str = "wrong use") -> str:
    """The line of a verb's help on its exit codes: the same numbers for every verb, in the verb's own words."""
    return f"exit codes: {OK} {done} · {FAILED} {failed} · {WRONG_USE} {wrong_use} · {INTERRUPTED} stopped by Ctrl-C"


class UsageError(Exception):
    """The command was given something that it cannot work with. Its message is one sentence with the next step."""


class OutputError(Exception):
    """The answer could not be written, for instance because the disk is full."""


class ReaderGone(Exception):
    """Nobody reads the output any more (`langplug ... | head`). This is not a failure, and there is nothing to say."""


def error_text(error: BaseException) -> str:
    """What went wrong: the message, with the error's class unless the message explains itself.

    It is on one line, but for what langplug itself lists, such as choices, or how two questions differ.
    """
    problems: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
    if type(error).__module__.partition(".")[0] == "pydantic_core" and problems is not None:
        # Not `str(error)`, which adds links to pydantic's pages and the rejected values. Those may be secrets.
        text = "; ".join(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}" for wrong in problems())
    else:
        text = str(error)
    lists = stands_alone(error) and "\n  " in text
    message = text.strip() if lists else " ".join(text.split())
    if len(message) > _LONGEST_MESSAGE:
        message = message[:_LONGEST_MESSAGE] + " ..."
    # One word is not an explanation, whoever raised it: `str(KeyError("x"))` is "'x'".
    if " " in message and stands_alone(error):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def stands_alone(error: BaseException) -> bool:
    """Whether the message explains itself: langplug, or its test kit, raised the error and writes such messages."""
    if isinstance(error, UsageError | OutputError):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    raised_in = str(frames[-1][0].f_globals.get("__name__", "")) if frames else ""
    return raised_in.partition(".")[0] in ("langplug", "langplug_check")


def print_traceback(error: BaseException) -> None:
    """Show on stderr where `error` came from."""
    traceback.print_exception(error, file=sys.stderr)
