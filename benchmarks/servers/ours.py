"""The model that `langplug serve` serves: a function, as users write it."""

from collections.abc import AsyncIterator
from typing import Any

from langplug import chat_model
from servers.said import words


@chat_model
async def ticking(request: Any) -> AsyncIterator[str]:
    """The words."""
    async for word in words():
        yield word
