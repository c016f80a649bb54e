"""The command `langplug`: finds the verb, runs it, and turns what it raises into one sentence and an exit code."""

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import entry_points
from typing import Any, Final, NoReturn, Protocol, cast

from langplug import __version__, cli
from langplug._suggest import did_you_mean
from langplug.cli import _exit
from langplug.cli._exit import ReaderGone, UsageError
from langplug.cli._terminal import Terminal, use_utf8

VERBS_OF_OTHERS: Final = "langplug.verbs"
"""The group of entry points by which other packages add verbs: a name, and the module that fits `Verb`."""

KIT_VERBS: Final = ("check", "explain")
"""The verbs that langplug-check adds, so that whoever lacks it is told what to install."""

_EPILOG: Final = """\
exit codes: 0 done · 1 it failed · 2 wrong use · 130 stopped by Ctrl-C
"langplug VERB --help" says more about a verb.
"""


class Verb(Protocol):
    """What the module of a verb holds."""

    HELP: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """An argument parser that takes nothing it does not know, and says what was probably meant."""

    def __init__(self, **options: Any) -> None:
        self._flags: list[str] = []
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """As the base class's, remembering the flag."""
        action = super().add_argument(*args, **kwargs)
        self._flags.extend(action.option_strings)
        return action

    def parse_all(self, args: Sequence[str]) -> argparse.Namespace:
        """Parse `args`, or raise `UsageError` naming the first one that is not known."""
        namespace, unknown = self.parse_known_args(args)
        if unknown:
            flag = unknown[0].partition("=")[0]
            if flag.startswith("-"):
                raise self._usage_error(f"unknown option {flag!r}{did_you_mean(flag, self._flags, inline=True)}")
            raise self._usage_error(f"unexpected argument {unknown[0]!r}")
        return namespace

    def print_help(self, file: Any = None) -> None:
        """Write the help to stdout; no error where nobody reads on."""
        Terminal().answer(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` where the base class would leave the process."""
        raise self._usage_error(message)

    def _usage_error(self, message: str) -> UsageError:
        return UsageError(f"{message} (see '{self.prog} --help')")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C.

    Args:
        argv: The arguments after the program's name. Default: this process's.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    use_utf8()
    try:
        return _run(args)
    except ReaderGone:
        return _exit.OK
    except KeyboardInterrupt:
        return _exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - here every error becomes a sentence
        return _report(error, debug=_wants_debug(args))


def _run(args: list[str]) -> int:
    if not args or args[0].startswith("-"):
        top = _top_level()
        top.parse_all(args)
        top.print_help()
        return _exit.OK
    name = args[0]
    verb = find_verb(name)
    parser = Parser(prog=f"langplug {name}", description=verb.HELP)
    verb.add_arguments(parser)
    parser.add_argument(
        "--debug",
        action="store_true",
        default=_wants_debug(args),
        help="show the traceback of an error [env: LANGPLUG_DEBUG=1]",
    )
    return verb.run(parser.parse_all(args[1:]))


def _top_level() -> Parser:
    verbs = "\n".join(f"  {name:<8} {find_verb(name).HELP}" for name in verb_modules())
    parser = Parser(
        prog="langplug",
        usage="langplug VERB ...",
        description=f"Any model, plugged into LangChain as a first-class chat model.\n\nverbs:\n{verbs}",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        Terminal().answer(f"langplug {__version__}\n")
        parser.exit()


def verb_modules() -> dict[str, str]:
    """Every verb and the module that it lives in, in the alphabet's order: this package's and other packages'."""
    ours = {found.name: f"{__package__}.{found.name}" for found in pkgutil.iter_modules(cli.__path__)}
    others = {found.name: found.value for found in entry_points(group=VERBS_OF_OTHERS)}
    return dict(sorted((others | {name: at for name, at in ours.items() if not name.startswith("_")}).items()))


def find_verb(name: str) -> Verb:
    """The module of a verb. It may not import langchain-core before `run`: help must come at once.

    Raises:
        UsageError: If no package brings such a verb, or the one that brings it cannot be imported.
    """
    modules = verb_modules()
    if name not in modules:
        if name in KIT_VERBS:
            raise UsageError(f"{name!r} comes with the test kit: pip install 'langplug[check]'")
        near = did_you_mean(name, modules, inline=True) or f", expected {' or '.join(modules)}"
        raise UsageError(f"unknown verb {name!r}{near}")
    return cast(Verb, importlib.import_module(modules[name]))


def _wants_debug(args: Sequence[str]) -> bool:
    return "--debug" in args or bool(os.environ.get("LANGPLUG_DEBUG"))


def _report(error: Exception, *, debug: bool) -> int:
    wrong_use = isinstance(error, UsageError)
    if debug:
        _exit.print_traceback(error)
    hint = "" if debug or _exit.stands_alone(error) else " (--debug shows where)"
    Terminal().error(_exit.sentence(error) + hint)
    return _exit.WRONG_USE if wrong_use else _exit.FAILED
