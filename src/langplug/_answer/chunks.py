"""Clean pieces as LangChain messages: chunk by chunk for a stream, or one whole message.

Both give the same: adding up the chunks of an answer makes the message that `MessageBuilder` makes of it.
Plain content (v0) is a string, with reasoning in `additional_kwargs["reasoning_content"]`, from where
`content_blocks` reads it. Standard content (`output_version="v1"`) is a list of typed blocks, in order.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any, cast

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from langplug._answer.fast_chunks import plain_chunk
from langplug._answer.parser import Piece, is_citation, is_refusal
from langplug._answer.tool_calls import CallFragment, WholeCall
from langplug._parts import Reasoning

_V1 = {"output_version": "v1"}


@dataclass(frozen=True, slots=True)
class Restart:
    """What was shown of the answer is void; it begins anew."""


RESTART = Restart()

_RESTARTS = "langplug_restarts"


def is_restart(chunk: AIMessage) -> bool:
    """Whether `chunk` says that what came before it is void."""
    return _RESTARTS in chunk.additional_kwargs


@dataclass(frozen=True, slots=True)
class Closing:
    """What is known of an answer once it has ended; said on its last chunk and on no other."""

    usage: UsageMetadata | None = None
    response_metadata: dict[str, Any] = field(default_factory=dict)
    additional_kwargs: dict[str, Any] = field(default_factory=dict)
    id: str | None = None


class _Numbering:
    """Block numbers, from 0: a new one when the kind of block changes, and for every call and whole block.

    Calls are numbered with the blocks around them: langchain-core merges what has the same number, a text block and a
    call included. In plain content, text and reasoning are not blocks, and so the first call is number 0 there, which
    front ends take for its place in the list of calls.
    """

    def __init__(self, *, v1: bool) -> None:
        self._has_blocks = v1
        self._v1 = v1
        self.kind = ""
        self._number = -1

    def number_of(self, piece: Piece) -> int:
        kind = type(piece).__name__
        self._has_blocks = self._has_blocks or kind == "dict"
        if kind == "dict" and is_refusal(piece):
            kind = "refusal"  # the only block that comes in pieces
        elif kind == "dict" and is_citation(piece):
            kind = "str"  # it adds to the block of text
        is_whole = kind in ("WholeCall", "dict")
        if is_whole or (kind != self.kind and (self._v1 or (self._has_blocks and kind != "Reasoning"))):
            self._number += 1
        self.kind = kind
        return self._number


class NewExtras:
    """Drops extras of reasoning that a source repeats: chunks that repeat a string would add up to it twice."""

    def __init__(self, *, v1: bool) -> None:
        self._v1 = v1
        self._run = -1
        self._known: dict[str, Any] = {}

    def strip(self, piece: Reasoning, number: int) -> Reasoning:
        """`piece` without the extras that its run, or for plain content the whole answer, has had already."""
        if self._v1 and number != self._run:
            self._run, self._known = number, {}
        if not piece.extras:
            return piece
        extras = {key: value for key, value in piece.extras.items() if self._known.get(key) != value}
        self._known |= extras
        return Reasoning(piece.text, extras or None)


class ChunkBuilder:
    """Pieces to chunks. Text and calls never share a chunk, which langchain-core's event bridge would lose.

    Args:
        v1: Whether their content is standard blocks.
        message_id: The id of each chunk, where langchain-core does not give them one. The last has the source's own, if
            there is one.
    """

    def __init__(self, *, v1: bool = False, message_id: str | None = None) -> None:
        self._v1 = v1
        self._id = message_id
        self._as_blocks = v1  # plain content too becomes a list once a block other than text has come
        self._numbering = _Numbering(v1=v1)
        self._new_extras = NewExtras(v1=v1)

    def chunk(self, piece: Piece | Restart) -> AIMessageChunk:
        """The chunk that carries `piece`."""
        if isinstance(piece, str) and not self._as_blocks:  # first, as most are; it has no number
            self._numbering.kind = "str"
            return plain_chunk(piece, self._id)
        if isinstance(piece, Restart):
            return self._build(self._empty(), additional_kwargs={_RESTARTS: [1]})
        number = self._numbering.number_of(piece)
        if isinstance(piece, Reasoning):
            piece = self._new_extras.strip(piece, number)
            if not self._v1:
                return self._build(self._empty(), additional_kwargs=_reasoning_kwargs(piece))
        if isinstance(piece, WholeCall):
            call = tool_call_chunk(name=piece.name or None, args=streamed_args(piece), id=piece.id, index=number)
            # Broken arguments must not stand there as a fragment, or core takes it for the beginning of a good call.
            block = dict(call) if piece.parsed is not None else _block_of(piece, number)
            return self._build([block] if self._v1 else self._empty(), tool_call_chunks=[call])
        if isinstance(piece, dict):
            self._as_blocks = True
        return self._build([_block_of(piece, number)])

    def last(self, closing: Closing) -> AIMessageChunk:
        """The final chunk: no content, all that is known of the end."""
        return AIMessageChunk(
            content=self._empty(),
            usage_metadata=closing.usage,
            response_metadata={**closing.response_metadata, **(_V1 if self._v1 else {})},
            additional_kwargs=closing.additional_kwargs,
            id=self._id if closing.id is None else closing.id,
            chunk_position="last",
        )

    def _empty(self) -> Any:
        return [] if self._as_blocks else ""

    def _build(self, content: Any, **fields: Any) -> AIMessageChunk:
        return AIMessageChunk(content=content, response_metadata=dict(_V1) if self._v1 else {}, id=self._id, **fields)


class MessageBuilder:
    """Pieces to one message."""

    def __init__(self, *, v1: bool = False) -> None:
        self._v1 = v1
        self._numbering = _Numbering(v1=v1)
        self._new_extras = NewExtras(v1=v1)
        self._runs: list[tuple[int, list[Piece]]] = []

    def add(self, piece: Piece) -> None:
        """Take one more piece. Fragments of calls are left out: the call itself is to come."""
        if isinstance(piece, CallFragment):
            return
        number = self._numbering.number_of(piece)
        if isinstance(piece, Reasoning):
            piece = self._new_extras.strip(piece, number)
        last, run = self._runs[-1] if self._runs else (-1, [])
        if run and last == number and type(run[0]) is type(piece) and not is_citation(piece):
            run.append(piece)
        else:
            self._runs.append((number, [piece]))

    def message(self, closing: Closing) -> AIMessage:
        """The message of all pieces so far."""
        runs = _cite([(number, join_run(pieces)) for number, pieces in self._runs], v1=self._v1)
        calls = [piece for _, piece in runs if isinstance(piece, WholeCall)]
        reasoning: list[Piece] = [piece for _, pieces in self._runs for piece in pieces if isinstance(piece, Reasoning)]
        kwargs = dict(closing.additional_kwargs)
        if reasoning and not self._v1:
            kwargs.update(_reasoning_kwargs(join_run(reasoning)))
        return AIMessage(
            content=self._content(runs),
            tool_calls=[tool_call(name=c.name, args=c.parsed, id=c.id) for c in calls if c.parsed is not None],
            invalid_tool_calls=[
                invalid_tool_call(name=c.name or None, args=streamed_args(c), id=c.id, error=None)
                for c in calls
                if c.parsed is None
            ],
            usage_metadata=closing.usage,
            response_metadata={**closing.response_metadata, **(_V1 if self._v1 else {})},
            additional_kwargs=kwargs,
            id=closing.id,
        )

    def _content(self, runs: list[tuple[int, Piece]]) -> Any:
        if self._v1:  # calls without a number: only chunks need it, to be added up
            return [block_of_call(piece) if isinstance(piece, WholeCall) else _block_of(piece, n) for n, piece in runs]
        text, blocks = "", list[Any]()
        for number, piece in runs:
            # As the chunks add up: one string up to the first block, and blocks of text from there on.
            if isinstance(piece, dict) or (isinstance(piece, str) and blocks):
                blocks.append(_block_of(piece, number))
            elif isinstance(piece, str):
                text += piece
        if not blocks:
            return text
        return [text, *blocks] if text else blocks


def _cite(runs: list[tuple[int, Piece]], *, v1: bool) -> list[tuple[int, Piece]]:
    """The runs; a block of text and what it cites become one, as langchain-core makes them when it adds up chunks."""
    if not any(is_citation(piece) for _, piece in runs):
        return runs
    joined: list[tuple[int, Piece]] = []
    has_blocks = v1  # plain content is a string up to its first block
    for number, piece in runs:
        last = joined[-1][1] if joined and joined[-1][0] == number else None
        if has_blocks and isinstance(last, str | dict) and isinstance(piece, str | dict):
            blocks = [one if isinstance(one, dict) else {"type": "text", "text": one} for one in (last, piece)]
            text = "".join(str(block["text"]) for block in blocks)
            annotations = [note for block in blocks for note in block.get("annotations", ())]
            joined[-1] = (number, {**blocks[0], **blocks[1], "text": text, "annotations": annotations})
        else:
            joined.append((number, piece))
        has_blocks = has_blocks or isinstance(piece, dict)
    return joined


def join_pieces(pieces: Sequence[Piece]) -> list[Piece]:
    """The same answer in as few pieces as possible: adjacent text is joined, and so is reasoning without extras."""
    whole = [piece for piece in pieces if not isinstance(piece, CallFragment)]

    def kind(piece: Piece) -> str:
        if type(piece) is str:
            return "text"
        return "reasoning" if isinstance(piece, Reasoning) and not piece.extras else ""

    fewer: list[Piece] = []
    for joins, group in groupby(whole, kind):
        run: list[Piece] = list(group)
        fewer.extend([join_run(run)] if joins else run)
    return fewer


def join_run(pieces: list[Piece]) -> Piece:
    """The pieces of one run, which are all of a kind, as one piece."""
    first = pieces[0]
    if isinstance(first, str):
        return "".join(str(piece) for piece in pieces)
    if is_refusal(first):
        said = [piece for piece in pieces if isinstance(piece, dict)]
        text = "".join(str(piece.get("refusal") or "") for piece in said)
        return {name: value for piece in said for name, value in piece.items()} | {"refusal": text}
    if not isinstance(first, Reasoning):
        return first
    run = [piece for piece in pieces if isinstance(piece, Reasoning)]
    # Extras are added up as langchain-core adds up those of chunks, so that both ways give the same.
    extras = [AIMessageChunk(content="", additional_kwargs=dict(piece.extras)) for piece in run if piece.extras]
    text = "".join(piece.text for piece in run)
    return Reasoning(text, reduce(add, extras).additional_kwargs if extras else None)


def block_of_call(call: WholeCall) -> dict[str, Any]:
    """A call as a standard block: `tool_call`, or `invalid_tool_call` where its arguments are no JSON object."""
    if call.parsed is not None:
        return {"type": "tool_call", "name": call.name, "args": call.parsed, "id": call.id}
    name = call.name or None
    return {"type": "invalid_tool_call", "name": name, "args": streamed_args(call), "id": call.id, "error": None}


def _block_of(piece: Piece, number: int) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece, "index": number}
    if isinstance(piece, Reasoning):
        extras = {"extras": dict(piece.extras)} if piece.extras else {}
        return {"type": "reasoning", "reasoning": piece.text, "index": number, **extras}
    if isinstance(piece, WholeCall):
        return {**block_of_call(piece), "index": number}
    return {**cast("dict[str, Any]", piece), "index": number}


def _reasoning_kwargs(piece: Piece) -> dict[str, Any]:
    if not isinstance(piece, Reasoning):
        return {}
    extras = {"reasoning_extras": dict(piece.extras)} if piece.extras else {}
    return {"reasoning_content": piece.text, **extras}


def streamed_args(call: WholeCall) -> str:
    """The arguments so that langchain-core reads them as we do.

    It completes JSON that was cut off (langchain #39275), and its event bridge fails at JSON that is not an object. So
    arguments that are not an object are followed by a bracket that closes nothing, which no reader repairs.
    """
    if call.parsed is not None:
        return call.args
    if not call.args:
        return "]"  # of nothing, core makes a call without arguments
    if len(call.args) > _COSTLY:
        return call.args + _misplaced_end(call.args)
    for tail in ("", "]", "}", '"]', '"}'):  # whichever is out of place where the text broke off
        text = call.args + tail
        try:
            if parse_partial_json(text) is None:
                return text
        except ValueError:
            return text
        except RecursionError:  # core may fare better in a shallower stack
            continue
    return f"]{call.args}"


_COSTLY = 1_000
"""Characters: core's repair of broken JSON may take the square of them, and 32 KB of it 13 seconds."""

_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?P<end>"|\\?\Z)|[{}\[\]]', re.DOTALL)


def _misplaced_end(text: str) -> str:
    """What to write after `text` to make core give it up, which it does at a bracket that closes another one."""
    expected: list[str] = []
    quote = ""
    for token in _STRING_OR_BRACKET.finditer(text):
        if token["end"] is not None:
            quote = {'"': "", "": '"', "\\": '""'}[token["end"]]  # after a backslash, the first one ends nothing
        elif token[0] in "{[":
            expected.append("}" if token[0] == "{" else "]")
        elif not expected or expected.pop() != token[0]:
            return ""  # there is one already
    return quote + ("}" if expected and expected[-1] == "]" else "]")
