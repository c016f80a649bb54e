"""What a model costs beyond what it wraps: a function beside its `@chat_model`, an adopted model beside itself."""

import inspect
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage

from langplug import Request, adopt
from langplug.models.adopted.model import ChatAdopted

_QUESTION = HumanMessage("Hello")


async def arun_against_raw(model: Any, *, calls: int = 100, rounds: int = 5) -> dict[str, Any]:
    """Measure the CPU that a call and a piece take beyond the function, or the model, that is wrapped.

    Both are asked in turns, so that a busy machine slows both.

    Args:
        model: A model made of a function by langplug, or one of anybody's, which is adopted.
        calls: How many calls a round makes of each.
        rounds: How many rounds.

    Returns:
        As JSON data: of each the microseconds of CPU a call, the median of the rounds, their least and most, and how
        many pieces a call has.

    Raises:
        TypeError: If `model` is neither, so that there is nothing to compare it with.
    """
    adopted = adopt(model)
    respond = getattr(adopted, "respond", None)
    is_adopted = isinstance(adopted, ChatAdopted)
    if respond is None or (is_adopted and not isinstance(model, BaseChatModel)):
        raise TypeError(
            f"{type(model).__name__} has nothing to compare it with: it is no chat model, or no function's."
        )

    async def ask_function() -> AsyncIterator[Any]:
        said = respond(Request(messages=(_QUESTION,), streaming=True))
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

    sides: dict[str, Callable[[], AsyncIterator[Any]]] = {
        "raw": (lambda: model.astream([_QUESTION])) if is_adopted else ask_function,
        "model": lambda: adopted.astream([_QUESTION]),
    }
    taken: dict[str, list[float]] = {name: [] for name in sides}
    pieces = {name: await _ask(side, 1) for name, side in sides.items()}  # also warms up
    for _ in range(rounds):
        for name, side in sides.items():
            began = time.process_time()
            await _ask(side, calls)
            taken[name].append((time.process_time() - began) / calls * 1e6)
    told: dict[str, Any] = {
        name: {"us_per_call": statistics.median(some), "min": min(some), "max": max(some), "pieces": pieces[name]}
        for name, some in taken.items()
    }
    added = told["model"]["us_per_call"] - told["raw"]["us_per_call"]
    return {**told, "added_us_per_call": added, "added_us_per_piece": added / max(1, pieces["model"])}


async def _ask(side: Callable[[], AsyncIterator[Any]], calls: int) -> int:
    """Make calls one after the other. Returns how many pieces there were."""
    count = 0
    for _ in range(calls):
        async for _piece in side():
            count += 1
    return count
