"""Starts Python programs that need LangChain: as forks of a process that has imported it, or else as fresh ones.

To import LangChain and the checks takes a second or two of CPU, and a fork some milliseconds. That is saved for each
worker, for each that replaces one that died, and for langchain-tests' cases.
"""

import atexit
import os
import pickle
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

SIZE = struct.Struct("!q")
"""A number as it goes between the caller and the fork server."""

START_LIMIT_S = 60.0
"""Seconds within which the fork server has to have imported all, and a worker to have made its model."""

_ATTEMPTS = 2
"""Fork servers that are asked: the first may be gone."""

QUIET: Mapping[str, str] = {"LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "LANGCHAIN_TRACING": ""}
"""No tracing: what is checked must not be sent anywhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program to start, as `python -m MODULE ARGUMENTS` would.

    Attributes:
        module: The module to run.
        arguments: Its command line.
        environment: Variables beside those of this process.
        path: Where modules are looked for.
        folder: The working directory.
    """

    module: str
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: {**os.environ, **QUIET})
    path: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    folder: str = field(default_factory=os.getcwd)


class Process(Protocol):
    """What `subprocess.Popen` and `Fork` have in common."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; returns the exit code, or minus the number of the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: If it does not end within `timeout` seconds.
        """
        ...


class Fork:
    """A process that the fork server forked. Only its parent can wait for it, and writes here how it ended."""

    def __init__(self, pid: int, status: int) -> None:
        self.pid = pid
        self._status = status
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """As `Process` says."""
        if self._code is not None:
            return self._code
        if not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        written = os.read(self._status, SIZE.size)
        os.close(self._status)
        # Nothing is written if the fork server itself was killed. Then nobody knows how its forks end.
        code: int = SIZE.unpack(written)[0] if written else -signal.SIGKILL
        self._code = code
        return code


class ForkServer:
    """The process that forks, as its owner sees it. It ends when its owner ends, however that happens."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.is_broken = False
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(START_LIMIT_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-u", "-m", "langplug_check.process.forkserver"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **QUIET, "PYTHONPATH": join_path(sys.path)},
                start_new_session=True,  # Ctrl-C is for the owner, which then ends the workers by itself
            )
        atexit.register(self.close)

    def fork(self, program: Program, streams: Sequence[int]) -> Fork | None:
        """The program, started with these three streams; None if it cannot be forked, or not safely."""
        if self.is_broken:
            return None
        message = pickle.dumps(program)
        status, theirs = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._control, [SIZE.pack(len(message))], [*streams, theirs])
                self._control.sendall(message)
                (pid,) = SIZE.unpack(self._control.recv(SIZE.size))
        except (OSError, struct.error):
            self.is_broken, pid = True, 0
        finally:
            os.close(theirs)
        if pid == 0:
            os.close(status)
            return None
        return Fork(pid, status)

    def close(self) -> None:
        """End it. What it forked goes on."""
        self._control.close()
        if self.owner == os.getpid():
            self._process.wait()


_starting = threading.Lock()
_servers: list[ForkServer] = []


def launch(program: Program, *, stdin: int, stdout: int, stderr: int) -> Process:
    """Start a program, in a process group of its own, and without the caller's terminal.

    Args:
        program: The program.
        stdin: The file descriptor of its standard input.
        stdout: That of its standard output.
        stderr: That of its standard error.
    """
    # Elsewhere, system libraries do not survive a fork (macOS), or there is none (Windows).
    if sys.platform == "linux":
        for _ in range(_ATTEMPTS):
            with _starting:
                # A fork of this process has a server of its own. And a model may kill the one that is its parent: then
                # the next model must not become a child of this process, which it would kill in the same way.
                if not _servers or _servers[-1].owner != os.getpid() or _servers[-1].is_broken:
                    _servers.append(ForkServer())
                server = _servers[-1]
            forked = server.fork(program, (stdin, stdout, stderr))
            if forked is not None:
                return forked
            if not server.is_broken:  # it lives, and cannot fork safely
                break
    return subprocess.Popen(  # noqa: S603 - a module of ours, or pytest
        [sys.executable, "-u", "-m", program.module, *program.arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**program.environment, "PYTHONPATH": join_path(program.path)},
        cwd=program.folder,
        start_new_session=True,
    )


def join_path(path: Sequence[str]) -> str:
    """The places where modules are looked for, as a value of `PYTHONPATH`."""
    return os.pathsep.join(entry for entry in path if entry)


def kill(process: Process) -> None:
    """End a process and those that it started, whatever they do. Waits until it is gone."""
    # Those in groups and sessions of their own are not in its group. With it goes what says that they are its own.
    strays = _descendants(process.pid)
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            os.kill(process.pid, signal.SIGTERM)  # on Windows, this is TerminateProcess
    for stray in strays:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(stray, signal.SIGKILL)
    process.wait()


def _descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they started; none where the system does not tell."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            parent = int(stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
            children[parent].append(int(stat.parent.name))
    found, at = [pid], 0
    while at < len(found):
        found += children[found[at]]
        at += 1
    return found[1:]
