"""`Fault`: one thing that goes wrong with a response. Imports nothing of ours, so that replies can hold faults too."""

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Argument:
    """What a kind of fault takes: a field of `Fault`, which is also the argument of its marker (`[[reset 3]]`).

    Attributes:
        field: The field's name.
        read: Reads the field from a marker's text; raises `ValueError` where it cannot.
        example: How a marker writes it.
        default: The field's value where none is given; None: it stays empty.
        unit: What the value counts, in the plural; `""`: nothing.
    """

    field: str
    read: Callable[[str], Any]
    example: str
    default: Any = None
    unit: str = ""


KINDS: dict[str, Argument | None] = {}
"""What each kind of fault takes, by the kind's name. `fault_kind` fills it, since the handlers need `Fault` first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, or is merely odd. A field that its kind takes and that is empty gets a default.

    Attributes:
        kind: The name of the kind, as in `FAULTS`.
        after: Pieces of the answer that are sent first, where it happens in the middle of a stream.
        times: How many requests it happens to while it stands in `Backend.fault`; None: all of them.
        code: The HTTP status, for `status` and its variants.
        retry_after: Value of the `Retry-After` header: seconds, or a date; None: no header.
        body: The JSON body, for `status`; None: the dialect's own error for this status.
        message: The message of the error, in the dialect's own format; None: the dialect's own message.
        seconds: The pause, for slow responses.
        size: Bytes, for kinds that have a size.
        field: The name of the request's field, for `refuse_field`.
        key: The key that is refused, for `auth_until`; None: the first that is sent.

    Raises:
        ValueError: If the kind is unknown.
    """

    kind: str
    after: int = 0
    times: int | None = None
    code: int = 0
    retry_after: float | str | None = None
    body: Any = None
    message: str | None = None
    seconds: float = 0.0
    size: int = 0
    field: str = ""
    key: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = get_close_matches(self.kind, KINDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known kinds: {', '.join(sorted(KINDS))}."
            raise ValueError(f"Fault(kind={self.kind!r}): unknown kind. {hint}")
        argument = KINDS[self.kind]
        if argument and argument.default is not None and not getattr(self, argument.field):
            # A frozen dataclass can fill its own fields in no other way. Filled here, and not where they are read,
            # the log, a comparison and the handler all see the same value.
            object.__setattr__(self, argument.field, argument.default)

    @classmethod
    def from_marker(cls, kind: str, text: str) -> Self:
        """The fault that `[[kind text]]` stands for; an empty text gives the default.

        Raises:
            ValueError: If the text cannot be read.
        """
        argument = KINDS[kind]
        return cls(kind=kind, **({argument.field: argument.read(text)} if argument and text else {}))

    @classmethod
    def status(
        cls,
        code: int,
        *,
        retry_after: float | str | None = None,
        body: Any = None,
        message: str | None = None,
        times: int | None = None,
    ) -> Self:
        """The request is refused with an HTTP status, in the dialect's format or with a JSON body of your own."""
        return cls(kind="status", code=code, retry_after=retry_after, body=body, message=message, times=times)

    @classmethod
    def reset(cls, *, after: int = 0, times: int | None = None) -> Self:
        """The connection is reset after some pieces."""
        return cls(kind="reset", after=after, times=times)

    @classmethod
    def stall(cls, *, after: int = 0, times: int | None = None) -> Self:
        """After some pieces nothing more comes, until the client disconnects."""
        return cls(kind="stall", after=after, times=times)

    @classmethod
    def cut(cls, *, after: int = 0, times: int | None = None) -> Self:
        """The chunked body ends after some pieces, without its last chunk."""
        return cls(kind="cut_chunked", after=after, times=times)

    @classmethod
    def truncate(cls, *, after: int = 0, times: int | None = None) -> Self:
        """The stream ends after some pieces, cleanly for HTTP, but without a finish reason and an end marker."""
        return cls(kind="truncate", after=after, times=times)

    @classmethod
    def refuse_field(cls, field: str = "", *, times: int | None = None) -> Self:
        """Requests whose body has this field (`stream_options` by default) are refused with status 400."""
        return cls(kind="refuse_field", field=field, times=times)
