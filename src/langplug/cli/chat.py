"""`langplug chat`: talk to a model, in one question or in a conversation."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from langplug.cli import _exit
from langplug.cli._exit import UsageError
from langplug.cli._model import DEFAULT_MODEL, ON_REFERENCES, add_model_arguments, load_model
from langplug.cli._parameters import check_name, check_parameter, parse_settings
from langplug.cli._terminal import Terminal, remember_lines

if TYPE_CHECKING:  # imported by `run` when it is needed: langchain-core alone takes a second
    from langplug.cli._session import Session

HELP: Final = "talk to a model in the terminal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug chat` takes."""
    parser.description = """\
Talk to a model in the terminal: one question with -p or on stdin, else a conversation.

The answer, and nothing else, goes to stdout as it comes; everything else goes to stderr. Ctrl-C stops the answer, and
the model with it; Ctrl-D leaves."""
    parser.epilog = f"""\
{ON_REFERENCES}

A flag takes precedence over its environment variable, and that over the default. More variables: LANGPLUG_HISTORY, a
file that keeps the lines you type for the arrow keys (default: kept for the session only); LANGPLUG_API_KEY, and
LANGPLUG_API_KEY_HOSTS, which says to which servers that goes; NO_COLOR and FORCE_COLOR.

{_exit.exit_codes("answered, or left", "no answer, or not all of it")}"""
    add_model_arguments(parser, default=f"[env: LANGPLUG_MODEL] (default: {DEFAULT_MODEL}, the embedded model)")
    parser.add_argument("-p", "--prompt", metavar="TEXT", help="answer this and leave (default: stdin, if piped)")
    parser.add_argument("--system", metavar="TEXT", help="the system prompt [env: LANGPLUG_SYSTEM]")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="parameters",
        action="append",
        default=[],
        help="a parameter of each call, as JSON or plain text, such as temperature=0; may be given several times",
    )
    parser.add_argument(
        "--continue",
        metavar="FILE",
        dest="saved",
        type=Path,
        help="continue a conversation that /save wrote as .json",
    )
    parser.add_argument("--stats", action="store_true", help="show tokens, speed and finish reason on stderr")
    parser.add_argument("--json", action="store_true", help="print the answer and its figures as one line of JSON")


def run(args: argparse.Namespace) -> int:
    """Answer one question, or hold a conversation. Returns the exit code; an exception means another one."""
    terminal = Terminal()
    prompt: str | None = args.prompt
    if prompt is None and not terminal.interactive:
        prompt = terminal.read_all()
    # Looked at before the model is loaded, which may take long: wrong use is said at once.
    if prompt is None and args.json:
        raise UsageError("--json needs one question: give it with -p TEXT or on stdin")
    if prompt is not None and not prompt.strip():
        raise UsageError("the prompt is empty: give one with -p TEXT or on stdin")
    reference = args.ref or os.environ.get("LANGPLUG_MODEL") or DEFAULT_MODEL
    session = _open_session(args, terminal, reference)
    if prompt is None:
        from langplug.cli._repl import hold_conversation

        for name, value in session.parameters.items():  # or each question would fail, until one guesses why
            check_parameter(session.model, name, value)
        remember_lines(os.environ.get("LANGPLUG_HISTORY"))
        return hold_conversation(session, name=reference, debug=args.debug)
    if args.json:
        session.answer_as_json(prompt)
    else:
        session.answer(prompt)
    return _exit.OK


def _open_session(args: argparse.Namespace, terminal: Terminal, reference: str) -> "Session":
    from langplug.cli._history import ChatHistory
    from langplug.cli._session import Session

    parameters = {check_name(name): value for name, value in parse_settings(args.parameters).items()}
    settings = parse_settings(args.settings)
    history = ChatHistory.load(args.saved) if args.saved else ChatHistory()
    # Not the first that is true: `--system ""` asks without the system prompt of the saved conversation.
    systems = (args.system, history.system, os.environ.get("LANGPLUG_SYSTEM"))
    history.system = next((system for system in systems if system is not None), None)
    with terminal.waiting(f"loading {reference}"):
        model = load_model(reference, settings, hint=" (a question goes with -p)")
    return Session(model, terminal, history=history, parameters=parameters, shows_stats=args.stats)
