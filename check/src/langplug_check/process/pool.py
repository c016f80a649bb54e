"""A worker, as its owner sees it: it may hang, die or exhaust the memory, and is then replaced."""

import builtins
import os
import pickle
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from langplug_check.job import Identity, Job
from langplug_check.needs import Need
from langplug_check.process.channel import LONGEST, Intruded, new_nonce, read_answer
from langplug_check.process.launch import START_LIMIT_S, Program, kill, launch
from langplug_check.runner import NOISE_LIMIT, failed_result
from langplug_check.statement import Check
from langplug_check.verdicts import Result

MEMORY_LIMIT = 4 * 2**30
"""Bytes that a worker's memory may grow by in one check."""

ENOUGH = 3
"""Checks in a row in which a model may hang or die before it is not asked the like again."""

_GRACE_S = 5.0
"""Seconds that a check may take beyond its limit, which ends most that hang from inside."""

_END_S = 2.0
"""Seconds that a process whose pipe is closed has for ending."""

_POLL_S = 0.1
"""Seconds from one look at a worker to the next."""

_WAITING_LINES = 16
"""Answers that are kept until somebody reads them: a model that writes without end has to wait."""

_NOISE_KEPT = 2**16
"""Bytes of what a model printed that are read."""

_INTRUDED = "the model wrote into the pipe over which the test kit reads its results"

_GONE = b""


class CannotBeMade(Exception):
    """The model cannot be made in a worker. The message says why.

    Attributes:
        original: The exception that making it raised, as far as it can be had here: only if it is one of Python's own.
    """

    def __init__(self, why: str, original: Exception | None = None) -> None:
        super().__init__(why)
        self.original = original


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
        self._lines: queue.Queue[bytes] = queue.Queue(_WAITING_LINES)
        threading.Thread(target=self._read, daemon=True).start()
        nonce = new_nonce()
        try:
            self._send((nonce, job))
            self.identity = self._wait_for_identity(nonce)
        except BaseException:
            self.close()
            raise

    def run(self, check: Check) -> Result:
        """The result of one check.

        Raises:
            Ended: If it hangs, dies or exhausts the memory; then the worker has to be replaced.
        """
        self.noise()  # what a thread printed after the check before it
        nonce = new_nonce()
        self._send((nonce, check.id))
        _, said = self._wait(check.limit_s + _GRACE_S, nonce, check.id)
        try:
            result = Result.from_dict(said)
        except (TypeError, ValueError) as error:
            raise Ended(_INTRUDED) from error
        return replace(result, id=check.id, noise=self.noise()[:NOISE_LIMIT])

    def noise(self) -> str:
        """What it printed since this was last asked; of very much, the end."""
        size = os.fstat(self._noise.fileno()).st_size
        self._noise.seek(max(self._heard, size - _NOISE_KEPT))
        self._heard = size
        return self._noise.read().decode(errors="replace")

    def close(self) -> None:
        """End the process, and those that the model started, whatever they do."""
        kill(self._process)
        for stream in (self._inbox, self._outbox, self._noise):
            with suppress(OSError):
                stream.close()

    def _wait_for_identity(self, nonce: str) -> Identity:
        """What the model turned out to be, once it is made and was asked.

        Raises:
            CannotBeMade, NeverMade: If it is not made.
            Ended: If the worker ends as the model is asked.
        """
        try:
            name, said = self._wait(START_LIMIT_S, nonce, "made", "failed")
        except Ended as ended:
            heard = self.noise().strip().splitlines()
            printed = f"; the last line that it printed: {heard[-1][:200]}" if heard else ""
            raise NeverMade(f"importing or making the model ended badly: {ended}{printed}") from None
        if name == "made":
            name, said = self._wait(START_LIMIT_S, nonce, "identity", "failed")
        if name == "failed":
            raise _why_not_made(said)
        return Identity.from_dict(said)

    def _send(self, value: object) -> None:
        with suppress(OSError):  # the worker is gone, which waiting for its answer will show
            self._inbox.write(pickle.dumps(value))
            self._inbox.flush()

    def _read(self) -> None:
        with suppress(OSError, ValueError):  # closed meanwhile
            while line := self._outbox.readline(LONGEST):
                self._lines.put(line)
        self._lines.put(_GONE)

    def _wait(self, limit_s: float, nonce: str, *names: str) -> tuple[str, Mapping[str, Any]]:
        """Its answer to the request of this number: its name, which is one of `names`, and what it says."""
        deadline = time.monotonic() + limit_s
        before = self._memory()
        has_ended = False
        while time.monotonic() < deadline:
            try:
                line = self._lines.get(timeout=_POLL_S)
            except queue.Empty:
                # A process that the model forked may hold the pipe open, so its end is not to be waited for.
                if has_ended:
                    raise Ended(self._how_it_ended()) from None
                has_ended = self._has_ended()
            else:
                if line == _GONE:
                    raise Ended(self._how_it_ended())
                try:
                    return read_answer(line, nonce, *names)
                except Intruded:
                    raise Ended(_INTRUDED) from None
            # A limit by `setrlimit` would end as a `MemoryError` inside the model, which may well catch that.
            if self._memory() - before > self._memory_limit:
                raise Ended(f"it took more than {self._memory_limit / 2**30:.1f} GiB of memory, and was stopped")
        raise Ended(f"it hung: no end within {limit_s:g} seconds, not even in a process of its own")

    def _has_ended(self) -> bool:
        try:
            self._process.wait(0)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _how_it_ended(self) -> str:
        try:
            code = self._process.wait(timeout=_END_S)
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


def _why_not_made(said: Mapping[str, Any]) -> Exception:
    """The error to raise for a model that its worker says cannot be made."""
    why = str(said.get("error"))
    if not said.get("is_exception"):
        return NeverMade(f"importing or making the model ended badly: it raised {why}")
    # The worker's word is text alone. With one of Python's own errors, that is as good as the error itself.
    kind = getattr(builtins, str(said.get("builtin")), None)
    original = None
    if isinstance(kind, type) and issubclass(kind, Exception):
        with suppress(Exception):  # some want more than a text
            original = kind(str(said.get("text")))
    return CannotBeMade(why, original)


class Pool:
    """One worker at a time: the next one is made when the last has ended."""

    def __init__(self, job: Job, *, memory_limit: int = MEMORY_LIMIT) -> None:
        self._job = job
        self._memory_limit = memory_limit
        self._worker: Worker | None = None
        self._ended: list[tuple[str, frozenset[Need]]] = []
        """The checks in which a worker ended since the model last did the like, with what they needed."""
        self._ended_as_it_is = ""
        """The check in which one ended that was calling the model as it is."""

    def worker(self) -> Worker:
        """The worker, made if there is none."""
        if self._worker is None:
            self._worker = Worker(self._job, memory_limit=self._memory_limit)
        return self._worker

    def run(self, check: Check) -> Result:
        """The result of one check, whatever happens in it.

        A model that ended its worker `ENOUGH` times, and never did the like in between, is not asked the like again: it
        would go on for an hour. One that hangs at faults alone is still asked for answers.
        """
        needs = _all_needs(check)
        reason = self._gave_up_on(needs)
        if check.calls_as_it_is and self._ended_as_it_is:
            # Each worker makes its calls anew: more than were announced.
            reason = f"the model hung or died in {self._ended_as_it_is}, and was not called again as it is"
        if reason:
            return Result(id=check.id, verdict="not observed", observed=reason)
        began = time.monotonic()
        try:
            worker = self.worker()
        except (CannotBeMade, Ended) as error:  # it was made before, so this is the model's own doing
            return failed_result(check, f"the model could be made once, and not again: {error}")
        try:
            result = worker.run(check)
        except Ended as ended:
            result = failed_result(check, str(ended), time.monotonic() - began, worker.noise())
            if check.calls_as_it_is:
                self._ended_as_it_is = check.id
            else:
                self._ended.append((check.id, needs))
            self.close()
        else:
            if result.verdict == "pass":
                self._ended = [(name, needed) for name, needed in self._ended if not needed <= needs]
        return result

    def _gave_up_on(self, needs: frozenset[Need]) -> str:
        """Why the model is not asked for what needs this; empty if it is."""
        last = self._ended[-ENOUGH:]
        if len(last) < ENOUGH:
            return ""
        common = frozenset.intersection(*(needed for _, needed in last))
        if not common or not common <= needs:
            return ""
        names = ", ".join(name for name, _ in last)
        again = "again" if common == frozenset({"answer"}) else f"again for {' and '.join(sorted(common - {'answer'}))}"
        return f"the model hung or died in each of {names}, and was not asked {again}"

    @property
    def gave_up(self) -> str:
        """Why the model is not asked for answers any more; empty if it still is."""
        return self._gave_up_on(frozenset({"answer"}))

    def close(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None


def _all_needs(check: Check) -> frozenset[Need]:
    """What a check needs, and what that implies: whatever is seen of a model, it is asked for an answer."""
    return frozenset({*check.needs, "answer"}) if check.needs else frozenset()
