"""Generators whose steps run in a context of their own, whoever reads them.

A generator sees its reader's context variables at each step, and what it sets there stays set for the reader. These
drivers give it variables of its own instead; each step costs one call more.
"""

from collections.abc import AsyncGenerator, Awaitable, Generator
from contextvars import Context
from typing import Any, TypeVar

from langplug._bridge.async_generators import DetachedAsyncGenerator

T = TypeVar("T")


def steps_in(context: Context, generator: Generator[T, None, None]) -> Generator[T, None, None]:
    """What `generator` yields; it runs in `context`, and is closed with this one."""
    try:
        while True:
            try:
                item = context.run(next, generator)
            except StopIteration:
                return
            yield item
    finally:
        context.run(generator.close)


async def asteps_in(context: Context, generator: DetachedAsyncGenerator[T]) -> AsyncGenerator[T, None]:
    """As `steps_in`, for an event loop. It stays in its reader's task, so that it can be cancelled."""
    try:
        while True:
            try:
                item = await _InContext(context, anext(generator))
            except StopAsyncIteration:
                return
            yield item
    finally:
        await _InContext(context, generator.aclose())


class _InContext(Awaitable[T]):
    """An awaitable whose every step, from one suspension to the next, runs in `context`."""

    def __init__(self, context: Context, awaitable: Awaitable[T]) -> None:
        self._context = context
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._context.run(self._awaitable.__await__)
        resume: Any = steps.__next__
        given: tuple[Any, ...] = ()
        while True:
            try:
                suspended = self._context.run(resume, *given)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            # As `yield from` does it, but step by step: what the loop sends or throws is handed on.
            try:
                given = ((yield suspended),)
                resume = steps.send
            except GeneratorExit:
                self._context.run(steps.close)
                raise
            except BaseException as error:  # noqa: BLE001 - the generator's to handle
                resume, given = steps.throw, (error,)
