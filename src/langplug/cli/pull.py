"""`langplug pull`: brings weights into the user's cache."""

import argparse
import sys
from typing import Final, TextIO

from langplug._suggest import did_you_mean
from langplug.cli._exit import OK, UsageError
from langplug.models.gguf import weights
from langplug.models.gguf.weights import KNOWN, Weights

HELP: Final = "bring the weights of the embedded model to this machine"

_BAR: Final = 30
_STEP: Final = 25
_MB: Final = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug pull` takes."""
    parser.add_argument("name", nargs="?", help="which weights; without it, what there is is listed")
    parser.add_argument("--force", action="store_true", help="download them again, even if they are there")
    parser.epilog = f"{_listed()}\n\nThey are kept in the user's cache [env: LANGPLUG_CACHE]."


def run(args: argparse.Namespace) -> int:
    """Bring the weights, and say where they are. Returns the exit code."""
    if args.name is None:
        print(_listed())
        return OK
    if args.name not in KNOWN:
        hint = did_you_mean(args.name, KNOWN, inline=True) or f", there is {', '.join(KNOWN)}"
        raise UsageError(f"no weights are called {args.name!r}{hint}")
    wanted = KNOWN[args.name]
    if not args.force and (there := weights.find(wanted)):
        return _say(f"{wanted.name} is already there:", str(there))
    print(f"{wanted.title}, {wanted.size // _MB} MB, {wanted.license}, from {wanted.requirement}", file=sys.stderr)
    bar = _Bar(sys.stderr)
    try:
        path = weights.pull(wanted, force=args.force, progress=bar.show)
    finally:
        bar.end()
    return _say(f"{wanted.name} is good for {wanted.good_for}. It is here:", str(path))


def _say(note: str, path: str) -> int:
    """The note is for people; the path alone goes to stdout, for what comes after a pipe."""
    print(note, file=sys.stderr)
    print(path)
    return OK


def _listed() -> str:
    return "\n".join(["weights:", *(f"  {weights.name:<10} {_described(weights)}" for weights in KNOWN.values())])


def _described(weights: Weights) -> str:
    return f"{weights.title} ({weights.size // _MB} MB, {weights.license}): {weights.good_for}"


class _Bar:
    """How far it is: a bar that moves on a terminal, a line at every quarter elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._moves = stream.isatty()
        self._shown = -1

    def show(self, done: int, total: int) -> None:
        percent = done * 100 // total
        step = percent if self._moves else percent // _STEP * _STEP
        if step <= self._shown:
            return
        self._shown = step
        if self._moves:
            filled = percent * _BAR // 100
            bar = f"[{'#' * filled}{'.' * (_BAR - filled)}]"
            self._stream.write(f"\r{bar} {percent:3d} %  {done // _MB} of {total // _MB} MB")
        else:
            self._stream.write(f"{step} % of {total // _MB} MB\n")
        self._stream.flush()

    def end(self) -> None:
        if self._moves and self._shown >= 0:
            self._stream.write("\n")
            self._stream.flush()
