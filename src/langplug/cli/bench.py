"""`langplug bench`: how fast a model answers, and whether that became worse."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from langplug.cli import _exit
from langplug.cli._exit import UsageError, error_text
from langplug.cli._model import ON_REFERENCES, add_model_arguments, load_model
from langplug.cli._parameters import check_name, check_parameter, parse_settings
from langplug.cli._progress import ProgressLine, draw_bar

if TYPE_CHECKING:  # imported by `run` when it is needed: langchain-core alone takes a second
    from langplug.bench import Load

HELP: Final = "measure how fast a model answers"

_COMPARE: Final = "compare"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `langplug bench` takes."""
    parser.description = f"""\
Measure how fast a model answers: time to the first piece, time per token, tokens and requests a second.

By default, calls run one by one. --concurrency 1,4,16 measures several loads, one after the other. Before each, calls
warm up; after it, others keep up the load until the last measured one has ended.

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
    parser.add_argument("--concurrency", metavar="N,...", help="how many calls run at once (default: 1)")
    parser.add_argument(
        "--rate", metavar="N,...", help="how many calls begin in a second, whether others have ended or not"
    )
    parser.add_argument("--poisson", action="store_true", help="let those of a rate begin at random, as users do")
    parser.add_argument("--calls", metavar="N", type=int, help="how many are measured (default: 50, without --seconds)")
    parser.add_argument("--seconds", metavar="S", type=float, help="for how long measured calls begin")
    parser.add_argument("--max-errors", metavar="N", type=int, default=20, help="end when so many fail (default: 20)")
    parser.add_argument("--warmup", metavar="N", type=int, default=1, help="calls before each load (default: 1)")
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
    parameters = {check_name(name): value for name, value in parse_settings(args.parameters).items()}
    model = load_model(args.ref, parse_settings(args.settings))
    for name, value in parameters.items():
        check_parameter(model, name, value)

    from langplug import bench
    from langplug.cli._parameters import for_a_call

    if args.against:
        return _against_raw(model, as_json=args.json is not None)
    try:
        prompts = _prompts(model, args)
        limits = [None if limit is None else limit / 1000 for limit in (args.slo_ttft, args.slo_tpot, args.slo_e2e)]
        calls = args.calls if args.calls is not None or args.seconds is not None else 50
        report = bench.run(
            model,
            list(_loads(args)),
            prompts=prompts,
            parameters=for_a_call(parameters),
            until=bench.Until(calls=calls, seconds=args.seconds, errors=args.max_errors),
            warmup=args.warmup,
            slo=bench.Slo(ttft=limits[0], tpot=limits[1], e2e=limits[2]) if any(limits) else None,
            progress=_progress(ProgressLine(sys.stderr), calls),
        )
    except (ValueError, OSError) as error:
        raise UsageError(error_text(error)) from error
    ProgressLine(sys.stderr).clear()
    try:
        if args.html is not None:
            args.html.write_text(bench.to_html(report), encoding="utf-8")
        if args.json is not None and str(args.json) != "-":
            args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the report cannot be written: {error_text(error)}") from error
    print(json.dumps(report) if str(args.json) == "-" else bench.to_text(report))
    counted = [stage["figures"]["calls"] for stage in report["stages"]]
    return _exit.OK if all(one.get("complete") == one["measured"] > 0 for one in counted) else _exit.FAILED


def _loads(args: argparse.Namespace) -> "Iterator[Load]":
    from langplug.bench import Load

    if args.poisson and not args.rate:
        raise UsageError("--poisson is about --rate: say how many calls begin in a second")
    for item in _numbers("--concurrency", args.concurrency or (None if args.rate else "1"), int):
        yield Load(concurrency=int(item))
    for item in _numbers("--rate", args.rate, float):
        yield Load(rate=item, poisson=args.poisson)


def _numbers(option: str, text: str | None, kind: Callable[[str], float]) -> list[float]:
    try:
        return [kind(item) for item in (text or "").split(",") if text]
    except ValueError:
        raise UsageError(f"{option} takes numbers such as 1,4,16, not {text!r}") from None


def _prompts(model: Any, args: argparse.Namespace) -> Any:
    from langplug import bench

    if args.prompts is not None:
        bench.from_file(args.prompts)  # what is wrong with it is said at once
        return lambda: bench.from_file(args.prompts)
    if args.prompt_tokens is not None:
        bench.synthetic(model, args.prompt_tokens)
        return lambda: bench.synthetic(model, args.prompt_tokens)
    return bench.built_in


def _progress(line: ProgressLine, calls: int | None) -> Any:
    def show(load: str, ended: int, begun: int) -> None:
        bar = f"{draw_bar(ended, calls)} {ended}/{calls}" if calls else f"{ended} of {begun}"
        line.redraw(f"{load}: {bar}")

    return show


def _against_raw(model: Any, *, as_json: bool) -> int:
    import asyncio

    from langplug.bench import arun_against_raw

    try:
        told = asyncio.run(arun_against_raw(model))
    except TypeError as error:
        raise UsageError(error_text(error)) from error
    if as_json:
        print(json.dumps(told))
        return _exit.OK
    for name in ("raw", "model"):
        one = told[name]
        spread = f"{one['min']:.0f} to {one['max']:.0f}"
        print(f"{name:6} {one['us_per_call']:9.1f} µs of CPU a call ({spread}), {one['pieces']} pieces")
    print(f"added  {told['added_us_per_call']:9.1f} µs a call, {told['added_us_per_piece']:.1f} µs a piece")
    return _exit.OK


def _compare(args: argparse.Namespace) -> int:
    from langplug import bench

    if len(args.reports) != 2:
        raise UsageError(f"compare two reports: langplug bench {_COMPARE} BEFORE.json AFTER.json")
    try:
        before, after = (json.loads(Path(file).read_text(encoding="utf-8")) for file in args.reports)
        changes = bench.compare(before, after, allowed=args.allow / 100)
    except (ValueError, OSError, AttributeError) as error:
        raise UsageError(error_text(error)) from error
    for change in changes:
        mark = "worse" if change.is_worse else ""
        print(
            f"{change.load:16} {change.name:22} {change.before:12.4g} {change.after:12.4g} {change.ratio:8.2f}  {mark}"
        )
    return _exit.FAILED if any(change.is_worse for change in changes) else _exit.OK
