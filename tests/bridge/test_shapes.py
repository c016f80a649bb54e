"""The four shapes of a function, told apart."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from langplug._bridge.shapes import Shape, shape_of


def function(request: Any) -> str:
    return "x"


def generator(request: Any) -> Iterator[str]:
    yield "x"


async def coroutine(request: Any) -> str:
    return "x"


async def async_generator(request: Any) -> AsyncIterator[str]:
    yield "x"


class Callee:
    """An object that is called, in any shape."""

    def __call__(self, request: Any) -> str:
        return "x"


class GeneratorCallee:
    def __call__(self, request: Any) -> Iterator[str]:
        yield "x"


class CoroutineCallee:
    async def __call__(self, request: Any) -> str:
        return "x"


class AsyncGeneratorCallee:
    async def __call__(self, request: Any) -> AsyncIterator[str]:
        yield "x"

    async def method(self, request: Any) -> AsyncIterator[str]:
        yield "x"


@functools.wraps(generator)
def wrapper(request: Any) -> Any:
    return generator(request)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param(function, Shape.FUNCTION, id="function"),
        pytest.param(generator, Shape.GENERATOR, id="generator"),
        pytest.param(coroutine, Shape.COROUTINE, id="coroutine"),
        pytest.param(async_generator, Shape.ASYNC_GENERATOR, id="async generator"),
        pytest.param(lambda request: "x", Shape.FUNCTION, id="lambda"),
        pytest.param(functools.partial(generator), Shape.GENERATOR, id="partial"),
        pytest.param(functools.partial(functools.partial(coroutine)), Shape.COROUTINE, id="partial of a partial"),
        pytest.param(Callee(), Shape.FUNCTION, id="callable"),
        pytest.param(GeneratorCallee(), Shape.GENERATOR, id="generator callable"),
        pytest.param(CoroutineCallee(), Shape.COROUTINE, id="coroutine callable"),
        pytest.param(AsyncGeneratorCallee(), Shape.ASYNC_GENERATOR, id="async generator callable"),
        pytest.param(AsyncGeneratorCallee().method, Shape.ASYNC_GENERATOR, id="bound method"),
        pytest.param(functools.partial(AsyncGeneratorCallee()), Shape.ASYNC_GENERATOR, id="partial of a callable"),
        pytest.param(str, Shape.FUNCTION, id="class"),
        pytest.param(len, Shape.FUNCTION, id="builtin"),
        pytest.param(wrapper, Shape.FUNCTION, id="wrapped: what runs counts, not what it resembles"),
    ],
)
def test_the_shape_is_read_from_the_function(given: Callable[..., Any], expected: Shape) -> None:
    """A function has the shape in which it really answers, through partials and callable objects."""
    assert expected is shape_of(given)


@pytest.mark.parametrize(
    ("shape", "is_async", "streams"),
    [
        (Shape.FUNCTION, False, False),
        (Shape.GENERATOR, False, True),
        (Shape.COROUTINE, True, False),
        (Shape.ASYNC_GENERATOR, True, True),
    ],
)
def test_what_a_shape_means(shape: Shape, is_async: bool, streams: bool) -> None:
    """Two shapes run on an event loop, and two give their answer piece by piece."""
    assert (is_async, streams) == (shape.is_async, shape.streams)
