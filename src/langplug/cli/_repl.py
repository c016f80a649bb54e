"""The conversation at the terminal: lines in, answers out."""

from collections.abc import Callable
from typing import Final

from langplug.cli import _exit
from langplug.cli._banner import describe_model
from langplug.cli._commands import Leave, run_command
from langplug.cli._exit import OutputError, ReaderGone
from langplug.cli._session import Session

_BLOCK: Final = '"""'

_ENOUGH_INTERRUPTS: Final = 2
"""In a row: the first stops what is going on, the second leaves."""


def hold_conversation(session: Session, *, name: str, debug: bool) -> int:
    """Take lines and answer them until the person leaves. Returns the exit code: leaving is always fine.

    Args:
        session: The model, and the conversation so far.
        name: What the model was called by.
        debug: Whether to show the traceback of an error.
    """
    for line in describe_model(session.model, name):
        session.terminal.note(line, dim=True)
    session.terminal.note("/help for help, Ctrl-D to leave", dim=True)
    if session.history.messages:
        session.terminal.note(f"(going on after {len(session.history.messages)} messages)", dim=True)
    interrupts = 0
    while interrupts < _ENOUGH_INTERRUPTS:
        try:
            message = read_message(session.terminal.read_line)
            interrupts = 0
            _respond(session, message, debug=debug)
        except KeyboardInterrupt:
            interrupts += 1
            hint = "" if interrupts == _ENOUGH_INTERRUPTS else "\n(Ctrl-C again or Ctrl-D leaves)"
            session.terminal.note(hint, dim=True)
        except EOFError:
            session.terminal.note("")
            break
        except Leave:
            break
    return _exit.OK


def read_message(read_line: Callable[[str], str]) -> str:
    '''One message, of one line or more: a backslash at its end continues a line, `"""` opens and closes a block.

    Args:
        read_line: Given a prompt, returns the next line. What it raises is passed on.
    '''
    line = read_line("> ")
    is_block = line.lstrip().startswith(_BLOCK)
    if not is_block:
        lines = [line]
        while lines[-1].endswith("\\"):
            lines[-1] = lines[-1].removesuffix("\\")
            lines.append(read_line(". "))
        return "\n".join(lines)
    # Backslashes in a block stay: it is how one pastes code. The quotes may open and close on the same line.
    lines = [line.lstrip().removeprefix(_BLOCK)]
    while not lines[-1].rstrip().endswith(_BLOCK):
        lines.append(read_line(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(_BLOCK)
    return "\n".join(lines).strip("\n")


def _respond(session: Session, message: str, *, debug: bool) -> None:
    """Run a command or ask the model. Nothing that either raises ends the conversation, an `EOFError` included."""
    try:
        if message.startswith("/"):
            run_command(session, message)
        elif message.strip():
            session.answer(message.strip())
    except (Leave, ReaderGone, OutputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a model raises, the conversation goes on
        if debug and not isinstance(error, _exit.UsageError):
            _exit.print_traceback(error)
        session.terminal.error(_exit.error_text(error))
