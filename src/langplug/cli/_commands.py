"""The commands of a conversation: what a line does that begins with `/`."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from langplug._suggest import did_you_mean
from langplug.cli._exit import UsageError
from langplug.cli._parameters import check_parameter, parse_value
from langplug.cli._session import Session

_EMPTY: Final = '""'
"""How a person writes an empty system prompt. `/system` alone shows the present one."""

_ON_TYPING: Final = '''\
  """                     begins and ends a message of several lines; or end a line with \\
  Ctrl-C                  stops the answer; again, or Ctrl-D, leaves'''

Run = TypeVar("Run", bound=Callable[[Session, str], None])


@dataclass(frozen=True, slots=True)
class Command:
    """A command: what it takes, what it is for, and what it does with the rest of its line."""

    takes: str
    help: str
    run: Callable[[Session, str], None]


COMMANDS: Final[dict[str, Command]] = {}
"""Each command by its name, in the order in which `/help` lists them: that of this file."""


class Leave(Exception):
    """The person wants to leave the conversation."""


def run_command(session: Session, line: str) -> None:
    """Do what `line` says, which begins with `/`.

    Raises:
        UsageError: If the command is unknown, or cannot work with what it was given.
        Leave: If the command is to leave.
        OSError: If a file cannot be written.
        Exception: What the model raised, if it was asked.
    """
    name, _, rest = line.removeprefix("/").partition(" ")
    found = COMMANDS.get(name)
    if found is None:
        near = did_you_mean(f"/{name}", [f"/{known}" for known in COMMANDS], inline=True) or ", /help lists them"
        raise UsageError(f"unknown command '/{name}'{near} (to send it as a message, begin with a space)")
    found.run(session, rest.strip())


def command(name: str, takes: str, text: str) -> Callable[[Run], Run]:
    """Make a function the command `/name`."""

    def register(run: Run) -> Run:
        COMMANDS[name] = Command(takes, text, run)
        return run

    return register


@command("help", "", "lists the commands")
def show_help(session: Session, _: str) -> None:
    """List the commands, and how to type a message."""
    for name, known in COMMANDS.items():
        session.terminal.note(f"  {f'/{name} {known.takes}':<24}{known.help}")
    session.terminal.note(_ON_TYPING)


@command("system", "[TEXT]", f"shows or sets the system prompt; {_EMPTY} removes it")
def set_system(session: Session, text: str) -> None:
    """Set the system prompt, if one is given, and show it."""
    if text:
        session.history.system = None if text == _EMPTY else text
    session.terminal.note(f"system: {session.history.system or '(none)'}", dim=True)


@command("set", "[NAME[=VALUE]]", "shows the parameters, sets or unsets one")
def set_parameter(session: Session, rest: str) -> None:
    """Set or unset a parameter of the next calls, and show them all."""
    # As on the command line, or with a space; a value may hold either sign.
    found = re.fullmatch(r"(?s)(\S*?)(?:\s*=\s*|\s+|$)(.*)", rest)
    name, value = (found[1], found[2]) if found else ("", "")
    if value:
        parsed = parse_value(value)
        if said := check_parameter(session.model, name, parsed):
            session.terminal.note(said, dim=True)
        session.parameters[name] = parsed
    elif name:
        if name not in session.parameters:
            near = did_you_mean(name, session.parameters, inline=True)
            raise UsageError(f"{name!r} is not set{near or f': /set {name} VALUE sets it'}")
        del session.parameters[name]
    shown = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in session.parameters.items()]
    session.terminal.note("\n".join(shown) or "(no parameters set: the model's defaults apply)", dim=True)


@command("retry", "", "asks the last prompt again, in place of its answer")
def retry(session: Session, _: str) -> None:
    """Ask the last prompt again, whether it was answered or not."""
    prompt = session.unanswered or session.history.undo()
    if prompt is None:
        raise UsageError("nothing has been asked yet")
    session.answer(prompt)


@command("undo", "", "forgets the last prompt and its answer")
def undo(session: Session, _: str) -> None:
    """Forget the last prompt and its answer."""
    prompt = session.history.undo()
    session.terminal.note("(nothing to undo)" if prompt is None else f"(forgotten: {prompt})", dim=True)


@command("reset", "", "forgets all prompts and answers")
def reset(session: Session, _: str) -> None:
    """Forget all that was said."""
    session.history.messages.clear()
    session.unanswered = None
    session.terminal.note("(forgotten; the system prompt and the parameters stay)", dim=True)


@command("save", "FILE", "saves the conversation as .json (for --continue) or .md")
def save(session: Session, file: str, *, overwrite: bool = False) -> None:
    """Save the conversation."""
    if not file:
        raise UsageError("name a file: /save talk.json (--continue goes on with it) or /save talk.md")
    session.history.save(Path(file).expanduser(), overwrite=overwrite)
    session.terminal.note(f"(saved {len(session.history.with_system())} messages to {file})", dim=True)


@command("save!", "FILE", "the same, over a file that is there already")
def save_over(session: Session, file: str) -> None:
    """Save the conversation, over a file that is there already."""
    save(session, file, overwrite=True)


@command("stats", "[on|off]", "shows the figures of the last answer; on: of each answer")
def show_stats(session: Session, switch: str) -> None:
    """Show the figures of the last answer, and switch on or off those of each."""
    if switch not in ("", "on", "off"):
        raise UsageError(f"/stats takes on, off or nothing, not {switch!r}")
    if switch:
        session.shows_stats = switch == "on"
    session.terminal.note(session.last.stats().line() if session.last else "(no answer yet)", dim=True)


@command("quit", "", "leaves")
def leave(_session: Session, _: str) -> None:
    """Leave the conversation."""
    raise Leave
