"""An async generator that belongs to its reader alone."""

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Generic, TypeVar

T = TypeVar("T")


class DetachedAsyncGenerator(AsyncIterator[T], Generic[T]):
    """A `generator` that is unknown to its event loop; whoever reads it closes it.

    A loop that ends closes all async generators that it knows, at once and in any order: those at the bottom of a
    stack while those above close them too, which fails as soon as one of them awaits something. So it may know
    only the one at the top.
    """

    __slots__ = ("_closing", "_generator", "_started")

    def __init__(self, generator: AsyncGenerator[T, None]) -> None:
        self._generator = generator
        self._started = False
        self._closing = False

    def __anext__(self) -> Awaitable[T]:
        if self._started:
            return self._generator.__anext__()
        self._started = True
        # A generator takes the hooks of its thread when `__anext__` is first called, and keeps them:
        # https://docs.python.org/3/library/sys.html#sys.set_asyncgen_hooks
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return self._generator.__anext__()
        finally:
            sys.set_asyncgen_hooks(*hooks)

    async def aclose(self) -> None:
        """Close the generator, unless that is already being done."""
        # Closing one that is being closed raises: "aclose(): asynchronous generator is already running".
        if not self._closing:
            self._closing = True
            await self._generator.aclose()
