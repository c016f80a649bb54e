"""One answer, from what its author yields to what LangChain is given: a push parser over all the others."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage, AIMessageChunk

from langplug._answer import from_message, from_openai
from langplug._answer.reasoning import ReasoningSplitter
from langplug._answer.stop import StopCutter
from langplug._answer.tool_calls import CallAssembler, WholeCall
from langplug._answer.usage import UsageMeter
from langplug._errors import IncompleteAnswerError
from langplug._parts import Finish, Reasoning, ToolCall, Usage
from langplug._tools import CallParser

Piece: TypeAlias = str | Reasoning | WholeCall | dict[str, Any]
"""What comes out: text, reasoning, a whole tool call, or another content block."""

ALLOWED = "str, Reasoning, ToolCall, Usage, Finish, a content block (a dict with a 'type'), AIMessage, AIMessageChunk, or an OpenAI-shaped completion or chunk (a dict with 'choices')"  # noqa: E501 - one sentence, said in errors


class AnswerParser:
    """Parts in, clean pieces out; what is known of the answer's end is kept for it.

    Attributes:
        stopped: True once a stop string was met; the source is to be closed, and all but its usage is dropped.
        runs_on: True once the source has gone on to speak behind it.
        reason: Why the answer ended, as the source or the stop string says; empty while unknown.
        stop_sequence: The stop string that ended it.
        metadata: More for `response_metadata`.
        additional_kwargs: More for the message's `additional_kwargs`.
        id: The message's id, if the source gave one.
        usage: The tokens that the source reported.
        dropped_calls: How many calls came beyond those that the request allows.
    """

    def __init__(
        self,
        *,
        owner: str,
        stop: tuple[str, ...] = (),
        include_stop: bool = True,
        reasoning: ReasoningSplitter | None = None,
        calls_in_text: CallParser | None = None,
        most_calls: int | None = None,
    ) -> None:
        self.stopped = False
        self.runs_on = False
        self.reason = ""
        self.stop_sequence: str | None = None
        self.metadata: dict[str, Any] = {}
        self.additional_kwargs: dict[str, Any] = {}
        self.id: str | None = None
        self.usage = UsageMeter()
        self.dropped_calls = 0
        self._owner = owner
        self._cutter = StopCutter(stop, include=include_stop) if stop else None
        self._splitter = reasoning
        self._calls = CallAssembler()
        self._parser = calls_in_text
        self._calls_left = most_calls
        self._called = False
        self._owes_finish = False

    def feed(self, part: Any) -> Sequence[Piece]:
        """Take one more part; return what is certain now.

        Raises:
            TypeError: If it is none of the parts there are.
            ModelError: If it is an OpenAI-shaped error.
        """
        if self.stopped:
            return self._drop(part)
        if isinstance(part, str):
            return self._text(part)
        if isinstance(part, Reasoning):
            return [*self._flushed_text(), part]
        if isinstance(part, ToolCall):
            return [*self._flushed_text(), *self._admitted(self._calls.feed(part))]
        if isinstance(part, Usage):
            self.usage.add(part)
            return ()
        if isinstance(part, Finish):
            self._finish(part)
            return ()
        return self._compound(part)

    def end(self) -> list[Piece]:
        """The source has ended: return what was held back.

        Raises:
            IncompleteAnswerError: If the source owed a finish reason and gave none.
        """
        pieces = self.rest()
        if self._owes_finish and not self.reason:
            raise IncompleteAnswerError(
                f"The source of {self._owner} ended without a finish reason, so its answer is not complete. "
                "What had come is this error's `partial`; asking again may help."
            )
        if self._called and self.reason in ("", "stop", "tool_call", "function_call") and self.stop_sequence is None:
            self.reason = "tool_calls"  # servers whose calls are read out of the text say "stop"
        self.reason = self.reason or "stop"
        return pieces

    def rest(self) -> list[Piece]:
        """What is held back, for when the answer breaks off."""
        return [*self._flushed_text(), *self._admitted(self._calls.flush())]

    def _drop(self, part: Any) -> Sequence[Piece]:
        """Behind the stop string: sources that end there by themselves still say what they used."""
        if isinstance(part, Usage):
            self.usage.add(part)
        elif not isinstance(part, Finish):
            self.runs_on = True
        return ()

    def _compound(self, part: Any) -> list[Piece]:
        if isinstance(part, AIMessage):
            self._keep_message(part)
            return self._feed_all(from_message.parts_of(part))
        if isinstance(part, Mapping) and from_openai.is_openai_shaped(part):
            self._owes_finish = self._owes_finish or from_openai.is_chunk(part)
            return self._feed_all(from_openai.parts_of(part))
        if isinstance(part, Mapping) and isinstance(part.get("type"), str):
            return self._block(part)
        raise TypeError(f"{self._owner} gave {_shown(part)}. What it may return or yield: {ALLOWED}.{_hint(part)}")

    def _feed_all(self, parts: Iterable[Any]) -> list[Piece]:
        return [piece for part in parts for piece in self.feed(part)]

    def _block(self, block: Mapping[str, Any]) -> list[Piece]:
        if block["type"] == "text" and set(block) <= {"type", "text", "index", "id"}:
            return list(self._text(str(block.get("text") or "")))
        if block["type"] == "reasoning":
            return [*self._flushed_text(), Reasoning(str(block.get("reasoning") or ""), block.get("extras"))]
        if block["type"] == "thinking":  # as Anthropic has it
            extras = {"signature": block["signature"]} if block.get("signature") else None
            return [*self._flushed_text(), Reasoning(str(block.get("thinking") or ""), extras)]
        if block["type"] in from_message.CALLS:
            args = block.get("input") if block["type"] == "tool_use" else block.get("args")
            call = ToolCall(name=block.get("name"), args=args, id=block.get("id"), index=block.get("index"))
            return list(self.feed(call))
        return [*self._flushed_text(), {key: value for key, value in block.items() if key != "index"}]

    def _text(self, text: str) -> Sequence[Piece]:
        if self._splitter is None:
            return self._cut(text)
        splits = self._splitter.feed(text)
        if len(splits) == 1:
            return self._cut(splits[0])
        return [piece for split in splits for piece in self._cut(split)]

    def _cut(self, piece: str | Reasoning) -> Sequence[Piece]:
        """Stop strings count in what is said, not in what is thought; and so do calls."""
        if self.stopped:
            return ()
        if isinstance(piece, Reasoning):
            return [*self._flushed_cutter(), *self._flushed_parser(), piece]
        if self._cutter is not None:
            piece = self._cutter.feed(piece)
            self._note_hit()
        return self._parsed(piece)

    def _parsed(self, text: str) -> Sequence[Piece]:
        """Calls that stand in the text, taken out of it."""
        if self._parser is None or not text:
            return (text,) if text else ()
        return self._sorted(self._parser.feed(text))

    def _sorted(self, found: Iterable[str | ToolCall]) -> list[Piece]:
        pieces: list[Piece] = []
        for one in found:
            pieces.extend([one] if isinstance(one, str) else self._admitted(self._calls.feed(one)))
        return [piece for piece in pieces if piece != ""]

    def _admitted(self, calls: Iterable[WholeCall]) -> list[WholeCall]:
        """Those of `calls` that the request still allows."""
        admitted = list(calls)
        if self._calls_left is not None:
            self.dropped_calls += max(0, len(admitted) - self._calls_left)
            admitted = admitted[: self._calls_left]
            self._calls_left -= len(admitted)
        self._called = self._called or bool(admitted)
        return admitted

    def _flushed_text(self) -> list[Piece]:
        pieces: list[Piece] = []
        if self._splitter is not None and not self.stopped:
            pieces.extend(piece for split in self._splitter.flush() for piece in self._cut(split))
        pieces.extend(self._flushed_cutter())
        pieces.extend(self._flushed_parser())
        return pieces

    def _flushed_cutter(self) -> list[Piece]:
        if self._cutter is None or self.stopped:
            return []
        text = self._cutter.flush()
        self._note_hit()
        return list(self._parsed(text))

    def _flushed_parser(self) -> list[Piece]:
        return [] if self._parser is None else self._sorted(self._parser.flush())

    def _note_hit(self) -> None:
        if self._cutter is not None and self._cutter.hit is not None:
            self.stopped = True
            self.reason = "stop"
            self.stop_sequence = self._cutter.hit

    def _finish(self, finish: Finish) -> None:
        self.reason = finish.reason or self.reason
        self.stop_sequence = finish.stop_sequence or self.stop_sequence
        for name, value in finish.metadata.items():
            known = self.metadata.get(name)
            if name == "logprobs" and isinstance(known, Mapping):  # these come piece by piece
                self.metadata[name] = _appended(known, value)
            else:
                self.metadata[name] = value

    def _keep_message(self, message: AIMessage) -> None:
        extra = {key: value for key, value in message.additional_kwargs.items() if key != "reasoning_content"}
        self.additional_kwargs.update(extra)
        self.id = self.id or message.id
        if isinstance(message, AIMessageChunk) and message.chunk_position == "last" and not self.reason:
            self.reason = str(message.response_metadata.get("finish_reason") or "")


def _appended(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Two mappings of lists as one."""
    return {**known, **{name: [*(known.get(name) or []), *(items or [])] for name, items in more.items()}}


def _shown(part: Any) -> str:
    text = repr(part)
    return f"{text if len(text) <= 200 else text[:200] + '…'} (a {type(part).__name__})"


def _hint(part: Any) -> str:
    if part is None:
        return " Is a `return` or a `yield` missing?"
    if isinstance(part, bytes | bytearray):
        return " Decode the bytes first; an incremental decoder keeps characters whole."
    if hasattr(part, "__anext__") or hasattr(part, "__next__"):
        return " To pass on an iterator, yield its items: `yield from …`, or `async for … : yield …`."
    if hasattr(part, "__await__"):
        return " To pass on an awaitable, make the function `async def` and `await` it."
    return ""
