"""Where a model's key comes from, and how it is renewed when the server no longer takes it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from pydantic import SecretStr

from langplug._bridge.threads import in_thread

KeySource: TypeAlias = Callable[[], str | SecretStr | Awaitable[str | SecretStr]]
"""A function that gives the key that holds now: sync (it may block, and runs in a thread) or async."""


class Credentials:
    """The key that a `source` gives, kept until the server refuses it; on one event loop.

    However many calls are refused at once, one of them asks the source, and all go on with what it gave.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._key: str | None = None
        self._lock = asyncio.Lock()

    async def key(self, refused: str | None = None) -> str:
        """The key, a new one if the one known is `refused`. What the source raises is raised."""
        async with self._lock:
            if self._key is None or self._key == refused:
                self._key = await self._ask()
            return self._key

    async def _ask(self) -> str:
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
                f"`auth` must give the key as a string that is not empty, but gave a {type(key).__name__}"
                f"{' that is empty' if key == '' else ''}."
            )
        return key
