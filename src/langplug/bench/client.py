"""Whether the figures are the model's, or those of the process that measures."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from langplug.bench.call import CallTimes
from langplug.bench.figures import distribution

_EVERY_S: Final = 0.01
_LATE_S: Final = 0.01
_BUSY: Final = 0.9
_WAITED: Final = 0.1


class _Clocks(NamedTuple):
    """Seconds of this thread, which is the event loop's, unless another is named."""

    wall: float
    process_cpu: float
    cpu: float
    waited: float

    @classmethod
    def now(cls) -> "_Clocks":
        waited = 0.0
        with suppress(OSError):  # Linux alone tells how long a thread was ready, and other programs had the cores
            waited = int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9
        return cls(time.perf_counter(), time.process_time(), time.thread_time(), waited)


class Client:
    """Watches its own event loop and its own CPU while calls are measured."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._watching: asyncio.Task[None] | None = None
        self._began = self._ended = _Clocks(0.0, 0.0, 0.0, 0.0)

    def watch(self) -> None:
        """Begin, in a running loop: warming up loads modules and connects, which is late and means nothing."""

        async def watch() -> None:
            while True:
                due = time.perf_counter() + _EVERY_S
                await asyncio.sleep(_EVERY_S)
                self._lags.append(time.perf_counter() - due)

        self._watching = asyncio.create_task(watch())
        self._began = _Clocks.now()

    def leave(self) -> None:
        """End."""
        if self._watching is not None:
            self._watching.cancel()
            self._ended = _Clocks.now()

    def figures(self, calls: Iterable[CallTimes]) -> dict[str, Any]:
        """CPU of this process and how late its loop was, as JSON data; a model that runs in it is in that, too."""
        wall, process_cpu, cpu, waited = (end - begin for begin, end in zip(self._began, self._ended, strict=True))
        pieces = sum(moment >= self._began.wall for call in calls for moment in call.pieces)
        return {
            "cpu_s": process_cpu,
            "cpu_us_per_piece": process_cpu / pieces * 1e6 if pieces else None,
            "cpu_share": process_cpu / wall if wall else 0.0,
            "loop_share": cpu / wall if wall else 0.0,
            "waited_share": waited / wall if wall else 0.0,
            "loop_lag": distribution(self._lags),
        }


def warnings_of(client: Mapping[str, Any]) -> list[str]:
    """What follows of the client's figures, if it was part of what was measured."""
    loop, waited, lag = client["loop_share"], client["waited_share"], client["loop_lag"]
    late_s = lag["p99"] if lag else 0.0
    told: list[str] = []
    if loop + waited > _BUSY:
        told.append(
            f"The event loop of this process had no time to spare: it used {loop:.0%} of a core, and waited for one "
            f"for {waited:.0%} of the time. That was the bottleneck, and not the model, unless that works in the loop."
        )
    elif waited > _WAITED:
        told.append(
            f"This process waited for a core for {waited:.0%} of the time: the machine is busy, and latencies are "
            "longer for it."
        )
    if late_s > _LATE_S:
        told.append(
            f"The event loop of this process was up to {late_s * 1000:.0f} ms late (p99), and so are latencies: there "
            "are too many calls for one process, a model in it blocks the loop, or the machine is busy."
        )
    return told
