"""`langplug bench`: how fast a model answers, and whether that became worse."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug.cli import _exit
from langplug.cli._exit import OutputError, UsageError, error_text
from langplug.cli._model import ON_REFERENCES, add_model_arguments, load_model
from langplug.cli._parameters import check_name, check_parameter, parse_settings
from langplug.cli._progress import ProgressLine, draw_bar
from langplug.cli._terminal import Terminal

if TYPE_CHECKING:  # imported by `run` when it is needed: langchain-core alone takes a second
    from langplug.bench import Load, Measurement, Sweep

HELP: Final = "measure how fast a model answers"

_COMPARE: Final = "compare"
_OF_COMPARING: Final = ("ref", "reports", "allow")
_OF_AGAINST: Final = ("ref", "settings", "against", "calls", "seconds", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug bench` takes."""
    parser.description = f"""\
Measure how fast a model answers: time to the first piece, time per token, tokens and requests a second.

By default, calls run one by one. --concurrency 1,4,16 measures several loads, one after the other. Before each, calls
warm up; after it, others keep up the load until the last measured one has ended. Ctrl-C ends it, and what was measured
until then is told.

`langplug bench {_COMPARE} BEFORE.json AFTER.json` says what became slower; its exit code is 1 if something did,
or is no longer measured."""
    parser.epilog = f"""\
{ON_REFERENCES}

{_exit.exit_codes("measured", "calls failed, or a figure became worse or is missing")}"""
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
        _refuse_others(args, _OF_COMPARING, f"`{_COMPARE}` measures nothing")
        return _compare(args)
    if args.reports:
        raise UsageError(f"unexpected argument {args.reports[0]!r}")
    if args.against:
        _refuse_others(args, _OF_AGAINST, "--against raw asks one by one, always alike")
    else:
        _refuse_others(args, vars(args).keys() - {"allow"}, f"only `{_COMPARE}` allows anything")
    _check_outputs(args)
    parameters = {check_name(name): value for name, value in parse_settings(args.parameters).items()}
    model = load_model(args.ref, parse_settings(args.settings))
    for name, value in parameters.items():
        check_parameter(model, name, value)
    if args.against:
        return _against_raw(model, args)

    from langplug import bench

    progress = ProgressLine(sys.stderr)
    measurement = _measurement(model, parameters, args, progress)
    was_ended = _was_ended(measurement.arun(), progress)
    report = measurement.report()
    _tell(report, bench.to_text(report), args, bench.to_html(report) if args.html is not None else "")
    if was_ended:
        return _exit.INTERRUPTED
    counted = [stage["figures"]["calls"] for stage in report["stages"]]
    return _exit.OK if all(one.get("complete") == one["measured"] > 0 for one in counted) else _exit.FAILED


def _refuse_others(args: argparse.Namespace, taken: Collection[str], why: str) -> None:
    """Refuse what was given and would say nothing."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    for name, default in vars(parser.parse_args([_COMPARE])).items():
        if name not in taken and getattr(args, name) != default:
            option = {"parameters": "set", "settings": "with"}.get(name, name).replace("_", "-")
            raise UsageError(f"{why}: leave out --{option}")


def _check_outputs(args: argparse.Namespace) -> None:
    """Refuse what cannot be written, or would be written over, and not after minutes of measuring."""
    if str(args.html) == "-":
        raise UsageError("--html takes a file: only --json can be -, for stdout")
    taken = {Path(args.prompts).resolve(): "--prompts"} if args.prompts is not None else {}
    for option, file in (("--json", args.json), ("--html", args.html)):
        if file is None or str(file) == "-":
            continue
        if not file.parent.is_dir():
            raise UsageError(f"the report cannot be written: there is no folder {str(file.parent)!r}")
        if file.is_dir():
            raise UsageError(f"the report cannot be written: {str(file)!r} is a folder, and {option} takes a file")
        if not os.access(file if file.exists() else file.parent, os.W_OK):
            raise UsageError(f"the report cannot be written: {str(file)!r} may not be written by you")
        if (other := taken.setdefault(file.resolve(), option)) != option:
            raise UsageError(f"{other} and {option} are the same file, {str(file)!r}: give each one of its own")


def _was_ended(measuring: Coroutine[Any, Any, None], progress: ProgressLine) -> bool:
    """Measure to the end, or until Ctrl-C or SIGTERM. Returns whether that came first."""
    import asyncio

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        asyncio.run(measuring)
    except KeyboardInterrupt:
        return True
    finally:
        signal.signal(signal.SIGTERM, before)
        progress.clear()
    return False


def _tell(report: Mapping[str, Any], text: str, args: argparse.Namespace, page: str = "") -> None:
    """Write the report to stdout, and into the files.

    Raises:
        OutputError: If one could not be written. The others are.
    """
    to_stdout = str(args.json) == "-"
    wrong: list[str] = []
    for file, content in ((None if to_stdout else args.json, json.dumps(report, indent=1) + "\n"), (args.html, page)):
        try:
            if file is not None:
                file.write_text(content, encoding="utf-8")
        except OSError as error:
            wrong.append(error_text(error))
    try:
        Terminal().answer((json.dumps(report) if to_stdout else text) + "\n")
    finally:
        if wrong:
            raise OutputError(f"the report cannot be written: {'; '.join(wrong)}")


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
    from langplug.bench import AgainstRaw

    line = ProgressLine(sys.stderr)

    def show(ended: int, most: int) -> None:
        line.redraw(f"against raw: {draw_bar(ended, most)} {ended} of at most {most}")

    given = {name: value for name in ("calls", "seconds") if (value := getattr(args, name)) is not None}
    try:
        measurement = AgainstRaw(model, progress=show, **given)
    except (TypeError, ValueError) as error:
        raise UsageError(error_text(error)) from error
    was_ended = _was_ended(measurement.arun(), line)
    told = measurement.report()
    if told is None:
        Terminal().note("langplug: ended before anything was measured")
        return _exit.INTERRUPTED
    lines = ["Ended before its time."] if was_ended else []
    for name in ("raw", "model"):
        one = told[name]
        spread = f"{one['min']:.1f} to {one['max']:.1f}"
        cost = f"{one['us_per_call']:9.1f} µs of CPU a call ({spread})"
        lines.append(f"{name:6} {cost}, {one['pieces']} pieces, {one['calls']} calls")
    lines.append(f"added  {told['added_us_per_call']:9.1f} µs a call, {told['added_us_per_piece']:.1f} µs a piece")
    _tell(told, "\n".join(lines), args)
    return _exit.INTERRUPTED if was_ended else _exit.OK


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
    if not changes:
        told = "There is nothing to compare: no load has measured calls in both reports."
    if missing := bench.missing(*reports):
        told += f"\nMeasured in the first report, and not in the second: {', '.join(missing)}."
    Terminal().answer(f"{bench.to_table(changes)}\n\n{told}\n".lstrip())
    return _exit.OK if changes and not worse and not missing else _exit.FAILED
