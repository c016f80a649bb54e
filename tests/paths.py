"""The paths from a prompt to an answer, each as one function: a test's body is then the same for all of them."""

import asyncio
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message


@dataclass(frozen=True)
class Answered:
    """An answer: the text as it came, and the message that it made."""

    text: str
    message: AIMessage


Path = Callable[..., Answered]
"""Called with a model (or what binds one), the input, and what else goes to the method."""


def by_invoke(model: Any, given: Any, /, **kwargs: Any) -> Answered:
    message = model.invoke(given, **kwargs)
    return Answered(message.text, message)


def by_ainvoke(model: Any, given: Any, /, **kwargs: Any) -> Answered:
    message = asyncio.run(model.ainvoke(given, **kwargs))
    return Answered(message.text, message)


def by_stream(model: Any, given: Any, /, **kwargs: Any) -> Answered:
    return added_up(model.stream(given, **kwargs))


def by_astream(model: Any, given: Any, /, **kwargs: Any) -> Answered:
    return added_up(achunks(model, given, **kwargs))


def by_v3(model: Any, given: Any, /, **kwargs: Any) -> Answered:
    with beta_allowed():
        stream = model.stream_events(given, version="v3", **kwargs)
        text = "".join(stream.text)
        return Answered(text, stream.output)


def by_av3(model: Any, given: Any, /, **kwargs: Any) -> Answered:
    async def read() -> Answered:
        async with await model.astream_events(given, version="v3", **kwargs) as stream:
            text = "".join([piece async for piece in stream.text])
            return Answered(text, await stream.output)

    with beta_allowed():
        return asyncio.run(read())


def achunks(model: Any, given: Any, /, **kwargs: Any) -> list[AIMessageChunk]:
    """All that `astream` yields."""

    async def read() -> list[AIMessageChunk]:
        return [chunk async for chunk in model.astream(given, **kwargs)]

    return asyncio.run(read())


def chunks(model: Any, given: Any, /, **kwargs: Any) -> list[AIMessageChunk]:
    """All that `stream` yields."""
    return list(model.stream(given, **kwargs))


def added_up(stream: Iterable[AIMessageChunk]) -> Answered:
    given = list(stream)
    message = message_chunk_to_message(reduce(add, given))
    assert isinstance(message, AIMessage)
    return Answered("".join(chunk.text for chunk in given), message)


@contextmanager
def beta_allowed() -> Iterator[None]:
    """Without the warning that version 3 of the events is a beta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LangChainBetaWarning)
        yield


WHOLE: dict[str, Path] = {"invoke": by_invoke, "ainvoke": by_ainvoke}
STREAMED: dict[str, Path] = {"stream": by_stream, "astream": by_astream, "v3": by_v3, "av3": by_av3}
PATHS: dict[str, Path] = {**WHOLE, **STREAMED}

_BY_NOW_THE_SAME = pytest.mark.thorough("an engine is slow, and what differs between paths is tested without one")
ON_AN_ENGINE = [
    pytest.param(path, id=name, marks=() if name in ("invoke", "astream") else _BY_NOW_THE_SAME)
    for name, path in PATHS.items()
]
"""The paths for tests that wait for a real model to speak."""
