"""The model that `langplug serve` serves: a function, as users write it."""

from collections.abc import AsyncIterator
from typing import Any

from servers.said import words

from langplug import chat_model


@chat_model
async def ticking(request: Any) -> AsyncIterator[str]:
    """The words."""
    async for word in words():
        yield word
