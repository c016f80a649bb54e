"""What error trackers and debuggers show of an error: the variables of each frame, and of its causes' frames."""

import io
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.traceback import Traceback

TESTS = Path(__file__).parent


def leaks(error: BaseException, secret: str) -> list[str]:
    """Where `secret` shows: in an error or a variable of it, its causes, contexts and groups, as far as they go."""
    return [where for where, shown in _everything_shown(error) if secret in shown]


def _everything_shown(error: BaseException) -> Iterator[tuple[str, str]]:
    """Each variable of each frame, and how it is shown: its repr, that of what it contains, and of what `self` has."""
    for one in chain(error):
        yield f"the error {type(one).__name__}", f"{one!r} {one} {one.args!r} {vars(one)!r}"
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if not Path(frame.f_code.co_filename).is_relative_to(TESTS):  # a test may know what it has planted
                yield from _variables_of(frame)


def chain(error: BaseException) -> list[BaseException]:
    """`error` and all that it came from, whether or not it would be printed."""
    found: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and all(one is not other for other in found):
            found.append(one)
            waiting += [one.__cause__, one.__context__]
            waiting += one.exceptions if isinstance(one, BaseExceptionGroup) else []
    return found


def shown(value: Any) -> str:
    """The repr of anything, as debuggers show it: half-made objects have none."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"<{error}>"


def _variables_of(frame: FrameType) -> Iterator[tuple[str, str]]:
    for name, value in frame.f_locals.items():
        where = f"{name} in {frame.f_code.co_name} ({frame.f_globals.get('__name__')}:{frame.f_lineno})"
        yield where, shown(value)
        if isinstance(value, str | bytes):  # as `rich` cuts what is long, which takes it out of what hides it
            yield where, shown(value[:80])
        if isinstance(value, Mapping):
            yield where, shown(dict(value))
        if isinstance(value, list | tuple | set):
            yield where, repr([shown(item) for item in value])
        for attribute, held in _attributes_of(value) if name == "self" else ():
            yield f"self.{attribute} in {where}", shown(held)
            if isinstance(held, dict | list | tuple | set):
                yield f"self.{attribute} in {where}", repr([*(held.items() if isinstance(held, dict) else held)])


def _attributes_of(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, slot):
                yield slot, getattr(value, slot)


def printed(error: BaseException) -> str:
    """How the standard library and rich print it with variables, without the frames of tests."""
    for one in chain(error):
        steps: list[TracebackType] = []
        step = one.__traceback__
        while step is not None:
            steps.append(step)
            step = step.tb_next
        one.__traceback__ = None
        for step in reversed(steps):
            if not Path(step.tb_frame.f_code.co_filename).is_relative_to(TESTS):
                step.tb_next, one.__traceback__ = one.__traceback__, step
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = Console(file=io.StringIO(), width=500)
    console.print(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=80, max_frames=0, extra_lines=0
        )
    )
    assert isinstance(console.file, io.StringIO)
    return shown + console.file.getvalue()
