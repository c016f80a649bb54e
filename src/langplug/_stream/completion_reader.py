"""The body of an OpenAI-wire answer, read as parts: streamed or whole, whichever was asked for."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from langchain_core.exceptions import ModelAPIError, ModelError

from langplug._answer import from_openai
from langplug._answer.server_errors import error_of, message_of, said_in
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Part, Usage
from langplug._stream.framing import FRAMINGS, Frame, FrameDecoder, Framing, framing_of, sniffed_framing
from langplug._stream.openai_usage import UsageReports

Load = Callable[[bytes | str], Any]

_DONE = b"[DONE]"

_NOT_IN_PLAIN_TEXT = frozenset({"error", "finish_reason", "timings"})

_TEXT_ALONE = frozenset({"content", "role"})


class CompletionReader:
    """A push parser for the bytes of one chat completion: https://platform.openai.com/docs/api-reference/chat.

    How the body is framed is seen in its first bytes, as servers answer with JSON where a stream was asked for and the
    reverse, and name it wrongly.

    Args:
        content_type: The response's `Content-Type`; tells JSON lines from one JSON value.
        coalesce: Give the text that one `feed` holds as one part.
        whole_chunks: Give the chunks as they are, with all answers that they hold; else the parts of the first.
        ends_at: What a stream must hold to be whole: a finish reason, or at least `[DONE]`.
        load: The JSON parser.

    Attributes:
        finished: True once `[DONE]` was read, or an error.
    """

    def __init__(
        self,
        content_type: str = "",
        *,
        coalesce: bool = False,
        whole_chunks: bool = False,
        ends_at: Literal["finish_reason", "done"] = "finish_reason",
        load: Load = json.loads,
    ) -> None:
        self.finished = False
        self._named: Framing | None = framing_of(content_type)
        self._start = b""
        self._decoder: FrameDecoder | None = None
        self._coalesce = coalesce
        self._whole_chunks = whole_chunks
        self._ends_at = ends_at
        self._load = load
        self._usage = UsageReports()
        self._read_any = False
        self._is_whole = False
        self._metadata: dict[str, Any] = {}
        self._error: ModelError | None = None

    def feed(self, data: bytes) -> Sequence[Part]:
        """Take the next bytes; return the parts that they complete.

        What came before an error is given on first; `end` then raises it.

        Raises:
            ModelError: If the server reports an error; typed by its words.
            IncompleteAnswerError: If an event is not JSON.
            ModelAPIError: If the body is no chat completion at all.
        """
        if self._decoder is None:
            data = self._start = self._start + data
            framing = sniffed_framing(data)
            if framing is None:
                return ()
            self._begin(framing)
            self._start = b""
        return self._parts(self._decoder.feed(data) if self._decoder else [])

    def end(self) -> Sequence[Part]:
        """Return what is left.

        Raises:
            IncompleteAnswerError: If the answer is not whole.
            ModelError: What stood behind the parts that the last `feed` gave.
        """
        if self._decoder is None:  # too little has come to tell
            self._begin(self._named or "json")
            self.feed(self._start)
        parts = list(self._parts(self._decoder.flush())) if self._decoder and self._error is None else []
        if self._error is not None:
            raise self._error
        if not self._is_whole and not (self.finished and self._ends_at == "done"):
            raise IncompleteAnswerError(self._what_is_missing())
        return parts

    # --- framing ---

    def _begin(self, framing: Framing) -> None:
        if framing == "json" and self._named == "ndjson":
            framing = "ndjson"
        if framing == "text":
            said = message_of(said_in(self._start))
            raise ModelAPIError(
                f"The server's answer is no chat completion; it begins {said[:200]!r}. "
                "Is `base_url` the address of its API? It mostly ends in /v1."
            )
        self._decoder = FRAMINGS[framing]()

    def _parts(self, frames: list[Frame]) -> Sequence[Part]:
        if len(frames) == 1 and not self.finished:  # as nearly always
            return self._of_frame(frames[0])
        parts: list[Part] = []
        try:
            for frame in frames:
                if not self.finished:
                    parts += self._of_frame(frame)
        except ModelError as error:
            if not parts:
                raise
            self._error, self.finished = error, True
        return _coalesced(parts) if self._coalesce else parts

    def _of_frame(self, frame: Frame) -> Sequence[Part]:
        data = frame.data
        if data == _DONE or (len(data) < 20 and data.strip() == _DONE):
            self.finished = True
            return ()
        value = self._loaded(data)
        if frame.event == "error" or not isinstance(value, dict):
            raise _error_in(value)
        try:
            if (text := _plain_text(value)) is not None and self._read_any and not self._whole_chunks:
                return (text,)
            self._read_any = True
            return self._of_value(value)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ModelAPIError(
                f"The server sent {_shown(data)}, which is no chat completion. "
                "Does it speak OpenAI's chat-completions wire? For others, there is ChatHTTP."
            ) from None

    def _loaded(self, data: bytes | str) -> Any:
        try:
            return self._load(data)
        except (ValueError, RecursionError):
            raise IncompleteAnswerError(
                f"The server sent {_shown(data)}, which is not JSON, so its answer is broken off there. "
                "What had come is this error's `partial`; asking again may help."
            ) from None

    # --- values ---

    def _of_value(self, value: dict[str, Any]) -> Sequence[Part]:
        if "choices" not in value and "usage" not in value:
            if _is_error(value):
                raise _error_in(value)
            return ()  # of another kind, such as llama.cpp's progress
        if value.get("error"):
            raise _error_in(value)
        self._note_end(value)
        if isinstance(usage := value.get("usage"), Mapping):
            with_content = any(_has_content(choice) for choice in value.get("choices") or ())
            value = {**value, "usage": self._usage.total(usage, with_content=with_content)}
        if self._whole_chunks:
            return (value,)
        return list(self._new(from_openai.parts_of(value)))

    def _note_end(self, value: Mapping[str, Any]) -> None:
        """A stream is whole once its first answer says so; a completion too, or as it has no field to say so."""
        choices = value.get("choices") or ()
        first = [choice for choice in choices if not choice.get("index")]
        if any("message" in choice and "delta" not in choice and "finish_reason" not in choice for choice in first):
            self._is_whole = True
        reasons = (
            value.get("finish_reason"),
            *(one.get("finish_reason") or (one.get("delta") or {}).get("finish_reason") for one in first),
        )
        self._is_whole = self._is_whole or any(reasons)

    def _new(self, parts: Iterator[Part]) -> Iterator[Part]:
        """Without the metadata that every chunk repeats."""
        for part in parts:
            if isinstance(part, Finish) and not part.reason and "logprobs" not in part.metadata:
                if part.metadata.items() <= self._metadata.items():
                    continue
                self._metadata |= part.metadata
            yield part

    def _what_is_missing(self) -> str:
        if not self._read_any:
            return "The server's answer is empty: it has neither a completion nor an error. Asking again may help."
        return (
            f"The server's answer ended {'with [DONE], but ' if self.finished else ''}without a finish reason, so it "
            "is not complete. What had come is this error's `partial`; asking again may help."
        )


def _plain_text(value: Mapping[str, Any]) -> str | None:
    """The text of a chunk that holds nothing else, by far the most frequent kind."""
    choices = value.get("choices")
    if not choices or len(choices) != 1 or not _NOT_IN_PLAIN_TEXT.isdisjoint(value):
        return None
    choice = choices[0]
    delta = choice.get("delta")
    if not delta or value.get("usage") or choice.get("finish_reason") or choice.get("index") or choice.get("logprobs"):
        return None
    text = delta.get("content")
    if type(text) is not str or not text:
        return None
    if len(delta) > 1 and not delta.keys() <= _TEXT_ALONE and any(delta[key] for key in delta.keys() - _TEXT_ALONE):
        return None
    return text


def _has_content(choice: Mapping[str, Any]) -> bool:
    delta = choice.get("delta") or {}
    return any(value for name, value in delta.items() if name not in ("role", "finish_reason"))


def _is_error(value: Mapping[str, Any]) -> bool:
    return bool(value.get("error") or value.get("detail")) or "error" in (value.get("object"), value.get("type"))


def _error_in(value: Any) -> Exception:
    return error_of((value.get("error") or value) if isinstance(value, Mapping) else value)


def _coalesced(parts: list[Part]) -> list[Part]:
    """With runs of text as one; a report of usage between them is kept, behind the run."""
    run: list[str] = []
    behind: list[Part] = []
    joined: list[Part] = []
    for part in [*parts, None]:
        if isinstance(part, str):
            run.append(part)
        elif isinstance(part, Usage) and run:
            behind = [part]
        else:
            joined += [*(["".join(run)] if run else []), *behind, *([] if part is None else [part])]
            run, behind = [], []
    return joined


def _shown(data: bytes | str) -> str:
    text = data if isinstance(data, str) else data.decode(errors="replace")
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
