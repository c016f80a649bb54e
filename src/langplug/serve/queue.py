"""How many calls run at once, how many wait for that, and how long each may take."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from langplug._bridge.slots import Slots
from langplug.serve.errors import ApiError, ModelEndedError

_WEIGHT = 0.2
"""How much one call counts in the mean of how long calls take."""


class Queue:
    """Lets calls run in the order in which they came. A call that is cancelled while it waits leaves the queue.

    Args:
        max_concurrency: How many run at once.
        max_queue: How many more may wait.
        timeout: Seconds that a call may take, waiting included; None for any.

    Attributes:
        running: How many run.

    Raises:
        ValueError: If `max_concurrency` or `timeout` is not above 0, or `max_queue` is below.
    """

    def __init__(self, *, max_concurrency: int = 1024, max_queue: int = 1024, timeout: float | None = None) -> None:
        for name, count, least in (("max_concurrency", max_concurrency, 1), ("max_queue", max_queue, 0)):
            if count < least:
                raise ValueError(f"{name} is {count}; expected {least} or more")
        if timeout is not None and not timeout > 0:
            raise ValueError(f"timeout is {timeout:g}; expected seconds above 0, or None")
        self.running = 0
        self._slots = Slots(max_concurrency)
        self._count = max_concurrency
        self._max_queue = max_queue
        self._timeout = timeout
        self._in_lines = 0
        self._mean_s = 1.0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._slots.waiting + self._in_lines

    @asynccontextmanager
    async def turn(self, line: asyncio.Lock | None = None) -> AsyncGenerator[None]:
        """A call runs while this is held.

        Args:
            line: Held as well, if the call is one of several that take turns. While it waits for those before it, it
                keeps no other call from running.

        Raises:
            ApiError: 429 if too many wait already; 504 if the time is over, whoever holds this or waits for it.
            ModelEndedError: If the call raises what would end the program, and so every other call, or its task.
        """
        limit = asyncio.timeout(self._timeout)
        try:
            async with limit, self._in_line(line) as has_waited:
                if not self._slots.acquire_at_once():
                    if not has_waited:
                        self._check_room()
                    await self._slots.acquire()
                began = time.monotonic()
                self.running += 1
                try:
                    yield
                finally:
                    self.running -= 1
                    self._mean_s += _WEIGHT * (time.monotonic() - began - self._mean_s)
                    self._slots.release()
        except TimeoutError as error:
            if not limit.expired():  # the model's own
                raise
            message = f"The answer took longer than {self._timeout:g} s, which is this server's limit."
            raise ApiError(504, "server_error", message, code="timeout") from error
        except BaseException as error:
            if _is_of_caller(error):
                raise
            raise ModelEndedError(f"the model ended with {type(error).__name__}") from error

    @asynccontextmanager
    async def _in_line(self, line: asyncio.Lock | None) -> AsyncGenerator[bool]:
        """Hold a line. Gives whether that took waiting, which has been a place in the queue."""
        if line is None:
            yield False
            return
        if has_waited := line.locked():
            self._check_room()
        self._in_lines += 1
        try:
            await line.acquire()
        finally:
            self._in_lines -= 1
        try:
            yield has_waited
        finally:
            line.release()

    def _check_room(self) -> None:
        if self.waiting >= self._max_queue:
            message = f"No room (calls that run: {self.running}, that wait: {self.waiting}): try again later."
            wait_s = self._mean_s * (self.waiting + 1) / self._count
            raise ApiError(429, "rate_limit_error", message, code="rate_limit_exceeded", retry_after=wait_s)


def _is_of_caller(error: BaseException) -> bool:
    """Whether it is an error like any other, or one that is meant for whoever makes the call."""
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is None or task.cancelling() > 0  # else something that the model waited for was cancelled
    return isinstance(error, Exception | GeneratorExit | KeyboardInterrupt)  # the last may be a real Ctrl-C
