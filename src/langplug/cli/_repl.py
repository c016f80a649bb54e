"""The conversation at the terminal: lines in, answers out."""

from collections.abc import Callable
from typing import Final

from langplug.cli import _exit
from langplug.cli._commands import Leave, run_command
from langplug.cli._exit import OutputError, ReaderGone, UsageError
from langplug.cli._session import Session

_BLOCK: Final = '"""'

_ENOUGH_INTERRUPTS: Final = 2
"""In a row: the first stops what is going on, the second leaves."""


def hold_conversation(session: Session, *, name: str, debug: bool) -> int:
    """Take lines and answer them until the person leaves. Returns the exit code: leaving is always fine.

    Args:
        session: What to talk with.
        name: What to call the model.
        debug: Whether to show the traceback of an error.
    """
    session.terminal.note(f"{name} · /help for help, Ctrl-D to leave", dim=True)
    if session.conversation.turns:
        session.terminal.note(f"(going on after {len(session.conversation.turns)} messages)", dim=True)
    interrupts = 0
    while interrupts < _ENOUGH_INTERRUPTS:
        try:
            message = read_message(session.terminal.read_line)
            interrupts = 0
            _take(session, message, debug=debug)
        except KeyboardInterrupt:
            interrupts += 1
            session.terminal.note(
                "" if interrupts == _ENOUGH_INTERRUPTS else "\n(Ctrl-C again or Ctrl-D leaves)", dim=True
            )
        except EOFError:
            session.terminal.note("")
            break
        except Leave:
            break
    return _exit.OK


def read_message(read_line: Callable[[str], str]) -> str:
    '''One message, of one line or more: a backslash at its end continues a line, `"""` opens and closes a block.

    Args:
        read_line: Given a prompt, gives the next line; what it raises is let through.
    '''
    line = read_line("> ")
    if line.lstrip().startswith(_BLOCK):
        return _read_block(line.lstrip().removeprefix(_BLOCK), read_line)
    lines = [line]
    while lines[-1].endswith("\\"):
        lines[-1] = lines[-1].removesuffix("\\")
        lines.append(read_line(". "))
    return "\n".join(lines)


def _read_block(first: str, read_line: Callable[[str], str]) -> str:
    lines = [first]
    while not lines[-1].rstrip().endswith(_BLOCK):
        lines.append(read_line(". "))
    lines[-1] = lines[-1].rstrip().removesuffix(_BLOCK)
    return "\n".join(lines).strip("\n")


def _take(session: Session, message: str, *, debug: bool) -> None:
    try:
        if message.startswith("/"):
            run_command(session, message)
        elif message.strip():
            session.answer(message.strip())
    except (Leave, ReaderGone, OutputError):
        raise
    except UsageError as error:
        session.terminal.error(_exit.sentence(error))
    except Exception as error:  # noqa: BLE001 - whatever a model raises, the conversation goes on
        if debug:
            _exit.print_traceback(error)
        session.terminal.error(_exit.sentence(error))
