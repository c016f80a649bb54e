"""`langplug check`: whether a chat model keeps the whole contract, statement by statement."""

import argparse
import importlib
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug.cli import (
    FAILED,
    OK,
    ON_REFERENCES,
    OutputError,
    ReaderGone,
    Terminal,
    UsageError,
    abandon_stdout,
    add_model_arguments,
    error_text,
    exit_codes,
    parse_settings,
    wants_colour,
)
from langplug_check.cli.on_servers import (
    ONLY_FOR_SERVERS,
    add_server_arguments,
    check_the_server,
    is_about_servers,
    refuse_what_is_for_models,
)
from langplug_check.cli.progress import Progress

if TYPE_CHECKING:  # at run time imported by `run`: langchain-core alone takes a second
    from langplug_check import Check, Recipe, Report

HELP: Final = "say whether a chat model, or a server, keeps the whole contract, and how to fix it"

LIST_SCHEMA: Final = "langplug.checks/1"
"""Names the shape of what `--list --json` and `--explain ID --json` print."""

_REFERENCE: Final = re.compile(r"[:/.]")
"""What references have, and ids of checks do not."""

_WIDEST: Final = 120

DIALECTS: Final = ("openai", "ollama", "anthropic")
"""What the test kit's server speaks."""

_FORMS: Final = {"junit": "JUnit XML", "markdown": "Markdown", "html": "one page of HTML"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug check` takes."""
    parser.description = """\
Check any LangChain chat model, or any server that speaks OpenAI's Chat Completions, statement by statement.

First the model is called as it is (group O): at most 20 short calls, which may cost money or need a network; --offline
leaves them out. All other statements need no network: models that speak to a server are pointed at one of the test
kit's own; langplug's models that answer in this process play scripts; any other model is judged by what it says by
itself. The report names what could not be observed.

With --server URL, what is checked is a server: langplug's own or anybody's, from outside, in short requests."""
    parser.epilog = f"""\
The report goes to stdout, progress to stderr. An ID is that of a check, such as A01, or the letter of a group; those
about servers begin with S, such as S22 of the group S2.

{ON_REFERENCES}

{exit_codes("nothing failed", "not ready", "wrong use, or no such model or server")}"""
    add_model_arguments(parser)
    add_server_arguments(parser)
    for flag, wording in (("only", "run only these checks"), ("skip", "leave these checks out")):
        parser.add_argument(
            f"--{flag}", metavar="ID", nargs="+", action="extend", default=[], help=f"{wording}: D E12, or D,E12"
        )
    parser.add_argument(
        "--dialect",
        choices=DIALECTS,
        help="the model speaks to a server in this dialect: point it at one of the test kit's own, by --with "
        "base_url={url}. {url} becomes the server's URL with the dialect's usual path, {root} the URL without a path, "
        "{key} a key",
    )
    parser.add_argument(
        "--statements",
        metavar="MODULE",
        action="append",
        default=[],
        help="a module or file with statements of your own, X01 and so on, to check too; may be given several times",
    )
    parser.add_argument(
        "--explain", metavar="ID", help="say what a check is about, how it looks, and how to fix what it finds"
    )
    parser.add_argument("--list", action="store_true", help="list all checks")
    parser.add_argument("--offline", action="store_true", help="do not call the model as it is: leave group O out")
    parser.add_argument("--all", action="store_true", help="show every failure whole, on more than two screens")
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="as --all, and show what passed too, and what the model printed"
    )
    parser.add_argument(
        "--here", action="store_true", help="run in this process, where a hanging model can be debugged"
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON, or what --list or --explain say")
    for form, wording in _FORMS.items():
        parser.add_argument(f"--{form}", metavar="FILE", type=Path, help=f"write the report as {wording}, too")


def run(args: argparse.Namespace) -> int:
    """Check a model, or say something about the checks. Returns the exit code."""
    for module in args.statements:
        _import(module)
    _sort_ids(args)
    if args.list or args.explain:
        Terminal().answer(_explanations(args) if args.explain else _list(args))
        return OK
    if args.server is not None:
        refuse_what_is_for_models(args)
    elif not args.ref:
        raise UsageError("which model? Give a reference, such as ./file.py:attribute")
    elif given := [flag for flag, name in ONLY_FOR_SERVERS.items() if getattr(args, name) is not None]:
        raise UsageError(f"{given[0]} goes with --server URL; a model's own settings are --with NAME=VALUE")
    # What is wrong with the command line is said before the model is made, and before minutes of checks.
    _select(args)
    for form in _FORMS:
        _refuse_unwritable(form, getattr(args, form))
    report = _check(args, _recipe(args)) if args.server is None else check_the_server(args)
    _show(report, args)
    for form in _FORMS:
        path: Path | None = getattr(args, form)
        if path is not None:
            try:
                path.write_text(getattr(report, f"to_{form}")(), encoding="utf-8")
            except OSError as error:
                raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    return FAILED if report.has_failed else OK


def _show(report: "Report", args: argparse.Namespace) -> None:
    if args.json:
        Terminal().answer(report.to_json())
        return
    width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
    colour = wants_colour(sys.stdout, os.environ)
    text = report.to_text(width=width, colour=colour, verbose=args.verbose, whole=args.all)
    if not colour:
        Terminal().answer(text)
        return
    try:  # not `answer`, which would tame the colours; the report's only control characters are these
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError as error:
        abandon_stdout()
        raise ReaderGone from error


def _as_json(checks: list[dict[str, Any]]) -> str:
    return json.dumps({"schema": LIST_SCHEMA, "checks": checks}, ensure_ascii=False, indent=2, default=list) + "\n"


def _sort_ids(args: argparse.Namespace) -> None:
    """Split lists of ids at commas, and find the reference among them: argparse gives `--only D REF` to the option."""
    for ids in (args.only, args.skip):
        words = [one for word in ids for one in ([word] if _REFERENCE.search(word) else word.split(",")) if one]
        ids[:] = words
        for word in words:
            if args.ref is None and _REFERENCE.search(word) and not word.upper().startswith("T:"):
                args.ref = word
                ids.remove(word)


def _refuse_unwritable(form: str, path: Path | None) -> None:
    if path is None:
        return
    folder = path.absolute().parent
    if not folder.is_dir():
        raise UsageError(f"--{form}: there is no folder {str(folder)!r}")
    if path.is_dir() or not os.access(path if path.exists() else folder, os.W_OK):
        raise UsageError(f"--{form}: {str(path)!r} cannot be written")


def _select(args: argparse.Namespace) -> "Sequence[Check]":
    """The checks that a command line is about, of models or of servers."""
    from langplug_check.servers.statement import select_server_checks
    from langplug_check.session import select_checks

    only, skip = ([args.explain], []) if args.explain else (args.only, args.skip)
    is_server = args.server is not None or is_about_servers(only)
    if is_server and args.ref:
        raise UsageError(f"{', '.join(only)}: what begins with S is about servers: give --server URL, and no model")
    try:
        return select_server_checks(only, skip) if is_server else select_checks(only, skip)
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
        raise UsageError(f"cannot import {module!r} (--statements): {error_text(error)}") from error


def _recipe(args: argparse.Namespace) -> "Recipe | dict[str, Any]":
    """How to point the model at the backend, if the command line says so; else the settings to make it with.

    Raises:
        UsageError: If the command line says half of it.
    """
    from langplug_check import Recipe

    settings = parse_settings(args.settings, example="base_url={url}" if args.dialect else "temperature=0")
    if not args.dialect:
        if any(re.search(r"\{(url|root|key)\}", str(value)) for value in settings.values()):
            dialects = f"{', '.join(DIALECTS[:-1])} or {DIALECTS[-1]}"
            raise UsageError(f"{{url}} needs --dialect: which does the model speak to its server, {dialects}?")
        return settings
    if not any("{url}" in str(value) or "{root}" in str(value) for value in settings.values()):
        raise UsageError("--dialect needs to know where the URL goes: name the argument, as in --with base_url={url}")
    return Recipe(dialect=args.dialect, arguments=settings)


def _check(args: argparse.Namespace, how: "Recipe | dict[str, Any]") -> "Report":
    from langchain_core.exceptions import ModelError

    from langplug import load
    from langplug_check import check
    from langplug_check.recipes import complete_recipe

    if isinstance(how, dict):
        how = complete_recipe(args.ref, how) or how
    progress = Progress(sys.stderr)
    progress.begin()
    try:
        report = check(
            partial(load, args.ref, **how) if isinstance(how, dict) and how else args.ref,
            only=args.only,
            skip=args.skip,
            recipe=None if isinstance(how, dict) else how,
            progress=progress.show,
            isolated=not args.here,
            offline=args.offline,
        )
        return replace(report, reference=args.ref)
    except KeyboardInterrupt:
        progress.stop()
        raise
    except ModelError:
        raise  # its server failed, which may pass: the reference was right
    except Exception as error:
        # What happens in a check is part of the report. What is raised here is that there is no model to check.
        raise UsageError(error_text(error)) from error
    finally:
        progress.end()


def _list(args: argparse.Namespace) -> str:
    lines: list[str] = []
    group = None
    checks = _select(args)
    if args.json:
        return _as_json([{"id": one.id, "group": one.group.letter, "statement": one.statement} for one in checks])
    for check in checks:
        if check.group is not group:
            group = check.group
            lines += [*([""] if lines else []), f"{group.letter}. {group.title}"]
        lines.append(f"  {check.id:<5}{check.statement}")
    if not lines:
        raise UsageError("langchain-tests' own cases (T) are known once they run: langplug check REF --only T")
    return "\n".join(lines) + "\n"


def _explanations(args: argparse.Namespace) -> str:
    texts: list[str] = []
    checks = _select(args)
    if args.json:
        fields = ("id", "statement", "why", "hint", "needs", "blame", "link")
        return _as_json([{name: getattr(check, name) for name in fields} for check in checks])
    for check in checks:
        blame = "" if check.blame == "model" else f"\nfault     a failure is {check.blame}'s"
        needs = f"\nneeds     {', '.join(check.needs)}" if check.needs else ""
        looks = " ".join((check.run.__doc__ or "").split())
        see = f"\nsee       {check.link}" if check.link else ""
        about = f"why       {check.why}\nhow       {looks}{needs}{blame}{see}"
        fix = "\n".join(f"          {line}" for line in check.hint.splitlines())
        texts.append(f"{check.id}  {check.statement}\n\n{about}\n\nfix\n{fix}\n")
    return "\n".join(texts)
