"""One answer of a model: followed as it comes, shown, measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, message_chunk_to_message

from langplug.cli._terminal import Terminal

JSON_SCHEMA: Final = "langplug.chat/1"
"""Names the shape of what `--json` prints. The number grows when a field goes or changes its meaning."""

_SHOWN_AS_THEY_COME: Final = ("text", "reasoning", "tool_call", "invalid_tool_call", "tool_call_chunk")


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of one answer.

    Attributes:
        input_tokens: Tokens of the prompt as the model reported them, or None. Pieces are never counted as tokens.
        output_tokens: Tokens of the answer as the model reported them, or None.
        first_s: Seconds from the call to the first piece with anything in it, reasoning included.
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
        """Output tokens over the whole time, the wait for the first one included."""
        return self.output_tokens / self.total_s if self.output_tokens and self.total_s else None

    def line(self) -> str:
        """The figures on one line; what was not reported is said not to be."""
        finish = self.finish_reason or ("not reported" if self.whole else "cut short")
        figures = [self._tokens(), f"total {self.total_s:.2f} s", f"finish: {finish}"]
        if self.first_s is not None:
            figures.insert(1, f"first after {self.first_s:.2f} s")
        if self.adaptations:
            figures.append(f"adapted: {', '.join(self.adaptations)}")
        return " · ".join(figures)

    def _tokens(self) -> str:
        if self.output_tokens is None:
            return "tokens not reported"
        rate = f" ({self.tokens_per_s:.1f} tokens/s)" if self.tokens_per_s else ""
        return f"{self.input_tokens} tokens in, {self.output_tokens} out{rate}"


class ShownAnswer:
    """One answer, whole or as far as it came, and when its pieces came."""

    def __init__(self) -> None:
        self._pieces: list[AIMessage] = []
        self._first_s: float | None = None
        self._total_s = 0.0
        self._whole = False

    def follow(
        self,
        model: BaseChatModel,
        messages: Sequence[BaseMessage],
        parameters: Mapping[str, Any],
        show: Callable[[AIMessage], None],
    ) -> None:
        """Ask, and hand each piece to `show` as it comes. However this ends, the model's stream is closed."""
        started = perf_counter()
        stream = model.stream(list(messages), **parameters)
        try:
            for piece in stream:
                self._note(piece, perf_counter() - started)
                show(piece)
            self._whole = True
        finally:
            self._total_s = perf_counter() - started
            close = getattr(stream, "close", None)  # a model of anybody's may return an iterator that has none
            if close is not None:
                close()

    def _note(self, piece: AIMessage, since_start_s: float) -> None:
        self._pieces.append(piece)
        if self._first_s is None and piece.content_blocks:
            self._first_s = since_start_s

    def message(self) -> AIMessage | None:
        """The pieces put together; None if nothing came."""
        chunks = [piece for piece in self._pieces if isinstance(piece, AIMessageChunk)]
        if not chunks:  # without a `_stream` of its own a model streams one whole AIMessage
            return self._pieces[-1] if self._pieces else None
        whole = message_chunk_to_message(chunks[0] + chunks[1:] if chunks[1:] else chunks[0])
        return whole if isinstance(whole, AIMessage) else None

    def stats(self) -> Stats:
        """The figures so far."""
        message = self.message()
        usage = message.usage_metadata if message else None
        metadata = message.response_metadata if message else {}
        # the word of OpenAI, of Anthropic, of Ollama
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
        return json.dumps(report, ensure_ascii=False, default=str)


class Display:
    """Shows an answer as it comes: the text on stdout, the rest on stderr, reasoning dim."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._open: str | None = None  # the kind of block whose line is not ended yet

    def show(self, piece: AIMessage) -> None:
        """Show the next piece."""
        for block in piece.content_blocks:
            if block["type"] == "text":
                self._text(block["text"])
            elif block["type"] == "reasoning":
                self._reasoning(block.get("reasoning", ""))

    def end(self, message: AIMessage | None) -> None:
        """End the line, and show what cannot be shown in pieces: tool calls, images."""
        self._end_line()
        for call in message.tool_calls if message else ():
            self._terminal.note(f"→ {call['name']}({json.dumps(call['args'], ensure_ascii=False, default=str)})")
        for broken in message.invalid_tool_calls if message else ():
            self._terminal.note(f"→ {broken['name']}({broken['args']}) – not a valid call")
        for block in message.content_blocks if message else ():
            if block["type"] not in _SHOWN_AS_THEY_COME:
                self._terminal.note(f"[{block['type']}: not shown here; --json holds it]", dim=True)

    def _text(self, text: str) -> None:
        if not text:
            return
        if self._open == "reasoning":
            self._end_line()
        self._open = None if text.endswith("\n") else "text"  # first: Ctrl-C may come as soon as it is written
        self._terminal.answer(text)

    def _reasoning(self, text: str) -> None:
        if not text:
            return
        if self._open != "reasoning":
            self._end_line()
            self._terminal.note("thinking: ", end="", dim=True)
        self._open = "reasoning"
        self._terminal.note(text, end="", dim=True)

    def _end_line(self) -> None:
        if self._open == "text":
            self._terminal.answer("\n")
        elif self._open == "reasoning":
            self._terminal.note("")
        self._open = None
