"""The models under test: one deterministic behaviour, in each of the four shapes, through each of the two doors.

What an echo model says depends on its `mode`, which a prompt such as `"/fail one two"` sets for one call:

* `echo`: the last message, word by word, and the `suffix`;
* `spell`: the same, character by character;
* `think`: `hmm`, thought in two pieces, then the echo;
* `show`: the echo, then an image;
* `recall`: every message with its role, a line each;
* `settings`: how it is set up for this call;
* `slow`: the echo with a pause before each word;
* `fail`: the echo, then an `EchoError`.

It reports its usage in two parts, as servers do that count the prompt first: a token is a word.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core.messages import AIMessage
from pydantic import Field, SecretStr

from langplug import ChatModel, Finish, Part, Reasoning, Request, Usage, chat_model, env

Mode = Literal["echo", "spell", "think", "show", "recall", "settings", "slow", "fail"]

PAUSE_S = 0.02

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class EchoError(RuntimeError):
    """What an echo model raises that fails."""


@dataclass(frozen=True)
class Pause:
    """A moment in which an echo model says nothing."""


@dataclass(frozen=True)
class Settings:
    """How an echo model is set up."""

    model: str
    temperature: float
    suffix: str
    mode: Mode
    key: str


# --- the behaviour, written once ---


def behave(request: Request, settings: Settings) -> Iterator[Part | Pause]:
    mode, text = read_prompt(request.text, settings.mode)
    read = sum(len(message.text.split()) for message in request.messages)
    written = 0
    yield Usage(input_tokens=read, input_token_details={"cache_read": 1})
    for part in say(mode, text, request, settings):
        written += isinstance(part, str | Reasoning)
        yield part
    if mode == "fail":
        raise EchoError("The model failed.")
    yield Usage(output_tokens=written, output_token_details={"reasoning": 2 if mode == "think" else 0})
    yield Finish(reason="stop", metadata={"mood": "calm"})


def read_prompt(text: str, mode: Mode) -> tuple[Mode, str]:
    command, _, rest = text.partition(" ")
    for known in get_args(Mode):
        if command == f"/{known}":
            return known, rest
    return mode, text


def say(mode: Mode, text: str, request: Request, settings: Settings) -> Iterator[Part | Pause]:
    spoken = text + settings.suffix
    match mode:
        case "spell":
            yield from spoken
        case "recall":
            yield from (f"{message.type}: {message.text}\n" for message in request.messages)
        case "settings":
            yield f"{settings.model} {settings.temperature} {settings.suffix} {request.streaming}"
        case "slow":
            for word in words(spoken):
                yield Pause()
                yield word
        case "think":
            yield Reasoning("h")
            yield Reasoning("mm")
            yield from words(spoken)
        case "show":
            yield from words(spoken)
            yield {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
        case _:
            yield from words(spoken)


def words(text: str) -> list[str]:
    """The words with the blanks before them, which together are the text."""
    return re.findall(r"\s*\S+|\s+$", text)


# --- the behaviour as each shape needs it ---


def played(steps: Iterable[Part | Pause]) -> Iterator[Part]:
    for step in steps:
        if isinstance(step, Pause):
            time.sleep(PAUSE_S)
        else:
            yield step


async def aplayed(steps: Iterable[Part | Pause]) -> AsyncIterator[Part]:
    for step in steps:
        if isinstance(step, Pause):
            await asyncio.sleep(PAUSE_S)
        else:
            yield step


def whole(parts: Iterable[Part]) -> AIMessage:
    """The parts as the one message that a shape returns which does not stream."""
    message = AIMessage(content=[])
    text, usage, blocks = "", Usage(), list[dict[str, Any]]()
    for part in parts:
        match part:
            case str():
                text += part
            case Reasoning():
                thought = message.additional_kwargs.get("reasoning_content", "") + part.text
                message.additional_kwargs["reasoning_content"] = thought
            case Usage():
                usage = merged(usage, part)
            case Finish():
                message.response_metadata = {"finish_reason": part.reason, **part.metadata}
            case dict():
                blocks.append(part)
    message.content = [text, *blocks] if blocks else text
    message.usage_metadata = {
        "input_tokens": usage.input_tokens or 0,
        "output_tokens": usage.output_tokens or 0,
        "total_tokens": (usage.input_tokens or 0) + (usage.output_tokens or 0),
        "input_token_details": {"cache_read": (usage.input_token_details or {}).get("cache_read") or 0},
        "output_token_details": {"reasoning": (usage.output_token_details or {}).get("reasoning") or 0},
    }
    return message


def merged(before: Usage, after: Usage) -> Usage:
    return Usage(
        input_tokens=before.input_tokens or after.input_tokens,
        output_tokens=before.output_tokens or after.output_tokens,
        input_token_details=before.input_token_details or after.input_token_details,
        output_token_details=before.output_token_details or after.output_token_details,
    )


# --- the first door: a class ---


class EchoModel(ChatModel):
    """What the four classes have in common."""

    model: str = "echo-1"
    temperature: float = Field(default=0.5, ge=0, le=2)
    suffix: str = ""
    mode: Mode = "echo"
    api_key: SecretStr = env("ECHO_API_KEY")

    def steps(self, request: Request) -> Iterator[Part | Pause]:
        key = self.api_key.get_secret_value()
        return behave(request, Settings(self.model, self.temperature, self.suffix, self.mode, key))


class ChatEchoFunction(EchoModel):
    """Returns."""

    def respond(self, request: Request, /) -> AIMessage:
        return whole(played(self.steps(request)))


class ChatEchoGenerator(EchoModel):
    """Yields."""

    def respond(self, request: Request, /) -> Iterator[Part]:
        yield from played(self.steps(request))


class ChatEchoCoroutine(EchoModel):
    """Returns, asynchronously."""

    async def respond(self, request: Request, /) -> AIMessage:
        return whole([part async for part in aplayed(self.steps(request))])


class ChatEchoAsyncGenerator(EchoModel):
    """Yields, asynchronously."""

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        async for part in aplayed(self.steps(request)):
            yield part


# --- the second door: a decorated function ---


@chat_model
def echo_function(
    request: Request,
    *,
    model: str = "echo-1",
    temperature: float = Field(default=0.5, ge=0, le=2),
    suffix: str = "",
    mode: Mode = "echo",
    api_key: SecretStr = env("ECHO_API_KEY"),
) -> AIMessage:
    """Returns."""
    return whole(played(behave(request, Settings(model, temperature, suffix, mode, api_key.get_secret_value()))))


@chat_model
def echo_generator(
    request: Request,
    *,
    model: str = "echo-1",
    temperature: float = Field(default=0.5, ge=0, le=2),
    suffix: str = "",
    mode: Mode = "echo",
    api_key: SecretStr = env("ECHO_API_KEY"),
) -> Iterator[Part]:
    """Yields."""
    yield from played(behave(request, Settings(model, temperature, suffix, mode, api_key.get_secret_value())))


@chat_model
async def echo_coroutine(
    request: Request,
    *,
    model: str = "echo-1",
    temperature: float = Field(default=0.5, ge=0, le=2),
    suffix: str = "",
    mode: Mode = "echo",
    api_key: SecretStr = env("ECHO_API_KEY"),
) -> AIMessage:
    """Returns, asynchronously."""
    settings = Settings(model, temperature, suffix, mode, api_key.get_secret_value())
    return whole([part async for part in aplayed(behave(request, settings))])


@chat_model
async def echo_async_generator(
    request: Request,
    *,
    model: str = "echo-1",
    temperature: float = Field(default=0.5, ge=0, le=2),
    suffix: str = "",
    mode: Mode = "echo",
    api_key: SecretStr = env("ECHO_API_KEY"),
) -> AsyncIterator[Part]:
    """Yields, asynchronously."""
    settings = Settings(model, temperature, suffix, mode, api_key.get_secret_value())
    async for part in aplayed(behave(request, settings)):
        yield part


MakeModel = Callable[..., ChatModel]

ECHO_MODELS: dict[str, MakeModel] = {
    "class, function": ChatEchoFunction,
    "class, generator": ChatEchoGenerator,
    "class, coroutine": ChatEchoCoroutine,
    "class, async generator": ChatEchoAsyncGenerator,
    "decorated, function": echo_function,
    "decorated, generator": echo_generator,
    "decorated, coroutine": echo_coroutine,
    "decorated, async generator": echo_async_generator,
}
