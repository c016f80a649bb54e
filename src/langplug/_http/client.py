"""Requests over aiohttp, and their answers as they come: one `Client` for each event loop, with its own connections."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelTimeoutError,
)

from langplug._answer.server_errors import error_of_response
from langplug._errors import IncompleteAnswerError
from langplug._http import extra
from langplug._http.idle_timer import IdleTimer
from langplug._http.retry import Backoff
from langplug._parts import Finish, Part, Usage
from langplug._stream.reader import Reader

NewReader = Callable[[str], Reader]
"""Makes the reader of an answer, of the response's `Content-Type`."""

KeyGiver = Callable[[str | None], Awaitable[str]]
"""Gives the key; told of one that the server refused, another one."""

_LAST_BYTES_S = 0.05
"""Seconds to wait for the end of a body behind the wire's own end, so that its connection can be used again."""

_LONGEST_ERROR = 64 * 1024
"""Bytes of an error's body that are read."""

_ERROR_S = 5.0
"""Seconds that the body of an error is waited for."""

_AT_ONCE_S = 0.25
"""Seconds within which the end of a connection answers what was sent: the way there and back, and some for a busy
machine. Few servers that take a request up give it up so soon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One HTTP request.

    Attributes:
        url: Where to.
        body: What; None for nothing.
        headers: Without those that hold the key.
        method: How.
    """

    url: str
    body: bytes | None = None
    headers: Mapping[str, str]
    method: str = "POST"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long to wait, how often to try, and what no error may show.

    Attributes:
        first_token_timeout: Seconds from sending the request to the first part of the answer; None for ever.
        token_timeout: Seconds between two parts; None for ever.
        backoff: When to try again.
        secrets: Texts that are cut out of errors.
    """

    first_token_timeout: float | None = None
    token_timeout: float | None = None
    backoff: Backoff = field(default_factory=Backoff)
    secrets: tuple[str, ...] = ()

    def cleaned(self, error: ModelError) -> ModelError:
        """`error` without secrets: some servers say again what they were sent."""
        text = str(error)
        shown = text
        for secret in filter(None, self.secrets):
            shown = shown.replace(secret, "***")
        if shown != text:
            error.args = (shown,)
        return error


class Response:
    """A response whose parts are read as they come. It is to be closed."""

    def __init__(self, response: Any, reader: Reader, policy: Policy, sent_at: float) -> None:
        self._response = response
        self._content = response.content
        self._reader = reader
        self._policy = policy
        self._watch = IdleTimer(self._on_silence, policy.first_token_timeout, policy.token_timeout, sent_at)
        self._begun = False
        self._ended = False
        self._ahead: Sequence[Part] = ()

    async def read(self) -> Sequence[Part] | None:
        """The next parts, at least one; None at the end.

        Raises:
            ModelError: Whatever went wrong. If the body broke off, an `IncompleteAnswerError`.
        """
        if self._ahead:
            ahead, self._ahead = self._ahead, ()
            return ahead
        self._watch.wait()
        parts = await self._read()
        self._watch.sign()
        return parts

    async def begin(self) -> None:
        """Wait for the first parts that say something; `read` then returns them, with what came before them."""
        ahead: list[Part] = []
        while (parts := await self._read()) is not None:
            ahead += parts
            if any(map(_says_something, parts)):
                break
        self._ahead = ahead
        self._begun = True
        self._watch.sign()

    def close(self) -> None:
        """Let go of the response. If it has not ended, its connection is closed, which tells the server to stop."""
        self._watch.stop()
        _let_go(self._response)

    def _on_silence(self, seconds: float) -> None:
        self._content.set_exception(_silence("token_timeout" if self._begun else "first_token_timeout", seconds))

    async def _read(self) -> Sequence[Part] | None:
        try:
            while not self._ended:
                if parts := await self._next():
                    return parts
        except ModelError as error:
            raise self._policy.cleaned(error)  # noqa: B904 - the same one
        return None

    async def _next(self) -> Sequence[Part]:
        if self._reader.finished:
            return await self._rest()
        data, broken = await self._data()
        if data:
            parts = self._reader.feed(data)
            if broken is not None:
                self._content.set_exception(broken)  # the next read gets it
            return parts
        if broken is not None:
            raise broken
        self._ended = True
        return self._reader.end()

    async def _data(self) -> tuple[bytes, ModelError | None]:
        """The next bytes, and what broke the body off behind them."""
        try:
            return await self._content.readany(), None
        except ModelError:  # the watch's, or what is known to come
            raise
        except (extra.aiohttp.ClientError, OSError, RuntimeError) as error:
            return _unread(self._content), _broken_off(error)

    async def _rest(self) -> Sequence[Part]:
        """The wire has ended; the body mostly ends with it, and then its connection can be used again."""
        self._ended = True
        with contextlib.suppress(TimeoutError, extra.aiohttp.ClientError, OSError, ModelError, RuntimeError):
            async with asyncio.timeout(_LAST_BYTES_S):
                while not self._content.at_eof():
                    await self._content.readany()
        return self._reader.end()


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
        return isinstance(getattr(error, "message", ""), str)  # else it is the answer's head, as far as it came


current_sending: ContextVar[Sending | None] = ContextVar("current_sending", default=None)
"""What the request that is being sent wants of its connection, and learns about it: aiohttp has no argument for it."""


class Client:
    """The connections of one model on one event loop."""

    def __init__(self, session: Any, options: Mapping[str, Any]) -> None:
        self._session = session
        self._options = options

    async def open(
        self,
        outgoing: Outgoing,
        new_reader: NewReader,
        policy: Policy,
        key: KeyGiver | None = None,
        authorize: Callable[[str], Mapping[str, str]] | None = None,
    ) -> Response:
        """Send the request, again where that may help, until an answer has begun.

        Args:
            outgoing: What to send.
            new_reader: Makes the reader of the answer.
            policy: How long to wait and how often to try.
            key: Gives the key, if one is to be shown.
            authorize: The headers that show the key.

        Raises:
            ModelError: If no answer has begun, by what went wrong the last time.
        """
        failures = 0
        shown = await key(None) if key else None
        renewed = False
        while True:
            known = policy if shown is None else replace(policy, secrets=(*policy.secrets, shown))
            try:
                return await self._attempt(outgoing, new_reader, known, authorize(shown) if authorize and shown else {})
            except ModelError as error:
                if key and isinstance(error, ModelAuthenticationError) and not renewed:
                    renewed, refused = True, shown
                    shown = await key(refused)
                    if shown != refused:
                        continue
                failures += 1
                wait = policy.backoff.wait_s(failures, getattr(error, "retry_after", None))
                if not error.is_retryable or wait is None:
                    raise known.cleaned(error)  # noqa: B904 - the same one
            await asyncio.sleep(wait)

    async def _attempt(
        self, outgoing: Outgoing, new_reader: NewReader, policy: Policy, credentials: Mapping[str, str]
    ) -> Response:
        sent_at = asyncio.get_running_loop().time()
        response = await self._response(outgoing, policy, credentials)
        if not 200 <= response.status < 300:
            raise await _refused(response, outgoing.url)
        answer = Response(response, new_reader(response.headers.get("Content-Type", "")), policy, sent_at)
        try:
            await answer.begin()
        except BaseException:
            answer.close()
            raise
        return answer

    async def _response(self, outgoing: Outgoing, policy: Policy, credentials: Mapping[str, str]) -> Any:
        aiohttp = extra.aiohttp
        limit = asyncio.timeout(policy.first_token_timeout)
        try:
            async with limit:
                return await self._send(outgoing, {**outgoing.headers, **credentials})
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            failure = _unanswered(error, outgoing.url, policy.first_token_timeout if limit.expired() else None)
            cause = None if isinstance(error, aiohttp.ClientResponseError) else error  # that holds what was sent
        raise failure from cause

    async def _send(self, outgoing: Outgoing, headers: Mapping[str, str]) -> Any:
        """The response; over a second, new connection where the server had closed the kept one."""
        sending = Sending()
        while True:
            token = current_sending.set(sending)
            try:
                return await self._session.request(
                    outgoing.method,
                    outgoing.url,
                    data=outgoing.body,
                    headers=headers,
                    allow_redirects=False,  # a POST would become a GET, and the key would go to another host
                    **self._options,
                )
            except (extra.aiohttp.ClientOSError, extra.aiohttp.ServerDisconnectedError) as error:
                if not sending.came_too_late(error):
                    raise
            finally:
                current_sending.reset(token)
            sending = Sending(needs_new=True)  # and so at most once more


def _unanswered(error: Exception, url: str, waited_s: float | None) -> ModelError:
    """The error of a request without a response, given how long it was waited for, if that was too long."""
    if waited_s is not None:
        return _silence("first_token_timeout", waited_s)
    if isinstance(error, TimeoutError):  # aiohttp's are, too
        return ModelTimeoutError(
            f"{url} could not be connected to in time. Is the server up? If so, raise `connect_timeout`."
        )
    if isinstance(error, ssl.CertificateError | extra.aiohttp.ClientSSLError):
        failure = ModelConnectionError(
            f"No answer from {url}: {error}. If its certificate is to be trusted, `verify` takes its authority's file."
        )
        failure.is_retryable = False
        return failure
    if isinstance(error, ValueError):  # aiohttp's InvalidURL, too
        return ModelInvalidRequestError(f"The request cannot be sent to {url!r}: {error}")
    why = getattr(error, "message", None) or error or type(error).__name__  # not the address, which may be a proxy's
    return ModelConnectionError(f"No answer from {url}: {why}. Is the server up, `base_url` right?")


async def _refused(response: Any, url: str) -> ModelError:
    """The error that the response is."""
    body = b""
    try:
        if 300 <= response.status < 400:
            target = response.headers.get("Location", "nowhere")
            return ModelInvalidRequestError(f"{url} redirects to {target!r}, which is not followed; set `base_url`.")
        with contextlib.suppress(extra.aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(_ERROR_S):
                while len(body) < _LONGEST_ERROR and (more := await response.content.readany()):
                    body += more
        return error_of_response(response.status, body, response.headers)
    finally:
        _let_go(response)


def _let_go(response: Any) -> None:
    """Keep the connection for the next request if the body has ended; else close it, at once."""
    if response.content.at_eof() and response.content.exception() is None:
        response.release()
    else:
        response.close()


def _unread(content: Any) -> bytes:
    """What has come and was not read yet: aiohttp gives no more of it once the body is broken off."""
    rest = b"".join(getattr(content, "_buffer", ()))[getattr(content, "_buffer_offset", 0) :]
    with contextlib.suppress(AttributeError):
        content._buffer.clear()  # noqa: SLF001 - there is no other way to it
    return rest


def _broken_off(error: Exception) -> IncompleteAnswerError:
    broken = IncompleteAnswerError(
        f"The connection broke off in the middle of the answer ({error or type(error).__name__}). What had come is "
        "this error's `partial`; asking again may help."
    )
    broken.__cause__ = error
    return broken


def _silence(setting: Literal["first_token_timeout", "token_timeout"], seconds: float) -> ModelTimeoutError:
    return ModelTimeoutError(
        f"Nothing came from the server for {setting}={seconds:g} seconds. "
        f"Raise `{setting}`, or set it to None to wait for ever."
    )


def _says_something(part: Part) -> bool:
    """Whether it is a piece of the answer itself, and not only about it."""
    return not isinstance(part, Usage) and not (isinstance(part, Finish) and not part.reason)
