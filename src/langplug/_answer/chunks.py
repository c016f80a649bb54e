"""Clean pieces as LangChain messages: chunk by chunk for a stream, or one whole message.

Both give the same: adding up the chunks of an answer makes the message that `MessageBuilder` makes of it.
Plain content (v0) is a string, with reasoning in `additional_kwargs["reasoning_content"]`, from where
`content_blocks` reads it. Standard content (`output_version="v1"`) is a list of typed blocks, in order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import add
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from pydantic import BaseModel

from langplug._answer.parser import Piece
from langplug._answer.tool_calls import WholeCall
from langplug._parts import Reasoning

T = TypeVar("T")

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


# --- the ordinary chunk, without the cost of pydantic's constructor ---

_new, _set = object.__new__, object.__setattr__


def _plain_fields(text: str, message_id: str | None) -> dict[str, Any]:
    return {
        "content": text,
        "additional_kwargs": {},
        "response_metadata": {},
        "type": "AIMessageChunk",
        "name": None,
        "id": message_id,
        "tool_calls": [],
        "invalid_tool_calls": [],
        "usage_metadata": None,
        "tool_call_chunks": [],
        "chunk_position": None,
    }


def _generation_fields(message: AIMessageChunk) -> dict[str, Any]:
    return {"text": message.text, "generation_info": None, "type": "ChatGenerationChunk", "message": message}


def _constructed(text: str, message_id: str | None) -> AIMessageChunk:
    return AIMessageChunk(content=text, response_metadata={}, id=message_id)


def _prepared(cls: type[T], fields: dict[str, Any], given: set[str], extra: dict[str, Any] | None) -> T:
    """What `cls(...)` makes of `fields`, of which `given` were set: a quarter of its cost.

    pydantic's own short cut, `model_construct`, takes fifty times as long as the constructor for messages.
    """
    made = _new(cls)
    _set(made, "__dict__", fields)
    _set(made, "__pydantic_fields_set__", given)
    _set(made, "__pydantic_extra__", extra)
    _set(made, "__pydantic_private__", None)
    return made


def _prepared_chunk(text: str, message_id: str | None) -> AIMessageChunk:
    return _prepared(AIMessageChunk, _plain_fields(text, message_id), {"content", "response_metadata", "id"}, {})


def _prepared_generation(message: AIMessageChunk) -> ChatGenerationChunk:
    return _prepared(ChatGenerationChunk, _generation_fields(message), {"message", "text"}, None)


def _are_alike(one: BaseModel, other: BaseModel) -> bool:
    """Whether two objects of pydantic are the same to the last field."""
    return _state(one) == _state(other)


def _state(made: BaseModel) -> list[Any]:
    return [list(vars(made).items()), made.model_fields_set, made.model_extra, made.__pydantic_private__]


_CHUNKS_ARE_AS_KNOWN = _are_alike(_constructed("a", "b"), _prepared_chunk("a", "b"))
_GENERATIONS_ARE_AS_KNOWN = _CHUNKS_ARE_AS_KNOWN and _are_alike(
    ChatGenerationChunk(message=_constructed("a", "b")), _prepared_generation(_constructed("a", "b"))
)
"""False with a langchain-core that has other fields: then its constructors are used."""


def plain_chunk(text: str, message_id: str | None = None) -> AIMessageChunk:
    """`AIMessageChunk(content=text, response_metadata={}, id=message_id)`, to the last field."""
    if _CHUNKS_ARE_AS_KNOWN and type(text) is str:
        return _prepared_chunk(text, message_id)
    return _constructed(text, message_id)


def generation_chunk(message: AIMessageChunk) -> ChatGenerationChunk:
    """`ChatGenerationChunk(message=message)`, to the last field."""
    if _GENERATIONS_ARE_AS_KNOWN and type(message.content) is str:
        return _prepared_generation(message)
    return ChatGenerationChunk(message=message)


class _Numbering:
    """Block numbers: a new one when the kind of block changes, and for every call and whole block.

    Calls are numbered with the blocks around them: langchain-core merges what has the same number,
    a text block and a call included.
    """

    def __init__(self) -> None:
        self._kind = ""
        self._number = 0

    def of(self, piece: Piece) -> int:
        kind = type(piece).__name__
        if kind != self._kind or kind in ("WholeCall", "dict"):
            self._number += 1
            self._kind = kind
        return self._number


class _Extras:
    """The extras of thoughts, where a source says them again: chunks that repeat a string would add up to it twice."""

    def __init__(self, *, v1: bool) -> None:
        self._v1 = v1
        self._run = 0
        self._known: dict[str, Any] = {}

    def new(self, piece: Reasoning, number: int) -> Reasoning:
        """`piece` with what its run, or for plain content the whole answer, has not said yet."""
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
        self._numbering = _Numbering()
        self._extras = _Extras(v1=v1)

    def chunk(self, piece: Piece | Restart) -> AIMessageChunk:
        """The chunk that carries `piece`."""
        if isinstance(piece, Restart):
            return self._made(self._nothing(), additional_kwargs={_RESTARTS: [1]})
        number = self._numbering.of(piece)
        if isinstance(piece, str) and not self._as_blocks:
            return plain_chunk(piece, self._id)
        if isinstance(piece, Reasoning):
            piece = self._extras.new(piece, number)
        if isinstance(piece, Reasoning) and not self._v1:
            return self._made(self._nothing(), additional_kwargs=_reasoning_kwargs(piece))
        if isinstance(piece, WholeCall):
            return self._call(piece, number)
        if isinstance(piece, dict):
            self._as_blocks = True
        return self._made([_block(piece, number)])

    def last(self, closing: Closing) -> AIMessageChunk:
        """The final chunk: no content, all that is known of the end."""
        return AIMessageChunk(
            content=self._nothing(),
            usage_metadata=closing.usage,
            response_metadata={**closing.response_metadata, **self._flag()},
            additional_kwargs=closing.additional_kwargs,
            id=self._id if closing.id is None else closing.id,
            chunk_position="last",
        )

    def _made(self, content: Any, **fields: Any) -> AIMessageChunk:
        return AIMessageChunk(content=content, response_metadata=self._flag(), id=self._id, **fields)

    def _call(self, call: WholeCall, number: int) -> AIMessageChunk:
        piece = tool_call_chunk(name=call.name or None, args=_streamed_args(call), id=call.id, index=number)
        block = dict(piece) if call.parsed is not None else _block(call, number)
        content: Any = [block] if self._v1 else self._nothing()
        return self._made(content, tool_call_chunks=[piece])

    def _nothing(self) -> Any:
        return [] if self._as_blocks else ""

    def _flag(self) -> dict[str, Any]:
        return dict(_V1) if self._v1 else {}


class MessageBuilder:
    """Pieces to one message."""

    def __init__(self, *, v1: bool = False) -> None:
        self._v1 = v1
        self._numbering = _Numbering()
        self._extras = _Extras(v1=v1)
        self._runs: list[tuple[int, list[Piece]]] = []

    def add(self, piece: Piece) -> None:
        """Take one more piece."""
        number = self._numbering.of(piece)
        if isinstance(piece, Reasoning):
            piece = self._extras.new(piece, number)
        if self._runs and self._runs[-1][0] == number:
            self._runs[-1][1].append(piece)
        else:
            self._runs.append((number, [piece]))

    def message(self, closing: Closing) -> AIMessage:
        """The message of all pieces so far."""
        runs = [(number, _joined(pieces)) for number, pieces in self._runs]
        calls = [piece for _, piece in runs if isinstance(piece, WholeCall)]
        thoughts = [piece for _, pieces in self._runs for piece in pieces if isinstance(piece, Reasoning)]
        kwargs = dict(closing.additional_kwargs)
        if thoughts and not self._v1:
            kwargs.update(_reasoning_kwargs(_joined(list(thoughts))))
        return AIMessage(
            content=_standard_content(runs) if self._v1 else _plain_content(runs),
            tool_calls=[tool_call(name=c.name, args=c.parsed, id=c.id) for c in calls if c.parsed is not None],
            invalid_tool_calls=[
                invalid_tool_call(name=c.name or None, args=_streamed_args(c), id=c.id, error=None)
                for c in calls
                if c.parsed is None
            ],
            usage_metadata=closing.usage,
            response_metadata={**closing.response_metadata, **(_V1 if self._v1 else {})},
            additional_kwargs=kwargs,
            id=closing.id,
        )

    @property
    def empty(self) -> bool:
        """Whether no piece has come yet."""
        return not self._runs


def joined(pieces: Sequence[Piece]) -> list[Piece]:
    """The same answer in as few pieces as may be: text in a row as one, and so thoughts that come without extras."""
    fewer: list[Piece] = []
    for joins, group in groupby(pieces, _joins):
        run = list(group)
        fewer.extend([_joined(run)] if joins else run)
    return fewer


def _joins(piece: Piece) -> str:
    """Which pieces in a row are one: those for which this is the same, and not empty."""
    if type(piece) is str:
        return "text"
    return "reasoning" if isinstance(piece, Reasoning) and not piece.extras else ""


def _joined(pieces: list[Piece]) -> Piece:
    """The pieces of one run as one piece."""
    first = pieces[0]
    if isinstance(first, str):
        return "".join(str(piece) for piece in pieces)
    if isinstance(first, Reasoning):
        thoughts = [piece for piece in pieces if isinstance(piece, Reasoning)]
        return Reasoning("".join(thought.text for thought in thoughts), _added_up(thoughts))
    return first


def _added_up(thoughts: list[Reasoning]) -> dict[str, Any] | None:
    """Their extras, as langchain-core adds up those of chunks."""
    given = [AIMessageChunk(content="", additional_kwargs=dict(one.extras)) for one in thoughts if one.extras]
    return reduce(add, given).additional_kwargs if given else None


def _plain_content(runs: list[tuple[int, Piece]]) -> Any:
    if not any(isinstance(piece, dict) for _, piece in runs):
        return "".join(piece for _, piece in runs if isinstance(piece, str))
    content: list[Any] = []
    for number, piece in runs:
        seen_block = any(isinstance(block, dict) for block in content)
        if isinstance(piece, dict) or (isinstance(piece, str) and seen_block):
            content.append(_block(piece, number))
        elif isinstance(piece, str):
            content[:] = ["".join([*content, piece])]
    return content


def _standard_content(runs: list[tuple[int, Piece]]) -> Any:
    return [_finished_call(piece) if isinstance(piece, WholeCall) else _block(piece, number) for number, piece in runs]


def _finished_call(call: WholeCall) -> dict[str, Any]:
    if call.parsed is not None:
        return {"type": "tool_call", "name": call.name, "args": call.parsed, "id": call.id}
    name = call.name or None
    return {"type": "invalid_tool_call", "name": name, "args": _streamed_args(call), "id": call.id, "error": None}


def _block(piece: Piece, number: int) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece, "index": number}
    if isinstance(piece, Reasoning):
        extras = {"extras": dict(piece.extras)} if piece.extras else {}
        return {"type": "reasoning", "reasoning": piece.text, "index": number, **extras}
    if isinstance(piece, WholeCall):
        return {**_finished_call(piece), "index": number}
    return {**piece, "index": number}


def _reasoning_kwargs(piece: Piece) -> dict[str, Any]:
    if not isinstance(piece, Reasoning):
        return {}
    extras = {"reasoning_extras": dict(piece.extras)} if piece.extras else {}
    return {"reasoning_content": piece.text, **extras}


def _streamed_args(call: WholeCall) -> str:
    """The arguments so that langchain-core reads them as we do.

    It completes JSON that was cut off (langchain #39275), and its event bridge fails at JSON that is no object. So
    behind arguments that are no object a bracket follows that closes nothing, which no reader mends.
    """
    if call.parsed is not None:
        return call.args
    broken = (call.args + tail for tail in ("", "]", "}", '"]', '"}'))
    return next((text for text in broken if _is_beyond_mending(text)), f"]{call.args}")


def _is_beyond_mending(text: str) -> bool:
    try:
        return parse_partial_json(text) is None
    except json.JSONDecodeError:
        return True
    except RecursionError:
        return False
