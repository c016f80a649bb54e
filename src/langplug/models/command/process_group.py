"""A process and its group: started, signalled and waited for, whatever becomes of the event loop that asked for it.

A thread of langplug's pool starts the process and waits for it. So no event loop is blocked by a slow start, no child
watcher is needed, and the process is reaped even if its loop is closed by then.
"""

import asyncio
import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

from langplug._bridge.forks import in_forked_child
from langplug._bridge.futures import settle_from_thread
from langplug._bridge.threads import spawn
from langplug._redaction import reveal
from langplug._tracebacks import drop_library_frames

REAP_S = 1.0
"""Seconds that a killed process gets to be gone. Only one that hangs in the kernel takes longer."""

EXIT_S = 0.5
"""Seconds that programs get to end by themselves when the interpreter exits."""

SIGTERM = signal.SIGTERM
SIGKILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has none


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start.

    Attributes:
        arguments: The program and its arguments, as they are; no shell reads them.
        environment: All of its environment.
        directory: Where it runs. Default: where this process does.
        stdin: What it can read from its stdin. None: it is empty.
        linger: Seconds between the end of its output and its own end, whichever comes first, after which it is ended.
        kill_after: Seconds between SIGTERM and SIGKILL.
        stderr_limit: Bytes of its stderr that are kept: the last ones.
    """

    arguments: tuple[str | SecretStr, ...]
    environment: Mapping[str, str | SecretStr]
    directory: str | None = None
    stdin: bytes | None = None
    linger: float = 2.0
    kill_after: float = 0.5
    stderr_limit: int = 4096


class ProcessGroup:
    """A process and its group, started and waited for by a thread. Signals may be sent from any thread.

    Attributes:
        started: Done when it runs, or could not be started.
        exited: Its exit status, once it has ended; negative for a signal.
        error: Why it could not be started.
        process: The process, once it is started.
        gone: Set when it has ended, or could not be started.
    """

    def __init__(self, launch: Launch) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[None] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        self.error: BaseException | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.gone = threading.Event()
        self._launch = launch
        self._unwanted = False
        self._parent = os.getpid()
        _alive.add(self)
        spawn(self._live)

    def signal(self, number: int) -> bool:
        """Send a signal to the whole group; return whether anybody got it. Number 0 only looks.

        The group's number stays taken while anybody is in it, so nobody else can be hit. When it is empty, the system
        gives numbers away in turn, and comes back to this one long after we have stopped asking.
        """
        if self.process is None or self._parent != os.getpid():  # in a fork, it belongs to the parent
            return False
        try:
            if sys.platform != "win32":
                os.killpg(self.process.pid, number)
            elif self.process.poll() is not None:
                return False
            elif number:  # Windows has neither groups nor signals; this ends the process and its children
                subprocess.Popen(["taskkill", "/F", "/T", "/PID", str(self.process.pid)])  # noqa: S603, S607
        except (ProcessLookupError, PermissionError):  # the latter on macOS, where only the dead are left
            return False
        return True

    def is_inhabited(self) -> bool:
        """Whether anybody in the group lives; reads all of /proc, if there is one.

        A signal also reaches processes that have ended, as long as nobody has waited for them; some containers have no
        init process that does. Source: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html.
        """
        if self.process is None:
            return False
        try:
            folders = [entry.path for entry in os.scandir("/proc") if entry.name.isdigit()]
        except OSError:  # not Linux: assume that whoever gets signals lives
            return True
        for folder in folders:
            try:
                with open(f"{folder}/stat", "rb") as file:  # noqa: PTH123 - thousands of these
                    # The program's name comes before, in parentheses, and may itself hold spaces and parentheses.
                    state, _, group = file.read().rpartition(b")")[2].split()[:3]
            except (OSError, ValueError):  # gone by now
                continue
            if int(group) == self.process.pid and state not in (b"Z", b"X"):
                return True
        return False

    def kill(self) -> None:
        """Kill the whole group, now or as soon as it is there."""
        self._unwanted = True
        self.signal(SIGKILL)

    def _live(self) -> None:
        """Start the process and wait for it. It must not raise: it runs in a thread of the pool."""
        try:
            self.process = process = _start(self._launch)
        except Exception as error:  # noqa: BLE001 - whoever waits for `started` raises it
            self.error = drop_library_frames(error)  # those of `subprocess` hold all that the program was given
            self._end()
            settle_from_thread(self.started)
            return
        if self._unwanted or _exiting:
            self.signal(SIGKILL)
            close_pipes(process)  # nobody else will
        settle_from_thread(self.started)
        status = process.wait()
        self._end()
        settle_from_thread(self.exited, status)

    def _end(self) -> None:
        _alive.discard(self)
        self.gone.set()


def settle(future: "asyncio.Future[Any]", result: Any) -> None:
    """Give `future` its result, unless whoever waited for it has gone."""
    if not future.done():
        future.set_result(result)


def _start(launch: Launch) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    stdin = subprocess.DEVNULL if launch.stdin is None else pipe
    if sys.platform == "win32":
        from asyncio.windows_utils import Popen  # an event loop can read its pipes, unlike those of `subprocess`

        return Popen(
            reveal(launch.arguments),
            env=reveal(launch.environment),
            cwd=launch.directory,
            stdin=stdin,
            stdout=pipe,
            stderr=pipe,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )
    return subprocess.Popen(  # noqa: S603 - running a given program is what this is for; no shell is
        # As UTF-8 whatever the locale says: in a container's "C" locale Python would refuse what is not ASCII.
        [argument.encode() for argument in reveal(launch.arguments)],
        env=reveal(launch.environment),
        cwd=launch.directory,
        stdin=stdin,
        stdout=pipe,
        stderr=pipe,
        bufsize=0,
        # A group of its own, so that Ctrl-C at the terminal reaches us alone, and we can end it with all its children.
        start_new_session=True,
    )


def close_pipes(process: "subprocess.Popen[bytes]", connected: int = 0) -> None:
    """Close its pipes except those that are `connected` to a loop, in the order in which they would be."""
    for pipe in [process.stdout, process.stderr, process.stdin][connected:]:
        if pipe is not None:
            pipe.close()


# --- the ends of this process ---

_alive: set[ProcessGroup] = set()
"""What runs. A set's `add` and `discard` are atomic."""

_exiting = False


@atexit.register
def _end_all() -> None:
    """End all programs: none may outlive the interpreter that started it."""
    global _exiting  # noqa: PLW0603 - an interpreter ends once
    _exiting = True
    left = list(_alive)
    for group in left:
        group.signal(SIGTERM)
    until = time.monotonic() + EXIT_S
    for group in left:
        group.gone.wait(max(0.0, until - time.monotonic()))
    for group in left:
        group.kill()
    for group in left:
        group.gone.wait(REAP_S)


in_forked_child(_alive.clear)  # what its parent runs belongs to the parent
