"""Mutants of group I: the calls in an answer."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from tests.check.bench import Reference, mutant


class Mangled(Reference):
    """Changes its messages, whole and in chunks, just before it gives them."""

    def message(self, message: AIMessage) -> AIMessage:
        return message

    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [message]

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._generate(*args, **kwargs)
        result.generations[0].message = self.message(result.generations[0].message)  # type: ignore[arg-type]
        return result

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        result = await super()._agenerate(*args, **kwargs)
        result.generations[0].message = self.message(result.generations[0].message)  # type: ignore[arg-type]
        return result

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            yield from _generations(self.chunk(chunk.message))  # type: ignore[arg-type]

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            for one in _generations(self.chunk(chunk.message)):  # type: ignore[arg-type]
                yield one


def _generations(messages: list[AIMessageChunk]) -> Iterator[ChatGenerationChunk]:
    return (ChatGenerationChunk(message=message) for message in messages)


def changed(message: Any, **changes: Any) -> Any:
    """The message anew, so that what is derived of its fields is derived again."""
    kept = {"content", "id", "response_metadata", "usage_metadata", "additional_kwargs", "name"}
    kept |= {"tool_call_chunks", "chunk_position"} if isinstance(message, AIMessageChunk) else {"tool_calls"}
    kept |= {"invalid_tool_calls"} if isinstance(message, AIMessage) else set()
    fields = {name: getattr(message, name) for name in kept}
    if fields.get("tool_call_chunks"):
        fields.pop("invalid_tool_calls")
    return type(message)(**{**fields, **changes})


def with_pieces(message: AIMessageChunk, change: Callable[[Any], Any]) -> AIMessageChunk:
    if not message.tool_call_chunks:
        return message
    return changed(message, tool_call_chunks=[{**piece, **change(piece)} for piece in message.tool_call_chunks])  # type: ignore[no-any-return]


def with_calls(message: AIMessage, change: Callable[[Any], Any]) -> AIMessage:
    return changed(message, tool_calls=[{**call, **change(call)} for call in message.tool_calls])  # type: ignore[no-any-return]


# --- I03 ---


@mutant("I03", "gives each call the same id")
class OneId(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        return with_calls(message, lambda call: {"id": "call_1"})


@mutant("I03", "gives calls an empty id in a stream")
class EmptyId(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [with_pieces(message, lambda piece: {"id": ""})]


@mutant("I03", "has the call in its content as well, under another id")
class CallTwice(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        again = [{"type": "tool_call", "id": "another", "name": one["name"], "args": {}} for one in message.tool_calls]
        return changed(message, content=again) if again else message  # type: ignore[no-any-return]


# --- I04 ---


@mutant("I04", "gives pieces without an index")
class NoIndex(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [with_pieces(message, lambda piece: {"index": None})]


def halves(message: AIMessageChunk, **second: Any) -> list[AIMessageChunk]:
    """A call's arguments in two pieces, with more in the second."""
    (piece, *_) = message.tool_call_chunks or (None,)
    if piece is None or not piece["args"]:
        return [message]
    args, index = piece["args"], piece["index"]
    first = changed(message, tool_call_chunks=[{**piece, "args": args[:3]}], chunk_position=None)
    rest = {"name": None, "id": None, "index": index, "args": args[3:], **second}
    return [first, AIMessageChunk("", tool_call_chunks=[tool_call_chunk(**rest)])]


@mutant("I04", "gives the id again in each piece")
class IdAgain(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return halves(message, id=next((piece["id"] for piece in message.tool_call_chunks), None))


@mutant("I04", "gives the pieces of one call different indices")
class OtherIndex(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return halves(message, index=99)


@mutant("I04", "streams calls without any pieces")
class NoPieces(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [changed(message, tool_call_chunks=[])]


# --- I05 ---


@mutant("I05", "loses all calls but the first where they come at once")
class FirstCall(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        return changed(message, tool_calls=message.tool_calls[:1])  # type: ignore[no-any-return]


@mutant("I05", "streams all calls under one index")
class OneIndex(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [with_pieces(message, lambda piece: {"index": 1})]


@mutant("I05", "gives parallel calls the same id")
class SharedId(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        return with_calls(message, lambda call: {"id": "call_1"})


# --- I06 ---


@mutant("I06", "completes arguments that were cut off")
class Completes(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        found = [
            {"name": call["name"], "args": _completed(call["args"]), "id": call["id"]}
            for call in message.invalid_tool_calls
        ]
        return changed(message, tool_calls=found, invalid_tool_calls=[])  # type: ignore[no-any-return]


def _completed(args: Any) -> Any:
    try:
        return parse_partial_json(args) or {}
    except ValueError:
        return {}


@mutant("I06", "raises where arguments are no JSON")
class Strict(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        if message.invalid_tool_calls:
            raise ValueError("Expecting property name enclosed in double quotes")
        return message


@mutant("I06", "loses broken calls in a stream")
class LosesBroken(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [changed(message, tool_call_chunks=[])] if message.invalid_tool_calls else [message]


@mutant("I06", "hands on pieces as they come, and so has langchain-core complete what was cut off")
class HandsOn(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [with_pieces(message, lambda piece: {"args": piece["args"].rstrip("]")})]


# --- I07 ---


@mutant("I07", "loses the text beside a call")
class Wordless(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        return changed(message, content="") if message.tool_calls else message  # type: ignore[no-any-return]


@mutant("I07", "streams pieces of text and call in one chunk")
class BothAtOnce(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        if not message.tool_call_chunks:
            return [changed(message, content="")]
        first, second = halves(message)
        return [changed(first, content="Let me "), changed(second, content="see.")]


# --- I08 ---


@mutant("I08", "makes up an argument where there is none")
class MadeUp(Mangled):
    def message(self, message: AIMessage) -> AIMessage:
        return with_calls(message, lambda call: {"args": call["args"] or {"input": ""}})


@mutant("I08", "spoils arguments that are not ASCII")
class Ascii(Mangled):
    def chunk(self, message: AIMessageChunk) -> list[AIMessageChunk]:
        return [with_pieces(message, lambda piece: {"args": (piece["args"] or "").encode("ascii", "ignore").decode()})]
