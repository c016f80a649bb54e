"""Models that call tools: what they say is one script, played in every way in which a model can say it.

A script is a list of turns, each a list of `str`, `Reasoning` and whole `ToolCall`s. Which turn is played follows
from the request alone: the first for a conversation without an AI message, the second for one with one, and so on.

Native models say it in all forms: an OpenAI completion, fragments of calls that interleave, an `AIMessage`, OpenAI
deltas. Prompted models write calls and thoughts into their text.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import tool

from langplug import TOOL_FORMATS, ChatModel, Part, Reasoning, Request, ToolCall, Usage, chat_model
from langplug.models import ChatScripted

Turn = Sequence[str | Reasoning | ToolCall]


@tool
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@tool
def now() -> str:
    """Tells the time."""
    return "noon"


@tool
def greet(name: str) -> str:
    """Greets somebody."""
    return f"Hello {name}"


TOOLS = [add, now, greet]


def call(name: str, /, **args: Any) -> ToolCall:
    """A whole call."""
    return ToolCall(name=name, args=args)


# --- one turn, in each form ---


def turn_for(request: Request, turns: Sequence[Turn]) -> Turn:
    """The turn that is next; the last one again if there is none."""
    said = sum(isinstance(message, AIMessage) for message in request.messages)
    return turns[min(said, len(turns) - 1)]


def texts(turn: Turn) -> str:
    return "".join(part for part in turn if isinstance(part, str))


def thoughts(turn: Turn) -> str:
    return "".join(part.text for part in turn if isinstance(part, Reasoning))


def calls(turn: Turn) -> list[ToolCall]:
    return [part for part in turn if isinstance(part, ToolCall)]


def json_args(one: ToolCall) -> str:
    return one.args if isinstance(one.args, str) else json.dumps(one.args, ensure_ascii=False)


def as_completion(turn: Turn) -> dict[str, Any]:
    """An OpenAI completion, with `content` None where there is none."""
    message: dict[str, Any] = {"role": "assistant", "content": texts(turn) or None}
    if thoughts(turn):
        message["reasoning"] = thoughts(turn)
    message["tool_calls"] = [
        {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": json_args(one)}}
        for one in calls(turn)
    ]
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


def as_fragments(turn: Turn) -> Iterator[Part]:
    """Text as it is, and the calls in fragments of three characters, which take turns."""
    for part in turn:
        if not isinstance(part, ToolCall):
            yield part
    for number, one in enumerate(calls(turn)):
        yield ToolCall(name=one.name, id=one.id, index=number)
    yield from interleaved([list(pieces(json_args(one))) for one in calls(turn)])
    yield Usage(input_tokens=2, output_tokens=3)


def interleaved(runs: list[list[str]]) -> Iterator[ToolCall]:
    for place in range(max(map(len, runs), default=0)):
        for number, run in enumerate(runs):
            if place < len(run):
                yield ToolCall(args=run[place], index=number)


def as_message(turn: Turn) -> AIMessage:
    """The whole message, thoughts and calls included."""
    kwargs = {"reasoning_content": thoughts(turn)} if thoughts(turn) else {}
    usage = {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}
    message = AIMessage(texts(turn), additional_kwargs=kwargs, usage_metadata=usage)
    for one in calls(turn):
        if isinstance(one.args, str):
            broken = {"name": one.name, "args": one.args, "id": one.id, "error": None, "type": "invalid_tool_call"}
            message.invalid_tool_calls.append(broken)  # type: ignore[arg-type]
        else:
            message.tool_calls.append({"name": one.name, "args": one.args, "id": one.id, "type": "tool_call"})  # type: ignore[arg-type, typeddict-item]
    return message


def as_deltas(turn: Turn) -> Iterator[dict[str, Any]]:
    """OpenAI deltas of three characters: thoughts, text, then the calls; the end says "stop", as some servers do."""
    for part in turn:
        if isinstance(part, Reasoning):
            yield from (delta(reasoning_content=piece) for piece in pieces(part.text))
        elif isinstance(part, str):
            yield from (delta(content=piece) for piece in pieces(part))
    for number, one in enumerate(calls(turn)):
        function = {"name": one.name, "arguments": ""}
        yield delta(tool_calls=[{"index": number, "id": one.id, "type": "function", "function": function}])
        for piece in pieces(json_args(one)):
            yield delta(tool_calls=[{"index": number, "function": {"arguments": piece}}])
    usage = {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5}
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage}


def delta(**said: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": said, "finish_reason": None}]}


def as_text(turn: Turn) -> str:
    """Thoughts in tags, then the text, then the calls as Hermes writes them."""
    written = (TOOL_FORMATS["hermes"].call(one.name or "", one.args or {}, "") for one in calls(turn))
    thought = f"<think>\n{thoughts(turn)}\n</think>\n\n" if thoughts(turn) else ""
    return thought + "\n".join([*([texts(turn)] if texts(turn) else []), *written])


def pieces(text: str) -> Iterator[str]:
    return (text[at : at + 3] for at in range(0, len(text), 3))


# --- the models ---


class Caller(ChatModel):
    """What they have in common; `seen` is the list into which the requests go."""

    turns: list[Any]
    seen: Any

    def turn(self, request: Request) -> Turn:
        self.seen.append(request)
        return turn_for(request, self.turns)


class NativeFunction(Caller):
    """Returns a completion."""

    tool_calling = "native"

    def respond(self, request: Request, /) -> dict[str, Any]:
        return as_completion(self.turn(request))


class NativeGenerator(Caller):
    """Yields fragments."""

    tool_calling = "native"

    def respond(self, request: Request, /) -> Iterator[Part]:
        yield from as_fragments(self.turn(request))


class NativeCoroutine(Caller):
    """Returns a message."""

    tool_calling = "native"

    async def respond(self, request: Request, /) -> AIMessage:
        return as_message(self.turn(request))


class NativeAsyncGenerator(Caller):
    """Yields deltas."""

    tool_calling = "native"

    async def respond(self, request: Request, /) -> AsyncIterator[dict[str, Any]]:
        for chunk in as_deltas(self.turn(request)):
            yield chunk


class PromptedFunction(Caller):
    """Returns text."""

    def respond(self, request: Request, /) -> str:
        return as_text(self.turn(request))


class PromptedGenerator(Caller):
    """Yields text, three characters at a time."""

    def respond(self, request: Request, /) -> Iterator[Part]:
        yield from pieces(as_text(self.turn(request)))
        yield Usage(input_tokens=2, output_tokens=3)


class PromptedCoroutine(Caller):
    """Returns a message."""

    async def respond(self, request: Request, /) -> AIMessage:
        return AIMessage(as_text(self.turn(request)))


class PromptedAsyncGenerator(Caller):
    """Yields deltas of text."""

    async def respond(self, request: Request, /) -> AsyncIterator[dict[str, Any]]:
        for chunk in as_deltas([as_text(self.turn(request))]):
            yield chunk


@chat_model(tool_calling="native")
def native_decorated(request: Request, *, turns: list[Any], seen: Any) -> Iterator[Part]:
    """Yields fragments."""
    seen.append(request)
    yield from as_fragments(turn_for(request, turns))


@chat_model
async def prompted_decorated(request: Request, *, turns: list[Any], seen: Any) -> AsyncIterator[str]:
    """Yields text, three characters at a time."""
    seen.append(request)
    for piece in pieces(as_text(turn_for(request, turns))):
        yield piece


def scripted(*, turns: list[Any], seen: Any, **settings: Any) -> ChatModel:
    """ChatScripted, told the same."""

    def reply(request: Request) -> Any:
        seen.append(request)
        return list(turn_for(request, turns))

    return ChatScripted(replies=[reply], when_exhausted="repeat", **settings)


MakeCaller = Callable[..., ChatModel]

NATIVE: dict[str, MakeCaller] = {
    "native, function": NativeFunction,
    "native, generator": NativeGenerator,
    "native, coroutine": NativeCoroutine,
    "native, async generator": NativeAsyncGenerator,
    "native, decorated": native_decorated,
}
PROMPTED: dict[str, MakeCaller] = {
    "prompted, function": PromptedFunction,
    "prompted, generator": PromptedGenerator,
    "prompted, coroutine": PromptedCoroutine,
    "prompted, async generator": PromptedAsyncGenerator,
    "prompted, decorated": prompted_decorated,
}
CALLERS: dict[str, MakeCaller] = {**NATIVE, **PROMPTED, "scripted": scripted}


def caller(make: MakeCaller, *turns: Turn, **settings: Any) -> tuple[ChatModel, list[Request]]:
    """A model that plays `turns`, and the list of the requests that it gets."""
    seen: list[Request] = []
    return make(turns=list(turns), seen=seen, **settings), seen
