"""Tracebacks without the frames whose variables hold what was sent, or what a server said of it.

Error trackers and debuggers show the variables of all frames: Sentry by default, `rich.traceback`, `pytest -l`. A key
is hidden in langplug's own variables, and cannot be in those of the libraries that write it to a socket or start a
program with it.
"""

from types import TracebackType
from typing import TypeVar

from langchain_core.exceptions import ModelError

Error = TypeVar("Error", bound=BaseException)

_LIBRARIES = frozenset(
    {"aiohttp", "yarl", "multidict", "aiosignal", "frozenlist", "aiohappyeyeballs", "propcache", "aiodns", "asyncio"}
    | {"async_timeout", "ssl", "socket", "urllib", "json", "encodings", "codecs", "subprocess"}
)


def drop_library_frames(error: Error) -> Error:
    """`error`, without the frames of libraries in its traceback and in those of its causes.

    The frames of others stay, such as those of a middleware in a session of the user's own.
    """
    seen: dict[int, BaseException] = {}
    found: list[BaseException | None] = [error]
    while found:
        one = found.pop()
        if one is None or id(one) in seen:
            continue
        seen[id(one)] = one
        found += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
        steps: list[TracebackType] = []
        step = one.__traceback__
        while step is not None:
            steps.append(step)
            step = step.tb_next
        kept: TracebackType | None = None
        for step in reversed(steps):
            package = str(step.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
            if package not in _LIBRARIES:
                step.tb_next = kept
                kept = step
        one.__traceback__ = kept
    return error


def drop_own_frames(error: ModelError) -> ModelError:
    """`error`, without its traceback as far as it has come, and without what is never shown of its origin."""
    if error.__suppress_context__:
        error.__context__ = None  # of a JSONDecodeError, it is the whole document
    drop_library_frames(error)
    error.__traceback__ = None
    return error
