"""Where a model's key comes from, and how it is renewed when the server no longer takes it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pydantic import SecretStr

from langplug._bridge.threads import in_thread

KeySource: TypeAlias = Callable[[], str | SecretStr | Awaitable[str | SecretStr]]
"""A function that returns the current key: sync (it may block, and runs in a thread) or async."""


class Credentials:
    """The key that a `source` returns, kept until the server refuses it; on one event loop.

    However many calls are refused at once, one of them asks the source, and all go on with what it returned.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._key: str | None = None
        self._lock = asyncio.Lock()

    async def key(self, refused: str | None = None) -> str:
        """The key; a new one if the known one is `refused`. What the source raises is raised."""
        async with self._lock:
            # A call that was refused the key before this one waits here, and finds it renewed.
            if self._key is not None and self._key != refused:
                return self._key
            source = self._source
            if inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(getattr(source, "__call__", None)):  # noqa: B004 - to look at it
                given = source()
            else:
                given = await in_thread(source)
            if inspect.isawaitable(given):
                given = await given
            key = given.get_secret_value() if isinstance(given, SecretStr) else given
            if not isinstance(key, str) or not key:
                raise TypeError(
                    f"`auth` must return the key as a string that is not empty, but returned "
                    f"{'an empty string' if key == '' else f'a {type(key).__name__}'}."
                )
            self._key = key
            return key
