"""What a line of a conversation does that begins with `/`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from langplug._suggest import did_you_mean
from langplug.cli._exit import UsageError
from langplug.cli._parameters import check_name, parse_value
from langplug.cli._session import Session

_NOTHING: Final = '""'
"""What is written for a system prompt that is none."""

_ON_TYPING: Final = '''\
  """                     begins and ends a message of several lines; or end a line with \\
  Ctrl-C                  stops the answer; again, or Ctrl-D, leaves'''


class Leave(Exception):
    """The person has had enough."""


def run_command(session: Session, line: str) -> None:
    """Do what `line` says, which begins with `/`.

    Raises:
        UsageError: If there is no such command, or it cannot work with what it was given.
        Leave: If that is what it says.
        OSError: If a file cannot be written.
        Exception: What the model raised, if it was asked.
    """
    name, _, rest = line.removeprefix("/").partition(" ")
    command = COMMANDS.get(name)
    if command is None:
        near = did_you_mean(f"/{name}", [f"/{known}" for known in COMMANDS], inline=True) or ", /help lists them"
        raise UsageError(f"unknown command '/{name}'{near} (to send it as a message, begin with a space)")
    command.run(session, rest.strip())


def _help(session: Session, _: str) -> None:
    for name, command in COMMANDS.items():
        session.terminal.note(f"  {f'/{name} {command.takes}':<24}{command.help}")
    session.terminal.note(_ON_TYPING)


def _system(session: Session, text: str) -> None:
    if text:
        session.conversation.system = None if text == _NOTHING else text
    session.terminal.note(f"system: {session.conversation.system or '(none)'}", dim=True)


def _set(session: Session, rest: str) -> None:
    name, _, value = rest.partition(" ")
    if value:
        session.parameters[check_name(name)] = parse_value(value.strip())
    elif name:
        session.parameters.pop(name, None)
    shown = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in session.parameters.items()]
    session.terminal.note("\n".join(shown) or "(no parameters set: the model's own hold)", dim=True)


def _save(session: Session, file: str, *, overwrite: bool = False) -> None:
    if not file:
        raise UsageError("name a file: /save talk.json (--continue goes on with it) or /save talk.md")
    session.conversation.save(Path(file).expanduser(), overwrite=overwrite)
    session.terminal.note(f"(saved {len(session.conversation.messages)} messages to {file})", dim=True)


def _save_over(session: Session, file: str) -> None:
    _save(session, file, overwrite=True)


def _reset(session: Session, _: str) -> None:
    session.conversation.turns.clear()
    session.unanswered = None
    session.terminal.note("(forgotten; the system prompt and the parameters stay)", dim=True)


def _undo(session: Session, _: str) -> None:
    prompt = session.conversation.undo()
    session.terminal.note("(nothing to undo)" if prompt is None else f"(forgotten: {prompt})", dim=True)


def _retry(session: Session, _: str) -> None:
    prompt = session.unanswered or session.conversation.undo()
    if prompt is None:
        raise UsageError("nothing has been asked yet")
    session.answer(prompt)


def _stats(session: Session, switch: str) -> None:
    if switch not in ("", "on", "off"):
        raise UsageError(f"/stats takes on, off or nothing, not {switch!r}")
    if switch:
        session.shows_stats = switch == "on"
    session.terminal.note(session.last.stats().line() if session.last else "(no answer yet)", dim=True)


def _quit(_session: Session, _: str) -> None:
    raise Leave


@dataclass(frozen=True, slots=True)
class Command:
    """A command: what it takes, what it is for, what it does with the rest of its line."""

    takes: str
    help: str
    run: Callable[[Session, str], None]


COMMANDS: Final = {
    "help": Command("", "this list", _help),
    "system": Command("[TEXT]", f"shows or sets the system prompt; {_NOTHING} removes it", _system),
    "set": Command("[NAME [VALUE]]", "shows the parameters, sets one (JSON or text), or unsets it", _set),
    "retry": Command("", "asks the last prompt again, in place of its answer", _retry),
    "undo": Command("", "forgets the last prompt and its answer", _undo),
    "reset": Command("", "forgets them all", _reset),
    "save": Command("FILE", "saves the conversation as .json (for --continue) or .md", _save),
    "save!": Command("FILE", "the same, over a file that is there already", _save_over),
    "stats": Command("[on|off]", "shows the figures of the last answer; on: of each answer", _stats),
    "quit": Command("", "leaves", _quit),
}
