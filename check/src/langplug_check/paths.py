"""The paths from a prompt to an answer, each as one function, so that a check's body is the same for all of them."""

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal, TypeAlias, cast

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import message_chunk_to_message
from pydantic import ValidationError

from langplug_check.process.loop import on_one_loop
from langplug_check.recorder import Recorder
from langplug_check.verdicts import Failed, Outcast

PathName: TypeAlias = Literal["invoke", "ainvoke", "stream", "astream", "v3", "av3"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one call.

    Attributes:
        path: The way it went.
        text: The text, as it came piece by piece.
        message: The message; where it came in chunks, that which they add up to. None after an error.
        chunks: The chunks, for `stream` and `astream`.
        error: What was raised.
        recorder: The callbacks.
        seconds: How long it took.
    """

    path: PathName
    text: str = ""
    message: AIMessage | None = None
    chunks: Sequence[Any] = ()
    error: BaseException | None = None
    recorder: Recorder
    seconds: float = 0.0

    @property
    def answer(self) -> AIMessage:
        """The message.

        Raises:
            Failed: If there was an error instead.
        """
        if self.message is None:
            raise Failed(f"{self.path} raised {shown(self.error)}", "an answer")
        return self.message


BUGS = (KeyError, IndexError, AttributeError, NameError, AssertionError, RecursionError)
"""What code raises that did not expect its input. It tells a user nothing, so it is no refusal."""


def shown(error: BaseException | None) -> str:
    """An error in one short line. Of pydantic's, what is wrong with which field, without links and values."""
    text = " ".join(_message(error).split())
    return f"{type(error).__name__}: {text[:200]}{'...' if len(text) > 200 else ''}"


def _message(error: BaseException | None) -> str:
    if isinstance(error, ValidationError):
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in wrong)
    return str(error)


Answered: TypeAlias = tuple[str, AIMessage, Sequence[Any]]


def _invoke(model: Any, given: Any, config: Any, kwargs: dict[str, Any]) -> Answered:
    message = model.invoke(given, config, **kwargs)
    return str(message.text), message, ()


def _ainvoke(model: Any, given: Any, config: Any, kwargs: dict[str, Any]) -> Answered:
    message = on_one_loop(model.ainvoke(given, config, **kwargs))
    return str(message.text), message, ()


def _stream(model: Any, given: Any, config: Any, kwargs: dict[str, Any]) -> Answered:
    return added_up(model.stream(given, config, **kwargs))


def _astream(model: Any, given: Any, config: Any, kwargs: dict[str, Any]) -> Answered:
    async def read() -> list[Any]:
        return [chunk async for chunk in model.astream(given, config, **kwargs)]

    return added_up(on_one_loop(read()))


def _v3(model: Any, given: Any, config: Any, kwargs: dict[str, Any]) -> Answered:
    stream = model.stream_events(given, config, version="v3", **kwargs)
    text = "".join(stream.text)
    return text, stream.output, ()


def _av3(model: Any, given: Any, config: Any, kwargs: dict[str, Any]) -> Answered:
    async def read() -> Answered:
        async with await model.astream_events(given, config, version="v3", **kwargs) as stream:
            text = "".join([piece async for piece in stream.text])
            return text, await stream.output, ()

    return on_one_loop(read())


def added_up(stream: Iterable[Any]) -> Answered:
    """A stream's text, the message that it makes, and its chunks."""
    chunks = list(stream)
    message = message_chunk_to_message(cast("BaseMessage", reduce(add, chunks)))
    return "".join(str(chunk.text) for chunk in chunks), cast("AIMessage", message), chunks


PATHS: Mapping[PathName, Callable[[Any, Any, Any, dict[str, Any]], Answered]] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "stream": _stream,
    "astream": _astream,
    "v3": _v3,
    "av3": _av3,
}
"""Each way to call a model, as `(model, input, config, further keyword arguments) -> (text, message, chunks)`."""

STREAMED: Sequence[PathName] = ("stream", "astream", "v3", "av3")
"""Those that show an answer as it comes."""


def ask(
    model: Any, given: Any, path: PathName = "invoke", /, *, config: Mapping[str, Any] | None = None, **kwargs: Any
) -> Outcome:
    """Ask `model`, which may also be what binds one. Nothing is raised: an error is part of the outcome."""
    recorder = Recorder()
    callbacks = [*(config or {}).get("callbacks", ()), recorder]
    began = time.perf_counter()
    with beta_allowed():
        try:
            text, message, chunks = PATHS[path](model, given, {**(config or {}), "callbacks": callbacks}, kwargs)
        except Outcast:
            raise  # it is the kit's own word, from within what answers, and nothing that the model did
        except Exception as error:  # noqa: BLE001 - what comes of the call is the caller's to judge
            return Outcome(path=path, error=error, recorder=recorder, seconds=time.perf_counter() - began)
    seconds = time.perf_counter() - began
    return Outcome(path=path, text=text, message=message, chunks=chunks, recorder=recorder, seconds=seconds)


@contextmanager
def beta_allowed() -> Generator[None, None, None]:
    """Without the warning that version 3 of the events is a beta."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beta")
        yield
