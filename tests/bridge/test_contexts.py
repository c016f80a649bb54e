"""Generators whose steps run in a context of their own give what they give by themselves."""

import asyncio
from collections.abc import AsyncGenerator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from langplug._bridge.async_generators import DetachedAsyncGenerator
from langplug._bridge.contexts import asteps_in

PLACE = ContextVar("PLACE", default="outside")

ITEMS: list[Any] = ["a", None, (), (1, 2), [], ValueError("a value"), StopIteration("a value"), StopAsyncIteration()]
"""Items that are easily taken for the end or for an error."""


def inside() -> Context:
    context = copy_context()
    context.run(PLACE.set, "inside")
    return context


@pytest.mark.parametrize("waits", [0, 1, 3])
async def test_every_item_comes_as_it_is(waits: int) -> None:
    """Whatever an item is, and however often the generator waits before it, it comes; all steps are in the context."""
    seen: list[str] = []

    async def items() -> AsyncGenerator[Any, None]:
        try:
            for item in ITEMS:
                for _ in range(waits):
                    await asyncio.sleep(0)
                    seen.append(PLACE.get())
                yield item
                seen.append(PLACE.get())
        finally:
            await asyncio.sleep(0)
            seen.append(PLACE.get())

    given = [item async for item in asteps_in(inside(), DetachedAsyncGenerator(items()))]
    assert all(one is other for one, other in zip(ITEMS, given, strict=True))
    assert {"inside"} == set(seen)
    assert "outside" == PLACE.get()


@pytest.mark.parametrize("waits", [0, 1])
@pytest.mark.parametrize("closing_waits", [0, 1])
async def test_who_leaves_closes_the_generator_in_its_context(waits: int, closing_waits: int) -> None:
    """Its `finally` runs to the end in the context, whether it waits for something or not, after an error too."""
    seen: list[str] = []

    async def items(*, fails: bool) -> AsyncGenerator[int, None]:
        try:
            for _ in range(waits):
                await asyncio.sleep(0)
            yield 1
            if fails:
                raise ValueError("broken")
            yield 2
        finally:
            for _ in range(closing_waits):
                await asyncio.sleep(0)
            seen.append(PLACE.get())

    left = asteps_in(inside(), DetachedAsyncGenerator(items(fails=False)))
    assert 1 == await anext(left)
    await left.aclose()
    with pytest.raises(ValueError, match="broken"):
        [item async for item in asteps_in(inside(), DetachedAsyncGenerator(items(fails=True)))]
    assert ["inside", "inside"] == seen


async def test_what_is_thrown_into_a_wait_arrives_in_the_context() -> None:
    """A reader that is cancelled while the generator waits has it cancelled there."""
    seen: list[str] = []

    async def waits() -> AsyncGenerator[int, None]:
        yield 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(PLACE.get())
            raise

    async def read() -> None:
        async for _ in asteps_in(inside(), DetachedAsyncGenerator(waits())):
            pass

    task = asyncio.ensure_future(read())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ["inside"] == seen
