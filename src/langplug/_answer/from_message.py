"""LangChain messages and content blocks that an author passes on, read as parts."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import get_translator

from langplug._answer.json_data import to_json_data
from langplug._parts import Finish, Part, Reasoning, ToolCall, Usage, check_fields

_CALLS = frozenset({"tool_call", "tool_call_chunk", "invalid_tool_call", "tool_use"})
"""Blocks that are calls; in a message they mostly repeat what its own `tool_calls` say."""


def parts_of(message: AIMessage, info: Mapping[str, Any] | None = None) -> Iterator[Part]:
    """The parts of `message`, in order: reasoning, content, calls, usage, and what is known of its end.

    `info` is said of the message by what it came in, and counts where its own metadata says nothing.
    """
    reasoning = message.additional_kwargs.get("reasoning_content")
    if isinstance(reasoning, str) and reasoning:
        yield Reasoning(reasoning)
    found: list[Any] = [*message.tool_calls, *message.invalid_tool_calls]
    if isinstance(message, AIMessageChunk):
        found = [*message.tool_call_chunks]  # its `tool_calls` are what core makes of each fragment by itself
    calls = [ToolCall(name=call["name"], args=call["args"], id=call["id"], index=call.get("index")) for call in found]
    for block in [message.content] if isinstance(message.content, str) else message.content:
        if isinstance(block, str):
            yield from (block,) if block else ()
        elif block.get("type") == "text" and not block.get("annotations"):
            yield str(block.get("text") or "")
        # Anthropic streams arguments as `input_json_delta` blocks beside the `tool_call_chunks` that hold the same.
        elif block.get("type") != "input_json_delta" and not (calls and block.get("type") in _CALLS):
            yield part_of_block(block)
    yield from calls
    yield from _refusals_beside(message)
    if (usage := message.usage_metadata) is not None:
        # What makes no sense costs the count, and not the answer: it is a server's, and not the author's.
        given = ((name, usage.get(name)) for name in ("input_tokens", "output_tokens", "total_tokens"))
        counts = {name: tokens if type(tokens) is int and tokens >= 0 else None for name, tokens in given}
        yield Usage(
            **counts,
            input_token_details=usage.get("input_token_details"),  # type: ignore[arg-type] # a TypedDict of ints
            output_token_details=usage.get("output_token_details"),  # type: ignore[arg-type] # a TypedDict of ints
            # langchain-core adds up the usage of chunks, so whoever makes chunks for it reports what each has added.
            delta=isinstance(message, AIMessageChunk),
        )
    if metadata := {**(info or {}), **message.response_metadata}:
        yield finish_in(metadata)


def _refusals_beside(message: AIMessage) -> Iterator[Part]:
    """The refusal that a provider's package keeps beside the content: OpenAI's, and Anthropic's in its metadata."""
    said = message.additional_kwargs.get("refusal")
    if isinstance(said, str) and said:
        yield {"type": "refusal", "refusal": said}
    elif message.response_metadata.get("stop_reason") == "refusal":
        held = message.content if isinstance(message.content, list) else ()
        if not any(isinstance(block, dict) and block.get("type") == "refusal" for block in held):
            yield from (dict(block) for block in message.content_blocks if block["type"] == "refusal")


def finish_in(metadata: Mapping[str, Any]) -> Finish:
    """What LangChain's metadata of an answer says of its end."""
    more = dict(metadata)
    more.pop("output_version", None)  # how its content is written, which langplug decides anew
    if isinstance(provider := more.get("model_provider"), str):
        more["model_provider"] = untranslated(provider)  # its content is plain now
    reason, stop = more.pop("finish_reason", None), more.pop("stop_sequence", None)
    # as Anthropic and Bedrock call it, and as Ollama does
    reason = reason or more.get("stop_reason") or more.get("done_reason")
    reason = reason.name if isinstance(reason, Enum) and not isinstance(reason, str) else reason  # Google's SDK
    return Finish(reason=_word(reason), stop_sequence=_word(stop), metadata=more)


def untranslated(provider: str) -> str:
    """A provider's name, prefixed if langchain-core would read content that stands under it as that provider's own.

    Where it does, it looks for calls and reasoning in that provider's blocks alone.
    """
    return f"langplug_{provider}" if get_translator(provider) is not None else provider


def _word(value: Any) -> str | None:
    """`value` as a `str`; of a subclass, an enum's member say, what it is equal to."""
    return (str.__str__(value) if isinstance(value, str) else str(value)) if value else None


def texts_in(said: Any) -> str:
    """The text of a string, of a block with `text`, or of a list of these; empty if there is none."""
    if isinstance(said, Mapping):
        return str(said.get("text") or "")
    return "".join(map(texts_in, said)) if isinstance(said, list | tuple) else str(said or "")


def part_of_block(block: Mapping[str, Any]) -> Part:
    """The part that a content block is; one without a part type of its own stays a `dict`.

    Raises:
        TypeError: If it has no type, or a field that cannot be what it is called.
    """
    kind = block.get("type")
    if not isinstance(kind, str):
        raise TypeError(f"a content block has the type {kind!r}")
    if kind == "text" and block.keys() <= {"type", "text", "index", "id"}:
        return str(block.get("text") or "")
    if kind == "reasoning":
        text = block.get("reasoning") or texts_in(block.get("summary")) or block.get("text")
        return check_fields(Reasoning(str(text or ""), block.get("extras")))
    if kind == "thinking":
        text = texts_in(block.get("thinking"))  # of Anthropic a string, of Mistral a list of text blocks
        return Reasoning(text, {"signature": block["signature"]} if block.get("signature") else None)
    if kind in _CALLS:
        args = block.get("input" if kind == "tool_use" else "args")
        given_id, index, extras = block.get("id"), block.get("index"), block.get("extras")
        return check_fields(ToolCall(name=block.get("name"), args=args, id=given_id, index=index, extras=extras))
    whole: dict[str, Any] = to_json_data(block, "the block")
    whole.pop("index", None)  # langplug numbers blocks itself
    return whole
