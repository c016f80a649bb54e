"""Rounds of measurements: in each, every contestant has its turn, so that a busy machine is busy for all."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from langplug_backend import BackendProcess
from peers.client import MARK, OFFLINE
from peers.contestants import CONTESTANTS, Contestant
from peers.scenarios import SCENARIOS, Figures

MOST_S = 900.0
"""Seconds that one measurement may take: on a busy machine ChatLiteLLM needs minutes for 1,000 streams."""


class ClientProcess:
    """A contestant in a process of its own, pinned to the first core.

    Args:
        contestant: Who.
        url: The server's base URL.
    """

    def __init__(self, contestant: Contestant, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "peers.client", contestant.title, url, str(_cores()[0])],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, **OFFLINE},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def figures(self, name: str) -> Figures:
        """Let it do a scenario.

        Raises:
            RuntimeError: If it fails, in which case its own words are on stderr, or takes too long.
        """
        assert self._process.stdin
        assert self._process.stdout
        watch = threading.Timer(MOST_S, self._process.kill)
        watch.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(name + "\n")
                self._process.stdin.flush()
            for line in self._process.stdout:
                if line.startswith(MARK):
                    figures: Figures = json.loads(line.removeprefix(MARK))
                    return figures
        finally:
            watch.cancel()
        raise RuntimeError("The process ended without figures.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def measured(name: str, rounds: int, titles: Sequence[str]) -> Iterator[tuple[str, Figures | None]]:
    """Who did what in scenario `name`; None for one that failed, which is not asked again."""
    scenario = SCENARIOS[name]
    takers = [CONTESTANTS[title] for title in titles if scenario.suits(CONTESTANTS[title])]
    failed: set[str] = set()
    with contextlib.ExitStack() as stack:
        pinned = ("taskset", "-c", str(_cores()[-1])) if shutil.which("taskset") else ()
        backend = stack.enter_context(BackendProcess(before=pinned))
        kept: dict[str, ClientProcess] = {}
        for number in range(rounds):
            for taker in takers:
                if taker.title in failed or (scenario.is_costly and number >= taker.most_rounds):
                    continue
                backend.script(scenario.script)
                try:
                    yield taker.title, _turn(stack, kept, taker, backend.openai_url, name)
                except RuntimeError as error:
                    print(f"{taker.title}, {scenario.title}: {error}", file=sys.stderr)
                    failed.add(taker.title)
                    yield taker.title, None


def _turn(
    stack: contextlib.ExitStack, kept: dict[str, ClientProcess], taker: Contestant, url: str, name: str
) -> Figures:
    """One measurement. Memory is told by a new process alone; else one process serves all rounds."""
    if SCENARIOS[name].needs_new_process:
        with ClientProcess(taker, url) as client:
            return client.figures(name)
    if taker.title not in kept:
        kept[taker.title] = stack.enter_context(ClientProcess(taker, url))
        if SCENARIOS[name].needs_warm_up:
            kept[taker.title].figures(name)
    return kept[taker.title].figures(name)


def _cores() -> list[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [0]
