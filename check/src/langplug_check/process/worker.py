"""A process that makes the model and runs checks on it, one by one: `python -m langplug_check.process.worker`.

It reads from stdin, pickled by its owner, a `Job` and the nonce of its answers; then, request by request, a nonce and
the id of a check. Its answers are lines as `channel` describes them: `made` once there is a model, `identity`, then a
result for each id; or `failed`, if the model cannot be made. What the model prints goes to stderr.
"""

import importlib
import os
import pickle
import select
import signal
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from langplug_check.job import Job, identify
from langplug_check.paths import error_text
from langplug_check.process import own_forks
from langplug_check.process.channel import write_answer
from langplug_check.process.offline import block_network
from langplug_check.runner import failed_result, run_check_uncaptured
from langplug_check.statement import all_checks

_COPY_S = 1.0
"""Seconds that a copy of this process, which a check forked, has for coming back to where this one waits for it."""


class Owner:
    """The process that started this one, as this one sees it."""

    def __init__(self) -> None:
        # `dup` gives descriptors that programs started from here do not inherit. The model gets an empty stdin, and
        # stderr as its stdout: our own streams are not for it.
        self._inbox, self._outbox = os.fdopen(os.dup(0), "rb"), os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self._pid = os.getpid()
        self._back, self._came_back = os.pipe()
        self._forks = 0
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_parent=self._count_fork)

    def _count_fork(self) -> None:
        self._forks += 1

    def next_request(self) -> Any:
        """The next thing that the owner sends. If it has gone, this process ends."""
        try:
            return pickle.load(self._inbox)  # noqa: S301 - from the process that started this one
        except (EOFError, OSError, ValueError):
            os._exit(0)  # threads that a model left behind must not keep this process alive

    def answer(self, nonce: str, name: str, said: Mapping[str, Any]) -> None:
        """Answer a request. If the model closed our descriptors, this process ends, which the owner sees."""
        line = memoryview(write_answer(nonce, name, said))
        try:
            while line:
                line = line[os.write(self._outbox, line) :]
        except OSError:
            os._exit(1)

    def copy_came_back(self) -> bool:
        """Whether a model forked this process, and both went on. The copy itself ends here."""
        if os.getpid() != self._pid:
            os.write(self._came_back, b"!")
            os._exit(0)
        forked, self._forks = self._forks > len(own_forks.ended), 0
        own_forks.ended.clear()
        try:
            came = False
            # A copy forks as well, and each comes back by itself: those that are late are not the next check's.
            while select.select([self._back], [], [], _COPY_S if forked else 0)[0]:
                came = bool(os.read(self._back, 64))
        except (OSError, ValueError):  # the model closed it
            os._exit(1)
        return came


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # so a KeyboardInterrupt here is the model's own doing
    owner = Owner()
    nonce, job = owner.next_request()
    sys.path[:] = job.path
    warnings.simplefilter("always")
    with block_network():
        subject = _make(owner, nonce, job)
        checks = all_checks()
        while True:
            nonce, check_id = owner.next_request()
            result = run_check_uncaptured(checks[check_id], subject)
            if owner.copy_came_back():
                result = replace(
                    failed_result(checks[check_id], "it forked this process, and the copy came back as well"),
                    seconds=result.seconds,
                )
            owner.answer(nonce, check_id, asdict(result))


def _make(owner: Owner, nonce: str, job: Job) -> Any:
    """The model of the job, as checks see it. If there is none, the owner is told why, and this process ends."""
    try:
        for module in job.modules:
            importlib.import_module(module)
        target = job.target()
        owner.answer(nonce, "made", {})  # whatever happens from now on happens as the model is asked, not as it is made
        subject = job.subject(target)
        identity = identify(subject)
    except BaseException as error:  # noqa: BLE001 - the owner reports it
        kind = type(error)
        said = {"error": error_text(error), "is_exception": isinstance(error, Exception)}
        if kind.__module__ == "builtins":
            said |= {"builtin": kind.__qualname__, "text": error_text(error).partition(": ")[2]}
        owner.answer(nonce, "failed", said)
        os._exit(0)
    if owner.copy_came_back():
        identity = replace(identity, error="as it was asked, it forked this process, and the copy came back as well")
    owner.answer(nonce, "identity", asdict(identity))
    return subject


if __name__ == "__main__":
    main()
