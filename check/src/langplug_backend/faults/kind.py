"""The table of what can go wrong, and the decorator that puts a function into it.

A new fault is one function in a file of this folder::

    @fault_kind(AFTER_PIECES, error=True)
    def reset(response: FakeResponse, fault: Fault, _: Context) -> FakeResponse:
        '''A TCP reset after N pieces.'''

Its name is the kind and its marker; the first line of its docstring is what users read about it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from langplug_backend.faults.context import Context
from langplug_backend.faults.fault import KINDS, Argument, Fault
from langplug_backend.request import DialectName
from langplug_backend.response import FakeResponse

Handler = Callable[[FakeResponse, Fault, Context], FakeResponse]
"""What a kind does: it takes the response as it should be, and returns the one that goes out."""

Stage = Literal["accept", "request", "connection", "answer"]
"""When it happens: as a connection is accepted, before a request is answered, as bytes are sent, or in the answer."""

AFTER_PIECES = Argument("after", int, "3", default=0, unit="pieces")
STATUS_CODE = Argument("code", int, "429", default=500)
SECONDS = Argument("seconds", float, "0.05", default=0.05, unit="seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault.

    Attributes:
        does: What happens, in a sentence.
        handler: What it does to the response.
        group: The file in `faults/` that defines it, such as `"framing"`.
        argument: The field of `Fault` that it takes; None: none.
        error: Whether a client must see an error, and not the whole answer.
        streams: Whether it happens to streams alone.
        dialects: The dialects that it has a meaning in; empty: all of them.
        at: When it happens.
    """

    does: str
    handler: Handler
    group: str
    argument: Argument | None = None
    error: bool = False
    streams: bool = False
    dialects: tuple[DialectName, ...] = ()
    at: Stage = "answer"

    @property
    def takes(self) -> str | None:
        """The name of the field that it takes."""
        return self.argument.field if self.argument else None


FAULTS: dict[str, Kind] = {}
"""Every kind of fault by its name; complete once `faults.table` is imported."""


def fault_kind(
    argument: Argument | None = None,
    *,
    name: str = "",
    does: str = "",
    error: bool = False,
    streams: bool = False,
    dialects: tuple[DialectName, ...] = (),
    at: Stage = "answer",
) -> Callable[[Handler], Handler]:
    """Put a function into `FAULTS`; arguments as in `Kind`, `name` and `does` in place of the function's own."""

    def register(handler: Handler) -> Handler:
        kind = name or handler.__name__
        summary = (handler.__doc__ or "").partition("\n")[0]  # `python -OO` keeps no docstrings
        KINDS[kind] = argument
        FAULTS[kind] = Kind(
            does=does or summary,
            handler=handler,
            group=handler.__module__.rpartition(".")[2],
            argument=argument,
            error=error,
            streams=streams,
            dialects=dialects,
            at=at,
        )
        return handler

    return register
