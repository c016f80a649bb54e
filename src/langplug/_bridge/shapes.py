"""The four shapes of a Python function that can be a model, and what can be followed of what it gives.

The shape is read once, when the class is made, and says where the function is called. It may be the wrong one: a
wrapper is a `def` around anything. So what the function gives is looked at each time that it runs.
"""

import functools
import inspect
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Sized
from concurrent.futures import Future
from enum import Enum
from typing import Any


class Shape(Enum):
    """How a function gives its answer."""

    FUNCTION = "def, returning"
    GENERATOR = "def, yielding"
    COROUTINE = "async def, returning"
    ASYNC_GENERATOR = "async def, yielding"

    @property
    def is_async(self) -> bool:
        """Whether it runs on an event loop."""
        return self in ASYNC_SHAPES

    @property
    def streams(self) -> bool:
        """Whether it gives its answer piece by piece."""
        return self in (Shape.GENERATOR, Shape.ASYNC_GENERATOR)


ASYNC_SHAPES = frozenset({Shape.COROUTINE, Shape.ASYNC_GENERATOR})


def shape_of(function: Callable[..., Any]) -> Shape:
    """The shape of `function`; what it wraps (`functools.partial`, a callable object) is looked through."""
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function) and not isinstance(function, type):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - to look at it, not to test for it
    if inspect.isasyncgenfunction(function):
        return Shape.ASYNC_GENERATOR
    if inspect.iscoroutinefunction(function):
        return Shape.COROUTINE
    if inspect.isgeneratorfunction(function):
        return Shape.GENERATOR
    return Shape.FUNCTION


def needs_thread(answer: Any) -> bool:
    """Whether `answer` is an iterator of parts or a thread's future, whose reading may block."""
    if isinstance(answer, str | dict):  # what most functions return
        return False
    if isinstance(answer, Iterator | Future):
        return True
    # Some streams are no iterators by themselves (botocore's). A list is not read: it would hide a forgotten
    # `yield from`. Models of pydantic, v1 and v2, can be iterated and are data; and so can asyncio's futures.
    return isinstance(answer, Iterable) and not (isinstance(answer, Sized | Awaitable) or hasattr(answer, "json"))


def needs_loop(answer: Any) -> bool:
    """Whether `answer` is an awaitable or an async iterator, which only an event loop can read."""
    return type(answer) is not str and isinstance(answer, AsyncIterable | Awaitable)
