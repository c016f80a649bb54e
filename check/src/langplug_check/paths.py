"""The paths from a prompt to an answer, behind one function, so that a check's body is the same for all of them."""

import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Literal, TypeAlias, cast, get_args

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import message_chunk_to_message
from pydantic import ValidationError

from langplug_check.process.loop import run_on_shared_loop
from langplug_check.recorder import Recorder
from langplug_check.verdicts import Failed, VerdictException

PathName: TypeAlias = Literal["invoke", "ainvoke", "stream", "astream", "v3", "av3"]
"""The ways to call a model; `"v3"` and `"av3"` are version 3 of its events."""

PATHS: Sequence[PathName] = get_args(PathName)

STREAMED: Sequence[PathName] = ("stream", "astream", "v3", "av3")
"""Those that show an answer as it comes."""

BUGS = (KeyError, IndexError, AttributeError, NameError, AssertionError, RecursionError)
"""What code raises that did not expect its input. It tells a user nothing, so it does not count as a refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one call.

    Attributes:
        path: The path that it took.
        text: The text, as it came piece by piece.
        message: The message; the sum of the chunks, if it came in chunks. None after an error.
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
            raise Failed(f"{self.path} raised {error_text(self.error)}", "an answer")
        return self.message


def error_text(error: BaseException | None) -> str:
    """An error in one line of at most 200 characters and its type."""
    if isinstance(error, ValidationError):
        # pydantic's own text quotes the input, which may be a key, and links to its documentation.
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        message = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in wrong)
    else:
        try:
            message = str(error)
        except Exception as worse:  # noqa: BLE001 - an exception of a model may be as broken as the model
            message = f"(its text cannot be read: {type(worse).__name__})"
    text = " ".join(message.split())
    return f"{type(error).__name__}: {text[:200]}{'...' if len(text) > 200 else ''}"


def is_from_keyboard(error: BaseException) -> bool:
    """Whether it is what Ctrl-C raises, and not a KeyboardInterrupt that a model raised where no keyboard is heard."""
    is_main = threading.current_thread() is threading.main_thread()
    listens = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and listens


PathResult: TypeAlias = tuple[str, AIMessage, Sequence[Any]]
"""The text as it came, the message, and the chunks."""


def call_model(path: PathName, model: Any, given: Any, config: Any = None, /, **kwargs: Any) -> PathResult:
    """Call `model` by one path, and read the answer to its end. `kwargs` go to the call, even one named `model`.

    Raises:
        Exception: What the model raises.
    """
    match path:
        case "invoke":
            message = model.invoke(given, config, **kwargs)
            return str(message.text), message, ()
        case "ainvoke":
            message = run_on_shared_loop(model.ainvoke(given, config, **kwargs))
            return str(message.text), message, ()
        case "stream":
            return collect_stream(model.stream(given, config, **kwargs))
        case "astream":

            async def read_chunks() -> list[Any]:
                return [chunk async for chunk in model.astream(given, config, **kwargs)]

            return collect_stream(run_on_shared_loop(read_chunks()))
        case "v3":
            stream = model.stream_events(given, config, version="v3", **kwargs)
            return "".join(stream.text), stream.output, ()
        case "av3":

            async def read_events() -> PathResult:
                async with await model.astream_events(given, config, version="v3", **kwargs) as stream:
                    text = "".join([piece async for piece in stream.text])
                    return text, await stream.output, ()

            return run_on_shared_loop(read_events())


def collect_stream(stream: Iterable[Any]) -> PathResult:
    """A stream's text, the message that its chunks add up to, and the chunks."""
    chunks = list(stream)
    message = message_chunk_to_message(cast("BaseMessage", reduce(add, chunks)))
    return "".join(str(chunk.text) for chunk in chunks), cast("AIMessage", message), chunks


def ask(
    model: Any, given: Any, path: PathName = "invoke", /, *, config: Mapping[str, Any] | None = None, **kwargs: Any
) -> Outcome:
    """Ask `model`, or a runnable that it is bound in. What the call raises is part of the outcome."""
    recorder = Recorder()
    callbacks = [*(config or {}).get("callbacks", ()), recorder]
    began = time.perf_counter()
    with allow_beta():
        try:
            text, message, chunks = call_model(path, model, given, {**(config or {}), "callbacks": callbacks}, **kwargs)
        except VerdictException:
            raise  # the kit's own word, from a scripted backend: it says nothing about the model
        except Exception as error:  # noqa: BLE001 - what comes of the call is for the caller to decide
            return Outcome(path=path, error=error, recorder=recorder, seconds=time.perf_counter() - began)
    seconds = time.perf_counter() - began
    return Outcome(path=path, text=text, message=message, chunks=chunks, recorder=recorder, seconds=seconds)


@contextmanager
def allow_beta() -> Generator[None, None, None]:
    """Suppress the warning that version 3 of the events is a beta."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*beta")
        yield
