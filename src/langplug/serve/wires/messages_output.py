"""An answer on the Messages wire: its blocks, one after the other, as events of a stream or as one message.

The wire has one block at a time, in order, and a model may mix them: call two tools at once, or think while it calls.
`BlockSequence` puts that in order; what it says is written by `MessageWriter`, streamed or whole, so that both are the
same message.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Literal

from langplug._wires.messages import (
    FINISH_BY_STOP_REASON,
    NO_THREADS,
    OWN_STOP_REASONS,
    REDACTED,
    STATUS_BY_ERROR,
    THINKING,
)
from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, Refusal, Thought
from langplug.serve.errors import ApiError
from langplug.serve.json_text import dump

Shown = Literal["shown", "omitted", "hidden"]
"""Of thoughts: as they are; as blocks without their text, for their signature's sake; not at all."""

_MEMBER = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
    "citations_delta": "citation",
}
"""What each kind of delta holds its piece in."""


class OutputBlock:
    """A block of an answer: how it begins, and the pieces that have come for it."""

    def __init__(self, start: dict[str, Any]) -> None:
        self.start = start
        self.pieces: list[tuple[str, Any]] = []
        self.told = -1
        """How many pieces the client has been told; -1 if not even that the block begins."""

    @property
    def type(self) -> str:
        """Anthropic's name of its kind."""
        return str(self.start["type"])

    def joined(self, kind: str) -> str:
        """What has come in pieces of this kind."""
        return "".join(piece for name, piece in self.pieces if name == kind)

    @property
    def is_complete(self) -> bool:
        """Whether it may end now that another block has begun: a call whose arguments are not yet JSON may not."""
        return self.type != "tool_use" or _parsed(self.joined("input_json_delta")) is not None

    def whole(self) -> dict[str, Any]:
        """The block as an answer has it that is not streamed."""
        if self.type == "tool_use":
            written = self.joined("input_json_delta")
            read = _parsed(written) if written else {}
            return {**self.start, "input": {"arguments": written} if read is None else read}
        found = {_MEMBER[name]: self.joined(name) for name in ("text_delta", "thinking_delta", "signature_delta")}
        cited = [piece for name, piece in self.pieces if name == "citations_delta"]
        whole = {key: found.get(key, value) for key, value in self.start.items()}
        return whole | ({"citations": cited} if cited else {})


def _parsed(arguments: str) -> dict[str, Any] | None:
    """The arguments of a call, if they are a whole JSON object."""
    if not arguments.rstrip().endswith("}"):
        return None
    try:
        value = json.loads(arguments)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class BlockSequence:
    """The blocks of an answer in the order in which they began, and what of them is to be told next.

    The first block that has not ended is told as it comes; later ones wait. It ends when another one has begun and,
    if it is a call, its arguments are whole; else with the answer.
    """

    def __init__(self, thoughts: Shown) -> None:
        self.blocks: list[OutputBlock] = []
        self.refusal = ""
        self._thoughts = thoughts
        self._calls: dict[int, OutputBlock] = {}
        self._head = 0

    def add(self, delta: Delta) -> None:
        """Take the next piece of the answer."""
        match delta:
            case "":
                pass
            case str():
                self._last("text", text="").pieces.append(("text_delta", delta))
            case Thought():
                if self._thoughts != "hidden":
                    self._think(delta)
            case CallStart():
                start = {"type": "tool_use", "id": delta.id, "name": delta.name, "input": {}}
                self._calls[delta.index] = self._begin(start)
            case CallArguments():
                if delta.text:
                    self._calls[delta.index].pieces.append(("input_json_delta", delta.text))
            case Refusal():
                self.refusal += delta.text
            case Block(block):
                self._last("text", text="").pieces.extend(pieces_of(block))

    def events(self, *, ended: bool = False) -> Iterator[dict[str, Any]]:
        """What the client has not been told yet, as far as it can be told now.

        Args:
            ended: Whether nothing else will come: then all of it can.
        """
        while self._head < len(self.blocks):
            block, number = self.blocks[self._head], self._head
            if block.told < 0:
                yield {"type": "content_block_start", "index": number, "content_block": block.start}
            for kind, piece in block.pieces[max(block.told, 0) :]:
                yield {"type": "content_block_delta", "index": number, "delta": {"type": kind, _MEMBER[kind]: piece}}
            block.told = len(block.pieces)
            if not ended and (number == len(self.blocks) - 1 or not block.is_complete):
                return
            yield {"type": "content_block_stop", "index": number}
            self._head += 1

    def open_text(self) -> int | None:
        """The number of the block that text is told in at once; None if there is none, or not now."""
        is_open = self.blocks and self._head == len(self.blocks) - 1 and self.blocks[-1].type == "text"
        return self._head if is_open else None

    def _begin(self, start: dict[str, Any]) -> OutputBlock:
        self.blocks.append(OutputBlock(start))
        return self.blocks[-1]

    def _last(self, kind: str, **start: Any) -> OutputBlock:
        """The last block, if it is of this kind; else a new one."""
        if self.blocks and self.blocks[-1].type == kind:
            return self.blocks[-1]
        return self._begin({"type": kind, **start})

    def _think(self, thought: Thought) -> None:
        """A signature ends a block of reasoning, though some sources say it anew with each piece of the text."""
        extras = thought.extras or {}
        if data := extras.get("data"):
            self._begin({"type": REDACTED, "data": data})
            return
        block, signature = self._last(THINKING, thinking="", signature=""), extras.get("signature") or ""
        known = block.joined("signature_delta")
        if known and known != signature:
            block, known = self._begin({"type": THINKING, "thinking": "", "signature": ""}), ""
        if thought.text and self._thoughts == "shown":
            block.pieces.append(("thinking_delta", thought.text))
        if signature and not known:
            block.pieces.append(("signature_delta", signature))


def pieces_of(block: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Text with its sources, as those of the web. For other content the wire has no place: it is a link, or words."""
    kind, url = block.get("type"), block.get("url")
    if kind == "text":
        yield "text_delta", str(block.get("text") or "")
        for note in block.get("annotations") or ():
            if note.get("type") == "citation" and note.get("url"):
                place = {"url": note["url"], "title": note.get("title"), "cited_text": note.get("cited_text") or ""}
                yield "citations_delta", {"type": "web_search_result_location", **place, "encrypted_index": ""}
    elif isinstance(url, str) and not url.startswith("data:"):
        yield "text_delta", f"{'!' if kind == 'image' else ''}[{kind}]({url})"
    else:
        details = ", ".join(str(one) for one in (kind, block.get("mime_type")) if one)
        yield "text_delta", f"[The model also gave content that this API has no place for: {details}]"


class MessageWriter:
    """One answer, written as events or as one message.

    Args:
        message_id: Its id, such as `msg_...`.
        model: The model's id, as the client knows it.
        thoughts: What becomes of reasoning.
    """

    def __init__(self, message_id: str, model: str, thoughts: Shown = "shown") -> None:
        self._frame = {"id": message_id, "type": "message", "role": "assistant", "model": model}
        self._blocks = BlockSequence(thoughts)
        self._before_text: bytes | None = None

    def begin(self) -> bytes:
        """The message before anything is in it."""
        message: dict[str, Any] = {**self._frame, "content": [], **_NOT_ENDED, "usage": _usage(None)}
        return _event({"type": "message_start", "message": message}) + self.ping()

    def feed(self, delta: Delta) -> bytes:
        """The events for the next piece of the answer."""
        if self._before_text is not None and type(delta) is str and delta:
            return self._before_text + dump(delta) + b"}}\n\n"
        self._blocks.add(delta)
        written = b"".join(map(_event, self._blocks.events()))
        number = self._blocks.open_text()
        self._before_text = None if number is None else _BEFORE_TEXT % number
        return written

    def end(self, ending: Ending) -> bytes:
        """The last events: of the blocks, and of the message."""
        usage = _usage(ending.usage)
        events = [
            *self._blocks.events(ended=True),
            {"type": "message_delta", "delta": self._end(ending), "usage": usage},
            {"type": "message_stop"},
        ]
        return b"".join(map(_event, events))

    def fail(self, error: ApiError) -> bytes:
        """The error that ends a stream."""
        return _event({"type": "error", "error": error_object(error)})

    def ping(self) -> bytes:
        """An event that means nothing, to keep the connection."""
        return b'event: ping\ndata: {"type":"ping"}\n\n'

    def whole(self, deltas: Iterable[Delta], ending: Ending) -> dict[str, Any]:
        """The message in one piece."""
        for delta in deltas:
            self._blocks.add(delta)
        content = [block.whole() for block in self._blocks.blocks]
        return {**self._frame, "content": content, **self._end(ending), "usage": _usage(ending.usage)}

    def _end(self, ending: Ending) -> dict[str, Any]:
        """Why the message ends. A model that declines says so here alone: there is no block for it."""
        if self._blocks.refusal:
            details = {"type": "refusal", "category": None, "explanation": self._blocks.refusal}
            return {"stop_reason": "refusal", "stop_sequence": None, "stop_details": details}
        has_calls = any(block.type == "tool_use" for block in self._blocks.blocks)
        reason = ending.finish_reason or ""
        if reason not in FINISH_BY_STOP_REASON and reason not in OWN_STOP_REASONS:
            reason = _STOP_REASONS.get(reason, "end_turn")
        if reason in ("end_turn", "tool_use"):
            reason = "tool_use" if has_calls else "end_turn"
        if reason == "end_turn" and ending.stop_sequence is not None:
            reason = "stop_sequence"
        sequence = ending.stop_sequence if reason == "stop_sequence" else None
        return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": None}


class CountWriter(MessageWriter):
    """The answer to a count: the tokens of the input, and nothing of an answer."""

    def whole(self, deltas: Iterable[Delta], ending: Ending) -> dict[str, Any]:
        """The count."""
        return {"input_tokens": (ending.usage or {})["input_tokens"]}


_BEFORE_TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":'
)

_NOT_ENDED = {"stop_reason": None, "stop_sequence": None, "stop_details": None}

_STOP_REASONS = {finish: reason for reason, finish in FINISH_BY_STOP_REASON.items() if reason != "stop_sequence"}


def _event(data: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (data["type"].encode(), dump(data))


def _usage(usage: Mapping[str, Any] | None) -> dict[str, int]:
    """Tokens as this wire counts them: unlike LangChain's, its input does not include what concerns the cache."""
    known: Mapping[str, Any] = usage or {}
    details = known.get("input_token_details") or {}
    read, created = details.get("cache_read") or 0, details.get("cache_creation") or 0
    return {
        "input_tokens": max(0, (known.get("input_tokens") or 0) - read - created),
        "cache_creation_input_tokens": created,
        "cache_read_input_tokens": read,
        "output_tokens": known.get("output_tokens") or 0,
    }


def error_object(error: ApiError) -> dict[str, Any]:
    """The members of an error on this wire. Its type is told by the status: it has a list of types of its own."""
    other = "invalid_request_error" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "api_error"
    told = {"type": _TYPE_BY_STATUS.get(error.status, other), "message": error.message}
    details = {"details": {"error_code": NO_THREADS, "unsupported": [error.param]}} if error.code == NO_THREADS else {}
    return told | details


_TYPE_BY_STATUS = {status: name for name, status in STATUS_BY_ERROR.items()} | {503: "overloaded_error"}
