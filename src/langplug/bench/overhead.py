"""What a model costs beyond what it wraps: a function beside its `@chat_model`, an adopted model beside itself."""

import inspect
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from langplug import Request, adopt
from langplug.models.adopted.model import ChatAdopted

CALLS: Final = 500
"""How many calls are made of each side if nothing is said."""
SECONDS: Final = 10.0
"""For how long they are made if nothing is said."""

_ROUNDS: Final = 5
_QUESTION: Final = HumanMessage("Hello")

Side = Callable[[], AsyncIterator[Any]]


class AgainstRaw:
    """What a call and a piece take of CPU beyond the function, or the model, that is wrapped.

    Both sides are asked in turns, so that a busy machine slows both. It can be ended at any moment, and reports what it
    has until then.

    Args:
        model: A model made of a function by langplug, or one of anybody's, which is adopted.
        calls: How many calls are made of each side at most, besides one each that warms up.
        seconds: For how long at most: then the calls that run are waited for, and no other begins.
        progress: Told how many calls have ended, and how many there are to be at most.

    Raises:
        TypeError: If `model` is neither, so that there is nothing to compare it with: a server has no function.
        ValueError: If `calls` or `seconds` is not above 0.
    """

    def __init__(
        self,
        model: Any,
        *,
        calls: int = CALLS,
        seconds: float = SECONDS,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:
        for name, value in (("calls", calls), ("seconds", seconds)):
            if not value > 0:
                raise ValueError(f"{name} is {value:g}; expected more than 0")
        self._sides = _sides_of(model)
        self._calls, self._seconds, self._progress = calls, seconds, progress
        self._rounds: dict[str, list[tuple[int, float]]] = {name: [] for name in self._sides}
        self._pieces: dict[str, int] = {}
        self._was_ended = True

    async def arun(self) -> None:
        """Ask both sides in turns. Cancel it, and there is a report of the rounds until then."""
        for name, side in self._sides.items():
            self._pieces[name] = await _ask(side)  # which also warms up
        end_at = time.perf_counter() + self._seconds
        ended = 0
        sizes = [self._calls // _ROUNDS + (place < self._calls % _ROUNDS) for place in range(_ROUNDS)]
        for most in filter(None, sizes):
            if self.report() and time.perf_counter() >= end_at:
                break
            for name, side in self._sides.items():
                round_ends_at = time.perf_counter() + self._seconds / _ROUNDS / len(self._sides)
                began, made = time.process_time(), 0
                while made < most and (made == 0 or time.perf_counter() < round_ends_at):
                    await _ask(side)
                    made += 1
                self._rounds[name].append((made, (time.process_time() - began) / made * 1e6))
                ended += made
                self._progress(ended, self._calls * len(self._sides))
        self._was_ended = False

    def report(self) -> dict[str, Any] | None:
        """What was measured, as JSON data; None as long as neither side, or only one, was.

        Returns:
            Of each side the microseconds of CPU a call, the median of the rounds, their least and most, how many calls
            were made, and how many pieces a call has; and whether it was ended before its time.
        """
        if not all(self._rounds.values()):
            return None
        told: dict[str, Any] = {}
        for name, rounds in self._rounds.items():
            taken = [microseconds for _, microseconds in rounds]
            told[name] = {
                "us_per_call": statistics.median(taken),
                "min": min(taken),
                "max": max(taken),
                "calls": sum(made for made, _ in rounds),
                "pieces": self._pieces[name],
            }
        added = told["model"]["us_per_call"] - told["raw"]["us_per_call"]
        return {
            **told,
            "added_us_per_call": added,
            "added_us_per_piece": added / max(1, self._pieces["model"]),
            "was_ended": self._was_ended,
        }


async def arun_against_raw(model: Any, **options: Any) -> dict[str, Any]:
    """Measure the CPU that a call and a piece take beyond the function, or the model, that is wrapped.

    Args:
        model: As of `AgainstRaw`.
        options: As of `AgainstRaw`.

    Returns:
        The report, as JSON data: see `AgainstRaw.report`.

    Raises:
        TypeError: If there is nothing to compare `model` with.
        ValueError: If an option is not above 0.
    """
    measurement = AgainstRaw(model, **options)
    await measurement.arun()
    return measurement.report() or {}


def _sides_of(model: Any) -> dict[str, Side]:
    from langplug._http.model import HTTPModel  # takes a while to import, and no other measurement needs it

    adopted = adopt(model)
    is_adopted = isinstance(adopted, ChatAdopted)
    wrapped = adopted.adopted if isinstance(adopted, ChatAdopted) and adopted is model else model
    if is_adopted and not isinstance(wrapped, BaseChatModel):
        raise TypeError(f"{type(wrapped).__name__} has nothing to compare it with: it is no chat model.")
    if type(adopted).respond is HTTPModel.respond:
        raise TypeError(
            f"{adopted.reported_name} has nothing to compare it with: it is behind a server, and no function or model "
            "in this process. Measure it without --against, or compare two reports of it."
        )

    async def ask_function() -> AsyncIterator[Any]:
        said: Any = adopted.respond(Request(messages=(_QUESTION,), streaming=True))
        if inspect.isawaitable(said):
            said = await said
        if hasattr(said, "__aiter__"):
            async for piece in said:
                yield piece
        elif hasattr(said, "__next__"):
            for piece in said:
                yield piece
        else:
            yield said

    return {
        "raw": (lambda: wrapped.astream([_QUESTION])) if is_adopted else ask_function,
        "model": lambda: adopted.astream([_QUESTION]),
    }


async def _ask(side: Side) -> int:
    """Make one call. Returns how many pieces there were."""
    count = 0
    async for _piece in side():
        count += 1
    return count
