"""`langplug chat`: talk to a model, in one question or in a conversation."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langplug.cli import _exit
from langplug.cli._exit import UsageError
from langplug.cli._parameters import parse_assignment
from langplug.cli._terminal import Terminal, remember_lines

if TYPE_CHECKING:  # at run time these are imported by `run`: langchain-core alone takes a second
    from langchain_core.language_models import BaseChatModel

    from langplug.cli._session import Session

HELP: Final = "talk to a model in the terminal"

DEFAULT_MODEL: Final = "langplug.models.gguf.model:ChatGGUF"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug chat` takes."""
    parser.description = """\
Talk to a model in the terminal: one question with -p or on stdin, else a conversation.

The answer, and nothing else, goes to stdout as it comes; everything else goes to stderr.
Ctrl-C stops the answer, and the model with it; Ctrl-D leaves."""
    parser.epilog = """\
A flag goes before its environment variable, and that before the default.
More variables: LANGPLUG_HISTORY, a file that keeps the lines you type for the arrow keys (default: kept
for the session only); NO_COLOR and FORCE_COLOR.

exit codes: 0 answered, or left · 1 no answer, or not all of it · 2 wrong use · 130 stopped by Ctrl-C"""
    parser.add_argument(
        "ref",
        nargs="?",
        metavar="REF",
        help="the model, as package.module:attribute or ./file.py:attribute: an instance, a class, a factory or a "
        f"function from a request to text [env: LANGPLUG_MODEL] (default: {DEFAULT_MODEL}, the embedded model)",
    )
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="answer this and leave (default: stdin, if piped)")
    parser.add_argument("--system", metavar="TEXT", help="the system prompt [env: LANGPLUG_SYSTEM]")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="parameters",
        action="append",
        default=[],
        help="a parameter of the model, as JSON or plain text, such as temperature=0; may be given several times",
    )
    parser.add_argument(
        "--continue",
        metavar="FILE",
        dest="saved",
        type=Path,
        help="go on with a conversation that /save wrote as .json",
    )
    parser.add_argument("--stats", action="store_true", help="show tokens, speed and finish reason on stderr")
    parser.add_argument("--json", action="store_true", help="print the answer and its figures as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Answer one question, or hold a conversation. Returns the exit code; whatever is raised means another one."""
    terminal = Terminal()
    prompt = _prompt(args, terminal)
    reference = args.ref or os.environ.get("LANGPLUG_MODEL") or DEFAULT_MODEL
    session = _session(args, terminal, reference)
    if prompt is None:
        from langplug.cli._repl import hold_conversation

        remember_lines(os.environ.get("LANGPLUG_HISTORY"))
        return hold_conversation(session, name=reference, debug=args.debug)
    if args.json:
        session.answer_as_json(prompt)
    else:
        session.answer(prompt)
    return _exit.OK


def _prompt(args: argparse.Namespace, terminal: Terminal) -> str | None:
    if args.prompt is None and terminal.interactive:
        if args.json:
            raise UsageError("--json needs one question: give it with -p TEXT or on stdin")
        return None
    prompt: str = terminal.read_all() if args.prompt is None else args.prompt
    if not prompt.strip():
        raise UsageError("the prompt is empty: give one with -p TEXT or on stdin")
    return prompt


def _session(args: argparse.Namespace, terminal: Terminal, reference: str) -> "Session":
    from langplug.cli._conversation import Conversation
    from langplug.cli._session import Session

    parameters = dict(parse_assignment(assignment) for assignment in args.parameters)
    conversation = Conversation.load(args.saved) if args.saved else Conversation()
    systems = (args.system, conversation.system, os.environ.get("LANGPLUG_SYSTEM"))
    conversation.system = next((system for system in systems if system is not None), None)
    return Session(_load(reference), terminal, conversation=conversation, parameters=parameters, shows_stats=args.stats)


def _load(reference: str) -> "BaseChatModel":
    from langplug import load

    try:
        return load(reference)
    except Exception as error:
        hint = "" if ":" in reference else " (a question goes with -p)"
        raise UsageError(_exit.sentence(error) + hint) from error
