"""What LangChain's hooks return (`ChatResult`, `ChatGeneration`, `LLMResult`), read as parts.

So whoever has a `_generate` or a `_stream` may return or yield from `respond` what these give.
"""

from collections.abc import Iterator

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, LLMResult

from langplug._answer import from_message
from langplug._answer.from_openai import fields_of, usage_in
from langplug._answer.json_data import a
from langplug._parts import Part

RESULTS = (ChatResult, LLMResult, Generation)


def generation_in(result: ChatResult | LLMResult | Generation) -> Generation:
    """The one answer that `result` holds.

    Raises:
        ValueError: If it holds several, or none.
        TypeError: If it is the message of anybody but a model.
    """
    if isinstance(result, Generation):
        generation = result
    else:
        found = result.generations
        rows = [one for row in found for one in (row if isinstance(row, list) else [row])]
        if len(rows) != 1:
            raise ValueError(f"it holds {len(rows)} answers, not one")
        generation = rows[0]
    if isinstance(generation, ChatGeneration) and not isinstance(generation.message, AIMessage):
        raise TypeError(f"its message is {a(generation.message)}, not an AIMessage")
    return generation


def plain_text(chunk: ChatGenerationChunk, known_id: str | None) -> str | None:
    """The text of a chunk that holds nothing else, as most do; None if it may hold more, such as a new id."""
    message = chunk.message
    if type(message) is not AIMessageChunk or type(message.content) is not str or (message.id and not known_id):
        return None
    said_more = message.additional_kwargs or message.response_metadata or message.tool_call_chunks
    return None if said_more or message.usage_metadata or chunk.generation_info else message.content


def parts_of(result: ChatResult | LLMResult | Generation) -> Iterator[Part]:
    """The parts of the one answer that `result` holds; what it says of it beside counts where the message says less."""
    generation = generation_in(result)
    shared = {} if isinstance(result, Generation) else dict(result.llm_output or {})
    usage = [shared.pop(name, None) for name in ("token_usage", "usage")]
    info = {**shared, **(generation.generation_info or {})}
    if isinstance(generation, ChatGeneration) and isinstance(generation.message, AIMessage):
        yield from from_message.parts_of(generation.message, info)
        if generation.message.usage_metadata is not None:
            return
    else:
        yield generation.text
        if info:
            yield from_message.finish_in(info)
    for report in filter(None, usage):
        yield usage_in(fields_of(report))
        return
