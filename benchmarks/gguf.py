"""Sixteen prompts of 128 tokens through ChatGGUF, beside the same engine called without langplug.

    python benchmarks/gguf.py [--rounds 3] [--parallel 16] [--threads 2]

Wall-clock tokens per second, by the usage that the engine reports; the contestants take turns in each round.
ChatLlamaCpp takes part if langchain-community and llama-cpp-python (which is built from source) are installed;
it is asked one prompt after the other, since its `batch` aborts the process.
"""

import argparse
import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import xllamacpp

from langplug.models import ChatGGUF
from langplug.models.gguf.engine import locate

TOKENS = 128
PROMPTS = [f"Write a long story about a {animal} and its friends." for animal in (
    "cat", "dog", "fox", "owl", "bear", "wolf", "hare", "crow",
    "seal", "mole", "toad", "swan", "deer", "goat", "lynx", "newt",
)]  # fmt: skip


def engine_alone(parallel: int, threads: int, tokens: int = TOKENS) -> Callable[[], int]:
    """llama.cpp with the same slots, context and threads, and one thread for each prompt."""
    params = xllamacpp.CommonParams()
    params.model.path = str(locate(None))
    params.n_parallel, params.n_ctx = parallel, 512 * parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup, params.verbosity, params.cache_ram_mib = False, -1, 0
    server = xllamacpp.Server(params)

    def ask(prompt: str, counts: list[int]) -> None:
        body = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0.2,
            "seed": 1,
            "stream": True,
            "stream_options": {"include_usage": True},
        }

        def on_chunk(chunk: dict[str, Any]) -> bool:
            if usage := chunk.get("usage"):
                counts.append(usage["completion_tokens"])
            return False

        server.handle_chat_completions(body, on_chunk)

    def run() -> int:
        counts: list[int] = []
        workers = [threading.Thread(target=ask, args=(prompt, counts)) for prompt in PROMPTS]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return sum(counts)

    return run


def by_batch(model: ChatGGUF) -> int:
    """`batch`."""
    return sum(_written(message) for message in model.batch(PROMPTS, {"max_concurrency": len(PROMPTS)}))


def by_abatch(model: ChatGGUF) -> int:
    """`abatch`."""
    return sum(_written(message) for message in asyncio.run(model.abatch(PROMPTS)))


def by_astream(model: ChatGGUF) -> int:
    """Sixteen `astream`s at once."""

    async def read(prompt: str) -> int:
        return sum([_written(chunk) async for chunk in model.astream(prompt)])

    async def read_all() -> int:
        return sum(await asyncio.gather(*map(read, PROMPTS)))

    return asyncio.run(read_all())


def one_by_one(model: Any) -> int:
    """`invoke`, one prompt after the other."""
    return sum(_written(model.invoke(prompt)) for prompt in PROMPTS)


def _written(message: Any) -> int:
    return int(message.usage_metadata["output_tokens"]) if message.usage_metadata else 0


def llama_cpp_python(threads: int) -> Callable[[], int] | None:
    """ChatLlamaCpp, if it is installed. It reports no usage: each answer is taken to have all its tokens."""
    try:
        from langchain_community.chat_models import ChatLlamaCpp
    except ImportError:
        return None
    path = str(locate(None))
    model = ChatLlamaCpp(model_path=path, n_ctx=512, n_threads=threads, max_tokens=TOKENS, verbose=False)
    return lambda: sum(TOKENS for prompt in PROMPTS if model.invoke(prompt))


def measure(run: Callable[[], int]) -> float:
    """Tokens per second."""
    start = time.perf_counter()
    return run() / (time.perf_counter() - start)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count (default: 3)")
    parser.add_argument("--parallel", type=int, default=16, help="slots (default: 16)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default: 2)")
    given = parser.parse_args()
    model = ChatGGUF(
        parallel=given.parallel,
        threads=given.threads,
        n_ctx=512,
        n_batch=2048,
        max_tokens=TOKENS,
        temperature=0.2,
        seed=1,
    )
    contestants: dict[str, Callable[[], int]] = {
        "engine alone": engine_alone(given.parallel, given.threads),
        "ChatGGUF.batch": lambda: by_batch(model),
        "ChatGGUF.abatch": lambda: by_abatch(model),
        "ChatGGUF, 16 astreams": lambda: by_astream(model),
        "ChatGGUF, one by one": lambda: one_by_one(model),
    }
    if (peer := llama_cpp_python(given.threads)) is not None:
        contestants["ChatLlamaCpp, one by one"] = peer
    model.invoke("Hello")  # loads the weights
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(given.rounds):
        for name, run in contestants.items():
            rates[name].append(measure(run))
            print(f"round {number + 1}: {name}, {rates[name][-1]:.0f} tokens/s", file=sys.stderr, flush=True)
    alone = statistics.median(rates["engine alone"])
    for name, measured in rates.items():
        middle = statistics.median(measured)
        spread = f"({min(measured):.0f} to {max(measured):.0f})"
        print(f"{name:26} {middle:6.0f} tokens/s {spread:14} {middle / alone:5.2f} x engine")


if __name__ == "__main__":
    main()
