"""A call's way through a model: what was asked becomes deltas, and an ending."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from typing import Any, Final, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage

from langplug.serve.call import Call
from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, OfChoice, Refusal, Thought
from langplug.serve.json_text import dump
from langplug.serve.served import ServedModel
from langplug.serve.terms import count_tokens, on_terms

_MOST_KEPT: Final = 256


def fit(served: ServedModel, call: Call) -> None:
    """Take from `call` the parameters that the model has no use for, and note them. Its limit is kept without it."""
    given = call.parameters
    call.parameters, ignored = served.parameters_of(given)
    if "max_tokens" in ignored:
        call.limit = given["max_tokens"]
    call.notes += [name for name in ignored if name != "max_tokens"]


def answer(served: ServedModel, call: Call) -> AsyncGenerator[Delta | Ending]:
    """The answer to `call`, which fits the model: its deltas, and one `Ending`, last.

    Whoever cancels the task that waits for the next delta, or closes this, stops the model. It raises what the model
    raises, and an `ApiError` if a complete answer is not the JSON that was asked for.
    """
    deltas = _deltas(served, call)
    return deltas if call.limit is None and call.schema is None else on_terms(deltas, served, call)


async def _deltas(served: ServedModel, call: Call) -> AsyncGenerator[Delta | Ending]:
    """What the model says; its usage is counted if it tells none. Here, for one more generator costs 1 µs a token."""
    asked = {"tools": call.tools, "tool_choice": call.tool_choice, "response_format": call.schema}
    keywords = call.parameters | {name: value for name, value in asked.items() if value}
    if call.stop:  # LangChain's models end after the stop string; no wire here tells it
        keywords["include_stop"] = False
    reader, said = ChunkReader(), list[Delta]()
    model: Any = served.model  # to type checkers, keywords might be the configuration
    messages, config = await served.given(call)
    chunks = model.astream(messages, config, stop=call.stop or None, **keywords)
    try:
        async for chunk in chunks:
            content = chunk.content
            if chunk.__class__ is AIMessageChunk and content.__class__ is str and not reader.has_more(chunk):
                if content:  # the most frequent kind: text, and nothing else
                    said.append(content)
                    yield content
            else:
                for delta in reader.read(chunk):
                    said.append(delta)
                    yield delta
    finally:
        await chunks.aclose()
    await served.settle(call, config)
    ending = reader.ending(call.parameters.get("max_tokens"))
    if ending.usage is None and call.tells_usage:
        ending = replace(ending, usage=await count_tokens(served, call, said))
    yield ending


async def answers(
    served: ServedModel, call: Call, turn: Callable[[], AbstractAsyncContextManager[None]]
) -> AsyncGenerator[Any]:
    """`call.n` answers at once, by as many runs of the model, each in a `turn`: deltas and endings as `OfChoice`.

    An `Ending` with what all of them used comes last. The first that fails stops the others.

    Raises:
        Exception: What the model raises.
    """
    found: asyncio.Queue[OfChoice | Exception] = asyncio.Queue(maxsize=_MOST_KEPT)

    async def run(index: int) -> None:
        try:
            async with turn(), aclosing(answer(served, call)) as deltas:
                async for delta in deltas:
                    await found.put(OfChoice(index, delta))
        except Exception as error:  # noqa: BLE001 - raised below, where the answers are taken
            await found.put(error)

    running = [asyncio.create_task(run(index)) for index in range(call.n)]
    usage: UsageMetadata | None = None
    left = call.n
    try:
        while left:
            choice = await found.get()
            if isinstance(choice, Exception):
                raise choice
            if isinstance(choice.delta, Ending):
                left -= 1
                usage = add_usage(usage, cast("UsageMetadata | None", choice.delta.usage))
            yield choice
        yield Ending(usage=usage)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


class ChunkReader:
    """Reads LangChain's chunks, and keeps what is told at the end alone."""

    def __init__(self) -> None:
        self._begun: dict[Any, int] = {}
        self._usage: UsageMetadata | None = None
        self._metadata: dict[str, Any] = {}

    @staticmethod
    def has_more(chunk: AIMessageChunk) -> bool:
        """Whether there is anything in it beside its content."""
        return bool(
            chunk.tool_call_chunks or chunk.additional_kwargs or chunk.response_metadata or chunk.usage_metadata
        )

    def read(self, chunk: AIMessageChunk) -> Iterator[Delta]:
        """The deltas of a chunk."""
        self._usage = add_usage(self._usage, chunk.usage_metadata) if chunk.usage_metadata else self._usage
        for name, value in chunk.response_metadata.items():
            if name == "logprobs" and isinstance(value, Mapping):  # each chunk has its own tokens'
                known = self._metadata.get(name) or {}
                so_far = {key: [*(known.get(key) or ()), *(tokens or ())] for key, tokens in value.items()}
                self._metadata[name] = so_far
            else:
                self._metadata[name] = value
        if chunk.content or chunk.tool_call_chunks or chunk.additional_kwargs:  # the last chunk mostly has none of them
            for block in chunk.content_blocks:
                yield from self._deltas(block)
        if extras := chunk.additional_kwargs.get("reasoning_extras"):  # a signature, say, beside plain content
            yield Thought("", extras)

    def ending(self, limit: int | None) -> Ending:
        """How the answer ended, as far as the model has said. One that used all of `limit` tokens was cut there."""
        known: Mapping[str, Any] = self._metadata
        # Its own count alone: what langplug counts for a model that tells none may be an estimate.
        is_cut = limit is not None and self._usage is not None and self._usage["output_tokens"] >= limit
        return Ending(
            finish_reason=known.get("finish_reason") or ("length" if is_cut else None),
            usage=self._usage,
            stop_sequence=known.get("stop_sequence"),
            logprobs=known.get("logprobs"),
            metadata=known,
        )

    def _deltas(self, block: Any) -> Iterator[Delta]:
        match block["type"]:
            case "text" if not block.get("annotations"):
                yield block["text"]
            case "reasoning":
                yield Thought(block.get("reasoning") or "", block.get("extras"))
            case "refusal":
                yield Refusal(block["refusal"])
            case "tool_call_chunk" | "tool_call":
                yield from self._call(block)
            case _:
                yield Block(dict(block))

    def _call(self, block: Any) -> Iterator[Delta]:
        """The deltas of a call's piece. Calls are counted from 0, whatever number their chunks have."""
        place = block.get("index") if block.get("index") is not None else block.get("id")
        if place not in self._begun:
            self._begun[place] = len(self._begun)
            yield CallStart(self._begun[place], block.get("id") or f"call_{len(self._begun)}", block.get("name") or "")
        args = block.get("args")
        if args:
            yield CallArguments(self._begun[place], args if isinstance(args, str) else dump(args).decode())
