"""`langplug pull`: download weights into the user's cache."""

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from langplug._suggest import did_you_mean
from langplug.cli._exit import OK, UsageError, exit_codes
from langplug.cli._progress import ProgressLine, draw_bar
from langplug.models.gguf import weights
from langplug.models.gguf.hub import pull_repository, repository_of
from langplug.models.gguf.weights import KNOWN

HELP: Final = "download weights"

JSON_SCHEMA: Final = "langplug.pull/1"
"""Names the shape of what `--json` prints."""

_STEP: Final = 25
"""Per cent from one plain line to the next, where the bar cannot move."""

_MB: Final = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug pull` takes."""
    parser.description = "Download the weights of the embedded model, or of a Hugging Face repository."
    parser.add_argument(
        "name", nargs="?", metavar="WEIGHTS", help="which: a name, or hf:OWNER/NAME (default: list what has a name)"
    )
    parser.add_argument("--file", metavar="NAME", help="which file of the repository (default: its only GGUF file)")
    parser.add_argument("--list", action="store_true", help="list what has a name, and where it is")
    parser.add_argument("--force", action="store_true", help="download them again, even if they are there")
    parser.add_argument("--json", action="store_true", help="print what there is, or where it is, as JSON")
    parser.epilog = f"""\
{_list_weights()}

They are kept in the user's cache [env: LANGPLUG_CACHE].

{exit_codes(failed="not downloaded")}"""


def run(args: argparse.Namespace) -> int:
    """Download the weights, and say where they are. Returns the exit code."""
    if args.name is None or args.list:
        if args.json:
            names = ("name", "title", "size", "license", "good_for", "requirement")
            facts = [({name: getattr(w, name) for name in names}, weights.find(w)) for w in KNOWN.values()]
            listed = [{**known, "path": None if path is None else str(path)} for known, path in facts]
            print(json.dumps({"schema": JSON_SCHEMA, "weights": listed}))
        else:
            found = [(name, weights.find(known)) for name, known in KNOWN.items()]
            places = [f"  {name:<10} {place or f'not here: langplug pull {name}'}" for name, place in found]
            print("\n".join([_list_weights(), "", "places:", *places]))
        return OK
    if (named := repository_of(args.name)) is not None:
        repository, file = named
        path = pull_repository(repository, args.file or file, force=args.force)
        return _report(f"{repository} is here:", path, repository if args.json else "")
    if args.file is not None:
        raise UsageError(f"--file is for a Hugging Face repository (hf:OWNER/NAME), and {args.name!r} is none")
    if args.name not in KNOWN:
        hint = did_you_mean(args.name, KNOWN, inline=True) or f", expected {' or '.join(KNOWN)}"
        raise UsageError(f"unknown weights {args.name!r}{hint}")
    wanted = KNOWN[args.name]
    if not args.force and (there := weights.find(wanted)):
        return _report(f"{wanted.name} is already there:", there, wanted.name if args.json else "")
    print(f"{wanted.title}, {wanted.size // _MB} MB, {wanted.license}, from {wanted.requirement}", file=sys.stderr)
    line = ProgressLine(sys.stderr)
    shown = -1

    def show(done: int, total: int) -> None:
        nonlocal shown
        percent = done * 100 // total
        step = percent if line.redraws else percent // _STEP * _STEP
        if step <= shown:
            return
        shown = step
        if line.redraws:
            line.redraw(f"{draw_bar(done, total)} {percent:3d} %  {done // _MB} of {total // _MB} MB")
        else:
            line.keep(f"{step} % of {total // _MB} MB")

    try:
        path = weights.pull(wanted, force=args.force, progress=show)
    finally:
        line.clear()
    return _report(f"{wanted.name} is good for {wanted.good_for}. It is here:", path, wanted.name if args.json else "")


def _report(note: str, path: Path, json_name: str) -> int:
    """The note is for people; the path alone goes to stdout, for the next command of a pipe."""
    print(note, file=sys.stderr)
    print(json.dumps({"schema": JSON_SCHEMA, "name": json_name, "path": str(path)}) if json_name else path)
    return OK


def _list_weights() -> str:
    lines = [f"  {w.name:<10} {w.title} ({w.size // _MB} MB, {w.license}):\n    {w.good_for}" for w in KNOWN.values()]
    return "\n".join(["weights:", *lines])
