"""How near `langplug bench` is to the truth, what it costs itself, how soon it starts; and guidellm beside it.

    python benchmarks/bench.py [--only truth cost start guidellm] [--guidellm PATH] [--write]

A model with known delays answers, as a function in this process and behind a server in another one. What is known is
when it really said what, which it notes itself: a busy machine keeps no schedule. A figure is right if its median is
within 1 % and 2 ms of the known one. CPU is compared with the same client alone, in turns, in one process. guidellm, if
it is given, asks the same server; it lives in an environment of its own, with 1.5 GB.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from known.schedules import SCHEDULES, TOKENS, Kept, known
from langchain_core.language_models import BaseChatModel

from langplug import Part, Reasoning, Request, Usage, bench, chat_model
from langplug.models import ChatEndpoint

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "en" / "guides" / "bench.md"
BEGIN, END = "<!-- measured by benchmarks/bench.py: {} -->", "<!-- end of {} -->"
FIGURES = ("ttft", "ttft_text", "tpot", "itl", "itl p99", "e2e")
AT_ONCE = 8
STREAMS, LONG = 200, 100

KEPT: list[Kept] = []


@chat_model
async def scheduled(request: Request, *, schedule: str) -> AsyncIterator[Part]:
    """Follows a schedule, and notes when it really said what."""
    kept = Kept()
    KEPT.append(kept)
    async for piece in kept.follow(SCHEDULES[schedule]):
        yield Reasoning(piece.text) if piece.is_thought else piece.text
    yield Usage(input_tokens=8, output_tokens=TOKENS)


@chat_model
async def steady(request: Request, *, thoughts: int = 0) -> AsyncIterator[Part]:
    """One hundred tokens, 20 ms apart."""
    for number in range(LONG):
        await asyncio.sleep(0.02)
        yield Reasoning("word ") if number < thoughts else "word "
    yield Usage(input_tokens=8, output_tokens=LONG)


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of the server with known delays."""
    command = [sys.executable, "-m", "known.server"]
    with subprocess.Popen(command, cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()


def kept_by(address: str) -> list[Kept]:
    """When the server really said what, since this was last asked."""
    with urlopen(f"{address}/kept") as told:
        return [Kept(**one) for one in json.load(told)]


# --- is it right? ---


def truth(address: str, calls: int) -> list[str]:
    """Known and measured figures, and whether they are near enough."""
    rows: list[list[str]] = []
    for name in SCHEDULES:
        sides: dict[str, tuple[BaseChatModel, Callable[[], list[Kept]]]] = {
            "function": (scheduled(schedule=name), KEPT.copy),
            "endpoint": (ChatEndpoint(model=name, base_url=f"{address}/v1"), lambda: kept_by(address)),
        }
        for side, (model, answers) in sides.items():
            for at_once in (1, AT_ONCE):
                KEPT.clear()
                kept_by(address)
                until = bench.Until(calls=calls * at_once)
                report = bench.run(model, [bench.Load(concurrency=at_once)], until=until)
                figures = report["stages"][0]["figures"]
                told = known(answers()[at_once:], at_once)
                found = {n: figures[n.split()[0]][([*n.split(), "p50"])[1]] * 1000 for n in FIGURES}
                found["tokens/s"] = figures["output_tokens_per_s"]
                rows.append([name, side, str(at_once), *row(told, found)])
                print(*rows[-1], sep=" | ", flush=True)
    head = ["answer", "model", "at once", "TTFT", "TTFT of text", "TPOT", "ITL", "ITL p99", "E2E", "tokens/s", "right"]
    return table(head, rows)


def row(told: dict[str, float], found: dict[str, float]) -> list[str]:
    """Known → measured of each figure, and whether all are near enough."""
    near = [abs(found[name] - told[name]) <= told[name] * 0.01 + 2 or name == "itl p99" for name in FIGURES]
    near.append(abs(found["tokens/s"] - told["tokens/s"]) <= told["tokens/s"] * 0.01 + 0.1)
    wrong = [name for name, is_near in zip((*FIGURES, "tokens/s"), near, strict=True) if not is_near]
    return [*(f"{told[name]:.1f} → {found[name]:.1f}" for name in (*FIGURES, "tokens/s")), ", ".join(wrong) or "yes"]


# --- what does it cost? ---


async def alone(model: BaseChatModel) -> int:
    """The client without a measurement. Returns how many chunks came."""

    async def ask() -> int:
        return sum([1 async for _ in model.astream("Hello")])

    return sum(await asyncio.gather(*(ask() for _ in range(STREAMS))))


async def measured(model: BaseChatModel) -> int:
    """The same with one, up to its report."""
    load = bench.Load(concurrency=STREAMS)
    measurement = bench.Measurement(model, [load], until=bench.Until(calls=STREAMS), warmup=0)
    await measurement.arun()
    measurement.report()
    return sum(len(call.pieces) for stage in measurement._stages for call in stage.calls)


def cost(address: str, rounds: int) -> list[str]:
    """CPU a token of the client alone, and of a measurement, in turns."""
    rows: list[list[str]] = []
    models: dict[str, BaseChatModel] = {
        "a function, text": steady(),
        "a function, reasoning": steady(thoughts=LONG),
        "an endpoint, text": ChatEndpoint(model="1 token a chunk", base_url=f"{address}/v1"),
        "an endpoint, half of it reasoning": ChatEndpoint(model="reasoning first", base_url=f"{address}/v1"),
    }
    for name, model in models.items():
        asyncio.run(alone(model))  # warms up
        taken: dict[Any, list[float]] = {alone: [], measured: []}
        for _ in range(rounds):
            for way, times in taken.items():
                began = time.process_time()
                pieces = asyncio.run(way(model))
                times.append((time.process_time() - began) / pieces * 1e6)
        one, other = (statistics.median(times) for times in taken.values())
        spread = f"{min(taken[measured]):.1f} to {max(taken[measured]):.1f}"
        rows.append([name, f"{one:.1f}", f"{other:.1f} ({spread})", f"{other - one:.1f}", f"{other / one:.2f}"])
        print(*rows[-1], sep=" | ", flush=True)
    head = ["model", "client alone, µs a token", "measured, µs a token", "beyond, µs a token", "ratio"]
    return table(head, rows)


# --- how soon does it start? ---

_NOTING = """
import time
from langplug import chat_model

@chat_model
def noting(request):
    print(time.perf_counter(), time.process_time(), flush=True)
    return "done"
"""


def start(rounds: int) -> list[str]:
    """Seconds from the command to the first call, and CPU until then; beside what langchain-core takes alone."""
    code = "from langchain_core.language_models import BaseChatModel; import time"
    core = [sys.executable, "-c", f"{code}; print(time.perf_counter(), time.process_time())"]
    ours = [sys.executable, "-m", "langplug", "bench", "./noting.py:noting", "--calls", "1"]
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "noting.py").write_text(_NOTING)
        for name, command in (("LangChain's `BaseChatModel` alone", core), ("`langplug bench` of a function", ours)):
            walls: list[float] = []
            cpus: list[float] = []
            for _ in range(rounds + 1):  # the first compiles
                began = time.perf_counter()
                said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
                moment, cpu = map(float, said.split()[:2])
                walls.append(moment - began)
                cpus.append(cpu)
            rows.append([name, f"{statistics.median(walls[1:]):.2f}", f"{statistics.median(cpus[1:]):.2f}"])
            print(*rows[-1], sep=" | ", flush=True)
    return table(["what", "seconds to the first call", "CPU seconds until then"], rows)


# --- what does another tool say? ---


def beside_guidellm(address: str, program: str, calls: int) -> list[str]:
    """Figures of guidellm and of ours, of the same server: medians."""
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
    names = ("ttft", "ttft_text", "tpot", "itl", "e2e")
    rows: list[list[str]] = []
    for name in SCHEDULES:

        def ours(name: str = name) -> list[float]:
            model = ChatEndpoint(model=name, base_url=f"{address}/v1")
            report = bench.run(model, [bench.Load(concurrency=AT_ONCE)], until=bench.Until(calls=calls))
            figures = report["stages"][0]["figures"]
            return [*(figures[n]["p50"] * 1000 for n in names), figures["output_tokens_per_s"]]

        for who, ask in (
            ("langplug bench", ours),
            (f"guidellm {version}", partial(guidellm, address, program, name, calls)),
        ):
            kept_by(address)
            began = time.perf_counter()
            found = ask()
            took = time.perf_counter() - began
            told = known(kept_by(address), AT_ONCE)
            pairs = zip([told[n] for n in (*names, "tokens/s")], found, strict=True)
            rows.append([name, who, *(f"{old:.1f} → {new:.1f}" for old, new in pairs), f"{took:.0f}"])
            print(*rows[-1], sep=" | ", flush=True)
    head = ["answer", "who", "TTFT", "TTFT of text", "TPOT", "ITL", "E2E", "tokens/s", "took, s"]
    return table(head, rows)


def guidellm(address: str, program: str, model: str, calls: int) -> list[float]:
    """Its TTFT, TTFOT, TPOT, ITL and request latency in ms, and tokens a second."""
    with tempfile.TemporaryDirectory() as folder:
        data, report = Path(folder) / "asked.txt", Path(folder) / "report.json"
        data.write_text("".join(f"Why is the sky blue, {number}?\n" for number in range(calls * 4)))
        options = {
            "--backend": f"kind=openai_http,target={address},model={model}",
            "--profile": f"kind=concurrent,streams={AT_ONCE}",
            "--constraint": f"kind=max_requests,count={calls}",
            "--data": f"kind=text_file,path={data}",
            "--output": f"kind=json,path={report}",
        }
        command = [program, "run", "--disable-console", *(part for option in options.items() for part in option)]
        subprocess.run(command, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}, capture_output=True)
        metrics = json.loads(report.read_text())["benchmarks"][0]["metrics"]
    names = ("time_to_first_token_ms", "time_to_first_output_token_ms", "time_per_output_token_ms")
    names += ("inter_token_latency_ms", "request_latency")
    figures = [metrics[name]["successful"]["median"] for name in names]
    figures[-1] *= 1000
    return [*figures, metrics["output_tokens_per_second"]["successful"]["mean"]]


def main() -> None:
    """Measure, print, and with --write put the tables into docs/en/guides/bench.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("truth", "cost", "start", "guidellm")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, help="what to measure (default: all)")
    parser.add_argument("--guidellm", metavar="PATH", help="the program, in an environment of its own")
    parser.add_argument("--calls", type=int, default=8, help="calls of each that runs at once (default: 8)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of what is compared in turns (default: 5)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/en/guides/bench.md")
    given = parser.parse_args()
    measures: dict[str, Callable[[str], Sequence[str]]] = {
        "truth": lambda address: truth(address, given.calls),
        "cost": lambda address: cost(address, given.rounds),
        "start": lambda _: start(given.rounds),
    }
    if given.guidellm:
        measures["guidellm"] = lambda address: beside_guidellm(address, given.guidellm, given.calls * AT_ONCE)
    for name in measures.keys() & given.only:
        with first_in_line(name), server() as address:
            page = measures[name](address)
        if given.write:
            write(name, page)


@contextlib.contextmanager
def first_in_line(name: str) -> Iterator[None]:
    """Be asked by the system before others on a busy machine, as far as that is allowed; what is started here, too.

    Truth is measured with real-time priority; guidellm would stop everybody else with it while it starts.
    """
    with contextlib.suppress(PermissionError):
        if name == "truth":
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        elif name == "guidellm":
            os.setpriority(os.PRIO_PROCESS, 0, -20)
    yield
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def write(name: str, lines: Sequence[str]) -> None:
    """Put a table into the page, with when and beside how much other work it was measured."""
    when = f"Measured {dt.datetime.now(dt.UTC):%Y-%m-%d} on {os.cpu_count()} cores"
    load = f"where {os.getloadavg()[0]:.0f} processes had work (load average)."
    text = PAGE.read_text(encoding="utf-8")
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = text.partition(begin)
    new = "\n".join([*lines, "", f"{when}, {load}"])
    PAGE.write_text(f"{before}{begin}\n\n{new}\n\n{end}{rest.partition(end)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
