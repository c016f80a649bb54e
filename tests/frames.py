"""What error trackers and debuggers show of an error: the variables of each frame, and of its causes' frames."""

import io
import traceback
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from rich.console import Console
from rich.traceback import Traceback


def shown_variables(error: BaseException, *, outside: str) -> Iterator[tuple[str, str]]:
    """Each variable of each frame, and how it is shown: its repr, that of what it contains, and of what `self` has.

    Args:
        error: What was raised; its causes, contexts and groups are followed.
        outside: Frames of this file are the test's own, and left out.
    """
    for one in chain(error):
        yield (
            f"the error {type(one).__name__}",
            f"{one!r} {one} {one.args!r} {vars(one)!r} {one.__dict__.get('__notes__')}",
        )
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename != outside:
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


def _variables_of(frame: FrameType) -> Iterator[tuple[str, str]]:
    for name, value in frame.f_locals.items():
        where = f"{name} in {frame.f_code.co_qualname} ({frame.f_globals.get('__name__')}:{frame.f_lineno})"
        yield where, repr(value)
        if isinstance(value, Mapping):
            yield where, repr(dict(value))
        if isinstance(value, list | tuple | set):
            yield where, repr([repr(item) for item in value])
        for attribute, held in _attributes_of(value) if name == "self" else ():
            yield f"self.{attribute} in {where}", repr(held)
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
    """How the standard library and rich print it with variables."""
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    console = Console(file=io.StringIO(), width=500)
    console.print(
        Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_string=None, locals_max_length=None
        )
    )
    assert isinstance(console.file, io.StringIO)
    return shown + console.file.getvalue()
