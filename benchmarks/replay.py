"""What recording by `ChatReplay` adds to an answer: the same model, asked as it is and while it is recorded, in turns.

    python benchmarks/replay.py [--rounds 9] [--weights]

Each answer is streamed, of 200 tokens, into a new cassette. Printed are medians of `rounds` rounds, in which the two
take turns, with the lowest and the highest, and their ratio:

* time of an answer, of a server on loopback that gives a token each 5 ms, which is as fast as any service is;
* with `--weights`, the same of SmolLM2 in this process, whose tokens cost CPU: `langplug pull smollm2` downloads it;
* to the first token, of the server;
* how far tokens that are played with `timing=True` are from the moments at which they were recorded;
* CPU a token, of the server as fast as it can be read: the least that a token can cost, and so the worst ratio.
"""

import argparse
import gc
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from langchain_core.language_models import BaseChatModel

from langplug.models import ChatEndpoint, ChatGGUF, ChatReplay
from langplug_backend import BackendProcess

TOKENS = 200
AT_ONCE = f"[[words {TOKENS}]]"
PACED = f"[[words {TOKENS}]] [[pace 0.005]]"
STORY = "Tell me a long story about the sea."

Measure = Callable[[BaseChatModel, str], float]


def seconds_of_all(model: BaseChatModel, prompt: str) -> float:
    """How long the whole answer takes."""
    began = time.perf_counter()
    for _ in model.stream(prompt):
        pass
    return time.perf_counter() - began


def seconds_to_first(model: BaseChatModel, prompt: str) -> float:
    """How long the first token takes."""
    began = time.perf_counter()
    return next(time.perf_counter() - began for chunk in model.stream(prompt) if chunk.text)


def cpu_of_all(model: BaseChatModel, prompt: str) -> float:
    """The CPU time of this process that a token takes."""
    began = time.process_time()
    for _ in model.stream(prompt):
        pass
    return (time.process_time() - began) / TOKENS


def compare(
    row: str, model: BaseChatModel, prompt: str, measure: Measure, *, rounds: int, unit: str = "ms", scale: float = 1e3
) -> None:
    """Print one row."""
    alone: list[float] = []
    recorded: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            cassette = Path(folder, f"{number}.yaml")
            for asked, kept in ((model, alone), (ChatReplay(cassette=cassette, model=model), recorded)):
                gc.collect()
                kept.append(measure(asked, prompt) * scale)
    shown = []
    for values in (alone, recorded):
        del values[0]  # in which everything is made that is made once
        shown.append(f"{statistics.median(values):8.1f} ({min(values):.1f} to {max(values):.1f}) {unit}")
    ratio = statistics.median(recorded) / statistics.median(alone)
    print(f"{row:<28} alone {shown[0]}, recorded {shown[1]}: {ratio:.3f}", flush=True)


def moments(model: BaseChatModel) -> list[float]:
    """When each token comes, in milliseconds."""
    began = time.perf_counter()
    return [(time.perf_counter() - began) * 1e3 for chunk in model.stream(PACED) if chunk.text]


def compare_timing(model: BaseChatModel, *, rounds: int) -> None:
    """Print how far tokens that are played with their timing are from those that were recorded."""
    with tempfile.TemporaryDirectory() as folder:
        cassette = Path(folder, "paced.yaml")
        recorded = moments(ChatReplay(cassette=cassette, model=model))
        played = [moments(ChatReplay(cassette=cassette, timing=True)) for _ in range(rounds)]
    for row, number in (("first", 1), ("any", len(recorded))):
        off = [abs(one - other) for times in played for one, other in zip(times[:number], recorded, strict=False)]
        print(f"{row} token, played: {statistics.median(off):.1f} ms ({min(off):.1f} to {max(off):.1f}) off its moment")


def main() -> None:
    """Print all rows."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--weights", action="store_true")
    args = parser.parse_args()
    rounds = args.rounds
    with BackendProcess() as backend, closing(ChatEndpoint(base_url=backend.openai_url, model="stub")) as model:
        compare("CPU a token", model, AT_ONCE, cpu_of_all, rounds=rounds * 3, unit="µs", scale=1e6)
        compare("an answer, 5 ms a token", model, PACED, seconds_of_all, rounds=rounds)
        compare("its first token", model, PACED, seconds_to_first, rounds=rounds)
        compare_timing(model, rounds=rounds)
    if args.weights:
        with closing(ChatGGUF(max_tokens=TOKENS, temperature=0)) as local:
            compare("an answer of SmolLM2", local, STORY, seconds_of_all, rounds=rounds)


if __name__ == "__main__":
    main()
