"""`Fault`: one thing that goes wrong. It imports nothing, so that replies and handlers can both name it."""

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

KINDS: set[str] = set()
"""The names of all kinds; the table fills it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that goes wrong, or is merely odd.

    Attributes:
        kind: What: a name of the table `FAULTS`.
        after: Pieces of the answer that go out before, for what happens in the middle of a stream.
        times: To how many requests it happens, where it stands in `Backend.fault`; None: to each.
        code: The HTTP status, for `status` and its kin.
        retry_after: Value of the `Retry-After` header: seconds, or a date; None: no header.
        body: The JSON body, for `status`; None: the dialect's own words for the status.
        message: The words of the error, where the dialect's shape is kept; None: the dialect's own.
        seconds: How long, for what is slow.
        size: Bytes or characters, for what has a size; 0: the kind's own choice.
        field: The name of a field, for `refuse_field`.
        key: The key that is refused, for `auth_until`; None: the first that comes.

    Raises:
        ValueError: If there is no such kind.
    """

    kind: str
    after: int = 0
    times: int | None = None
    code: int = 500
    retry_after: float | str | None = None
    body: Any = None
    message: str | None = None
    seconds: float = 0.05
    size: int = 0
    field: str = "stream_options"
    key: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = get_close_matches(self.kind, KINDS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(KINDS))}."
            raise ValueError(f"Fault(kind={self.kind!r}): there is no such kind. {hint}")

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
        """The request is refused with an HTTP status, in the dialect's shape or with a JSON body of your own."""
        return cls(kind="status", code=code, retry_after=retry_after, body=body, message=message, times=times)

    @classmethod
    def reset(cls, *, after: int = 0, times: int | None = None) -> Self:
        """The connection is reset behind so many pieces."""
        return cls(kind="reset", after=after, times=times)

    @classmethod
    def stall(cls, *, after: int = 0, times: int | None = None) -> Self:
        """Nothing more comes behind so many pieces, until the client goes."""
        return cls(kind="stall", after=after, times=times)

    @classmethod
    def cut(cls, *, after: int = 0, times: int | None = None) -> Self:
        """The chunked body breaks off behind so many pieces, without its last chunk."""
        return cls(kind="cut_chunked", after=after, times=times)

    @classmethod
    def truncate(cls, *, after: int = 0, times: int | None = None) -> Self:
        """The stream ends behind so many pieces, cleanly for HTTP, but with no finish reason and no end marker."""
        return cls(kind="truncate", after=after, times=times)

    @classmethod
    def refuse_field(cls, field: str = "stream_options", *, times: int | None = None) -> Self:
        """Requests whose body has a field are refused with status 400."""
        return cls(kind="refuse_field", field=field, times=times)
