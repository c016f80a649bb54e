"""A model with scripted answers, for tests of applications: offline, immediate, and wrong on demand."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage
from pydantic import Field, PrivateAttr

from langplug import ChatModel, Finish, IncompleteAnswerError, Part, Request
from langplug._model.fields import ReasoningTags


@dataclass(frozen=True, slots=True)
class Delay:
    """A pause of `seconds` in a scripted answer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks here: the answer ends half-way, with an `IncompleteAnswerError`."""

    message: str = "The scripted answer was cut off."


class ScriptExhausted(RuntimeError):
    """There were more calls than replies."""


class ChatScripted(ChatModel):
    """Gives its replies one after the other, one a call.

    A reply is a string, any other part, an exception to raise, a `Delay`, a `Cut`, a list of these, or a function
    from the request to one of them. Strings in a list are one piece each, so a list of strings streams.

    Example:
        >>> from langplug.models.scripted import Delay
        >>> model = ChatScripted(replies=["Hello.", ["I ", "am ", Delay(0.1), "slow."], TimeoutError("too busy")])
        >>> model.invoke("Hi").content
        'Hello.'
        >>> model.requests[0].text
        'Hi'
    """

    replies: list[Any] = Field(default_factory=list)
    """What to say, call by call."""

    when_exhausted: Literal["error", "repeat", "cycle"] = "error"
    """After the last reply: raise `ScriptExhausted`, give the last one again, or start again with the first."""

    reasoning_tags: ReasoningTags = None
    """None: scripted text stays text. Script `Reasoning` parts, or set the tags to have reasoning read out of text."""

    _log: "_RequestLog" = PrivateAttr(default_factory=lambda: _RequestLog())  # noqa: PLW0108 - the class comes below

    @property
    def requests(self) -> list[Request]:
        """The requests answered so far, oldest first."""
        return list(self._log.requests)

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        """Play the next reply."""
        number = self._log.add(request)
        if number >= len(self.replies) and (self.when_exhausted == "error" or not self.replies):
            raise ScriptExhausted(
                f"This is call {number + 1}, but ChatScripted has {len(self.replies)} replies. "
                "Add replies, or set when_exhausted='repeat' or 'cycle'."
            )
        last = len(self.replies) - 1
        reply = self.replies[min(number, last) if self.when_exhausted != "cycle" else number % (last + 1)]
        if callable(reply):
            reply = reply(request)
        steps: Iterable[Any] = reply if isinstance(reply, list | tuple) else [reply]
        for step in steps:
            if isinstance(step, Delay):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Cut):
                raise IncompleteAnswerError(step.message)
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step
        if not any(isinstance(step, Finish | AIMessage | dict) for step in steps):  # what may say it by itself
            yield Finish(reason="stop")


class _RequestLog:
    """The requests answered so far."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._lock = threading.Lock()

    def add(self, request: Request) -> int:
        """Add a request; return how many came before it."""
        with self._lock:  # `batch` calls from several threads, and each must get a reply of its own
            self.requests.append(request)
            return len(self.requests) - 1

    # A copy of the model by `bind` or for one call's parameters is shallow and shares this log: the script goes on. A
    # deep copy or a pickle is another model, and begins with the first reply.

    def __reduce__(self) -> tuple[Callable[[], "_RequestLog"], tuple[()]]:
        return _RequestLog, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_RequestLog":
        return _RequestLog()
