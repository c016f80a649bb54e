"""Whether the figures are the model's, or those of the process that measures."""

import asyncio
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

from langplug.bench.figures import distribution

_EVERY_S: Final = 0.01
_LATE_S: Final = 0.01
_BUSY: Final = 0.9


class Client:
    """Watches its own event loop and its own CPU while calls run."""

    def __init__(self) -> None:
        self._lags: list[float] = []
        self._cpu_s = 0.0
        self._wall_s = 0.0

    async def __aenter__(self) -> Self:
        self._began = (time.process_time(), time.perf_counter())

        async def watch() -> None:
            while True:
                due = time.perf_counter() + _EVERY_S
                await asyncio.sleep(_EVERY_S)
                self._lags.append(time.perf_counter() - due)

        self._watching = asyncio.create_task(watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching
        self._cpu_s = time.process_time() - self._began[0]
        self._wall_s = time.perf_counter() - self._began[1]

    def figures(self, *, pieces: int) -> dict[str, Any]:
        """CPU of this process and how late its loop was, as JSON data, with what follows of it in `warnings`.

        A model that runs in this process is in these figures, too.
        """
        lag = distribution(self._lags)
        share = self._cpu_s / self._wall_s if self._wall_s else 0.0
        warnings: list[str] = []
        if lag is not None and lag["p99"] > _LATE_S:
            late = f"{lag['p99'] * 1000:.0f} ms late (p99)"
            warnings.append(
                f"The event loop of this process was up to {late}, and so are latencies. A model that blocks it, or "
                "too many calls for one process, does that."
            )
        if share > _BUSY:
            warnings.append(f"This process used {share:.0%} of a core: it may have been the bottleneck.")
        return {
            "cpu_s": self._cpu_s,
            "cpu_share": share,
            "cpu_us_per_piece": self._cpu_s / pieces * 1e6 if pieces else None,
            "loop_lag": lag,
            "warnings": warnings,
        }
