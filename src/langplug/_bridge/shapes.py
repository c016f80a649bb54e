"""The four shapes of a Python function that can be a model, told apart once, when its class is made."""

import functools
import inspect
from collections.abc import Callable
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
