"""The body of an OpenAI-wire answer, read as parts: streamed or whole, whichever was asked for."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.exceptions import ModelAPIError

from langplug._answer import from_openai
from langplug._answer.server_errors import error_of, failure_in, message_of, parse_body
from langplug._answer.stream_so_far import HEAD, StreamSoFar
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Part
from langplug._stream.framing import Frame, Framing
from langplug._stream.reader import BodyReader, LoadJson, error_in, quote

_NOT_IN_PLAIN_TEXT = frozenset({"error", "finish_reason", "timings"})

_TEXT_ALONE = frozenset({"content", "role"})


class CompletionReader(BodyReader):
    """A push parser for the bytes of one chat completion: https://platform.openai.com/docs/api-reference/chat.

    Args:
        content_type: The response's `Content-Type`; tells JSON lines from one JSON value.
        coalesce: Return the text that one `feed` completes as one part.
        whole_chunks: Return the chunks as they are, with all answers that they hold; else the parts of the first.
        ends_at: What a stream must hold to be whole: a finish reason, or at least `[DONE]`.
        load: The JSON parser.
        max_event_bytes: How large one event may be.
    """

    def __init__(
        self,
        content_type: str = "",
        *,
        coalesce: bool = False,
        whole_chunks: bool = False,
        ends_at: Literal["finish_reason", "done"] = "finish_reason",
        load: LoadJson = json.loads,
        max_event_bytes: int | None = None,
    ) -> None:
        super().__init__(content_type, coalesce=coalesce, load=load, max_event_bytes=max_event_bytes)
        self._whole_chunks = whole_chunks
        self._ends_at = ends_at
        self._so_far = StreamSoFar()
        self._usage = UsageReports()
        self._read_any = False
        self._is_whole = False
        self._metadata: dict[str, Any] = {}

    def choose_framing(self, seen: Framing | None, start: bytes, *, at_end: bool) -> Framing | None:
        """As the first bytes say; if they begin one JSON value or several, as the content type says."""
        if seen is None:
            return None if not at_end else self._named or "json"
        if seen == "text":
            said = message_of(parse_body(start[:4096]))
            raise ModelAPIError(
                f"The server's answer is not a chat completion; it begins {said[:200]!r}. "
                "Is `base_url` the address of its API? It mostly ends in /v1."
            )
        if seen == "json" and self._named == "ndjson":
            return self._named
        return seen

    def read_value(self, value: Any, frame: Frame) -> Sequence[Part]:
        """The parts of a chunk or a completion."""
        if value is None or (value == "" and frame.event != "error"):  # as `data: ""` between the chunks
            return ()
        if frame.event == "error" or not isinstance(value, dict):
            raise error_in(value)
        try:
            # The first chunk is read in full, for the model's name and the like, which all that follow repeat.
            if self._read_any and not self._whole_chunks and (text := _text_of_plain_chunk(value)) is not None:
                if self._so_far.text < HEAD:
                    self._so_far.head.write(text[: HEAD - self._so_far.text])
                self._so_far.text += len(text)
                return (text,)
            self._read_any = True
            return self._read_chunk(value)
        # Whatever JSON of another shape leads to.
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
            raise ModelAPIError(
                f"The server sent {quote(frame.data)}, which is not a chat completion. "
                "Does it speak OpenAI's chat-completions wire? For others, there is ChatHTTP."
            ) from None

    def _read_chunk(self, chunk: dict[str, Any]) -> Sequence[Part]:
        if (failure := failure_in(chunk)) is not None:
            raise error_of(failure)
        if "choices" not in chunk and "usage" not in chunk:
            return ()  # of another kind, such as llama.cpp's progress
        choices = chunk.get("choices") or ()
        self._note_end(chunk, choices)
        if (usage := from_openai.usage_of(chunk)) is not None:
            with_content = any(
                value
                for choice in choices
                for name, value in (choice.get("delta") or {}).items()
                if name not in ("role", "finish_reason")
            )
            counts = from_openai.readable_counts(usage)
            chunk = {**chunk, "usage": self._usage.total(counts, with_content=with_content)}
        elif isinstance(timings := chunk.get("timings"), Mapping):
            chunk = {**chunk, "timings": from_openai.readable_counts(timings)}
        if self._whole_chunks:
            # That each answer can be read: what is malformed is the server's error, and not an author's.
            for choice in ({}, *(choice for _, choice in from_openai.numbered_choices(chunk))):
                list(from_openai.parts_of({**chunk, "choices": [{**choice, "index": 0}]}))
            return ({**chunk, "choices": choices},)
        parts: list[Part] = []
        for part in from_openai.parts_of(chunk, so_far=self._so_far):
            if type(part) is Finish and not part.reason and "logprobs" not in part.metadata:
                if part.metadata.items() <= self._metadata.items():
                    continue  # every chunk repeats the model's name
                self._metadata |= part.metadata
            parts.append(part)
        return parts

    def _note_end(self, chunk: Mapping[str, Any], choices: Sequence[Any]) -> None:
        """A stream is whole once its first answer says so; so is a completion, or if it has no field to say so."""
        first = [choice for choice in choices if choice.get("index") in (None, 0, "0", "")]
        if any("message" in choice and "delta" not in choice and "finish_reason" not in choice for choice in first):
            self._is_whole = True
        # Servers put the reason into the choice, into its delta (SiliconFlow), or at the top (some gateways).
        reasons = (
            chunk.get("finish_reason"),
            *(one.get("finish_reason") or (one.get("delta") or {}).get("finish_reason") for one in first),
        )
        self._is_whole = self._is_whole or any(reasons)

    def finish(self) -> Sequence[Part]:
        """Check that the answer has said why it ended."""
        if self._is_whole or (self.finished and self._ends_at == "done"):
            return self._so_far.rest()
        if not self._read_any:
            raise IncompleteAnswerError(
                "The server's answer is empty: it has neither a completion nor an error. Asking again may help."
            )
        raise IncompleteAnswerError(
            f"The server's answer ended {'with [DONE], but ' if self.finished else ''}without a finish reason, so it "
            "is not complete. What had come is this error's `partial`; asking again may help."
        )


def _text_of_plain_chunk(chunk: Mapping[str, Any]) -> str | None:
    """The text of a chunk that holds nothing else, by far the most frequent kind; None for any other."""
    choices = chunk.get("choices")
    if not choices or len(choices) != 1 or not _NOT_IN_PLAIN_TEXT.isdisjoint(chunk):
        return None
    choice = choices[0]
    delta = choice.get("delta")
    if not delta or chunk.get("usage") or choice.get("finish_reason") or choice.get("index") or choice.get("logprobs"):
        return None
    text = delta.get("content")
    if type(text) is not str or not text:
        return None
    # Some servers repeat all fields of a delta in each, empty: `"tool_calls": null, "reasoning_content": null`.
    if len(delta) > 1 and not delta.keys() <= _TEXT_ALONE and any(delta[key] for key in delta.keys() - _TEXT_ALONE):
        return None
    return text


class UsageReports:
    """Turns the reports of usage in one stream into running totals, whichever way the server reports.

    Servers report once at the end; or with each chunk what has come since the beginning (vLLM's
    `continuous_usage_stats`); or with each chunk what came with it alone. The last two are told apart by the chunks
    that carry content: each holds at least one token, so a total grows by at least one from each to the next, and a
    count that does not is the chunk's own.

    Example: the reports 2, 3, 4 may be totals. In 1, 1, 1 the second would have to be at least 2, so these are the
    chunks' own, and their total is 3.
    """

    def __init__(self) -> None:
        self._reports = 0
        self._first = 0
        self._summed = 0
        self._read = 0
        self._each = False  # whether chunks are known to report their own tokens alone

    def total(self, usage: Mapping[str, Any], *, with_content: bool) -> Mapping[str, Any]:
        """The report as a total of all so far.

        Args:
            usage: The `usage` object of a chunk.
            with_content: Whether the chunk carries a piece of the answer.
        """
        wrote, read = usage.get("completion_tokens"), usage.get("prompt_tokens")
        if not isinstance(wrote, int) or isinstance(wrote, bool):
            return usage
        self._read = max(self._read, read if isinstance(read, int) else 0)
        if with_content:
            self._first = self._first if self._reports else wrote
            self._reports += 1
            self._summed += wrote
            # The least that a total can be by now: the first report, and one more token with each that followed.
            self._each = self._each or wrote < self._first + self._reports - 1
        elif self._each and wrote < self._summed:  # the last chunk's own tokens; a total would be as much at least
            self._summed += wrote
        elif self._each:
            return usage
        if not self._each:
            return usage
        return {**usage, "prompt_tokens": self._read, "completion_tokens": self._summed, "total_tokens": None}
