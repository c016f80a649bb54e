"""A measurement: a model, loads, and what is asked."""

import asyncio
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import langchain_core
from langchain_core.messages import BaseMessage

import langplug
from langplug import adopt
from langplug.bench.call import COUNTED, CallTimes, measure
from langplug.bench.client import Client
from langplug.bench.figures import DEFINITIONS, Slo, figures_of
from langplug.bench.load import Load
from langplug.bench.prompts import built_in

VERSION: Final = 1
"""The version of a report's form."""

Prompts = Iterator[list[BaseMessage]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When a load ends: at the first of these.

    Attributes:
        calls: After so many measured calls; None for any.
        seconds: After so many seconds in which measured calls begin; None for any.
        errors: After so many that failed; None for any.
    """

    calls: int | None = 50
    seconds: float | None = None
    errors: int | None = 20

    def __post_init__(self) -> None:
        if self.calls is None and self.seconds is None:
            raise ValueError("a measurement has to end: give a number of calls, or seconds")
        for name, value in (("calls", self.calls), ("seconds", self.seconds), ("errors", self.errors)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value:g}; expected more than 0")

    def is_over(self, begun: int, failed: int, end_at: float | None) -> bool:
        """Whether no more calls are to begin.

        Args:
            begun: How many have begun.
            failed: How many of them have failed.
            end_at: The moment, of `time.perf_counter`, after which none begins; None for any.
        """
        return (
            (self.calls is not None and begun >= self.calls)
            or (end_at is not None and time.perf_counter() >= end_at)
            or (self.errors is not None and failed >= self.errors)
        )


def run(model: Any, loads: Sequence[Load] = (Load(concurrency=1),), **options: Any) -> dict[str, Any]:
    """Measure a model under loads; for `await`, there is `arun`, with the same options.

    Args:
        model: A chat model, chain or graph, in this process or behind a server; one that is not langplug's is adopted.
        loads: One after the other.
        options: As of `arun`.

    Returns:
        The report, as JSON data.

    Raises:
        TypeError: If `model` is none.

    Example:
        >>> from langplug.models.echo import CustomChatModelAdvanced
        >>> report = run(CustomChatModelAdvanced(model="echo", n=9), until=Until(calls=5))
        >>> report["stages"][0]["figures"]["calls"]["complete"]
        5
    """
    return asyncio.run(arun(model, loads, **options))


async def arun(
    model: Any,
    loads: Sequence[Load] = (Load(concurrency=1),),
    *,
    prompts: Callable[[], Prompts] = built_in,
    parameters: Mapping[str, Any] | None = None,
    until: Until | None = None,
    warmup: int = 1,
    slo: Slo | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> dict[str, Any]:
    """Measure a model under loads.

    Args:
        model: As of `run`.
        loads: As of `run`.
        prompts: Gives what is asked, for each load anew.
        parameters: Parameters of each call, such as `{"max_tokens": 128}`.
        until: When each load ends; by default after 50 calls, or 20 that failed.
        warmup: How many calls each load makes before those that are measured.
        slo: What a good answer keeps to; None for no goodput.
        progress: Told of the load, and how many measured calls have ended and have begun.

    Returns:
        The report, as JSON data.

    Raises:
        TypeError: If `model` is none.
    """
    adopted = adopt(model)
    stages: list[dict[str, Any]] = []
    for load in loads:
        stage = _Stage(adopted, load, prompts(), dict(parameters or {}), until or Until(), warmup, progress)
        async with Client() as client:
            calls = await stage.run()
        for call in calls:
            if call.is_complete and not call.source:
                call.output_tokens = await asyncio.to_thread(adopted.get_num_tokens, "".join(call.text))
                call.source = COUNTED
        pieces = sum(len(call.pieces) for call in calls)
        stages.append(
            {
                "load": str(load),
                "concurrency": load.concurrency,
                "rate": load.rate,
                "figures": figures_of(calls, slo),
                "client": client.figures(pieces=pieces),
            }
        )
    return {
        "version": VERSION,
        "model": adopted.reported_name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "langplug": langplug.__version__,
        "langchain_core": langchain_core.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "parameters": {name: str(value) for name, value in (parameters or {}).items()},
        "warmup": warmup,
        "definitions": dict(DEFINITIONS),
        "stages": stages,
    }


@dataclass(frozen=True, slots=True)
class _Stage:
    """The calls of one load."""

    model: Any
    load: Load
    prompts: Prompts
    keywords: dict[str, Any]
    until: Until
    warmup: int
    progress: Callable[[str, int, int], None]

    async def run(self) -> list[CallTimes]:
        """Make the calls that are measured, and others before and after: the load stays until the last has ended."""
        starts = self.load.starts()
        calls: list[CallTimes] = []
        tasks: set[asyncio.Task[None]] = set()
        begun = ended = failed = 0  # of those that are measured
        end_at: float | None = None

        async def make(call: CallTimes) -> None:
            nonlocal ended, failed
            try:
                await measure(call, self.model, next(self.prompts), self.keywords)
            finally:
                ended += call.is_measured
                failed += call.is_measured and bool(call.error)
                starts.end()

        try:
            for number in itertools.count():
                began = await starts.wait()
                if number == self.warmup and self.until.seconds is not None:
                    end_at = began + self.until.seconds
                is_over = number >= self.warmup and self.until.is_over(begun, failed, end_at)
                if is_over and ended == begun:
                    break
                call = CallTimes(began=began, is_measured=number >= self.warmup and not is_over)
                begun += call.is_measured
                calls.append(call)
                tasks.add(task := asyncio.create_task(make(call)))
                task.add_done_callback(tasks.discard)
                self.progress(str(self.load), ended, begun)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return calls
