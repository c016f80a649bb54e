"""A server as its statements see it: requests in raw HTTP with time limits, and answers that several look at.

Only the standard library is used: nothing between a statement and the bytes may mend what is wrong.
"""

import json
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, IncompleteRead
from typing import Any, Final
from urllib.parse import urlsplit

from langplug_check.verdicts import Failed, NotObserved

PROMPT: Final = "Say exactly: one two three four five"
"""What is asked where it does not matter."""

SHORT: Final = 32
"""Tokens that an answer may have, unless a statement is about that."""

COMPLETIONS: Final = "/chat/completions"
"""Behind the base URL."""

LIMITS: Final = ("max_tokens", "max_completion_tokens")
"""The older and the newer name of the limit of tokens."""

USUAL: Final = tuple(
    map(
        frozenset,
        (
            {"max_tokens", "temperature"},
            {"max_completion_tokens", "temperature"},
            {"max_completion_tokens"},
            {"max_tokens"},
            {"temperature"},
            (),
        ),
    )
)
"""What a plain question has besides a model and messages, in the order in which it is tried: not all take all of it."""

SOON_S: Final = 0.25
LATER_S: Final = 8.0
"""Half of the first pause, and the longest, before a request is sent again that a server put off."""

LARGEST: Final = 8 * 2**20
"""Bytes of an answer that are read."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        status: The HTTP status.
        headers: By their names in lower case.
        data: The body.
        is_whole: Whether the body came to the end that its framing promised.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes
    is_whole: bool = True

    @property
    def shown(self) -> str:
        """The status and the beginning of the body, for a report."""
        return f"{self.status} {self.data[:300].decode('utf-8', 'replace')!r}"

    @property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            Failed: If it is none.
        """
        try:
            return json.loads(self.data)
        except ValueError as error:
            raise Failed(f"{self.shown}, which is no JSON ({error})") from error

    @property
    def kind(self) -> str:
        """The content type, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


class Hung(NotObserved):
    """Nothing came within the limit of time."""


class Busy(NotObserved):
    """The server said for as long as the limit that it takes no more at the moment."""


BUSY: Final = (429, 503)
"""What a server says that takes no more at the moment. It says nothing of the request itself."""


class Connection:
    """One connection to a server, which can be left in the middle of an answer."""

    def __init__(self, server: "Server", limit_s: float) -> None:
        parts = urlsplit(server.url)
        self._server = server
        self._limit_s = limit_s
        self._begun = False
        host, port = parts.hostname or "", parts.port
        self._http: HTTPConnection = (
            HTTPSConnection(host, port, timeout=limit_s, context=ssl.create_default_context())
            if parts.scheme == "https"
            else HTTPConnection(host, port, timeout=limit_s)
        )

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> None:
        """Send a request; a header `Host` takes the place of the address's.

        Raises:
            Failed: If the server has closed the connection, behind an answer that did not say so.
            NotObserved: If nothing can be sent.
        """
        self._server.asked += method == "POST" and path == self._server.path(COMPLETIONS)
        try:
            self._http.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
            sized = {"Content-Length": str(len(body))} if body is not None else {}
            for name, value in {**sized, **headers}.items():
                self._http.putheader(name, value)
            self._http.endheaders(body)
        except OSError as error:
            if self._begun and isinstance(error, ConnectionError):
                raise Failed(f"the connection was closed behind an answer ({error})", "one that stays open") from error
            raise NotObserved(f"the server cannot be reached: {error}") from error

    def write(self, data: bytes) -> None:
        """Send a part of a body whose length the headers have said."""
        with suppress(OSError):  # a server need not wait for it
            self._http.send(data)

    def receive(self) -> Reply:
        """The whole answer.

        Raises:
            Failed: If the server closes the connection without an answer.
            Hung: If it takes longer than the limit.
        """
        end = time.monotonic() + self._limit_s
        response = self.begin()
        pieces: list[bytes] = []
        is_whole = True
        try:
            while (piece := response.read1(65536)) and sum(map(len, pieces)) < LARGEST:
                pieces.append(piece)
                if time.monotonic() > end:
                    raise Hung(f"the answer did not end within {self._limit_s:g} seconds")
            # a body that is shorter than its length says so only when all of it is asked for
            is_whole = not piece and not response.length
        except TimeoutError as error:
            raise Hung(f"nothing came for {self._limit_s:g} seconds in the middle of an answer") from error
        except (IncompleteRead, HTTPException, OSError):
            is_whole = False
        finally:
            response.close()  # the body alone: the connection may be used again
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, b"".join(pieces), is_whole)

    def begin(self) -> HTTPResponse:
        """Wait for the head of the answer; its body is left to be read.

        Raises:
            Failed: If the server closes the connection without an answer.
            Hung: If it takes longer than the limit.
        """
        self._begun = True
        try:
            return self._http.getresponse()
        except TimeoutError as error:
            raise Hung(f"no answer within {self._limit_s:g} seconds") from error
        except (HTTPException, OSError) as error:
            raise Failed(f"the connection ended without an answer ({type(error).__name__}: {error})") from error

    def close(self) -> None:
        """Leave, whatever is on its way."""
        with suppress(OSError):
            self._http.close()


@dataclass(kw_only=True)
class Server:
    """A server that speaks OpenAI's Chat Completions.

    Attributes:
        url: Its base URL, such as `http://127.0.0.1:8000/v1`.
        model: The id of the model that is asked.
        key: The key that it wants; empty if none.
        limit_s: Seconds that one answer may take.
        patience_s: Seconds for which a server that takes no more at the moment is asked again.
        asked: Requests for an answer that were sent so far, and not put off; the wrong ones count too, for not each is
            refused.
        hung: Statements so far in which it took longer than the limit.
        usual: Fields that requests have besides a model and messages; one of `USUAL`.
        seen: Replies that several statements look at.
    """

    url: str
    model: str = ""
    key: str = field(default="", repr=False)
    limit_s: float = 60.0
    patience_s: float = 0.0
    asked: int = 0
    hung: int = 0
    usual: frozenset[str] = USUAL[0]
    seen: dict[str, Reply] = field(default_factory=dict, repr=False)

    def connect(self, limit_s: float | None = None) -> Connection:
        """A connection of its own."""
        return Connection(self, limit_s or self.limit_s)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        key: str | None = None,
        limit_s: float | None = None,
        patience_s: float | None = None,
    ) -> Reply:
        """The answer to one request. One that is put off (429, 503) is sent again, when the server says or soon.

        Args:
            method: In capitals.
            path: Behind the base URL.
            body: Bytes as they are; or data, sent as JSON.
            headers: In addition to those that are needed.
            key: In place of the server's own; empty for none.
            limit_s: Seconds, in place of the server's own limit.
            patience_s: Seconds, in place of the server's own.

        Raises:
            Failed: If the server closes the connection without an answer.
            NotObserved: If it cannot be reached, takes too long, or puts the request off for too long.
        """
        patience = self.patience_s if patience_s is None else patience_s
        end, pause = time.monotonic() + patience, SOON_S
        sent = self.headers(headers, key, body)
        while (reply := self._answer(method, path, sent, body, limit_s)).status in BUSY and patience:
            self.asked -= method == "POST" and path == COMPLETIONS  # no model got to see it
            pause = min(2 * pause, LATER_S)
            told = seconds_to_wait(reply)
            if time.monotonic() + (pause if told is None else told) > end:
                raise Busy(f"for {patience:g} seconds the server took no more requests: {reply.shown}")
            time.sleep(pause if told is None else told)
        return reply

    def _answer(self, method: str, path: str, sent: Mapping[str, str], body: Any, limit_s: float | None) -> Reply:
        connection = self.connect(limit_s)
        try:
            connection.send(method, self.path(path), sent, encode(body))
            return connection.receive()
        finally:
            connection.close()

    def path(self, path: str) -> str:
        """A path behind the base URL's own."""
        return urlsplit(self.url).path.rstrip("/") + path

    def headers(self, more: Mapping[str, str] | None, key: str | None, body: Any) -> dict[str, str]:
        """What a request has to bear."""
        shown = self.key if key is None else key
        kind = {"Content-Type": "application/json"} if body is not None else {}
        return {**kind, **({"Authorization": f"Bearer {shown}"} if shown else {}), **(more or {})}

    def body(self, *, limit: int = SHORT, **fields: Any) -> dict[str, Any]:
        """A request for an answer of at most so many tokens; a field that is None is left out."""
        usual = {} if any(name in fields for name in LIMITS) else dict.fromkeys(set(LIMITS) & self.usual, limit)
        steady = {"temperature": 0} if "temperature" in self.usual else {}
        messages = [{"role": "user", "content": PROMPT}]
        given = {"model": self.model, "messages": messages, **usual, **steady, **fields}
        return {name: value for name, value in given.items() if value is not None}

    def ask(self, *, patience_s: float | None = None, **fields: Any) -> Reply:
        """What is answered to a request that a model is to answer."""
        return self.request("POST", COMPLETIONS, self.body(**fields), patience_s=patience_s)

    def refuse(self, body: Any, **options: Any) -> Reply:
        """What is answered to a request that no model should get to see."""
        return self.request("POST", COMPLETIONS, body, **options)

    def answered(self, **fields: Any) -> dict[str, Any]:
        """The body of a whole answer.

        Raises:
            NotObserved: If a plain question is not answered, either: then the request is not to blame.
            Failed: If this request alone is refused.
        """
        return self.require_answered(self.ask(**fields), fields)

    def require_answered(self, reply: Reply, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The body of a reply, if it is an answer.

        Raises:
            NotObserved: If a plain question is not answered, either: then these fields are not to blame.
            Failed: If this request alone is refused.
        """
        if reply.status != 200:
            self.require_answers()
            raise Failed(f"{reply.shown} to {told(fields)}", "an answer")
        return as_object(reply)

    @cached_property
    def first(self) -> Reply:
        """What is answered to the plainest question, whatever it is."""
        return self.ask()

    def require_answers(self) -> None:
        """Go on only if the plainest question is answered.

        Raises:
            NotObserved: If it is not: then the server is not to be blamed for what is asked next.
        """
        if self.first.status != 200:
            raise NotObserved(f"a plain question is not answered: {self.first.shown}")

    @cached_property
    def whole(self) -> dict[str, Any]:
        """The answer to the plainest question.

        Raises:
            NotObserved: If there is none.
        """
        self.require_answers()
        return as_object(self.first)

    @cached_property
    def first_stream(self) -> Reply:
        """What is answered to the plainest question as a stream, with usage asked for, whatever it is."""
        return self.ask(stream=True, stream_options={"include_usage": True})

    @property
    def streamed(self) -> Reply:
        """The answer to the plainest question as a stream, with usage asked for.

        Raises:
            NotObserved: If there is none.
        """
        self.require_streams()
        return self.first_stream

    def require_streams(self) -> None:
        """Go on only if the plainest question is answered by a stream.

        Raises:
            NotObserved: If it is not.
        """
        if self.first_stream.status != 200:
            raise NotObserved(f"a plain question is not answered by a stream: {self.first_stream.shown}")


def seconds_to_wait(reply: Reply) -> float | None:
    """When a server that puts a request off wants to be asked again; None if it does not say so in seconds."""
    try:
        return max(0.01, float(reply.headers.get("retry-after", "")))
    except ValueError:
        return None


def encode(body: Any) -> bytes | None:
    """A body as it is sent."""
    return body if body is None or isinstance(body, bytes) else json.dumps(body).encode()


def as_object(reply: Reply) -> dict[str, Any]:
    """A body that has to be a JSON object.

    Raises:
        Failed: If it is none.
    """
    found = reply.json
    if not isinstance(found, dict):
        raise Failed(f"{reply.shown}, which is no JSON object")
    return found


def told(fields: Mapping[str, Any]) -> str:
    """The fields of a request, for a report."""
    return json.dumps(dict(fields), ensure_ascii=False)[:200]
