"""Models that answer when a test says so."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

from langplug import ChatModel, Request


class InSteps(ChatModel):
    """Says the next of its pieces each time a step is let go; says whether it was stopped."""

    pieces: tuple[Any, ...]
    steps: Any = None
    has_ended: Any = None

    async def respond(self, request: Request, /) -> AsyncIterator[Any]:
        """Its pieces."""
        try:
            for piece in self.pieces:
                while not self.steps.acquire(blocking=False):  # noqa: ASYNC110 - let go from another thread
                    await asyncio.sleep(0.001)
                yield piece
        finally:
            self.has_ended.set()


def in_steps(*pieces: Any) -> InSteps:
    """One with semaphores of its own."""
    return InSteps(pieces=pieces, steps=threading.Semaphore(0), has_ended=threading.Event())
