"""What a dialect has to say: how it asks, answers and refuses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langplug_backend.completion import Turn
from langplug_backend.reply import Reply
from langplug_backend.request import Asked, DialectName
from langplug_backend.response import Answer, Event

Refusal = Literal[
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
"""Why a request is refused; each dialect has its own status, type and words for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A refusal as a dialect puts it.

    Attributes:
        status: The HTTP status.
        type: The error's type, where the dialect has one.
        message: What it says; `{model}` stands for the model's name.
        code: The error's code, where the dialect has one.
        param: The field that is to blame, where the dialect says so.
    """

    status: int
    message: str
    type: str = ""
    code: str | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One wire.

    Attributes:
        name: Its name.
        asked: A request's path, headers and body as `Asked`. Raises `Refused`.
        whole: A whole answer's JSON.
        events: The events of a stream.
        words: How it refuses.
        error: The JSON of an error.
        error_event: An error in the middle of a stream.
        framing: How a stream is framed.
        type: A stream's content type.
        key: The key that the headers hold, or None.
    """

    name: DialectName
    asked: Callable[[str, Mapping[str, str], Mapping[str, Any]], Asked]
    whole: Callable[[Asked, Sequence[Turn], Reply], Any]
    events: Callable[[Asked, Sequence[Turn], Reply], list[Event]]
    words: Mapping[Refusal, Words]
    error: Callable[[Words], Any]
    error_event: Callable[[Words], Event]
    framing: Literal["sse", "ndjson"]
    type: str
    key: Callable[[Mapping[str, str]], str | None]


class Refused(Exception):
    """The request itself is wrong, as the dialect documents it.

    Attributes:
        words: What to answer.
    """

    def __init__(self, words: Words) -> None:
        super().__init__(words.message)
        self.words = words


def refusal(dialect: Dialect, words: Words) -> Answer:
    """An HTTP error in the dialect's shape."""
    return Answer(status=words.status, events=(Event(data=dialect.error(words)),))


def answer(dialect: Dialect, asked: Asked, given: Sequence[Turn], reply: Reply, *, streaming: bool) -> Answer:
    """The answer as it should be."""
    body = reply.body
    if not streaming:
        return Answer(
            events=(Event(data=dialect.whole(asked, given, reply), piece=True),),
            first=reply.first,
            body="length" if body == "auto" else body,
        )
    return Answer(
        type=dialect.type,
        headers=(("cache-control", "no-cache"),),
        events=tuple(dialect.events(asked, given, reply)),
        framing=dialect.framing,
        body="chunked" if body == "auto" else body,
        pace=reply.pace,
        first=reply.first,
        joined=not reply.pace if reply.writes == "auto" else reply.writes == "joined",
    )


def bearer(headers: Mapping[str, str]) -> str | None:
    """The key of an `Authorization: Bearer` header."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None
