"""What a wire is: how a body is read, and how an answer is written."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from langplug.serve.call import Call
from langplug.serve.deltas import Delta, Ending
from langplug.serve.errors import ApiError
from langplug.serve.fields import Body
from langplug.serve.shapes import Shape


class Writer(Protocol):
    """Writes one answer: either `begin`, `feed` for each delta and `end` or `fail`, or `whole` alone.

    What each returns is sent as it is; empty if there is nothing to say.
    """

    def begin(self) -> bytes:
        """What comes before the first delta."""
        ...

    def feed(self, delta: Delta, /) -> bytes:
        """The next piece of the answer."""
        ...

    def end(self, ending: Ending, /) -> bytes:
        """The end of an answer that is complete."""
        ...

    def fail(self, error: ApiError, /) -> bytes:
        """The end of an answer that failed in the middle."""
        ...

    def ping(self) -> bytes:
        """What keeps a connection open, and says nothing."""
        ...

    def whole(self, deltas: Iterable[Delta], ending: Ending, /) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        ...


class Wire(Protocol):
    """One protocol that clients speak. It does no I/O, and knows no model."""

    @property
    def name(self) -> str:
        """Its name in logs, such as `chat`."""
        ...

    @property
    def paths(self) -> tuple[str, ...]:
        """Where it is asked, by POST."""
        ...

    @property
    def summary(self) -> str:
        """What is asked there, in a few words."""
        ...

    @property
    def body(self) -> Body:
        """What may be in a body."""
        ...

    @property
    def answer(self) -> Shape:
        """What `Writer.whole` returns."""
        ...

    @property
    def failure(self) -> Shape:
        """What `error` returns."""
        ...

    @property
    def id_prefix(self) -> str:
        """How the id of an answer begins."""
        ...

    def read(self, body: dict[str, Any], headers: Mapping[str, str], /) -> Call:
        """What a body asks. Names of headers are in lower case.

        Raises:
            ApiError: If it is wrong; the error names the field.
        """
        ...

    def writer(self, call: Call, answer_id: str, created: int, /) -> Writer:
        """What writes the answer of `call`, which began `created` seconds after 1970."""
        ...

    def error(self, error: ApiError, request_id: str | None = None, /) -> dict[str, Any]:
        """The body that tells of an error, and on some wires of the request that it is of."""
        ...
