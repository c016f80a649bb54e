"""One answer of a model: followed as it comes, shown, measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message

from langplug.cli._terminal import Terminal
from langplug.cli._waiting import Waiting

JSON_SCHEMA: Final = "langplug.chat/1"
"""Names the shape of what `--json` prints. The number grows when a field goes or changes its meaning."""

_SHOWN_AS_THEY_COME: Final = ("text", "reasoning", "tool_call", "invalid_tool_call", "tool_call_chunk")


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of one answer.

    Attributes:
        input_tokens: Tokens of the prompt as the model reported them, or None. Chunks are never counted as tokens.
        output_tokens: Tokens of the answer as the model reported them, or None.
        first_s: Seconds from the call to the first chunk with anything in it, reasoning included.
        total_s: Seconds from the call to the end.
        finish_reason: Why the answer ended, in the model's word, or None.
        whole: Whether the answer came to its end.
        adaptations: What langplug did in the model's place.
    """

    input_tokens: int | None
    output_tokens: int | None
    first_s: float | None
    total_s: float
    finish_reason: str | None
    whole: bool = True
    adaptations: tuple[str, ...] = ()

    @property
    def tokens_per_s(self) -> float | None:
        """How fast tokens came once they did: those after the first, over the time since then.

        None if nobody can say: the model did not report its tokens, or the answer came at once.
        """
        if self.output_tokens is None or self.output_tokens < 2 or self.first_s is None:
            return None
        since = self.total_s - self.first_s
        return (self.output_tokens - 1) / since if since > 0 else None

    def line(self) -> str:
        """The figures on one line. A figure that the model did not report is said to be missing."""
        rate = f" ({self.tokens_per_s:.1f} tokens/s)" if self.tokens_per_s else ""
        counted = f"{self.input_tokens} tokens in, {self.output_tokens} out{rate}"
        figures = ["tokens not reported" if self.output_tokens is None else counted]
        if self.first_s is not None:
            figures.append(f"first after {self.first_s:.2f} s")
        figures.append(f"total {self.total_s:.2f} s")
        figures.append(f"finish: {self.finish_reason or ('not reported' if self.whole else 'cut short')}")
        if self.adaptations:
            figures.append(f"adapted: {', '.join(self.adaptations)}")
        return " · ".join(figures)


class ShownAnswer:
    """One answer, whole or as far as it came, and when its chunks came."""

    def __init__(self) -> None:
        self._chunks: list[AIMessage] = []
        self._first_s: float | None = None
        self._total_s = 0.0
        self._whole = False

    def follow(
        self,
        model: BaseChatModel,
        messages: Sequence[BaseMessage],
        parameters: Mapping[str, Any],
        show: Callable[[AIMessage], None] | None = None,
    ) -> None:
        """Ask, and give each chunk to `show` as it comes. However this ends, the model's stream is closed."""
        started = perf_counter()
        stream = model.stream(list(messages), **parameters)
        try:
            for chunk in stream:
                self._chunks.append(chunk)
                # Servers open a stream with an empty chunk that names the role: not what the reader waits for.
                if self._first_s is None and chunk.content_blocks:
                    self._first_s = perf_counter() - started
                if show is not None:
                    show(chunk)
            self._whole = True
        finally:
            self._total_s = perf_counter() - started
            close = getattr(stream, "close", None)  # anybody's model may return an iterator that has none
            if close is not None:
                close()

    def message(self) -> AIMessage | None:
        """The chunks put together; None if nothing came."""
        chunks = [chunk for chunk in self._chunks if isinstance(chunk, AIMessageChunk)]
        if not chunks:  # a model without a `_stream` of its own streams one whole AIMessage
            return self._chunks[-1] if self._chunks else None
        whole = message_chunk_to_message(chunks[0] + chunks[1:] if chunks[1:] else chunks[0])
        return whole if isinstance(whole, AIMessage) else None

    def stats(self) -> Stats:
        """The figures so far."""
        message = self.message()
        usage = message.usage_metadata if message else None
        metadata = message.response_metadata if message else {}
        # the words of OpenAI, of Anthropic, of Ollama
        reasons = [metadata.get(key) for key in ("finish_reason", "stop_reason", "done_reason")]
        return Stats(
            input_tokens=usage and usage.get("input_tokens"),
            output_tokens=usage and usage.get("output_tokens"),
            first_s=self._first_s,
            total_s=self._total_s,
            finish_reason=next((str(reason) for reason in reasons if reason), None),
            whole=self._whole,
            adaptations=tuple(": ".join(map(str, done.values())) for done in metadata.get("adaptations") or ()),
        )

    def as_json(self, error: str | None = None) -> str:
        """The answer and its figures as one line of JSON in the shape named `JSON_SCHEMA`."""
        message, stats = self.message(), self.stats()
        report = {
            "schema": JSON_SCHEMA,
            "text": str(message.text) if message else "",
            "content_blocks": message.content_blocks if message else [],
            "finish_reason": stats.finish_reason,
            "usage": message.usage_metadata if message else None,
            "adaptations": stats.adaptations,
            "first_s": stats.first_s,
            "total_s": stats.total_s,
            "error": error,
        }
        # A block of somebody else's model may hold anything; printed as text, it does not lose the rest.
        return json.dumps(report, ensure_ascii=False, default=str)


class Display:
    """Shows an answer as it comes: the text on stdout, the rest on stderr, reasoning dim.

    Args:
        terminal: Where to show it.
        waiting: What is shown until the first of it comes.
    """

    def __init__(self, terminal: Terminal, waiting: Waiting) -> None:
        self._terminal = terminal
        self._waiting = waiting
        self._open: str | None = None  # the kind of block whose line is not ended yet

    def show(self, chunk: AIMessage) -> None:
        """Show the next chunk."""
        for block in chunk.content_blocks:
            if block["type"] == "text" and (text := block["text"]):
                self._waiting.stop()
                if self._open == "reasoning":
                    self._end_line()
                # Noted before it is written: Ctrl-C may come as soon as it stands there.
                self._open = None if text.endswith("\n") else "text"
                self._terminal.answer(text, wrap=True)
            elif block["type"] == "reasoning" and (thought := block.get("reasoning")):
                self._waiting.stop()
                if self._open != "reasoning":
                    self._end_line()
                    self._terminal.note("thinking: ", end="", dim=True)
                self._open = "reasoning"
                self._terminal.note(thought, end="", dim=True)

    def end(self, message: AIMessage | None) -> None:
        """End the line, and show what cannot be shown in pieces: tool calls, images."""
        self._end_line()
        if message is None:
            return
        for call in message.tool_calls:
            self._terminal.note(f"→ {call['name']}({json.dumps(call['args'], ensure_ascii=False, default=str)})")
        for broken in message.invalid_tool_calls:
            self._terminal.note(f"→ {broken['name']}({broken['args']}) – not a valid call")
        for block in message.content_blocks:
            if block["type"] not in _SHOWN_AS_THEY_COME:
                self._terminal.note(f"[{block['type']}: not shown here; --json holds it]", dim=True)

    def _end_line(self) -> None:
        if self._open == "text":
            self._terminal.answer("\n", wrap=True)
        elif self._open == "reasoning":
            self._terminal.note("")
        self._open = None
