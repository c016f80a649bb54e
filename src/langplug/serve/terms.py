"""What an answer is held to that its model does not see to: a limit of tokens, JSON, a count of what was used."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final

from langchain_core.messages.ai import UsageMetadata

from langplug._tools.schema import ANY_JSON, checker_of
from langplug.serve.call import Call
from langplug.serve.deltas import Block, CallArguments, CallStart, Delta, Ending, Refusal, Thought
from langplug.serve.errors import ApiError
from langplug.serve.served import ServedModel

log = logging.getLogger("langplug.serve")

_CUT = frozenset({"length", "content_filter", "refusal"})
"""Finish reasons of answers that need not be what was asked for: who is told one of them does not parse the answer."""


async def on_terms(
    deltas: AsyncGenerator[Delta | Ending], served: ServedModel, call: Call
) -> AsyncGenerator[Delta | Ending]:
    """An answer as it comes, within its limit of tokens: there its model is stopped, and what was used is counted.

    An answer that is to be JSON is looked at when it is complete. A model that keeps to no schema by itself is shown it
    by langplug, which holds the answer back until it fits, and asks again where it does not; so what it gives in the
    end is held back here, too. What a model that keeps to schemas says is told at once.

    Raises:
        ApiError: 502 if the answer is complete, and is not the JSON that was asked for.
    """
    limit = None if call.limit is None else TokenLimit(call.limit, served.model.get_num_tokens)
    model, said = served.model, list[Delta]()
    is_sure = model.structured_output == "native" and model.__langplug_keeps_to_schemas__
    is_held = call.schema is not None and not is_sure
    ending: Ending | None = None
    async with aclosing(deltas):
        async for delta in deltas:
            if isinstance(delta, Ending):
                ending = delta
                continue
            room = None if limit is None else limit.room_for(text_of(delta))
            said.append(delta if room is None else shortened(delta, room))
            if not is_held:
                yield said[-1]
            if room is not None:
                break
    if ending is None:
        used = await count_tokens(served, call, said) if call.tells_usage else None
        ending = Ending(finish_reason="length", usage=used)
    if call.schema is not None and ending.finish_reason not in _CUT and ending.stop_sequence is None:
        check_json(said, call.schema)
    if is_held:
        for delta in said:
            yield delta
    yield ending


def check_json(said: list[Delta], form: Mapping[str, Any]) -> None:
    """Check a complete answer; one that calls tools instead, or declines, is as it should be.

    Args:
        said: Its deltas.
        form: `response_format` as chat completions have it. By a schema that says `strict: false`, JSON is enough.

    Raises:
        ApiError: If it is not JSON, or does not fit the schema. Asking again is not advised: langplug has done so.
    """
    if any(isinstance(delta, CallStart | Refusal) for delta in said):
        return
    text = "".join([text_of(delta) for delta in said if isinstance(delta, str | Block)])
    is_free = form["type"] == "json_object" or form["json_schema"].get("strict") is False
    try:
        problem = checker_of(ANY_JSON if is_free else form)(json.loads(text))
    except ValueError as error:
        problem = f"it is not JSON: {error}"
    if problem is not None:
        message = f"The model did not answer in the JSON that was asked for: {problem}. It said: {text:.300}"
        raise ApiError(502, "server_error", message, code="invalid_structured_output", is_final=True)


_SHORT: Final = 4000
"""Characters whose tokens are estimated sooner than a thread has begun."""


async def count_tokens(served: ServedModel, call: Call, said: list[Delta]) -> UsageMetadata | None:
    """What was used, by the model's own way of counting; in a thread, for tokenizers take their time."""
    wrote = "".join(map(text_of, said))

    def count() -> UsageMetadata:
        read = served.model.get_num_tokens_from_messages(call.messages, call.tools or None)
        written = served.model.get_num_tokens(wrote)
        return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)

    is_quick = served.model.__langplug_estimates_tokens__ and not call.tools
    try:
        if is_quick and len(wrote) + sum(len(message.text) for message in call.messages) <= _SHORT:
            return count()
        return await asyncio.to_thread(count)
    except Exception as error:
        log.warning("%s: its tokens cannot be counted, so no usage is told", served.id, exc_info=error)
        return None


class TokenLimit:
    """Tells where a text that comes in pieces has had its tokens.

    No token has less than one byte. So nothing is counted before there are as many bytes as tokens are left; and what
    ends before a space is counted once.

    Args:
        limit: How many tokens there may be.
        count: Counts those of a text.
    """

    def __init__(self, limit: int, count: Callable[[str], int]) -> None:
        self._left = limit
        self._room = limit
        self._count = count
        self._tail: list[str] = []

    def room_for(self, piece: str) -> int | None:
        """How many characters of the next piece are within the limit; None if all of it is."""
        self._tail.append(piece)
        self._room -= len(piece) if piece.isascii() else 4 * len(piece)
        if self._room >= 0:
            return None
        text = "".join(self._tail)
        if (tokens := self._tokens(text)) > self._left:
            length = longest(text, lambda some: self._tokens(some) <= self._left, self._left)
            return max(0, length - (len(text) - len(piece)))
        self._room = self._left - tokens
        if settled := text[: text.rfind(" ") + 1].rstrip():
            self._left -= self._tokens(settled)
            text = text[len(settled) :]
        self._tail = [text]
        return None

    def _tokens(self, text: str) -> int:
        return self._count(text) - self._count("")  # some count a beginning of the text, too


def longest(text: str, fits: Callable[[str], bool], guess: int) -> int:
    """The length of the longest beginning of `text` that fits, where all of it does not; `guess` is near it."""
    most, least = 0, max(1, guess)
    while least < len(text) and fits(text[:least]):
        most, least = least, 2 * least
    least = min(least, len(text))
    while least - most > 1:
        middle = (most + least) // 2
        if fits(text[:middle]):
            most = middle
        else:
            least = middle
    return most


def text_of(delta: Delta) -> str:
    """What of a delta a model has written, token by token."""
    match delta:
        case str():
            return delta
        case CallStart():
            return delta.name
        case Block():
            return str(delta.block.get("text") or "")
        case Thought() | CallArguments() | Refusal():
            return delta.text


def shortened(delta: Delta, length: int) -> Delta:
    """The beginning of a delta. Of a call's name there is none."""
    match delta:
        case CallStart():
            return ""
        case Thought() | CallArguments() | Refusal():
            return replace(delta, text=delta.text[:length])
        case str() | Block():
            return text_of(delta)[:length]
