"""Local engines beside each other: sixteen prompts at once, 64 tokens each, with and without a busy neighbour.

    python benchmarks/local.py [--rounds 3] [--parallel 16] [--hf FOLDER] [--only NAME ...] [--write]

What is not installed is left out, and named. All engines are loaded before the first round, and take turns in each, so
that a busy machine slows all alike. Printed are medians of tokens a second by the clock, with the lowest and highest
round, and milliseconds of the processor for a token, threads included. The busy neighbour is another process that
counts. `--hf` is a folder in transformers' format with the same weights; without it transformers is left out.
`--write` puts the table into docs/en/reference/overhead.md.
"""

import argparse
import asyncio
import importlib.metadata
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gguf import PROMPTS, engine_alone
from langchain_core.language_models import BaseChatModel

from langplug.models import ChatGGUF
from langplug.models.gguf.engine import locate, usable_threads

TOKENS = 64
PAGE = Path(__file__).parent.parent / "docs" / "en" / "reference" / "overhead.md"
BEGIN, END = "<!-- local engines: begin -->", "<!-- local engines: end -->"

Run = Callable[[], int]
"""Answers all prompts; returns how many tokens were written."""


def has(module: str) -> bool:
    """Whether a package is installed."""
    return importlib.util.find_spec(module) is not None


def openvino_alone(parallel: int, threads: int) -> Run:
    """OpenVINO GenAI's continuous batching, called directly, with the file's own template."""
    import openvino_genai as genai

    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = parallel
    tokenizer = genai.Tokenizer(str(locate(None)))
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "KV_CACHE_PRECISION": "f16"}
    pipeline = genai.ContinuousBatchingPipeline(str(locate(None)), tokenizer, scheduler, "CPU", **options)
    config = genai.GenerationConfig()
    config.max_new_tokens = TOKENS
    prompts = [f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n" for prompt in PROMPTS]

    def run() -> int:
        answers = pipeline.generate(prompts, [config] * len(prompts))
        return int(answers[0].perf_metrics.get_num_generated_tokens())  # each tells of all

    return run


def transformers_alone(folder: str, threads: int) -> Run:
    """transformers' `generate` with one batch of all prompts."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    talks = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    read = tokenizer.apply_chat_template(
        talks, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )

    def run() -> int:
        with torch.inference_mode():
            written = model.generate(
                **read, max_new_tokens=TOKENS, do_sample=False, pad_token_id=tokenizer.pad_token_id
            )
        answers = written[:, read["input_ids"].shape[1] :]
        return int((answers != tokenizer.pad_token_id).sum())

    return run


def by_abatch(model: BaseChatModel) -> Run:
    """A model of langplug's, asked all prompts by `abatch`."""
    model.invoke("Hello")  # loads the weights

    def run() -> int:
        answers = asyncio.run(model.abatch(list(PROMPTS)))
        return sum(answer.usage_metadata["output_tokens"] for answer in answers if answer.usage_metadata)

    return run


def contestants(parallel: int, threads: int, folder: str | None) -> dict[str, tuple[str, bool, Callable[[], Run]]]:
    """What can take part: the packages that it needs, whether they are there, and how it is made."""

    def gguf(engine: Any) -> Run:
        settings: dict[str, Any] = {"n_ctx": 512, "max_tokens": TOKENS, "temperature": 0, "n_batch": 2048}
        return by_abatch(ChatGGUF(engine=engine, parallel=parallel, threads=threads, **settings))

    def chat_transformers() -> Run:
        from langplug import models

        return by_abatch(models.ChatTransformers(model=str(folder), max_tokens=TOKENS, temperature=0))

    has_transformers = has("transformers") and has("torch") and folder is not None
    return {
        "xllamacpp": ("xllamacpp", has("xllamacpp"), lambda: engine_alone(parallel, threads, TOKENS)),
        "ChatGGUF, llama.cpp": ("xllamacpp", has("xllamacpp"), lambda: gguf("llama.cpp")),
        "OpenVINO GenAI": ("openvino-genai", has("openvino_genai"), lambda: openvino_alone(parallel, threads)),
        "ChatGGUF, OpenVINO": ("openvino-genai", has("openvino_genai"), lambda: gguf("openvino")),
        "transformers": ("transformers", has_transformers, lambda: transformers_alone(str(folder), threads)),
        "ChatTransformers": (
            "transformers",
            has_transformers and has("langplug.models.transformers"),
            chat_transformers,
        ),
    }


PEERS = {
    "ChatGGUF, llama.cpp": "xllamacpp",
    "ChatGGUF, OpenVINO": "OpenVINO GenAI",
    "ChatTransformers": "transformers",
}
"""Of each model the engine that it drives."""


@contextmanager
def neighbour(is_busy: bool) -> Iterator[None]:
    """Another process that keeps one core busy, if asked for."""
    if not is_busy:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", "while True: sum(range(100000))"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(run: Run) -> tuple[float, float]:
    """Tokens a second, and milliseconds of the processor for each."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = run()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return tokens / wall, cpu / tokens * 1e3


def version_of(package: str) -> str:
    """The package with its version."""
    return f"{package} {importlib.metadata.version(package)}"


def table(rates: dict[tuple[str, bool], list[tuple[float, float]]], names: list[str]) -> list[str]:
    """Rows of Markdown, one an engine."""
    columns = ("sixteen prompts, 64 tokens each", "tokens/s", "CPU ms/token", "of the engine", "beside a busy process")
    rows = [f"| {' | '.join(columns)} |", "|---|---|---|---|---|"]
    middle = {key: statistics.median(rate for rate, _ in measured) for key, measured in rates.items()}
    for name in names:
        idle = [rate for rate, _ in rates[name, False]]
        cpu = statistics.median(cost for _, cost in rates[name, False])
        peer = PEERS.get(name)
        share = f"{middle[name, False] / middle[peer, False]:.2f}" if peer in names else "–"
        busy = f"{middle[name, True]:.0f} ({middle[name, True] / middle[name, False]:.0%})"
        rate = f"{middle[name, False]:.0f} ({min(idle):.0f} to {max(idle):.0f})"
        rows.append(f"| {name} | {rate} | {cpu:.1f} | {share} | {busy} |")
    return rows


def write_table(text: str, begin: str, end: str) -> None:
    """Put a table between two marks of the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> None:
    """Measure, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default: 3)")
    parser.add_argument("--parallel", type=int, default=16, help="slots (default: 16)")
    parser.add_argument("--threads", type=int, default=usable_threads(), help="CPU threads (default: cores - 1)")
    parser.add_argument("--hf", metavar="FOLDER", help="the same weights in transformers' format")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone")
    parser.add_argument("--write", action="store_true", help="write the table into docs/en/reference/overhead.md")
    given = parser.parse_args()
    known = contestants(given.parallel, given.threads, given.hf)
    names = [name for name, (_, there, _) in known.items() if there and (not given.only or name in given.only)]
    left_out = [name for name in known if name not in names]
    runs = {name: known[name][2]() for name in names}
    rates: dict[tuple[str, bool], list[tuple[float, float]]] = {}
    for number in range(given.rounds + 1):  # the first warms up
        for is_busy in (False, True):
            with neighbour(is_busy):
                for name, run in runs.items():
                    figure = measure(run)
                    rates.setdefault((name, is_busy), []).extend([figure] if number else [])
                    print(f"round {number}: {name}, {figure[0]:.0f} tokens/s", file=sys.stderr, flush=True)
    packages = sorted({known[name][0] for name in names})
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    notes = [f"{', '.join(map(version_of, packages))}; {given.threads} threads; {machine}; {given.rounds} rounds."]
    notes += [f"Left out, as it is not installed: {', '.join(left_out)}."] if left_out else []
    text = "\n".join([*table(rates, names), "", " ".join(notes)])
    print(text)
    if given.write:
        write_table(text, BEGIN, END)


if __name__ == "__main__":
    main()
