"""`langplug bench`: how fast a model answers, and whether that became worse."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug.cli import _exit
from langplug.cli._exit import UsageError, error_text
from langplug.cli._model import ON_REFERENCES, add_model_arguments, load_model
from langplug.cli._parameters import check_name, check_parameter, parse_settings
from langplug.cli._progress import ProgressLine, draw_bar
from langplug.cli._terminal import Terminal

if TYPE_CHECKING:  # imported by `run` when it is needed: langchain-core alone takes a second
    from langplug.bench import Load, Measurement, Sweep

HELP: Final = "measure how fast a model answers"

_COMPARE: Final = "compare"
_NOT_AGAINST: Final = (
    "concurrency",
    "rate",
    "sweep",
    "calls",
    "seconds",
    "prompts",
    "prompt_tokens",
    "html",
    "parameters",
)
"""What says nothing where a model is compared with its own function."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug bench` takes."""
    parser.description = f"""\
Measure how fast a model answers: time to the first piece, time per token, tokens and requests a second.

By default, calls run one by one. --concurrency 1,4,16 measures several loads, one after the other. Before each, calls
warm up; after it, others keep up the load until the last measured one has ended. Ctrl-C ends it, and what was measured
until then is told.

`langplug bench {_COMPARE} BEFORE.json AFTER.json` says what became slower; its exit code is 1 if something did."""
    parser.epilog = f"""\
{ON_REFERENCES}

{_exit.exit_codes("measured", "calls failed, or a figure became worse")}"""
    add_model_arguments(parser, required=True)
    parser.add_argument("reports", metavar="REPORT", nargs="*", help=f"after `{_COMPARE}`: two reports of --json")
    parser.add_argument(
        "--set",
        metavar="NAME=VALUE",
        dest="parameters",
        action="append",
        default=[],
        help="a parameter of each call, as JSON or plain text, such as max_tokens=128; may be given several times",
    )
    load = parser.add_mutually_exclusive_group()
    load.add_argument("--concurrency", metavar="N,...", help="how many calls run at once (default: 1)")
    load.add_argument(
        "--rate", metavar="N,...", help="how many calls begin in a second, whether others have ended or not"
    )
    load.add_argument("--sweep", action="store_true", help="1, 2, 4, ... at once, until that brings no more tokens/s")
    parser.add_argument("--poisson", action="store_true", help="let those of a rate begin at random, as users do")
    parser.add_argument(
        "--calls", metavar="N", type=int, help="how many are measured (default: 50, or 4 for each at once)"
    )
    parser.add_argument("--seconds", metavar="S", type=float, help="for how long measured calls begin, instead")
    parser.add_argument("--max-errors", metavar="N", type=int, default=20, help="end when so many fail (default: 20)")
    parser.add_argument(
        "--warmup", metavar="N", type=int, help="calls before each load (default: as many as run at once)"
    )
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument("--prompts", metavar="FILE", help="rows with `prompt` or `messages`: JSONL, CSV, Parquet")
    asked.add_argument("--prompt-tokens", metavar="N", type=int, help="made-up prompts of so many tokens")
    for name, told in (("ttft", "the first piece"), ("tpot", "each token after it"), ("e2e", "the whole answer")):
        help_text = f"a good answer takes at most so long to {told}" if name != "tpot" else f"so long for {told}"
        parser.add_argument(f"--slo-{name}", metavar="MS", type=float, help=help_text)
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the report; - for stdout")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write the report as a page with plots")
    parser.add_argument(
        "--against",
        choices=["raw"],
        help="measure instead what the model costs beyond its own function, or beyond the model that is adopted",
    )
    parser.add_argument(
        "--allow", metavar="PERCENT", type=float, default=10, help=f"how much worse `{_COMPARE}` allows (default: 10)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, or compare. Returns the exit code; an exception means another one."""
    if args.ref == _COMPARE:
        return _compare(args)
    if args.reports:
        raise UsageError(f"unexpected argument {args.reports[0]!r}")
    for file in (args.json, args.html):
        if file is not None and not file.parent.is_dir():  # and not after minutes of measuring
            raise UsageError(f"the report cannot be written: there is no folder {str(file.parent)!r}")
    parameters = {check_name(name): value for name, value in parse_settings(args.parameters).items()}
    model = load_model(args.ref, parse_settings(args.settings))
    for name, value in parameters.items():
        check_parameter(model, name, value)
    if args.against:
        return _against_raw(model, args)

    import asyncio

    from langplug import bench

    progress = ProgressLine(sys.stderr)
    measurement = _measurement(model, parameters, args, progress)
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(measurement.arun())
    except KeyboardInterrupt:
        was_ended = True
    else:
        was_ended = False
    finally:
        signal.signal(signal.SIGTERM, before)
        progress.clear()
    report = measurement.report()
    Terminal().answer((json.dumps(report) if str(args.json) == "-" else bench.to_text(report)) + "\n")
    _write(args.json if str(args.json) != "-" else None, json.dumps(report, indent=1) + "\n")
    _write(args.html, bench.to_html(report))
    if was_ended:
        return _exit.INTERRUPTED
    counted = [stage["figures"]["calls"] for stage in report["stages"]]
    return _exit.OK if all(one.get("complete") == one["measured"] > 0 for one in counted) else _exit.FAILED


def _measurement(model: Any, parameters: dict[str, Any], args: argparse.Namespace, line: ProgressLine) -> "Measurement":
    from langplug import bench
    from langplug.cli._parameters import for_a_call

    def show(load: str, ended: int, most: int | None) -> None:
        line.redraw(f"{load}: {draw_bar(ended, most)} {ended}/{most}" if most else f"{load}: {ended}")

    limits = [None if limit is None else limit / 1000 for limit in (args.slo_ttft, args.slo_tpot, args.slo_e2e)]
    prompts: Callable[[], Any] = bench.built_in
    try:
        if args.prompts is not None:
            prompts = partial(bench.from_file, args.prompts)
        elif args.prompt_tokens is not None:
            prompts = partial(bench.synthetic, model, args.prompt_tokens)
        prompts()  # what is wrong with them is said at once
        return bench.Measurement(
            model,
            _loads(args),
            prompts=prompts,
            parameters=for_a_call(parameters),
            until=bench.Until(calls=args.calls, seconds=args.seconds, errors=args.max_errors),
            warmup=args.warmup,
            slo=None if limits == [None] * 3 else bench.Slo(ttft=limits[0], tpot=limits[1], e2e=limits[2]),
            progress=show,
        )
    except (ValueError, OSError) as error:
        raise UsageError(error_text(error)) from error


def _write(file: Path | None, text: str) -> None:
    if file is not None:
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the report cannot be written: {error_text(error)}") from error


def _loads(args: argparse.Namespace) -> "Sequence[Load] | Sweep":
    from langplug.bench import Load, Sweep

    if args.poisson and not args.rate:
        raise UsageError("--poisson is about --rate: say how many calls begin in a second")
    if args.sweep:
        return Sweep()
    if args.rate:
        return [Load(rate=item, poisson=args.poisson) for item in _numbers("--rate", args.rate, float)]
    return [Load(concurrency=int(item)) for item in _numbers("--concurrency", args.concurrency or "1", int)]


def _numbers(option: str, text: str, kind: Callable[[str], float]) -> list[float]:
    try:
        return [kind(item) for item in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} takes numbers such as 1,4,16, not {text!r}") from None


def _against_raw(model: Any, args: argparse.Namespace) -> int:
    import asyncio

    from langplug.bench import arun_against_raw

    for name in _NOT_AGAINST:
        if getattr(args, name):
            option = {"parameters": "set"}.get(name, name).replace("_", "-")
            raise UsageError(f"--against raw asks one by one, always alike: leave out --{option}")
    try:
        told = asyncio.run(arun_against_raw(model))
    except TypeError as error:
        raise UsageError(error_text(error)) from error
    lines: list[str] = []
    for name in ("raw", "model"):
        one = told[name]
        spread = f"{one['min']:.0f} to {one['max']:.0f}"
        lines.append(f"{name:6} {one['us_per_call']:9.1f} µs of CPU a call ({spread}), {one['pieces']} pieces")
    lines.append(f"added  {told['added_us_per_call']:9.1f} µs a call, {told['added_us_per_piece']:.1f} µs a piece")
    Terminal().answer((json.dumps(told) if str(args.json) == "-" else "\n".join(lines)) + "\n")
    _write(args.json if str(args.json) != "-" else None, json.dumps(told, indent=1) + "\n")
    return _exit.OK


def _compare(args: argparse.Namespace) -> int:
    from langplug import bench

    if len(args.reports) != 2:
        raise UsageError(f"compare two reports: langplug bench {_COMPARE} BEFORE.json AFTER.json")
    reports: list[Any] = []
    for file in args.reports:
        try:
            reports.append(json.loads(Path(file).read_text(encoding="utf-8")))
        except (ValueError, OSError) as error:
            raise UsageError(f"{file} cannot be read as a report: {error_text(error)}") from error
    try:
        changes = bench.compare(*reports, allowed=args.allow / 100)
    except ValueError as error:
        raise UsageError(error_text(error)) from error
    for difference in bench.differences(*reports):
        Terminal().note(f"langplug: {difference}")
    worse = sum(change.is_worse for change in changes)
    told = f"{worse} of {len(changes)} figures became worse by more than {args.allow:g} %."
    Terminal().answer(f"{bench.to_table(changes)}\n\n{told}\n")
    return _exit.FAILED if worse else _exit.OK
