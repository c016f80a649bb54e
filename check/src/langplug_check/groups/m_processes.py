"""Group M: other processes, and waits that a server asks for."""

import os
import select
import signal
import time
from contextlib import suppress

from langplug_backend import Fault, Reply
from langplug_check.drivers import SAID
from langplug_check.paths import error_text
from langplug_check.process import own_forks
from langplug_check.statement import statement
from langplug_check.subject import Subject
from langplug_check.verdicts import Failed, NotApplicable, NotObserved

_CHILD_S = 10.0
"""Seconds that a call in a copy of the process may take."""


@statement(
    "M12",
    "A model that tries again after status 429 waits for as long as `Retry-After` asks.",
    why="Tries that come too soon are used up before the server takes requests again.",
    hint="""
    delay = float(response.headers.get("retry-after", 0)) or backoff
    """,
    link="https://www.rfc-editor.org/rfc/rfc9110#field.retry-after",
    needs=("faults", "requests", "backend"),
    limit_s=40.0,
)
def waits_as_asked(subject: Subject) -> str:
    """Refuse the first request with 429 and a second to wait; look at when the next one comes."""
    if not subject.takes("max_retries"):
        raise NotApplicable("it has no parameter `max_retries` (see A02)")
    wait_s = 1.0
    busy = Reply(text=SAID, faults=(Fault.status(429, retry_after=wait_s),))
    outcome = subject.ask(subject.says(busy, Reply(text=SAID), max_retries=2))
    times = [exchange.at for exchange in subject.exchanges]
    if len(times) < 2:
        raise NotObserved(f"it did not try again: see M08 ({error_text(outcome.error)})")
    waited = times[1] - times[0]
    # A clock that is read here and there may differ by a little.
    if waited < 0.9 * wait_s:
        raise Failed(f"Retry-After asked for {wait_s:g} s, and the next request came after {waited:.2f} s", "to wait")
    outcome.answer  # noqa: B018 - an error here is a failure
    return f"after {waited:.2f} s"


@statement(
    "M13",
    "A model that was used works in a copy of the process that was forked afterwards.",
    why="gunicorn, Celery and multiprocessing fork: threads and locks of the parent are not there in the child.",
    hint="""
    # no thread, lock or connection that was begun before the fork serves after it
    os.register_at_fork(after_in_child=self._forget_connections)
    """,
    link="https://docs.python.org/3/library/os.html#os.fork",
    needs=("answer",),
    risky=True,
    limit_s=30.0,
)
def works_after_fork(subject: Subject) -> None:
    """Use it, fork, and use it in the copy."""
    if not hasattr(os, "fork"):
        raise NotApplicable("this system has no fork")
    model = subject.model()
    before = subject.ask(model).answer
    expected = str(before.text)
    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of the kit's may run on in the copy, whatever the model does.
        said = "nothing"
        try:
            outcome = subject.ask(model)
            said = outcome.text if outcome.error is None else f"raised {error_text(outcome.error)}"
        finally:
            with suppress(BaseException):
                os.write(outlet, said.encode(errors="replace")[:4096])
            os._exit(0)
    os.close(outlet)
    deadline = time.monotonic() + _CHILD_S
    try:
        if not select.select([inlet], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise Failed(f"in a copy of the process, invoke did not end within {_CHILD_S:g} s", repr(expected))
        said = os.read(inlet, 4096).decode(errors="replace")
    finally:
        os.close(inlet)
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)
        own_forks.ended.append(child)
    if said != expected:
        raise Failed(f"in a copy of the process, invoke gave {said!r}", repr(expected))
