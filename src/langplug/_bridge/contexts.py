"""Generators whose steps run in a context of their own, whoever reads them.

A generator sees its reader's context variables at each step, and what it sets there stays set for the reader. These
drivers give it variables of its own instead; each step costs one call more.
"""

from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import suppress
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
            steps = anext(generator).__await__()
            try:
                # By hand, as most items are there already: an awaitable for each would cost as much again.
                waits_for = context.run(next, steps)
            except StopIteration as end:
                item: T = end.value
            except StopAsyncIteration:
                return
            else:
                try:
                    item = await _InContext(context, steps, waits_for)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        closing = generator.aclose().__await__()
        with suppress(StopIteration):
            await _InContext(context, closing, context.run(next, closing))


class _InContext(Awaitable[T]):
    """The rest of an awaitable's steps, from one suspension to the next, each of them in `context`.

    Args:
        context: Where they run.
        steps: What takes them.
        waits_for: What the first of them, which has been taken already, waits for.
    """

    def __init__(self, context: Context, steps: Generator[Any, Any, T], waits_for: Any) -> None:
        self._context = context
        self._steps = steps
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        steps, waits_for = self._steps, self._waits_for
        while True:
            resume: Any
            # As `yield from` does it, but step by step: what the loop sends or throws is handed on.
            try:
                resume, given = steps.send, (yield waits_for)
            except GeneratorExit:
                self._context.run(steps.close)
                raise
            except BaseException as error:  # noqa: BLE001 - the generator's to handle
                resume, given = steps.throw, error
            try:
                waits_for = self._context.run(resume, given)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
