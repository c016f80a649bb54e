"""A model that does what the statements about servers ask, so that a server can be seen to pass it on."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from langplug import ChatModel, Finish, Request, ToolCall, Usage

COUNTED = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"


class Obedient(ChatModel):
    """Repeats what it is to say, counts, calls the tool that it is shown, and keeps to a limit of tokens."""

    tool_calling = "native"
    pace: float = 0.0
    much: int = 1000
    max_tokens: int | None = None
    temperature: float = 0.0

    async def respond(self, request: Request, /) -> AsyncIterator[Any]:
        """A piece for each word."""
        if request.tools and request.tool_choice != "none" and request.messages[-1].type == "human":
            yield ToolCall(name="get_weather", args={"city": "Paris"})
            yield Usage(input_tokens=9, output_tokens=5)
            yield Finish(reason="tool_calls")
            return
        words = re.findall(r"\S+\s*", self._text(request))
        allowed = words[: self.max_tokens] if self.max_tokens else words
        for word in allowed:
            await asyncio.sleep(self.pace)
            yield word
        read = sum(len(str(message.text).split()) for message in request.messages) or 1
        yield Usage(input_tokens=read, output_tokens=len(allowed))
        yield Finish(reason="stop" if allowed == words else "length")

    def _text(self, request: Request) -> str:
        if "JSON" in request.text:
            return '{"city": "Paris"}'
        if "1000" in request.text:
            return "more " * self.much
        if "Count" in request.text:
            return COUNTED
        return request.text.partition("exactly: ")[2] or "Hello."
