"""`langplug batch`: a dataset through a model, resumable."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug.cli import _exit
from langplug.cli._exit import UsageError, error_text
from langplug.cli._model import ON_REFERENCES, add_model_arguments, load_model
from langplug.cli._parameters import check_name, check_parameter, parse_settings, parse_share, read_schema
from langplug.cli._progress import ProgressLine

if TYPE_CHECKING:  # imported by `run` when it is needed: langchain-core alone takes a second
    from langchain_core.language_models import BaseChatModel

    from langplug.batch import Ray, Summary

HELP: Final = "ask a model every row of a file, resumably"

_NUMBERS: Final[dict[str, tuple[str, Callable[[str], Any], Any, str]]] = {
    "--max-concurrency": ("N", int, 64, "the most calls at once; as many are made as help, and as a server takes"),
    "--rpm": ("N", float, None, "the most calls that begin in a minute"),
    "--tpm": ("N", float, None, "the most tokens in a minute"),
    "--max-attempts": ("N", int, 5, "how often a row is asked, at most, that fails for a reason that may pass"),
    "--rows-per-batch": ("N", int, 50_000, "with --via provider, the most rows in one batch of the server's"),
}
"""Options that are numbers: what they are called, what reads them, the default, and the help."""

_OF_RAY: Final[dict[str, tuple[str, Callable[[str], Any], str, str]]] = {
    "--ray-address": ("ADDRESS", str, "address", "the cluster (default: RAY_ADDRESS, else one on this machine)"),
    "--actors": ("N", int, "actors", "how many processes ask, each with its model (default: one a node)"),
    "--actor-cpus": ("N", float, "cpus", "CPUs that Ray reserves for each (default: 1)"),
    "--actor-gpus": ("N", float, "gpus", "GPUs that each has (default: 0)"),
}
"""Options of `--engine ray`: what they are called, what reads them, the attribute of `batch.Ray`, and the help."""

_FORMATS: Final = ("jsonl", "csv", "tsv", "parquet")

_PASSED_ON: Final = (
    "ordered",
    "max_concurrency",
    "rpm",
    "tpm",
    "max_attempts",
    "retry_failed",
    "journal",
    "identity",
    "in_format",
    "out_format",
    "via",
    "rows_per_batch",
)
"""Options that `batch.run` takes under the same names."""

_WRONG_USE: Final = (FileNotFoundError, IsADirectoryError, PermissionError, ValueError, ImportError)

_PLAIN_EVERY_S: Final = 10.0
"""Seconds after which a line is written where there is no terminal."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug batch` takes."""
    parser.description = """\
Ask a model every row of a file. JSONL, CSV, TSV or Parquet, by the name's end; - is stdin or stdout, in JSONL.

A row has a `prompt` or `messages`, or any columns, of which --prompt makes a prompt; an `id`, if it likes. Rows in
OpenAI's batch format (custom_id, url, body) are answered in it.

What has been answered is in OUT.journal. Whatever ends a run: the same command asks only what is missing, and OUT is
that of a run that nothing has ended. Until every row is in it, it is OUT.part. A row that fails is in OUT, too."""
    parser.epilog = f"""\
{ON_REFERENCES}

{_exit.exit_codes("every row is answered", "some rows failed, or the run was ended")}"""
    add_model_arguments(parser, required=True)
    parser.add_argument("input", metavar="IN", help="the rows: a file, or - for stdin")
    parser.add_argument("-o", "--out", metavar="OUT", help="the answers: a file, or - for stdout")
    parser.add_argument(
        "--prompt", metavar="TEMPLATE", help="the prompt, in which {column} stands for what a row has there"
    )
    parser.add_argument("--system", metavar="TEMPLATE", help="the system prompt, in which {column} may stand, too")
    parser.add_argument(
        "--schema", metavar="FILE", type=Path, help="a JSON schema that answers follow; they are then in `parsed`"
    )
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="parameters",
        action="append",
        default=[],
        help="a parameter of each call, as JSON or plain text, such as temperature=0; may be given several times",
    )
    parser.add_argument("--keep", metavar="COLUMN,...", default="", help="columns of IN that OUT has, too")
    parser.add_argument("--ordered", action="store_true", help="write in the order of IN, not as answers come")
    for name, (metavar, kind, default, told) in _NUMBERS.items():
        shown = told if default is None else f"{told} (default: {default})"
        parser.add_argument(name, metavar=metavar, type=kind, default=default, help=shown)
    parser.add_argument(
        "--max-errors",
        metavar="N",
        help="end the run when more rows have failed, as a number or a part such as 5%% (default: never)",
    )
    parser.add_argument("--retry-failed", action="store_true", help="ask again the rows that failed in an earlier run")
    parser.add_argument(
        "--identity", metavar="TEXT", help="what stands for a model that cannot be known again, as an agent: any text"
    )
    parser.add_argument("--journal", metavar="FILE", type=Path, help="where the journal is (default: OUT.journal)")
    parser.add_argument("--from", dest="in_format", choices=_FORMATS, help="the format of IN, if its name does not say")
    parser.add_argument("--to", dest="out_format", choices=_FORMATS, help="the format of OUT")
    parser.add_argument("--dry-run", action="store_true", help="count rows and tokens, and ask nothing")
    parser.add_argument("--json", action="store_true", help="print the figures as one line of JSON at the end")
    add_elsewhere(parser)


def add_elsewhere(parser: argparse.ArgumentParser) -> None:
    """Declare what says that a server's batch API, or a cluster, asks the rows."""
    group = parser.add_argument_group("elsewhere than in this process")
    group.add_argument(
        "--via",
        choices=("provider",),
        help="send the rows to the batch API of the server that REF names, and wait: cheaper, and within a day",
    )
    group.add_argument("--cancel", action="store_true", help="cancel what --via provider has at the server")
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="what asks: this process, or actors on a Ray cluster",
    )
    for name, (metavar, kind, attribute, told) in _OF_RAY.items():
        group.add_argument(name, metavar=metavar, type=kind, dest=f"ray_{attribute}", help=f"with --engine ray: {told}")


def run(args: argparse.Namespace) -> int:
    """Ask every row. Returns the exit code; an exception means another one."""
    if args.out is None and not args.dry_run:
        raise UsageError("name the output: -o OUT (- for stdout)")
    if args.out == "-" and args.json:
        raise UsageError("--json prints to stdout, where -o - writes the answers: name a file for one of them")
    schema = read_schema(args.schema)
    max_errors = parse_share(args.max_errors, "--max-errors")
    parameters = {check_name(name): value for name, value in parse_settings(args.parameters).items()}
    engine = _engine(args)
    model = _load(args.ref, args.settings)
    for name, value in parameters.items():  # or each row would fail
        check_parameter(model, name, value)
    if args.dry_run:
        return _count(model, args)

    from langchain_core.exceptions import ModelError

    from langplug import batch
    from langplug.cli._parameters import for_a_call

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: what was answered is safe
    progress = _Progress()
    try:
        if args.cancel:
            cancelled = batch.cancel(model, str(args.out), journal=args.journal)
            print(f"batches cancelled: {cancelled}. Without --cancel, the same command writes what they had answered")
            return _exit.OK
        # Ray says on stdout that a worker died, where the figures of --json go
        with redirect_stdout(sys.stderr) if args.engine == "ray" else nullcontext():
            summary = batch.run(
                model,
                args.input,
                str(args.out),
                prompt=args.prompt,
                system=args.system,
                schema=schema,
                parameters=for_a_call(parameters),
                keep=_kept(args),
                max_errors=max_errors,
                engine=engine,
                progress=progress,
                **{name: getattr(args, name) for name in _PASSED_ON},
            )
    except KeyboardInterrupt:
        _say_how_to_continue(progress, args)
        raise
    except (*_WRONG_USE, batch.JournalError) as error:
        raise UsageError(error_text(error)) from error
    except (batch.TooManyErrors, batch.ProviderError, ModelError, OSError):
        _say_how_to_continue(progress, args)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    progress.end(summary)
    if args.json:
        print(json.dumps(summary.as_dict()))
    return _exit.FAILED if summary.failed else _exit.OK


def _load(reference: str, settings: list[str]) -> "BaseChatModel":
    return load_model(reference, parse_settings(settings))


def _engine(args: argparse.Namespace) -> "str | Ray":
    """What asks the rows.

    Raises:
        UsageError: If options of Ray are given for another engine, or are wrong.
    """
    given = {
        name: (attribute, value)
        for name, (_, _, attribute, _) in _OF_RAY.items()
        if (value := getattr(args, f"ray_{attribute}")) is not None
    }
    if args.engine == "local":
        if given:
            raise UsageError(f"{next(iter(given))} is for --engine ray")
        return "local"
    from langplug.batch import Ray

    try:  # settings as they were written: each process takes secrets from its own environment
        return Ray(**dict(given.values()), load=partial(_load, args.ref, args.settings))
    except ValueError as error:
        raise UsageError(error_text(error)) from error


def _kept(args: argparse.Namespace) -> list[str]:
    return [name.strip() for name in args.keep.split(",") if name.strip()]


def _count(model: Any, args: argparse.Namespace) -> int:
    from langplug import batch

    try:
        counted = batch.count(
            model,
            args.input,
            prompt=args.prompt,
            system=args.system,
            keep=_kept(args),
            in_format=args.in_format,
        )
    except (ValueError, ImportError, OSError) as error:
        raise UsageError(error_text(error)) from error
    if args.json:
        print(json.dumps({"rows": counted.rows, "wrong": counted.wrong, "tokens": counted.tokens}))
    else:
        tokens = "" if counted.tokens is None else f", {counted.tokens:,} tokens"
        print(f"{counted.rows:,} rows{tokens}")
    if counted.wrong:
        print(f"langplug: {counted.wrong:,} rows cannot be asked; the first, {counted.problem}", file=sys.stderr)
    return _exit.FAILED if counted.wrong else _exit.OK


def _say_how_to_continue(progress: "_Progress", args: argparse.Namespace) -> None:
    told = f"ended: {progress.last}"
    if args.via is not None:
        told += ". What was sent goes on at the server: the same command waits for it, and --cancel cancels it."
    elif args.out != "-" or args.journal is not None:
        told += ". The same command goes on from here."
    progress.keep(told)


class _Progress:
    """Shows how far a run is: in one line that changes, or where there is no terminal in a line now and then."""

    def __init__(self) -> None:
        self._line = ProgressLine(sys.stderr)
        self._shown_at = time.monotonic()
        self.last: Summary | str = "nothing was asked"

    def __call__(self, summary: "Summary") -> None:
        self.last = summary
        if self._line.redraws:
            self._line.redraw(str(summary))
        elif time.monotonic() - self._shown_at >= _PLAIN_EVERY_S:
            self._shown_at = time.monotonic()
            self._line.keep(str(summary))

    def keep(self, text: str) -> None:
        """Leave a line that stays."""
        self._line.keep(text)

    def end(self, summary: "Summary") -> None:
        """Leave the figures, and what was wrong with the first row that failed."""
        self.keep(str(summary))
        if summary.problem:
            told = " ".join(summary.problem.split())
            self.keep(f"langplug: the first of those that failed: {told} (--retry-failed asks them again)")
