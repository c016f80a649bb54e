"""The models of `benchmarks/serve_leaving.py`: each writes down when it has stopped.

`LEAVING_LOG` names the file. A line is the text that was asked, and the monotonic time, which processes share.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from langplug import ChatModel, Request
from langplug.models import ChatCommand, ChatGGUF

EVERY_S = 0.02


def _write(word: str, request: Request) -> None:
    with Path(os.environ["LEAVING_LOG"]).open("a", encoding="utf-8") as log:
        log.write(f"{word} {request.messages[-1].text} {time.monotonic()}\n")


class Awaited(ChatModel):
    """An async function."""

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """A word each 20 ms, for ever."""
        _write("began", request)
        try:
            while True:
                yield "word "
                await asyncio.sleep(EVERY_S)
        finally:
            _write("stopped", request)


class InThread(ChatModel):
    """A plain function."""

    def respond(self, request: Request, /) -> Iterator[str]:
        """A word each 20 ms, for ever."""
        _write("began", request)
        try:
            while True:
                yield "word "
                time.sleep(EVERY_S)
        finally:
            _write("stopped", request)


class Logged(ChatModel):
    """Another model, which writes down when it is closed: when it works no more for this call."""

    model: Any

    async def respond(self, request: Request, /) -> AsyncIterator[str]:
        """What the other says."""
        chunks = self.model.astream(list(request.messages))
        try:
            async for chunk in chunks:
                _write("began", request)
                yield chunk.text
        finally:
            await chunks.aclose()
            _write("stopped", request)


awaited, in_thread = Awaited(), InThread()
_TALKS = "import time\nwhile True:\n    print('word', flush=True)\n    time.sleep(0.02)"
command = Logged(model=ChatCommand(command=[sys.executable, "-c", _TALKS]))


def gguf() -> Logged:
    """SmolLM2, which `langplug pull smollm2` has brought."""
    return Logged(model=ChatGGUF(model="smollm2", max_tokens=2000))
