"""A model that says what it is told to, for tests of applications: offline, at once, and wrong on demand."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from langplug import ChatModel, IncompleteAnswerError, Part, Request


@dataclass(frozen=True, slots=True)
class Delay:
    """A pause of `seconds` in a scripted answer."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection breaks here: the answer ends without its end, as an `IncompleteAnswerError`."""

    message: str = "The scripted answer was cut off."


class ScriptExhausted(RuntimeError):
    """There were more calls than replies."""


class ChatScripted(ChatModel):
    """Gives its replies one after the other, one a call.

    A reply is a string, any other part, an exception to raise, a `Delay`, a `Cut`, a list of these, or a function
    from the request to one of them. Strings in a list are one piece each, so a list of strings streams.

    Example:
        >>> model = ChatScripted(replies=["Hello.", ["I ", "am ", Delay(0.1), "slow."], TimeoutError("too busy")])
        >>> model.invoke("Hi").content
        'Hello.'
        >>> model.requests[0].text
        'Hi'
    """

    replies: list[Any] = Field(default_factory=list)
    """What to say, call by call."""

    when_exhausted: Literal["error", "repeat", "cycle"] = "error"
    """After the last reply: raise `ScriptExhausted`, give the last one again, or begin anew."""

    reasoning_tags: tuple[str, str] | None = None
    """None: what is scripted as text stays text. Script `Reasoning` parts, or set the tags to try the splitter."""

    _taken: "_Taken" = PrivateAttr(default_factory=lambda: _Taken())  # noqa: PLW0108 - the class comes below

    @property
    def requests(self) -> list[Request]:
        """The requests answered so far, oldest first."""
        return list(self._taken.requests)

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        """Play the next reply."""
        reply = self._reply_to(self._taken.number(request))
        for step in _steps(reply(request) if callable(reply) else reply):
            if isinstance(step, Delay):
                await asyncio.sleep(step.seconds)
            elif isinstance(step, Cut):
                raise IncompleteAnswerError(step.message)
            elif isinstance(step, BaseException):
                raise step
            else:
                yield step

    def _reply_to(self, number: int) -> Any:
        if number < len(self.replies):
            return self.replies[number]
        if self.when_exhausted == "error" or not self.replies:
            raise ScriptExhausted(
                f"This is call {number + 1}, but ChatScripted has {len(self.replies)} replies. "
                "Add replies, or set when_exhausted='repeat' or 'cycle'."
            )
        return self.replies[-1 if self.when_exhausted == "repeat" else number % len(self.replies)]


class _Taken:
    """Which replies are taken; copies of the model made for one call count together, other copies anew."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._lock = threading.Lock()

    def number(self, request: Request) -> int:
        with self._lock:
            self.requests.append(request)
            return len(self.requests) - 1

    def __reduce__(self) -> tuple[Callable[[], "_Taken"], tuple[()]]:
        return _Taken, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Taken":
        return _Taken()


def _steps(reply: Any) -> Iterable[Any]:
    return reply if isinstance(reply, list | tuple) else [reply]
