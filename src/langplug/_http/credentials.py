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
        self._key: SecretStr | None = None
        self._lock = asyncio.Lock()

    async def key(self, refused: SecretStr | None = None) -> SecretStr:
        """The key; a new one if the known one is `refused`.

        Raises:
            TypeError: If the source returns anything else. What the source raises is raised, with a note of where.
        """
        async with self._lock:
            # A call that was refused the key before this one waits here, and finds it renewed.
            if self._key is not None and self._key != refused:
                return self._key
            try:
                source = self._source
                called = getattr(source, "__call__", None)  # noqa: B004 - to look at it, not to test for it
                is_async = inspect.iscoroutinefunction(source) or inspect.iscoroutinefunction(called)
                given = source() if is_async else await in_thread(source)
                given = await given if inspect.isawaitable(given) else given
            except Exception as error:
                error.add_note("It was raised by the function that was given as `auth`, which returns the key.")
                mark_as_source_error(error)
                raise
            kind = "an empty string" if given == "" else f"a {type(given).__name__}"
            key = SecretStr(given) if isinstance(given, str) else given
            del given  # it may be a key all the same, such as bytes, and error trackers show variables
            if not isinstance(key, SecretStr) or not key:
                del key
                raise TypeError(f"`auth` must return the key as a string that is not empty, but returned {kind}.")
            self._key = key
            return key


def mark_as_source_error(error: Exception) -> None:
    """Note that there was no key to ask the model's server with: advice about that server would mislead."""
    error.__dict__["langplug_is_of_key_source"] = True


def is_source_error(error: Exception) -> bool:
    """Whether there was no key, or token, to ask the model's server with."""
    return "langplug_is_of_key_source" in vars(error)
