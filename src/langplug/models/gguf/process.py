"""What engines share with the process that they run in: its end, and forks of it.

A thread that comes back from compiled code into a dead interpreter aborts the process, and a process forked from one
that has used an engine has none of its threads: it can neither use it nor tear it down.
"""

import atexit
import ctypes
import os
import threading
import weakref
from typing import Any, Final

from langplug import UnsupportedError
from langplug._bridge.forks import in_forked_child
from langplug._errors import advised
from langplug.models.gguf.engine import Engine

_EXIT_S: Final = 10.0
"""Seconds that calls get to end when the interpreter exits. Each ends with its next token."""


class _InFlight:
    """Counts the calls into engines that run now."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    def __enter__(self) -> None:
        with self._changed:
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until no call runs, for at most `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._running == 0, seconds)


_in_flight = _InFlight()
_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()
_first_users: dict[str, int] = {}
"""The id of the process that first used each engine; a fork inherits it."""


def enlist(engine: Engine) -> None:
    """Have `engine` closed before the interpreter exits, and disowned in forked children."""
    _engines.add(engine)


def in_flight() -> _InFlight:
    """What counts the calls of this process; enter it for each."""
    return _in_flight


def begin_use(engine: str) -> None:
    """Note that this process uses the engine of that name."""
    _first_users.setdefault(engine, os.getpid())


def refuse_in_fork(engine: str) -> None:
    """Raise if this process was forked from one that had used the engine of that name.

    Raises:
        UnsupportedError: If so.
    """
    if _first_users.get(engine, os.getpid()) != os.getpid():
        message = (
            f"This process was forked from one that had already used {engine}, and {engine} cannot be used in both. "
            "Start workers by 'spawn' or 'forkserver' (multiprocessing.set_start_method), or use the model in the "
            "parent only after forking."
        )
        raise advised(UnsupportedError(message))


def leak(held: Any) -> None:
    """Keep `held` from ever being torn down."""
    # A reference that nobody holds and nobody can drop, not even the interpreter when it clears all modules.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


@atexit.register
def _at_exit() -> None:
    """End all calls: a thread that comes back from an engine into a dead interpreter would abort the process."""
    for engine in list(_engines):
        engine.close()
    _in_flight.wait(_EXIT_S)


@in_forked_child
def _after_fork() -> None:
    """In a forked child: it has none of the engines' threads, so tearing one down would wait for them forever."""
    global _in_flight, _engines  # the present ones belong to the parent
    engines, _engines, _in_flight = list(_engines), weakref.WeakSet(), _InFlight()
    for engine in engines:
        engine.disown()
    if _first_users:
        # Leave the process with its exit code right after Python has ended, before C++ tears down its globals. This
        # needs glibc's `on_exit`: what is registered last runs first, and `_exit` takes the status as its first
        # argument: https://man7.org/linux/man-pages/man3/on_exit.3.html.
        libc = ctypes.CDLL(None)
        if hasattr(libc, "on_exit"):
            libc.on_exit(libc["_exit"], None)
