"""Requests over aiohttp, and their answers as they come: one `Client` for each event loop, with its own connections.

A request goes `Client.open` (with a key, and a new one) → `_try` (once) → `_send` (over a connection); the answer then
comes by `Response.read`. Whether all of it is tried again is the model's `max_retries`, as for every model.
"""

import asyncio
import contextlib
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelTimeoutError,
)
from pydantic import SecretStr

from langplug._answer.server_errors import error_of_response
from langplug._errors import IncompleteAnswerError, advised
from langplug._http import extra
from langplug._http.compression import encoding_of, inflate, inflater_for
from langplug._http.connection_errors import connection_error, proxy_refusal
from langplug._http.headers import find_header
from langplug._http.idle_timer import IdleTimer
from langplug._http.proxy import Proxy
from langplug._http.wire_log import WireLog
from langplug._log import log, wire
from langplug._parts import Finish, Part, Usage
from langplug._redaction import AnySecret, reveal, scrub, scrub_error
from langplug._stream.reader import Reader, too_large
from langplug._tracebacks import drop_library_frames, drop_own_frames

NewReader = Callable[[str], Reader]
"""Makes the reader of an answer, given the response's `Content-Type`."""

RenewKey = Callable[[SecretStr | None], Awaitable[SecretStr]]
"""Given a key that the server refused, returns the one that is current now, which may be the same."""

_LAST_BYTES_S = 0.05
"""Seconds to wait for the end of a body after the wire's own end, so that its connection can be used again."""

_LONGEST_ERROR = 64 * 1024
"""Bytes of an error's body that are read."""

_ERROR_S = 5.0
"""Seconds that the body of an error is waited for."""

_AT_ONCE_S = 0.25
"""Seconds within which the end of a connection answers what was sent: the way there and back, and some for a busy
machine. Few servers that take a request up give it up so soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """One HTTP request. Its repr shows no secret, since debuggers and error trackers show the variables that hold it.

    Attributes:
        url: Its address, as errors may show it.
        secret_url: The address itself, if a secret is part of it.
        body: The bytes of its body; None for none.
        headers: Without those that hold the key.
        method: Its method.
        key_parameters: The parameters of its query that are to hold the key, if it is not in a header.
        may_repeat: Whether it is sent again by itself if its connection ends just as it arrives there. Then the server
            has hardly ever taken it up; but if it has, it does twice what is asked.
    """

    url: str
    secret_url: SecretStr | None = None
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str | SecretStr]
    method: str = "POST"
    key_parameters: tuple[str, ...] = ()
    may_repeat: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SendOptions:
    """How long to wait, and what no error may show.

    Attributes:
        first_token_timeout: Seconds from sending the request to the first part of the answer; None: no limit.
        token_timeout: Seconds between two parts; None: no limit.
        max_answer_bytes: How large the body of an answer may be; None: no limit.
        secrets: Returns what is struck out of errors; it is called when there is one.
    """

    first_token_timeout: float | None = None
    token_timeout: float | None = None
    max_answer_bytes: int | None = None
    secrets: Callable[[], Iterable[AnySecret]] = tuple

    def redact(self, error: ModelError, more: Iterable[AnySecret] = ()) -> ModelError:
        """`error` without these and `more` secrets: some servers repeat what they were sent."""
        hidden = [*self.secrets(), *more]
        scrub_error(error, hidden)
        for name, value in list(vars(error).items()):
            if isinstance(value, str):
                setattr(error, name, scrub(value, hidden))
        return error


class Response:
    """A response whose parts are read as they come. It must be closed."""

    def __init__(
        self, opened: "OpenedResponse", reader: Reader, options: SendOptions, keys: Sequence[AnySecret]
    ) -> None:
        self._opened = opened
        self._content = opened.content
        self._reader = reader
        self._options = options
        self._keys = keys
        self.adaptations: list[dict[str, Any]] = []  # what was done to the request
        self._begun = False
        self._ended = False
        self._ahead: Sequence[Part] = ()
        self._bytes_left = math.inf if options.max_answer_bytes is None else options.max_answer_bytes

        def on_silence(seconds: float) -> None:
            # Whoever reads the body gets this error in place of bytes.
            self._content.set_exception(_silence("token_timeout" if self._begun else "first_token_timeout", seconds))

        self._timer = IdleTimer(on_silence, options.first_token_timeout, options.token_timeout, opened.sent_at)

    async def begin(self) -> None:
        """Wait for the first parts that say something; `read` then returns them, with what came before them."""
        ahead: list[Part] = []
        while (parts := await self._read()) is not None:
            ahead += parts
            # Usage, and metadata such as the model's name, are about the answer: a request may still be sent again.
            if not all(isinstance(part, Usage) or (isinstance(part, Finish) and not part.reason) for part in parts):
                break
        self._ahead = ahead
        self._begun = True
        self._timer.sign()

    async def read(self) -> Sequence[Part] | None:
        """The next parts, at least one; None at the end.

        Raises:
            ModelError: Whatever went wrong. If the body broke off, an `IncompleteAnswerError`.
        """
        if self._ahead:
            ahead, self._ahead = self._ahead, ()
            return ahead
        self._timer.wait()
        parts = await self._read()
        self._timer.sign()
        return parts

    def close(self) -> None:
        """Let go of the response. If it has not ended, its connection is closed, which tells the server to stop."""
        self._timer.stop()
        self._opened.let_go()

    async def _read(self) -> Sequence[Part] | None:
        try:
            while not self._ended:
                if self._reader.finished:
                    await self._read_to_end()
                    data = b""
                else:
                    try:
                        data = await self._content.readany()
                    except ModelError:  # the timer's, or what `_break_off` has put there
                        raise
                    except (extra.aiohttp.ClientError, OSError, RuntimeError) as error:
                        data = self._break_off(error)
                self._ended = not data
                if data and self._opened.inflater is not None:
                    data = inflate(self._opened.inflater, data, self._bytes_left)
                    if not data:  # so far it is its head alone
                        continue
                self._bytes_left -= len(data)
                if self._bytes_left < 0:
                    raise too_large("max_answer_bytes", self._options.max_answer_bytes or 0)
                if parts := self._reader.feed(data) if data else self._reader.end():
                    return parts
        except ModelError as error:
            data = b""
            # What the server said may hold the key again, and stands in the variables of the frames that read it.
            raise drop_own_frames(self._options.redact(error, self._keys))  # noqa: B904 - the same one
        return None

    def _break_off(self, error: Exception) -> bytes:
        """What came before the body was broken off; whoever reads on gets the error for it."""
        broken = IncompleteAnswerError(
            f"The connection broke off in the middle of the answer ({str(error) or type(error).__name__}). What "
            "had come is this error's `partial`; asking again may help."
        )
        # Once the body is broken off, aiohttp does not return what had come before. There is no public way to it.
        data = b"".join(getattr(self._content, "_buffer", ()))[getattr(self._content, "_buffer_offset", 0) :]
        if not data:
            raise broken from error
        self._content._buffer.clear()  # noqa: SLF001 - see above
        drop_library_frames(error)
        broken.__cause__ = error
        self._content.set_exception(broken)
        return data

    async def _read_to_end(self) -> None:
        """The wire has ended; the body mostly ends with it, and then its connection can be used again."""
        with contextlib.suppress(TimeoutError, extra.aiohttp.ClientError, OSError, ModelError, RuntimeError):
            async with asyncio.timeout(_LAST_BYTES_S):
                while not self._content.at_eof():
                    await self._content.readany()


@dataclass(slots=True)
class Sending:
    """One sending of a request.

    Attributes:
        needs_new: Whether it must not go over a connection that earlier requests went over.
        kept_at: The loop's time at which it was given such a connection; None if its connection is new.
    """

    needs_new: bool = False
    kept_at: float | None = None

    def came_too_late(self, error: Exception) -> bool:
        """Whether the server closed the kept connection just before the request reached it, as `error` shows.

        Servers close connections at rest, some after each answer and without a word (llama.cpp after streams). Then
        the connection ends at once, with nothing of an answer. A server that has taken a request up, and is killed or
        gives up, ends the connection later; what it has done is not known, and may be billed.
        """
        if self.kept_at is None or asyncio.get_running_loop().time() - self.kept_at > _AT_ONCE_S:
            return False
        return isinstance(getattr(error, "message", ""), str)  # otherwise it is the beginning of an answer's head


current_sending: ContextVar[Sending | None] = ContextVar("current_sending", default=None)
"""What the request that is being sent wants of its connection, and learns about it: aiohttp has no argument for it."""


class OpenedResponse:
    """aiohttp's response, once its head has come. Its own repr would show the address, with the keys in its query."""

    __slots__ = ("_free_slot", "_response", "content", "encoding", "headers", "inflater", "sent_at", "status")

    def __init__(self, response: Any, *, sent_at: float, is_decoded: bool, free_slot: Callable[[], None]) -> None:
        self._response = response
        self._free_slot: Callable[[], None] | None = free_slot
        self.content: Any = response.content
        self.headers: Mapping[str, str] = response.headers
        self.status: int = response.status
        self.sent_at = sent_at
        self.encoding = "" if is_decoded else encoding_of(response.headers)
        self.inflater: Any = None

    def let_go(self) -> None:
        """Keep the connection for the next request if the body has ended; else close it, at once."""
        if self.content.at_eof() and self.content.exception() is None:
            self._response.release()
        else:
            self._response.close()
        if self._free_slot is not None:  # once, however often it is let go
            self._free_slot()
            self._free_slot = None


class Client:
    """The connections of one model on one event loop.

    Secrets are objects that do not show what they hold until they are given to aiohttp, and no variable here holds them
    in the open. aiohttp's do: an error leaves its frames behind.

    Args:
        session: aiohttp's session.
        options: More for each request, such as its settings of TLS.
        proxy: What requests go through. No error shows its password.
        most_at_once: How many requests may run at once; others wait for their turn. Each is one until it is let go.
    """

    def __init__(
        self, session: Any, options: Mapping[str, Any], proxy: Proxy | None = None, *, most_at_once: int = sys.maxsize
    ) -> None:
        self._session = session
        connector = getattr(session, "connector", None)  # of a session that the user has made
        limits = [getattr(connector, name, 0) or most_at_once for name in ("limit", "limit_per_host")]
        self._slots = asyncio.Semaphore(min(most_at_once, *limits))
        self._options = {**options, "proxy": proxy.url} if proxy else options
        self._proxy = proxy
        self._secrets = proxy.secrets() if proxy else []

    async def open(
        self,
        request: HTTPRequest,
        new_reader: NewReader,
        options: SendOptions,
        *,
        key: SecretStr | None = None,
        renew_key: RenewKey | None = None,
        authorize: Callable[[HTTPRequest, SecretStr], HTTPRequest] | None = None,
        finish: Callable[[HTTPRequest], Awaitable[HTTPRequest]] | None = None,
    ) -> Response:
        """Send the request and wait until an answer has begun.

        Args:
            request: What to send.
            new_reader: Makes the reader of the answer.
            options: How long to wait.
            key: The key, if the server must be shown one.
            renew_key: Returns another one, if keys expire.
            authorize: Returns the request with a key in it.
            finish: Returns the request as it is sent, each time that it is: a signature holds the time.

        Raises:
            ModelError: If no answer has begun.
        """
        renewed = False
        hidden = [*self._secrets, *([key] if key is not None else [])]
        while True:
            try:
                sent = authorize(request, key) if authorize and key else request
                if finish is not None:
                    sent = await finish(sent)
                    hidden += [value for value in sent.headers.values() if isinstance(value, SecretStr)]
                return await self._try(sent, new_reader, options, hidden)
            except ModelError as error:
                # A key may have expired: once, a new one is asked for, and that does not count as another try.
                if renew_key and isinstance(error, ModelAuthenticationError) and not renewed:
                    renewed, refused = True, key
                    key = await renew_key(refused)
                    if key != refused:
                        hidden.append(key)
                        log.info("%s refused the key: sent again with a new one", request.url)
                        continue
                raise options.redact(error, hidden)  # noqa: B904 - the same one

    async def _try(
        self, request: HTTPRequest, new_reader: NewReader, options: SendOptions, hidden: Sequence[AnySecret]
    ) -> Response:
        shown = None
        if wire.isEnabledFor(logging.DEBUG):
            shown = WireLog([*options.secrets(), *hidden])
            shown.request(request.method, request.url, request.headers, request.body)
        try:
            opened = await self._send(request, options, hidden)
        except ModelError as error:
            if shown is not None:
                shown.failure(error)
            raise
        if shown is not None:
            shown.head(opened.status, opened.headers)
        if not 200 <= opened.status < 300:
            try:
                refusal = await self._error_of(opened, request, shown)
            finally:
                opened.let_go()
            raise refusal
        try:
            if opened.encoding:
                asked = find_header(request.headers, "Accept-Encoding") or ""
                opened.inflater = inflater_for(opened.encoding, reveal(asked), opened.status)
            reader = new_reader(opened.headers.get("Content-Type", ""))
            answer = Response(opened, reader if shown is None else shown.around(reader), options, hidden)
        except BaseException:
            opened.let_go()
            raise
        try:
            await answer.begin()
        except BaseException:  # also when nobody waits any more
            answer.close()
            raise
        return answer

    async def _error_of(self, opened: OpenedResponse, request: HTTPRequest, shown: WireLog | None) -> ModelError:
        """The error that a response with another status than success stands for."""
        if 300 <= opened.status < 400:
            target = opened.headers.get("Location", "nowhere")
            message = f"{request.url} redirects to {target!r}, which is not followed; set `base_url`."
            return advised(ModelInvalidRequestError(message))
        if opened.status == 407 and self._proxy:
            return proxy_refusal(407, "Proxy Authentication Required", request.url, self._proxy)
        if opened.encoding:
            unread = f"(its text is compressed, {opened.encoding}, and is not read)".encode()
            return error_of_response(opened.status, unread, opened.headers)
        body = b""
        with contextlib.suppress(extra.aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_ERROR_S):
                while len(body) < _LONGEST_ERROR and (more := await opened.content.readany()):
                    body += more[: _LONGEST_ERROR - len(body)]  # one read may be four times as much
        if shown is not None:
            shown.body(body)
        return error_of_response(opened.status, body, opened.headers)

    async def _send(self, request: HTTPRequest, options: SendOptions, hidden: Sequence[AnySecret]) -> OpenedResponse:
        """The response, once its head has come."""
        # Waiting for one's turn is not the server's silence: all timers but the call's own begin after it.
        await self._slots.acquire()
        try:
            return await self._exchange(request, options, hidden)
        except BaseException:
            self._slots.release()
            raise

    async def _exchange(
        self, request: HTTPRequest, options: SendOptions, hidden: Sequence[AnySecret]
    ) -> OpenedResponse:
        aiohttp = extra.aiohttp
        sent_at = asyncio.get_running_loop().time()
        limit = asyncio.timeout(options.first_token_timeout)
        sending = Sending()
        cause: BaseException | None
        try:
            async with limit:
                while True:
                    token = current_sending.set(sending)
                    try:
                        return OpenedResponse(
                            await self._session.request(
                                request.method,
                                reveal(request.secret_url or request.url),
                                data=request.body,
                                headers=reveal(request.headers),
                                allow_redirects=False,  # a POST would become a GET, and the key go to another host
                                **(reveal(self._options) if self._options else {}),
                            ),
                            sent_at=sent_at,
                            is_decoded=getattr(self._session, "auto_decompress", True),
                            free_slot=self._slots.release,
                        )
                    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                        if not request.may_repeat or not sending.came_too_late(error):
                            raise
                    finally:
                        current_sending.reset(token)
                    sending = Sending(needs_new=True)  # and so at most once more
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            if limit.expired():
                failure: ModelError = _silence("first_token_timeout", options.first_token_timeout or 0)
            else:
                failure = connection_error(error, request.url, self._proxy)
            cause = drop_library_frames(error)
            said = f"{error!r} {error} {vars(error)}"
            # aiohttp's errors hold what was sent, and how the proxy was asked.
            if isinstance(error, aiohttp.ClientResponseError) or scrub(said, [*options.secrets(), *hidden]) != said:
                cause = None
            del said
        except BaseException as error:  # cancelled, above all
            drop_library_frames(error)
            raise
        # Raised here, out of the handler, so that the error has no context, which would show what was sent as well.
        raise failure from cause


def _silence(setting: Literal["first_token_timeout", "token_timeout"], seconds: float) -> ModelTimeoutError:
    return ModelTimeoutError(
        f"Nothing came from the server for {setting}={seconds:g} seconds. Raise `{setting}`, or set it to None for no "
        "limit."
    )
