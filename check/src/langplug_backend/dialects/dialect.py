"""What a dialect has to know: how a client asks, and how a server answers and refuses."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from langplug_backend.completion import Completion
from langplug_backend.reply import Refusal, Reply
from langplug_backend.request import ChatRequest, DialectName
from langplug_backend.response import Event, FakeResponse

Rejection = Literal[
    "auth",
    "content_policy",
    "context_overflow",
    "invalid_request",
    "not_found",
    "overloaded",
    "permission",
    "quota",
    "rate_limit",
    "server_error",
]
"""Why a request is refused; each dialect has its own status, type and message for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorObject:
    """An error in a dialect's terms.

    Attributes:
        status: The HTTP status.
        message: The message; `{model}` stands for the model's name.
        type: The error's type, if the dialect has one.
        code: The error's code, if the dialect has one.
        param: The field that is to blame, if the dialect says so.
    """

    status: int
    message: str
    type: str = ""
    code: str | None = None
    param: str | None = None


class RefusedRequest(Exception):
    """The request itself is wrong, by the dialect's own documentation.

    Attributes:
        error: What to answer.
    """

    def __init__(self, error: ErrorObject) -> None:
        super().__init__(error.message)
        self.error = error


Page = Callable[[Sequence[str], int, Any], Event]
"""Something besides answers, such as the list of models: from their names, their context length and the body's JSON."""


@dataclass(frozen=True, slots=True)
class Route:
    """Something that a dialect serves.

    Attributes:
        method: The HTTP method.
        path: How the path ends.
        page: What is there; None: answers of a model.
    """

    method: str
    path: str
    page: Page | None = None


class Dialect(ABC):
    """One wire. A new one is a file in this folder: a subclass, and an instance of it called `DIALECT`.

    Attributes:
        name: Its name: that of the file.
        routes: What it serves.
        errors: How it refuses.
        framing: How a stream is framed.
        content_type: A stream's content type.
        ping: An event without content, which keeps a connection open.
        finish_fields: The fields of a whole answer that say why it ended, with what they are while it has not.
        has_end_marker: Whether a stream ends with an event that says nothing else.
        knows_refusals: Whether an answer can say that the model declines; if not, it says so as text.
        stream_error: The refusal that is told in the middle of a stream.
        unknown_field: The message of `invalid_request` for an unknown `{field}`.
        path_hint: What in a path shows that a client meant this dialect, if nothing is there.
        header: A header that only clients of this dialect send; `""`: none.
    """

    name: ClassVar[DialectName]
    routes: ClassVar[tuple[Route, ...]]
    errors: ClassVar[Mapping[Rejection, ErrorObject]]
    framing: ClassVar[Literal["sse", "ndjson"]] = "sse"
    content_type: ClassVar[str] = "text/event-stream"
    ping: ClassVar[Event]
    finish_fields: ClassVar[Mapping[str, Any]]
    has_end_marker: ClassVar[bool] = False
    knows_refusals: ClassVar[bool] = False
    stream_error: ClassVar[Rejection] = "server_error"
    unknown_field: ClassVar[str] = "Unrecognized request argument supplied: {field}"
    path_hint: ClassVar[str] = ""
    header: ClassVar[str] = ""

    @abstractmethod
    def read_request(self, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> ChatRequest:
        """A request for an answer, in neutral terms.

        Raises:
            RefusedRequest: If a real server would refuse it.
        """

    @abstractmethod
    def whole_answer(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> Any:
        """The JSON of a whole answer."""

    @abstractmethod
    def stream_events(self, request: ChatRequest, completions: Sequence[Completion], reply: Reply) -> list[Event]:
        """The events of a stream."""

    @abstractmethod
    def error_body(self, error: ErrorObject) -> Any:
        """The JSON of an error."""

    def error_event(self, error: ErrorObject) -> Event:
        """An error in the middle of a stream."""
        return Event(data=self.error_body(error))

    def api_key(self, headers: Mapping[str, str]) -> str | None:
        """The key in the headers: that of `Authorization: Bearer`."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" and key.strip() else None

    def refuse(self, error: ErrorObject) -> FakeResponse:
        """The error as an HTTP response."""
        return FakeResponse(status=error.status, events=(Event(data=self.error_body(error)),))

    def respond(
        self, request: ChatRequest, completions: Sequence[Completion], reply: Reply, *, streaming: bool
    ) -> FakeResponse:
        """The response as it should be."""
        if not self.knows_refusals:
            completions = [
                replace(one, pieces=tuple(piece.text if isinstance(piece, Refusal) else piece for piece in one.pieces))
                for one in completions
            ]
        if not streaming:
            return FakeResponse(
                events=(Event(data=self.whole_answer(request, completions, reply), piece=True),),
                first=reply.first,
                body="length" if reply.body == "auto" else reply.body,
            )
        return FakeResponse(
            content_type=self.content_type,
            headers=(("cache-control", "no-cache"),),
            events=tuple(self.stream_events(request, completions, reply)),
            framing=self.framing,
            body="chunked" if reply.body == "auto" else reply.body,
            pace=reply.pace,
            first=reply.first,
            joined=not reply.pace if reply.writes == "auto" else reply.writes == "joined",
        )
