"""`langplug new`: a package to publish a chat model in, ready to be checked."""

import argparse
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from langplug import new
from langplug.cli._exit import FAILED, OK, UsageError, error_text, exit_codes
from langplug.cli._terminal import Terminal
from langplug.new import TEMPLATES, Answers

HELP: Final = "make a package for a chat model of your own"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug new` takes."""
    parser.description = """\
Make a package for a chat model of your own: the model, its tests, types, licence, README, CI, and an entry point by
which `langplug chat NAME` finds it. It passes `langplug check` as it is.

On a terminal, what is not given is asked for. No file is ever overwritten, and nothing is installed."""
    templates = "\n".join(f"  {name:<10} {template.summary}" for name, template in TEMPLATES.items())
    parser.epilog = f"""\
templates:
{templates}

{exit_codes("made, or no difference", "--diff found differences")}"""
    parser.add_argument("name", metavar="NAME", nargs="?", help="what the package is called, such as langchain-acme")
    parser.add_argument("--template", choices=list(TEMPLATES), help="what the model is (default: function)")
    parser.add_argument("--dir", metavar="DIR", type=Path, help="the folder for the package (default: ./NAME)")
    parser.add_argument("--author", metavar="NAME", help="who holds the copyright")
    parser.add_argument("--description", metavar="TEXT", help="what the model is, in a sentence")
    parser.add_argument(
        "--diff",
        action="store_true",
        help="write nothing, and show what the template would change in a package that was made with it "
        "(default: the one in this folder)",
    )


def run(args: argparse.Namespace) -> int:
    """Make the package, or show how it differs. Returns the exit code; an exception means another one."""
    terminal = Terminal()
    try:
        if args.diff:
            folder = args.dir or Path(args.name or ".")
            given = {name: getattr(args, name) for name in ("template", "author", "description")}
            told = replace(new.read_answers(folder), **{name: text for name, text in given.items() if text is not None})
            found = new.difference(told, folder)
            terminal.answer(found)
            return FAILED if found else OK
        answers = _ask(args, terminal)
        folder = args.dir or Path(answers.name)
        files = new.write(answers, folder)
    except (ValueError, OSError) as error:
        raise UsageError(error_text(error)) from error
    terminal.note(f"{len(files)} files are in {folder}. Next:")
    prepare = TEMPLATES[answers.template].prepare
    terminal.answer(f"cd {shlex.quote(str(folder))} && pip install -e '.[test]'{prepare and f' && {prepare}'}\n")
    terminal.answer(f"langplug check {answers.name}\nlangplug chat {answers.name}\n")
    return OK


def _ask(args: argparse.Namespace, terminal: Terminal) -> Answers:
    """What the package is told: by options, by whoever sits at the terminal, or by default."""
    if args.name is None and not terminal.interactive:
        raise UsageError("the NAME of the package is missing, as in: langplug new langchain-acme --template function")

    def ask(question: str, given: str | None, default: str = "", check: Callable[[str], str] = str) -> str:
        if given is not None or not terminal.interactive:
            return check(default if given is None else given)
        while True:
            try:
                return check(terminal.read_line(f"{question}{default and f' [{default}]'}: ").strip() or default)
            except ValueError as error:  # whoever types can type again
                terminal.error(error_text(error))
            except EOFError:
                raise UsageError("the input has ended, and no package was made") from None

    name = ask("Name of the package", args.name, check=new.check_name)
    return Answers(
        name=name,
        template=ask(f"Template ({', '.join(TEMPLATES)})", args.template, next(iter(TEMPLATES)), new.check_template),
        author=ask("Author", args.author, new.default_author(name)),
        description=ask("Description", args.description, new.default_description(name)),
    )
