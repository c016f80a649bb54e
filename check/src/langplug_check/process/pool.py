"""A worker, as its owner sees it: it may hang, die or exhaust the memory, and is then replaced."""

import os
import pickle
import queue
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

from langplug_check.job import Identity, Job
from langplug_check.process.launch import START_LIMIT_S, Program, kill, launch
from langplug_check.runner import NOISE_LIMIT, failed_result
from langplug_check.statement import Check
from langplug_check.verdicts import Result

MEMORY_LIMIT = 4 * 2**30
"""Bytes that a worker's memory may grow by in one check."""

ENOUGH = 3
"""Checks in a row in which a model may hang or die before it is not asked again."""

_GRACE_S = 5.0
"""Seconds that a check may take beyond its limit, which ends most that hang from inside."""

_POLL_S = 0.1
"""Seconds from one look at a worker's memory to the next."""

_GONE = object()


class CannotBeMade(Exception):
    """The model cannot be made in a worker. The message says why."""


class Ended(Exception):
    """The worker did not give what was waited for. The message says what became of it."""


class NeverMade(Ended):
    """The worker ended before there was a model."""


class Worker:
    """A process that makes the model and runs checks on it.

    Args:
        job: The model.
        memory_limit: Bytes that its memory may grow by in one check.

    Attributes:
        identity: What the model turned out to be.

    Raises:
        CannotBeMade: If it cannot be made there.
        NeverMade: If the worker hangs or dies as it makes the model.
        Ended: If it does so as the model is asked what it says.
    """

    def __init__(self, job: Job, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._memory_limit = memory_limit
        self._noise = tempfile.TemporaryFile("a+b")  # noqa: SIM115 - lives as long as we do
        self._heard = 0
        their_inbox, inbox = os.pipe()
        outbox, their_outbox = os.pipe()
        self._inbox, self._outbox = os.fdopen(inbox, "wb"), os.fdopen(outbox, "rb")
        try:
            self._process = launch(
                Program(module="langplug_check.process.worker"),
                stdin=their_inbox,
                stdout=their_outbox,
                stderr=self._noise.fileno(),
            )
        finally:
            os.close(their_inbox)
            os.close(their_outbox)
        self._answers: queue.Queue[Any] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self._send(job)
            answer = self._wait_until_made() or self._wait(START_LIMIT_S)
        except BaseException:
            self.close()
            raise
        if not isinstance(answer, Identity):
            self.close()
            raise CannotBeMade(str(answer))
        self.identity = answer

    def run(self, check: Check) -> Result:
        """The result of one check.

        Raises:
            Ended: If it hangs, dies or exhausts the memory; then the worker has to be replaced.
        """
        self.noise()  # what a thread printed after the check before it
        self._send(check.id)
        result = self._wait(check.limit_s + _GRACE_S)
        assert isinstance(result, Result)
        return replace(result, noise=self.noise()[:NOISE_LIMIT])

    def noise(self) -> str:
        """What it printed since this was last asked."""
        self._noise.seek(self._heard)
        heard = self._noise.read()
        self._heard += len(heard)
        return heard.decode(errors="replace")

    def close(self) -> None:
        """End the process, and those that the model started, whatever they do."""
        kill(self._process)
        for stream in (self._inbox, self._outbox, self._noise):
            with suppress(OSError):
                stream.close()

    def _wait_until_made(self) -> Any:
        """Why there is no model; None if there is one."""
        try:
            return self._wait(START_LIMIT_S)
        except Ended as ended:
            heard = self.noise().strip().splitlines()
            printed = f"; the last line that it printed: {heard[-1][:200]}" if heard else ""
            raise NeverMade(f"importing or making the model ended badly: {ended}{printed}") from None

    def _send(self, value: object) -> None:
        with suppress(OSError):  # the worker is gone, which waiting for its answer will show
            self._inbox.write(pickle.dumps(value))
            self._inbox.flush()

    def _read(self) -> None:
        try:
            while True:
                self._answers.put(pickle.load(self._outbox))  # noqa: S301 - from the process that we started
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._answers.put(_GONE)

    def _wait(self, limit_s: float) -> Any:
        """Its next answer."""
        deadline = time.monotonic() + limit_s
        before = self._memory()
        while time.monotonic() < deadline:
            with suppress(queue.Empty):
                answer = self._answers.get(timeout=_POLL_S)
                if answer is _GONE:
                    raise Ended(self._how_it_ended())
                return answer
            # A limit by `setrlimit` would end as a `MemoryError` inside the model, which may well catch that.
            if self._memory() - before > self._memory_limit:
                raise Ended(f"it took more than {self._memory_limit / 2**30:.1f} GiB of memory, and was stopped")
        raise Ended(f"it hung: no end within {limit_s:g} seconds, not even in a process of its own")

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=_GRACE_S)
        except subprocess.TimeoutExpired:
            return "the process in which it ran closed its output"
        if code >= 0:
            return f"it ended the whole Python process (exit status {code})"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = "unknown"
        return f"it aborted the whole Python process (signal {-code}, {name})"

    def _memory(self) -> int:
        """Bytes of memory that it holds; 0 where the system does not tell, and there is no limit."""
        try:
            with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as statm:  # noqa: PTH123 - not a path of ours
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
        except (OSError, ValueError, IndexError):
            return 0


class Pool:
    """One worker at a time: the next one is made when the last has ended."""

    def __init__(self, job: Job, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._job = job
        self._memory_limit = memory_limit
        self._worker: Worker | None = None
        self._ended: list[str] = []
        """The checks in which a worker ended, since the model last answered."""

    def worker(self) -> Worker:
        """The worker, made if there is none."""
        if self._worker is None:
            self._worker = Worker(self._job, memory_limit=self._memory_limit)
        return self._worker

    def run(self, check: Check) -> Result:
        """The result of one check, whatever happens in it.

        A model that ended its worker `ENOUGH` times, and never answered in between, is not asked again: it would go on
        for an hour.
        """
        if self.gave_up and check.needs:
            return Result(id=check.id, verdict="not observed", observed=self.gave_up)
        began = time.monotonic()
        worker = self.worker()
        try:
            result = worker.run(check)
        except Ended as ended:
            result = failed_result(check, str(ended), time.monotonic() - began, worker.noise())
            self._ended.append(check.id)
            self.close()
        else:
            if result.verdict == "pass" and check.needs:
                self._ended.clear()
        return result

    @property
    def gave_up(self) -> str:
        """Why the model is not asked any more; empty if it still is."""
        checks = ", ".join(self._ended[:ENOUGH])
        reason = f"the model hung or died in each of {checks}, and was not asked again"
        return reason if len(self._ended) >= ENOUGH else ""

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
