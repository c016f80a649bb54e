"""What is measured of one call."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Final

from langchain_core.messages import AIMessageChunk

REPORTED: Final = "reported"
"""Where a number of tokens comes from: the usage that the model reports."""
COUNTED: Final = "counted"
"""Where it comes from otherwise: the model's own counting of the text, after the measurement."""


@dataclass(slots=True, kw_only=True)
class CallTimes:
    """One call, by the clock of `time.perf_counter`.

    Attributes:
        began: When it was due.
        is_measured: Whether it is one that figures are of, and not one that warms up or keeps up the load.
        first_text: When the first text came.
        pieces: When each piece came that said something: text, reasoning or a tool call.
        ended: When the answer had ended; 0 until then.
        text: What was said, reasoning included.
        input_tokens: How many tokens were asked, if the model reports it.
        output_tokens: How many were answered.
        source: Where that number comes from: `reported` or `counted`; empty as long as there are none.
        finish_reason: Why the answer ended, as far as the model says.
        error: What the call failed with; empty if it did not.
        was_left: Whether nobody waited for the rest of the answer: it only kept up the load.
    """

    began: float
    is_measured: bool = True
    first_text: float | None = None
    pieces: list[float] = field(default_factory=list)
    ended: float = 0.0
    text: list[str] = field(default_factory=list)
    input_tokens: int = 0
    output_tokens: int = 0
    source: str = ""
    finish_reason: str | None = None
    error: str = ""
    was_left: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether there was an answer, to its end."""
        return bool(self.ended) and not self.error and not self.was_left

    @property
    def e2e(self) -> float:
        """Seconds from its due time to the end of the answer."""
        return self.ended - self.began

    @property
    def ttft(self) -> float:
        """Seconds to the first piece of any kind."""
        return self.pieces[0] - self.began

    @property
    def ttft_text(self) -> float | None:
        """Seconds to the first text; None if there was none."""
        return None if self.first_text is None else self.first_text - self.began

    @property
    def tpot(self) -> float | None:
        """Seconds a token after the first: (E2E - TTFT) / (n - 1); None for fewer than 2 tokens."""
        return (self.e2e - self.ttft) / (self.output_tokens - 1) if self.output_tokens > 1 else None

    @property
    def gaps(self) -> list[float]:
        """Seconds between pieces that follow one another."""
        return [later - earlier for earlier, later in zip(self.pieces, self.pieces[1:], strict=False)]


async def measure(call: CallTimes, model: Any, messages: Any, keywords: dict[str, Any]) -> None:
    """Ask once, and note in `call` when what came. What the model raises is noted, too."""
    clock = time.perf_counter
    try:
        async for chunk in model.astream(messages, **keywords):
            now = clock()
            content = chunk.content
            if content.__class__ is str and content:
                if call.first_text is None:
                    call.first_text = now
                call.text.append(content)
                call.pieces.append(now)
            elif _says_something(chunk, call, now):
                call.pieces.append(now)
            if chunk.usage_metadata:
                call.input_tokens += chunk.usage_metadata["input_tokens"]
                call.output_tokens += chunk.usage_metadata["output_tokens"]
                call.source = REPORTED
            if chunk.response_metadata:
                call.finish_reason = chunk.response_metadata.get("finish_reason") or call.finish_reason
        if not call.pieces:
            call.error = "The answer was empty."
    except asyncio.CancelledError:
        call.was_left = True
        raise
    except Exception as error:  # noqa: BLE001 - a call that fails is a figure
        call.error = f"{type(error).__name__}: {error}"
    finally:
        call.ended = clock()


def _says_something(chunk: AIMessageChunk, call: CallTimes, now: float) -> bool:
    """Whether a chunk without plain text has text in blocks, reasoning or a tool call. These are no common kinds."""
    said = False
    for block in chunk.content_blocks:
        if block["type"] == "text" and block["text"]:
            call.first_text = call.first_text or now
            call.text.append(block["text"])
            said = True
        elif block["type"] == "reasoning" and block.get("reasoning"):
            call.text.append(block.get("reasoning", ""))
            said = True
        elif block["type"] in ("tool_call_chunk", "tool_call"):
            said = True
    return said
