"""Clean pieces as the events of version 3: each block of an answer begins, grows and ends where it truly does.

langchain-core can make such events of chunks (`_compat_bridge`), but it ends all blocks at the end of the answer, and
that costs several times what is done here. The shapes of the events are those of `langchain_protocol`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.messages import AIMessageChunk

from langplug._answer.chunks import Closing, NewExtras, block_of_call, join_run, streamed_args
from langplug._answer.parser import Piece, is_citation, is_refusal
from langplug._answer.tool_calls import CallFragment, WholeCall
from langplug._parts import Reasoning

Event: TypeAlias = dict[str, Any]
"""One of `langchain_protocol.protocol.MessagesData`."""

_WITHOUT_PAYLOAD: dict[str, Any] = {
    "data": None, "base64": None, "output": None, "transcript": None,
    "text": "", "args": {}, "value": {},
}  # fmt: skip
"""What of a whole block may be large, and so comes with its end alone; with what stands for it at its beginning."""


class _TextDelta:
    """Its `__dict__` is a delta. Dicts of attributes share their keys: half the memory, and core keeps all events."""

    def __init__(self, text: str) -> None:
        self.type = "text-delta"
        self.text = text


class _TextEvent:
    """Its `__dict__` is the event of a delta."""

    def __init__(self, index: int, delta: dict[str, Any]) -> None:
        self.event = "content-block-delta"
        self.index = index
        self.delta = delta


class EventBuilder:
    """Pieces to events.

    Args:
        v1: Whether the model's content is standard blocks; else its own kinds of block are made such.
        message_id: The message's id, unless its source has one.
        model: The model's name.
        provider: Who runs it.
    """

    def __init__(self, *, v1: bool = False, message_id: str = "", model: str = "", provider: str = "") -> None:
        self._v1 = v1
        self._start: Event | None = {
            "event": "message-start",
            "role": "ai",
            "id": message_id,
            "metadata": {"provider": provider, "model": model},
        }
        self._blocks = 0
        self._calls = 0
        self._open = -1  # the number of the block that grows
        self._grows: type[str | Reasoning | dict[str, Any]] | None = None
        self._run: list[Piece] = []  # what it consists of so far
        self._annotations: list[Any] = []  # what its text cites
        self._shown: dict[int | None, int] = {}  # the blocks of calls whose fragments were shown
        self._new_extras = NewExtras(v1=True)

    def add(self, pieces: Sequence[Piece], message_id: str | None = None) -> Sequence[Event]:
        """Take more pieces; return what there is to be said of them.

        Args:
            pieces: The pieces.
            message_id: The id that the source gave the message, if it did by now. The first event says it.
        """
        if len(pieces) == 1 and self._grows is str and type(piece := pieces[0]) is str:
            self._run.append(piece)
            # A token each: without a call more than it takes.
            return (_TextEvent(self._open, _TextDelta(piece).__dict__).__dict__,)
        if not pieces:
            return ()
        events = self._take_start(message_id)
        for piece in pieces:
            events += self._add(piece)
        return events

    def end(self, closing: Closing) -> list[Event]:
        """The last events: the block that grows ends, and the message."""
        last: Event = {"event": "message-finish", "metadata": closing.response_metadata}
        if closing.usage is not None:
            last["usage"] = closing.usage
        if closing.additional_kwargs:
            last["additional_kwargs"] = closing.additional_kwargs  # where langchain-core's own bridge puts them
        return [*self._take_start(closing.id), *self._end_block(), last]

    def _take_start(self, message_id: str | None) -> list[Event]:
        """The first event, once."""
        start, self._start = self._start, None
        if start is None:
            return []
        return [{**start, "id": message_id or start["id"]}]

    def _add(self, piece: Piece) -> Sequence[Event]:
        if isinstance(piece, str):
            begin = self._begin_run(str, {"type": "text", "text": ""})
            self._run.append(piece)
            return (*begin, _delta(self._open, {"type": "text-delta", "text": str(piece)}))
        if isinstance(piece, Reasoning):
            begin = self._begin_run(Reasoning, {"type": "reasoning", "reasoning": ""})
            self._run.append(self._new_extras.strip(piece, self._open))
            delta = _delta(self._open, {"type": "reasoning-delta", "reasoning": piece.text})
            return (*begin, delta) if piece.text else begin
        if isinstance(piece, CallFragment | WholeCall):
            return self._add_call(piece)
        if is_refusal(piece):  # it may come in pieces, but there is no delta for them
            begin = self._begin_run(dict, {"type": "refusal", "refusal": ""})
            self._run.append(piece)
            return begin
        if is_citation(piece):
            begin = self._begin_run(str, {"type": "text", "text": ""})
            self._annotations += piece.get("annotations", ())
            return begin
        # What need not be standard by itself, is as langchain-core's `content_blocks` makes it.
        blocks: Sequence[Mapping[str, Any]] = [piece] if self._v1 else AIMessageChunk(content=[piece]).content_blocks
        events: list[Event] = []
        for block in blocks:
            number = self._blocks
            small = {name: _WITHOUT_PAYLOAD.get(name, value) for name, value in block.items()}
            start = self._begin_block({name: value for name, value in small.items() if value is not None})
            events += [*self._end_block(), start, _finish(number, {**block, "index": number})]
        return events

    # --- blocks that grow ---

    def _begin_run(self, kind: type[str | Reasoning | dict[str, Any]], block: dict[str, Any]) -> Sequence[Event]:
        """Begin a block that grows, which ends the one before it, unless one of the kind grows already."""
        if self._grows is kind:
            return ()
        events = [*self._end_block(), self._begin_block(block)]
        self._grows, self._open = kind, self._blocks - 1
        return events

    def _begin_block(self, block: dict[str, Any]) -> Event:
        self._blocks += 1
        return {"event": "content-block-start", "index": self._blocks - 1, "content": block}

    def _end_block(self) -> Sequence[Event]:
        """End the block that grows, if there is one."""
        if self._grows is None:
            return ()
        whole = join_run(self._run or [""])
        if isinstance(whole, Reasoning):
            extras = {"extras": dict(whole.extras)} if whole.extras else {}
            block: dict[str, Any] = {"type": "reasoning", "reasoning": whole.text, **extras}
        elif isinstance(whole, dict):
            block = {**whole, "index": self._open}
        else:
            block = {"type": "text", "text": whole}
        if self._annotations:
            block["annotations"] = self._annotations
        self._grows, self._run, self._annotations = None, [], []
        return (_finish(self._open, block),)

    # --- calls ---

    def _add_call(self, call: CallFragment | WholeCall) -> list[Event]:
        """A call, or what can be shown of one that is not whole yet: if it comes to nothing, its end will say so."""
        number = self._shown.get(call.number if isinstance(call, CallFragment) else call.shown)
        args = call.args if isinstance(call, CallFragment) else ""  # of a whole one, what was shown before
        events: list[Event] = []
        if number is None:
            number = self._blocks
            block = {
                "type": "tool_call_chunk",
                "id": call.id,
                "name": call.name or None,
                "args": "",
                "index": self._calls,
            }
            self._calls += 1
            events += [*self._end_block(), self._begin_block(block)]
            args = call.args if isinstance(call, CallFragment) else streamed_args(call)
        if isinstance(call, CallFragment):
            self._shown[call.number] = number
        if args:
            events.append(_delta(number, {"type": "tool-call-delta", "args": args}))
        if isinstance(call, WholeCall):
            events.append(_finish(number, block_of_call(call)))
        return events


def _delta(number: int, delta: dict[str, Any]) -> Event:
    return {"event": "content-block-delta", "index": number, "delta": delta}


def _finish(number: int, block: dict[str, Any]) -> Event:
    return {"event": "content-block-finish", "index": number, "content": block}
