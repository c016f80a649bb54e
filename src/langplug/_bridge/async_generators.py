"""An async generator that belongs to its reader alone."""

import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

_MOST_WAITS = 100
"""How often a generator that is closed by hand may try to wait for something; one in a loop would try forever."""


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
        sys.set_asyncgen_hooks(None, _close_by_hand)
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


def _close_by_hand(generator: AsyncGenerator[Any, None], is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
    """Close a generator that is garbage-collected before it has ended, as when its event loop was closed under it.

    Its `finally` blocks run, but they can wait for nothing. Python's own way is to give up at the first `await` there,
    and to print "async generator ignored GeneratorExit" for each. `is_finalizing` is bound here, as the names of a
    module may be gone when the interpreter ends.
    """
    if is_finalizing():
        return
    closing = generator.aclose()
    with contextlib.suppress(BaseException):  # there is nobody to raise it to
        waits_for = closing.send(None)
        for _ in range(_MOST_WAITS):
            if waits_for is None:  # `asyncio.sleep(0)`, which only gives way
                waits_for = closing.send(None)
            else:
                waits_for = closing.throw(RuntimeError("The event loop is closed: nothing can be waited for here."))
