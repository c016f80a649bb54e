"""The model of LiteLLM's proxy, by its documented way for a provider of one's own, and the proxy's configuration."""

from collections.abc import AsyncIterator
from typing import Any

from litellm import CustomLLM
from litellm.types.utils import GenericStreamingChunk

from servers.said import words


class Words(CustomLLM):
    """Says the words."""

    async def astreaming(self, *_: Any, **__: Any) -> AsyncIterator[GenericStreamingChunk]:
        """Each word as the proxy wants it."""
        async for word in words():
            yield _chunk(word)
        yield _chunk("", ends=True)


def _chunk(text: str, *, ends: bool = False) -> GenericStreamingChunk:
    return GenericStreamingChunk(
        text=text, is_finished=ends, finish_reason="stop" if ends else "", usage=None, index=0, tool_use=None
    )


handler = Words()
