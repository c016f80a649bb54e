"""What every server says, and when: so that all of them do the same work."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

WORD: Final = "token "
COUNT: Final = 100
EVERY_S: Final = 0.02
KEY: Final = "a-key-for-the-benchmark"


async def words() -> AsyncIterator[str]:
    """The answer, a word at a time."""
    for _ in range(COUNT):
        await asyncio.sleep(EVERY_S)
        yield WORD
