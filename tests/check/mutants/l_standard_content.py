"""Mutants of group L."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from tests.check.bench import Reference, mutant


@mutant("L01", "takes no notice of output_version")
class PlainAlways(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "output_version": None})


@mutant("L01", "takes no notice of LC_OUTPUT_VERSION")
class DeafToEnvironment(Reference):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"output_version": None, **kwargs})


@mutant("L01", "gives each piece of text a block of its own")
class Shattered(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number, chunk in enumerate(super()._stream(*args, **kwargs)):
            for block in chunk.message.content if isinstance(chunk.message.content, list) else ():
                if isinstance(block, dict):
                    block["index"] = number
            yield chunk


@mutant("L02", "gives the call the number of the text")
class OneNumber(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for chunk in super()._stream(*args, **kwargs):
            yield _numbered_one(chunk)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            yield _numbered_one(chunk)


def _numbered_one(chunk: ChatGenerationChunk) -> ChatGenerationChunk:
    message: Any = chunk.message
    for block in [*message.tool_call_chunks, *(message.content if isinstance(message.content, list) else ())]:
        block["index"] = 1
    return chunk


@mutant("L03", "loses the text of standard messages")
class TextLost(Reference):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        return super()._generate([_without(message, "text") for message in messages], *args, **kwargs)


@mutant("L03", "sends the calls of standard messages twice")
class CalledTwice(Reference):
    def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> ChatResult:
        doubled = [one for message in messages for one in ([message] * (1 + bool(getattr(message, "tool_calls", ()))))]
        return super()._generate(doubled, *args, **kwargs)


def _without(message: Any, kind: str) -> Any:
    if not isinstance(message, AIMessage) or not isinstance(message.content, list):
        return message
    kept = [block for block in message.content if not isinstance(block, dict) or block.get("type") != kind]
    return message.model_copy(update={"content": kept})


@mutant("L04", "says something else in standard content")
class TwoTongues(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        if self.output_version == "v1":
            for generation in result.generations:
                generation.message.content = [{"type": "text", "text": "something else"}]
        return result


@mutant("L05", "says its refusals as text")
class DeclinesAsText(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        for block in _refusals(result.generations[0]):
            block.update(type="text", text=block.pop("refusal"))
        return result


@mutant("L05", "repeats its refusals as text")
class DeclinesTwice(Reference):
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        result = super()._generate(*args, **kwargs)
        content: Any = result.generations[0].message.content
        for block in _refusals(result.generations[0]):
            content.append({"type": "text", "text": block["refusal"]})
        return result


@mutant("L05", "says nothing as it declines in a stream")
class DeclinesInSilence(Reference):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            if not _refusals(chunk):
                yield chunk


@mutant("L05", "gives each piece of a refusal a block of its own")
class ShatteredRefusal(Reference):
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number, chunk in enumerate(super()._stream(*args, **kwargs)):
            for block in _refusals(chunk):
                block["index"] = number
            yield chunk


def _refusals(generation: ChatGeneration) -> list[dict[str, Any]]:
    """The blocks of a message that are refusals."""
    content = generation.message.content
    blocks = [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []
    return [block for block in blocks if block.get("type") == "refusal"]
