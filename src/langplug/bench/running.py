"""A measurement: a model, loads, and what is asked."""

import asyncio
import itertools
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import langchain_core
from langchain_core.messages import BaseMessage

import langplug
from langplug import adopt
from langplug._bridge.loop import refuse_running_loop
from langplug.bench.call import COUNTED, CallTimes, measure
from langplug.bench.client import Client, warnings_of
from langplug.bench.figures import DEFINITIONS, Slo, figures_of
from langplug.bench.load import Load, Sweep
from langplug.bench.prompts import built_in

VERSION: Final = 1
"""The version of a report's form."""

Prompts = Iterable[list[BaseMessage]]

ONE_BY_ONE: Final = (Load(concurrency=1),)
"""What is measured if nothing is said."""

_CALLS: Final = 50
_CALLS_EACH: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Until:
    """When a load ends: at the first of these.

    Attributes:
        calls: After so many measured calls; None for any. Without `seconds`, that is 50, or 4 for each call that runs
            at once, because the beginning, when all are asked together, is no usual load.
        seconds: After so many seconds in which measured calls begin, whose ends are waited for; None for any.
        errors: After so many that failed; None for any.
    """

    calls: int | None = None
    seconds: float | None = None
    errors: int | None = 20

    def __post_init__(self) -> None:
        for name, value in (("calls", self.calls), ("seconds", self.seconds), ("errors", self.errors)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value:g}; expected more than 0")

    def calls_of(self, load: Load) -> int | None:
        """How many calls of a load are measured; None for as many as there are until another end."""
        if self.calls is None and self.seconds is None:
            return max(_CALLS, _CALLS_EACH * (load.concurrency or 0))
        return self.calls


def run(model: Any, loads: Sequence[Load] | Sweep = ONE_BY_ONE, **options: Any) -> dict[str, Any]:
    """Measure a model under loads; for `await`, there is `arun`, with the same options.

    Args:
        model: A chat model, chain or graph, in this process or behind a server; one that is not langplug's is adopted.
        loads: One after the other.
        options: As of `Measurement`.

    Returns:
        The report, as JSON data.

    Raises:
        TypeError: If `model` is none.
        ValueError: If there is no load, or an option is wrong.
        RuntimeError: If an event loop runs here already.

    Example:
        >>> from langplug.models.echo import CustomChatModelAdvanced
        >>> report = run(CustomChatModelAdvanced(model="echo", n=9), until=Until(calls=5))
        >>> report["stages"][0]["figures"]["calls"]["complete"]
        5
    """
    refuse_running_loop("bench.run", "bench.arun")
    return asyncio.run(arun(model, loads, **options))


async def arun(model: Any, loads: Sequence[Load] | Sweep = ONE_BY_ONE, **options: Any) -> dict[str, Any]:
    """Measure a model under loads: `run` for `await`."""
    measurement = Measurement(model, loads, **options)
    await measurement.arun()
    return measurement.report()


class Measurement:
    """What is measured of a model under loads. It can be ended at any moment, and reports what it has until then.

    A call is made once: that a model tries again what failed would hide failures, and make answers seem slow. So
    `max_retries` is 0, unless it was given to the model when it was made. What an adopted model's own client tries
    again is the client's business.

    Args:
        model: As of `run`.
        loads: As of `run`.
        prompts: Gives what is asked, for each load anew; an iterable that does not end.
        parameters: Parameters of each call, such as `{"max_tokens": 128}`.
        until: When each load ends.
        warmup: How many calls each load makes before those that are measured; None for as many as run at once.
        slo: What a good answer keeps to; None for no goodput.
        progress: Told of the load, how many measured calls have ended, and how many there are to be; None if that
            is not known.

    Raises:
        TypeError: If `model` is none.
        ValueError: If there is no load, or an option is wrong.
    """

    def __init__(
        self,
        model: Any,
        loads: Sequence[Load] | Sweep = ONE_BY_ONE,
        *,
        prompts: Callable[[], Prompts] = built_in,
        parameters: Mapping[str, Any] | None = None,
        until: Until | None = None,
        warmup: int | None = None,
        slo: Slo | None = None,
        progress: Callable[[str, int, int | None], None] = lambda *_: None,
    ) -> None:
        if warmup is not None and warmup < 0:
            raise ValueError(f"warmup is {warmup}; expected 0 or more")
        self._loads = loads if isinstance(loads, Sweep) else tuple(loads)
        if not self._loads:
            raise ValueError("there is no load to measure; expected one or more, such as Load(concurrency=1)")
        adopted = adopt(model)
        keeps_retries = "max_retries" in adopted.model_fields_set or not adopted.max_retries
        self._model = adopted if keeps_retries else adopt(adopted, max_retries=0)
        self._prompts = prompts
        self._parameters = dict(parameters or {})
        self._until = until or Until()
        self._warmup = warmup
        self._slo = slo
        self._progress = progress
        self._stages: list[_Stage] = []
        self._was_ended = True

    async def arun(self) -> None:
        """Make the calls of one load after the other. Cancel it, and there is a report of the calls until then.

        Raises:
            ValueError: If prompts ran out.
        """
        speeds: list[float] = []
        for load in self._loads.loads(speeds) if isinstance(self._loads, Sweep) else self._loads:
            warmup = (load.concurrency or 1) if self._warmup is None else self._warmup
            stage = _Stage(self._model, load, iter(self._prompts()), self._parameters, self._until, warmup)
            self._stages.append(stage)
            await stage.run(self._progress)
            await asyncio.to_thread(stage.count_tokens)
            speeds.append(figures_of(stage.calls).get("output_tokens_per_s", 0.0))
        self._was_ended = False

    def report(self) -> dict[str, Any]:
        """What was measured, as JSON data; of an answer that was not over when the measurement ended, nothing."""
        stages: list[dict[str, Any]] = []
        for stage in self._stages:
            stage.count_tokens()
            figures, client = figures_of(stage.calls, self._slo, ended=stage.ended), stage.client.figures(stage.calls)
            warnings = warnings_of(client)
            if figures["calls"]["measured"] < (stage.load.concurrency or 1):
                warnings.append("Fewer calls were measured than ran at once: it is the beginning that was measured.")
            stages.append(
                {
                    "load": str(stage.load),
                    "concurrency": stage.load.concurrency,
                    "rate": stage.load.rate,
                    "figures": figures,
                    "client": client,
                    "warnings": warnings,
                }
            )
        return {
            "version": VERSION,
            "model": self._model.reported_name,
            "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "langplug": langplug.__version__,
            "langchain_core": langchain_core.__version__,
            "python": platform.python_version(),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
            "parameters": {name: str(value) for name, value in self._parameters.items()},
            "warmup": self._warmup,
            "slo": asdict(self._slo) if self._slo else None,
            "was_ended": self._was_ended,
            "definitions": dict(DEFINITIONS),
            "stages": stages,
        }


@dataclass(slots=True)
class _Stage:
    """The calls of one load, and when it ended, if something said when."""

    model: Any
    load: Load
    prompts: Iterator[list[BaseMessage]]
    keywords: dict[str, Any]
    until: Until
    warmup: int
    calls: list[CallTimes] = field(default_factory=list)
    client: Client = field(default_factory=Client)
    ended: float = 0.0

    async def run(self, progress: Callable[[str, int, int | None], None]) -> None:
        """Make the calls that are measured, and others before and after: the load stays until the last has ended."""
        starts = self.load.starts()
        most = self.until.calls_of(self.load)
        tasks: set[asyncio.Task[None]] = set()
        begun = ended = failed = 0  # of those that are measured
        end_at: float | None = None

        async def make(call: CallTimes, messages: list[BaseMessage]) -> None:
            nonlocal ended, failed
            try:
                await measure(call, self.model, messages, self.keywords)
            finally:
                ended += call.is_measured
                failed += call.is_measured and bool(call.error)
                starts.end()

        try:
            for number in itertools.count():
                due = await starts.wait()
                if number == self.warmup:
                    self.client.watch()
                    end_at = time.perf_counter() + self.until.seconds if self.until.seconds is not None else None
                is_over = number >= self.warmup and (
                    (most is not None and begun >= most)
                    or (end_at is not None and time.perf_counter() >= end_at)
                    or (self.until.errors is not None and failed >= self.until.errors)
                )
                if is_over and ended == begun:
                    self.ended = due or 0.0
                    break
                messages = next(self.prompts, None)
                if messages is None:
                    raise ValueError(f"the prompts ran out after {number}: give some that do not end (itertools.cycle)")
                call = CallTimes(due=due, is_measured=number >= self.warmup and not is_over)
                begun += call.is_measured
                self.calls.append(call)
                tasks.add(task := asyncio.create_task(make(call, messages)))
                task.add_done_callback(tasks.discard)
                progress(str(self.load), ended, most)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.client.leave()

    def count_tokens(self) -> None:
        """Have the model count what it did not report, once."""
        for call in self.calls:
            if call.is_complete and not call.source:
                call.output_tokens = self.model.get_num_tokens("".join(call.text))
                call.source = COUNTED
