"""`langplug check`: whether a chat model keeps the whole contract, statement by statement."""

import argparse
import importlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug.cli import (
    FAILED,
    OK,
    OutputError,
    ReaderGone,
    Terminal,
    UsageError,
    abandon_stdout,
    error_text,
    parse_value,
    split_assignment,
    wants_colour,
)
from langplug_check.cli.progress import Progress

if TYPE_CHECKING:  # at run time imported by `run`: langchain-core alone takes a second
    from langplug_check import Check, Recipe, Report

HELP: Final = "say whether a chat model keeps the whole contract, and how to fix it"

_WIDEST: Final = 120

DIALECTS: Final = ("openai", "ollama", "anthropic")
"""What the test kit's server speaks."""

_FORMS: Final = {"json": "JSON", "junit": "JUnit XML", "markdown": "Markdown", "html": "one page of HTML"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug check` takes."""
    parser.description = """\
Check any LangChain chat model, statement by statement, without a network.

Models that speak to a server are pointed at one of the test kit's own; langplug's models that answer in this process
play scripts; any other model is judged by what it says by itself. The report names what could not be observed."""
    parser.epilog = """\
The report goes to stdout, progress to stderr. An ID is that of a check, such as A01, or the letter of a group.

exit codes: 0 ready · 1 not ready · 2 wrong use, or no such model · 130 stopped by Ctrl-C"""
    parser.add_argument(
        "ref",
        nargs="?",
        metavar="REF",
        help="the model, as package.module:attribute or ./file.py:attribute: an instance, a class, a factory or a "
        "function from a request to text",
    )
    for flag, wording in (("only", "run only these checks"), ("skip", "leave these checks out")):
        parser.add_argument(
            f"--{flag}", metavar="ID", nargs="+", action="extend", default=[], help=f"{wording}; several ids may follow"
        )
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="the model speaks to a server in this dialect: point it at one of the test kit's own, see --set",
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        nargs="+",
        action="extend",
        default=[],
        help="with --dialect: constructor arguments, such as base_url={url}. {url} becomes the server's URL with the "
        "dialect's usual path, {root} the URL without a path, {key} a key",
    )
    parser.add_argument(
        "--with",
        metavar="MODULE",
        nargs="+",
        action="extend",
        default=[],
        dest="with_",
        help="modules or files with statements of your own, X01 and so on, to check too",
    )
    parser.add_argument(
        "--explain", metavar="ID", help="say what a check is about, how it looks, and how to fix what it finds"
    )
    parser.add_argument("--list", action="store_true", help="list all checks")
    parser.add_argument("--verbose", action="store_true", help="show what passed too, and what the model printed")
    parser.add_argument(
        "--here", action="store_true", help="run in this process, where a hanging model can be debugged"
    )
    for form, wording in _FORMS.items():
        parser.add_argument(f"--{form}", metavar="FILE", type=Path, help=f"write the report as {wording}, too")


def run(args: argparse.Namespace) -> int:
    """Check a model, or say something about the checks. Returns the exit code."""
    for module in args.with_:
        _import(module)
    if args.list or args.explain:
        Terminal().answer(_explanations(args.explain) if args.explain else _list(args))
        return OK
    if not args.ref:
        raise UsageError("which model? Give a reference, such as ./file.py:attribute")
    _select(args.only, args.skip)  # a wrong id is reported before the model is made
    report = _check(args, _recipe(args))
    width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
    colour = wants_colour(sys.stdout, os.environ)
    text = report.to_text(width=width, colour=colour, verbose=args.verbose)
    if not colour:
        Terminal().answer(text)
    else:
        try:  # not `answer`, which would tame the colours; the report's only control characters are these
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError as error:
            abandon_stdout()
            raise ReaderGone from error
    for form in _FORMS:
        path: Path | None = getattr(args, form)
        if path is not None:
            try:
                path.write_text(getattr(report, f"to_{form}")(), encoding="utf-8")
            except OSError as error:
                raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    return OK if report.ready else FAILED


def _select(only: Sequence[str], skip: Sequence[str] = ()) -> "list[Check]":
    from langplug_check.session import select_checks

    try:
        return select_checks(only, skip)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _import(module: str) -> None:
    """Import a user's own statements from a place where other processes can import them too."""
    path = Path(module).expanduser().resolve()
    is_file = module.endswith(".py")
    sys.path.insert(0, str(path.parent if is_file else Path.cwd()))
    try:
        importlib.import_module(path.stem if is_file else module)
    except Exception as error:
        raise UsageError(f"cannot import {module!r} (--with): {error_text(error)}") from error


def _recipe(args: argparse.Namespace) -> "Recipe | None":
    """How to point the model at the backend, if the command line says so.

    Raises:
        UsageError: If the command line says half of it.
    """
    from langplug_check import Recipe

    if not args.dialect:
        if args.set:
            dialects = f"{', '.join(DIALECTS[:-1])} or {DIALECTS[-1]}"
            raise UsageError(f"--set needs --dialect: which does the model speak to its server, {dialects}?")
        return None
    arguments: dict[str, Any] = {}
    for text in args.set:
        name, value = split_assignment(text, example="base_url={url}")
        arguments[name] = parse_value(value) if "{" not in value else value
    if not any("{url}" in str(value) or "{root}" in str(value) for value in arguments.values()):
        raise UsageError("--dialect needs to know where the URL goes: name the argument, as in --set base_url={url}")
    return Recipe(dialect=args.dialect, arguments=arguments)


def _check(args: argparse.Namespace, recipe: "Recipe | None") -> "Report":
    from langplug_check import check

    progress = Progress(sys.stderr)
    progress.begin()
    try:
        return check(
            args.ref,
            only=args.only,
            skip=args.skip,
            recipe=recipe,
            progress=progress.show,
            isolated=not args.here,
        )
    except KeyboardInterrupt:
        progress.stop()
        raise
    except Exception as error:
        # What happens in a check is part of the report. What is raised here is that there is no model to check.
        raise UsageError(error_text(error)) from error
    finally:
        progress.end()


def _list(args: argparse.Namespace) -> str:
    lines: list[str] = []
    group = None
    for check in _select(args.only, args.skip):
        if check.group is not group:
            group = check.group
            lines += [*([""] if lines else []), f"{group.letter}. {group.title}"]
        lines.append(f"  {check.id:<5}{check.statement}")
    if not lines:
        raise UsageError("langchain-tests' own cases (T) are known once they run: langplug check REF --only T")
    return "\n".join(lines) + "\n"


def _explanations(check_id: str) -> str:
    texts: list[str] = []
    for check in _select([check_id]):
        blame = "" if check.blame == "model" else f"\nfault     a failure is {check.blame}'s"
        needs = f"\nneeds     {', '.join(check.needs)}" if check.needs else ""
        looks = " ".join((check.run.__doc__ or "").split())
        see = f"\nsee       {check.link}" if check.link else ""
        about = f"why       {check.why}\nhow       {looks}{needs}{blame}{see}"
        fix = "\n".join(f"          {line}" for line in check.hint.splitlines())
        texts.append(f"{check.id}  {check.statement}\n\n{about}\n\nfix\n{fix}\n")
    return "\n".join(texts)
