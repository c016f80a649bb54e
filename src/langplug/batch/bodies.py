"""The requests that a model makes of a row, written down instead of sent, and answered when the answers are there.

The model itself writes each request and reads each answer, so that both are what they are without a batch. What it
sends goes into a session that knows the answers so far; the first request that has none yet is to be sent.
"""

import json
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from langplug import ChatModel, adopt
from langplug.batch.asking import ChatAsker, Outcome, tokens_of
from langplug.batch.rows import Row
from langplug.http import error_of
from langplug.models import ChatEndpoint

Known = Mapping[str, tuple[int, str]]
"""Status and body of the answers so far, by the hash of what they answer."""

_MOST: Final = 16
"""Requests for one row: what a server refuses is left out, and an answer that does not fit is asked for again."""

_PATHS: Final = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}
"""Where requests of a batch go, by the model's `api`: the API's own words, whatever the server's address is."""

_OF_STREAMS: Final = ("stream", "stream_options")


class Outgoing(NamedTuple):
    """A request that is to be sent.

    Attributes:
        url: Where it goes: the path that the API documents.
        body: It, as JSON.
    """

    url: str
    body: str

    @property
    def hash(self) -> str:
        """What its answer is found by."""
        return blake2b(f"{self.url}\n{self.body}".encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class _Turn:
    known: Known
    open: Outgoing | None = None


_turn: ContextVar[_Turn] = ContextVar("langplug_batch_turn")


def offline(model: ChatEndpoint) -> ChatModel:
    """The model, but what it sends is written down; it is to be asked by a `ChatWriter`."""
    # without `auth`, which would be asked for a key that nobody is shown, and without timers: nothing is waited for
    unneeded = dict.fromkeys(("auth", "timeout", "first_token_timeout", "token_timeout"))
    return adopt(model, max_retries=0, session=_Session(_PATHS[model.api]), **unneeded)


class ChatWriter:
    """Writes what a model asks for messages.

    Args:
        asker: Asks a model that is `offline`.
    """

    def __init__(self, asker: ChatAsker) -> None:
        self._asker = asker

    async def go_on(self, question: Any, known: Known, /) -> Outgoing | Outcome:
        """The request that has to be sent now, or what came of the row."""
        turn = _Turn(known)
        token = _turn.set(turn)
        try:
            outcome = await self._asker.ask(Row(0, "", b"", question))
        finally:
            _turn.reset(token)
        if turn.open is None:
            return outcome
        if len(known) < _MOST:
            return turn.open
        return Outcome(record={"error": f"{len(known)} requests were made for it, without an answer."}, failed=True)


class EnvelopeWriter:
    """Writes what rows in OpenAI's batch format ask; the answer is the server's, as it came.

    Args:
        model: Whose name they are sent with.
    """

    def __init__(self, model: ChatEndpoint) -> None:
        self._name = model.model

    async def go_on(self, question: Any, known: Known, /) -> Outgoing | Outcome:
        """The request that has to be sent now, or what came of the row."""
        outgoing = Outgoing(question["url"], json.dumps({**question["body"], "model": self._name}))
        if outgoing.hash not in known:
            return outgoing
        status, text = known[outgoing.hash]
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        name = f"batch_req_{uuid.uuid4().hex}"
        return Outcome(
            record={"id": name, "response": {"status_code": status, "request_id": name, "body": body}, "error": None},
            failed=status >= 400,
            tokens=tokens_of(body),
            is_retryable=status >= 400 and error_of(status, body).is_retryable,
        )


class _NotAnswered(Exception):
    """The request has no answer yet."""


class _Session:
    """What a model sends its requests to: an `aiohttp.ClientSession` as far as langplug uses one.

    Args:
        path: Where they go, in the API's own words.
    """

    closed = False
    auto_decompress = True

    def __init__(self, path: str) -> None:
        self._path = path

    async def request(self, method: str, url: str, /, *, data: bytes, **_: Any) -> "_Answer":
        """The answer, if it is known; else the request is noted, and not answered."""
        turn = _turn.get()
        asked = json.loads(data)
        # a batch is not streamed; whatever the model reads on for, it finds in the whole answer
        body = {name: value for name, value in asked.items() if name not in _OF_STREAMS}
        outgoing = Outgoing(self._path, json.dumps(body, ensure_ascii=False))
        if outgoing.hash not in turn.known:
            turn.open = outgoing
            raise _NotAnswered
        return _Answer(*turn.known[outgoing.hash])


@dataclass(slots=True)
class _Answer:
    """A response of such a session, and its body."""

    status: int
    text: str
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})

    @property
    def content(self) -> "_Answer":
        return self

    async def readany(self) -> bytes:
        text, self.text = self.text, ""
        return text.encode("utf-8", "replace")

    def at_eof(self) -> bool:
        return not self.text

    def exception(self) -> None:
        return None

    def set_exception(self, error: Exception) -> None:
        """Nothing here is waited for."""

    def release(self) -> None:
        """Nothing is held."""

    close = release
