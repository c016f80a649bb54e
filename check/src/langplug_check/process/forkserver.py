"""A process that has imported LangChain and the checks, and forks: `python -m langplug_check.process.forkserver`.

Its stdin is a Unix socket. A request is the length of a pickled `Program`, with the file descriptors of the new
process' stdin, stdout and stderr and of a pipe for its exit code; then the `Program`. The answer is the number of the
new process, or 0 if forking is not safe. The server ends when the socket is closed.
"""

import gc
import importlib
import os
import pickle
import runpy
import selectors
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from langplug_check.process.launch import SIZE, Program
from langplug_check.statement import all_checks


def main() -> None:
    """Serve until the socket is closed; and in each fork, run its program."""
    all_checks()
    gc.collect()
    gc.freeze()  # so that no fork's collector writes into the pages that all of them share
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    program = Forker(control).serve()
    if program is not None:
        os.environ.clear()
        os.environ.update(program.environment)
        os.chdir(program.folder)
        sys.path[:] = program.path
        importlib.invalidate_caches()
        sys.argv = [program.module, *program.arguments]
        runpy.run_module(program.module, run_name="__main__", alter_sys=True)


class Forker:
    """Forks on request, and writes how each fork ended to whoever waits for it."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._statuses: dict[int, int] = {}
        """Where to write how a process ended, by its number."""
        # The end of a child does not end a `select` by itself (PEP 475); what Python then writes here does.
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def serve(self) -> Program | None:
        """Serve until the socket is closed. Returns None then, and in each new process the program that it runs."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready: list[Any] = [key.fileobj for key, _ in selector.select()]
                if self._woken in ready:
                    self._woken.recv(4096)
                    with suppress(ChildProcessError):  # there are no more
                        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                            status = self._statuses.pop(ended[0])
                            with suppress(BrokenPipeError):  # nobody waits for it
                                os.write(status, SIZE.pack(os.waitstatus_to_exitcode(ended[1])))
                            os.close(status)
                if self._control in ready:
                    head, descriptors, _, _ = socket.recv_fds(self._control, SIZE.size, 4, socket.MSG_WAITALL)
                    if not head:
                        return None
                    message = self._control.recv(SIZE.unpack(head)[0], socket.MSG_WAITALL)
                    if self._fork(*descriptors) == "child":
                        program: Program = pickle.loads(message)  # noqa: S301 - from the process that started us
                        return program

    def _fork(self, stdin: int, stdout: int, stderr: int, status: int) -> str:
        # A fork has one thread, and the locks of those that it does not have stay locked in it. So there must be none,
        # neither one of Python's nor of a library in C, which only the system knows.
        is_safe = threading.active_count() == 1 and len([*Path("/proc/self/task").iterdir()]) == 1
        pid = os.fork() if is_safe else -1
        if pid >= 0:
            # A process group of its own. Both sides make it, so that it is there before anybody can kill it.
            with suppress(OSError):  # the other side was first, and the program may have ended since
                os.setpgid(pid, pid)
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, stream in enumerate((stdin, stdout, stderr)):
                os.dup2(stream, number)
            for end in (self._control, self._woken, self._wake):
                end.close()
            # Another's status too: it would not end while a copy of it is open.
            for descriptor in (stdin, stdout, stderr, status, *self._statuses.values()):
                os.close(descriptor)
            return "child"
        for stream in (stdin, stdout, stderr):
            os.close(stream)
        if pid > 0:
            self._statuses[pid] = status
        else:
            os.close(status)
        self._control.sendall(SIZE.pack(max(pid, 0)))
        return "parent"


if __name__ == "__main__":
    main()
