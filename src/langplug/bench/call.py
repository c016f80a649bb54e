"""What is measured of one call."""

import asyncio
import time
from collections.abc import Sequence
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
        due: When it was to begin; None if nothing said when.
        began: From when on it is measured: from when it was due, or began if nothing said when.
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
        was_left: Whether nobody waited for the rest of the answer: it only kept up the load, or all was ended.
    """

    due: float | None = None
    began: float = 0.0
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
    def has_ended(self) -> bool:
        """Whether somebody waited for its end, whatever it was."""
        return bool(self.ended) and not self.was_left

    @property
    def is_complete(self) -> bool:
        """Whether there was an answer, to its end."""
        return self.has_ended and not self.error

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

    def note(self, chunk: AIMessageChunk, now: float) -> None:
        """Note what came. Plain text and reasoning are found without blocks, which cost ten times as much."""
        content = chunk.content
        if isinstance(content, str) and content:
            if self.first_text is None:
                self.first_text = now
            self.text.append(content)
            self.pieces.append(now)
        elif thought := chunk.additional_kwargs.get("reasoning_content"):
            self.text.append(thought)
            self.pieces.append(now)
        elif content or chunk.tool_call_chunks:
            self._note_blocks(chunk.content_blocks, now)
        if chunk.usage_metadata:
            self.input_tokens += chunk.usage_metadata["input_tokens"]
            self.output_tokens += chunk.usage_metadata["output_tokens"]
            self.source = REPORTED
        if chunk.response_metadata:
            self.finish_reason = chunk.response_metadata.get("finish_reason") or self.finish_reason

    def _note_blocks(self, blocks: Sequence[Any], now: float) -> None:
        """Text, reasoning, or whatever else an answer has and is never empty: a call, a refusal, an image."""
        texts = [(block["type"], block.get(block["type"], "")) for block in blocks]
        said = [(kind, text) for kind, text in texts if text or kind not in ("text", "reasoning")]
        self.text += [text for kind, text in said if kind in ("text", "reasoning")]
        if self.first_text is None and any(kind == "text" for kind, _ in said):
            self.first_text = now
        self.pieces += [now] * bool(said)


async def measure(call: CallTimes, model: Any, messages: Any, keywords: dict[str, Any]) -> None:
    """Ask once, and note in `call` when what came. What the model raises is noted, too."""
    clock = time.perf_counter
    call.began = clock() if call.due is None else call.due
    try:
        async for chunk in model.astream(messages, **keywords):
            call.note(chunk, clock())
        if not call.pieces:
            call.error = "The answer was empty."
    except asyncio.CancelledError:
        call.was_left = True
        raise
    except Exception as error:  # noqa: BLE001 - a call that fails is a figure
        call.error = f"{type(error).__name__}: {error}"
    finally:
        call.ended = clock()
