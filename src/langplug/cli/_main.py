"""The command `langplug`: runs a verb, and turns what it raises into one sentence and an exit code."""

import argparse
import os
import sys
import textwrap
import warnings
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from langplug import __version__
from langplug._suggest import did_you_mean
from langplug.cli import _exit
from langplug.cli._exit import ReaderGone, UsageError
from langplug.cli._terminal import Terminal, use_utf8
from langplug.cli._verbs import Verb, describe_verbs, find_verb

_EPILOG: Final = f"""\
{_exit.exit_codes()}

"langplug VERB --help" says more about a verb.
"""


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wraps paragraphs to the terminal; lists, whose lines are indented, stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs: list[str] = []
        for paragraph in text.split("\n\n"):
            is_list = any(line.startswith(" ") for line in paragraph.splitlines())
            paragraphs.append(paragraph if is_list else textwrap.fill(paragraph, width, break_on_hyphens=False))
        return textwrap.indent("\n\n".join(paragraphs), indent)


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses what it does not know, and says what was probably meant."""

    def __init__(self, **options: Any) -> None:
        self.declared: list[argparse.Action] = []
        # No abbreviations: a script that relies on one breaks as soon as a second flag begins with the same letters.
        super().__init__(allow_abbrev=False, formatter_class=_HelpFormatter, **options)

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """As in the base class; what help shows is remembered, for suggestions and for completion."""
        action = super().add_argument(*args, **kwargs)
        if action.help != argparse.SUPPRESS:
            self.declared.append(action)
        return action

    @property
    def flags(self) -> list[str]:
        """The options, as they are written."""
        return [flag for action in self.declared for flag in action.option_strings]

    def parse_all(self, args: Sequence[str]) -> argparse.Namespace:
        """Parse `args`, or raise `UsageError` naming the first unknown one."""
        # Intermixed: options first, then what is left, so that a reference may stand between options.
        namespace, unknown = self.parse_known_intermixed_args(args)
        if unknown:
            flag = unknown[0].partition("=")[0]
            if flag.startswith("-"):
                self.error(f"unknown option {flag!r}{did_you_mean(flag, self.flags, inline=True)}")
            self.error(f"unexpected argument {unknown[0]!r}")
        return namespace

    def print_help(self, file: Any = None) -> None:
        """Write the help to stdout. It is no error if nobody reads it to its end."""
        Terminal().answer(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` where the base class would leave the process."""
        raise UsageError(f"{message} (see '{self.prog} --help')")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        Terminal().answer(f"langplug {__version__}\n")
        parser.exit()


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code: 0 done, 1 failed, 2 wrong use, 130 stopped by Ctrl-C.

    Args:
        argv: The arguments after the program's name. Default: this process's.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    # Looked for by hand: the traceback is also wanted of an error that comes before the arguments are parsed.
    debug = "--debug" in args or bool(os.environ.get("LANGPLUG_DEBUG"))
    use_utf8()
    try:
        return _run(args, debug=debug)
    except ReaderGone:
        return _exit.OK
    except KeyboardInterrupt:
        return _exit.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - here every error becomes a sentence
        if debug:
            _exit.print_traceback(error)
        hint = "" if debug or _exit.stands_alone(error) else " (--debug shows where)"
        Terminal().error(_exit.error_text(error) + hint)
        return _exit.WRONG_USE if isinstance(error, UsageError) else _exit.FAILED


def _run(args: list[str], *, debug: bool) -> int:
    if not args or args[0].startswith("-"):
        verbs = "\n".join(f"  {name:<8} {text}" for name, text in describe_verbs().items())
        top = Parser(
            prog="langplug",
            usage="langplug VERB ...",
            description=f"Any model, plugged into LangChain as a first-class chat model.\n\nverbs:\n{verbs}",
            epilog=_EPILOG,
        )
        top.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
        top.parse_all(args)
        top.print_help()
        return _exit.OK
    verb = find_verb(args[0])
    given = parser_of(args[0], verb, debug=debug).parse_all(args[1:])

    def show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        # In one line: where in Python's code it comes from is of no use at a command line.
        Terminal().note(f"langplug: {category.__name__}: {message}", dim=True)

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        try:
            return verb.run(given)
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as error:  # ours have left by now: a model, or a module of its author's, has called `exit`
            raise RuntimeError(f"the model's code ended the program by {type(error).__name__}: {error}") from error


def parser_of(name: str, verb: Verb, *, debug: bool = False) -> Parser:
    """The parser of a verb's arguments."""
    parser = Parser(prog=f"langplug {name}", description=verb.HELP)
    verb.add_arguments(parser)
    parser.add_argument(
        "--debug", action="store_true", default=debug, help="show the traceback of an error [env: LANGPLUG_DEBUG=1]"
    )
    return parser
