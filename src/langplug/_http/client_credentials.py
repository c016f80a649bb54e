"""OAuth 2.0's client credentials grant: a token for `auth=`, renewed before it expires."""

import asyncio
import base64
import copy
import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, NoReturn
from urllib.parse import quote_plus, urlencode, urlsplit

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelError,
    ModelInvalidRequestError,
    ModelTimeoutError,
)
from pydantic import SecretStr

from langplug._answer.server_errors import error_of_response, parse_body
from langplug._bridge.futures import settle_from_thread
from langplug._bridge.threads import spawn
from langplug._http import extra
from langplug._http.certificates import tls_context
from langplug._http.connection_errors import connection_error
from langplug._http.credentials import mark_as_source_error
from langplug._http.proxy import proxy_for
from langplug._http.wire_log import WireLog
from langplug._log import log, strike_out, wire
from langplug._redaction import reveal
from langplug._secrets import hide_in_text
from langplug._tracebacks import drop_library_frames, drop_own_frames

_EARLIEST_S = 60.0
"""Seconds before its end at which a long-lived token is renewed: requests that take it along still have to arrive."""

_EARLIEST_SHARE = 0.2
"""The share of its life at the end of which a short-lived one is."""

_PASSING = frozenset({408, 409, 429})
"""Statuses of the 4xx that say nothing against the client."""

ClientAuth = Literal["auto", "basic", "post"]


_LONGEST_BODY = 1 << 20
"""Bytes that are read of a token server's answer; a token has a few thousand."""


class ClientCredentials:
    """A source of tokens, made by `client_credentials`. Give it to a model as `auth=`; `token()` and `atoken()` ask it.

    However many threads and event loops ask at once, one request goes to the token server, and all get its token. The
    arguments are those of `client_credentials`.
    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: SecretStr,
        *,
        fields: Mapping[str, str],
        client_auth: ClientAuth,
        timeout: float,
        verify: bool | str,
    ) -> None:
        self._token_url = token_url
        self._shown_url = hide_in_text(token_url)
        self._client_id = client_id
        self._client_secret = client_secret
        self._fields = fields
        self._client_auth: ClientAuth = client_auth
        self._timeout = timeout
        self._verify = verify
        self._forget()

    def token(self, refused: SecretStr | None = None) -> SecretStr:
        """The token, for sync code; it waits for a new one if need be.

        Args:
            refused: The token that your server has refused (401). If that is the known one, a new one is asked for; if
                others were refused it too and it is renewed by now, you get what they got.

        Raises:
            ModelError: If there is none: `ModelAuthenticationError` if the token server refuses.
        """
        found = self._known_or_flight(refused)
        if isinstance(found, SecretStr):
            return found
        try:
            return found.result()
        except Exception as error:  # noqa: BLE001 - a copy, since all who wait get this one, and each adds what it knows
            raise copy.copy(error) from error.__cause__

    async def atoken(self, refused: SecretStr | None = None) -> SecretStr:
        """As `token`, for an event loop."""
        found = self._known_or_flight(refused)
        if isinstance(found, SecretStr):
            return found
        done: asyncio.Future[SecretStr] = asyncio.get_running_loop().create_future()

        def settle(flight: Future[SecretStr]) -> None:
            if (error := flight.exception()) is not None:
                settle_from_thread(done, error=error)
            else:
                settle_from_thread(done, flight.result())

        found.add_done_callback(settle)
        try:
            return await done
        except Exception as error:  # noqa: BLE001 - see `token`
            raise copy.copy(error) from error.__cause__

    __call__ = atoken

    # --- one flight for all ---

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._known: SecretStr | None = None
        self._renew_at = self._ends_at = 0.0
        self._flight: Future[SecretStr] | None = None

    def _known_or_flight(self, refused: SecretStr | None) -> SecretStr | Future[SecretStr]:
        if self._process != os.getpid():  # a fork: the thread that would have answered stayed with the parent
            self._forget()
        with self._lock:
            known = self._known
            if known is not None and known == refused:
                known = self._known = None
            if known is not None and time.monotonic() < self._renew_at:
                return known
            if self._flight is None:
                self._flight = Future()
                spawn(self._fly)
            return self._flight

    def _fly(self) -> None:
        """Get a token in this thread, whose own event loop waits for nobody else's."""
        asked_at = time.monotonic()
        token: SecretStr | None = None
        failure: Exception | None = None
        lives_s: float | None = None
        try:
            token, lives_s = asyncio.run(self._fetch())
        except ModelError as error:  # whose frames hold what the token server said
            failure = drop_own_frames(error)
        except Exception as error:  # noqa: BLE001 - whoever waits must see it
            failure = error
        with self._lock:
            flight, self._flight = self._flight, None
            if token is not None:
                self._known = token
                self._ends_at = asked_at + lives_s if lives_s is not None else float("inf")
                self._renew_at = self._ends_at - min(_EARLIEST_S, _EARLIEST_SHARE * (lives_s or 0))
                lasts = f"for {lives_s:g} s" if lives_s is not None else "until it is refused"
                log.info("a new token from %s, %s", self._shown_url, lasts)
            elif self._known is not None and time.monotonic() < self._ends_at:
                token = self._known  # it was to be renewed early, and is still good
                log.warning("no new token yet, the last one is still used: %s", failure)
        assert flight is not None
        if token is not None:
            flight.set_result(token)
        else:
            flight.set_exception(failure)

    # --- the request: https://www.rfc-editor.org/rfc/rfc6749#section-4.4 ---

    async def _fetch(self) -> tuple[SecretStr, float | None]:
        """A token, and how many seconds it lives, if the server says."""
        aiohttp = extra.aiohttp
        proxy = proxy_for(self._token_url)
        options: dict[str, Any] = {"proxy": proxy.url} if proxy else {}
        if isinstance(self._verify, str):
            options["ssl"] = tls_context(self._verify)
        elif not self._verify:
            options["ssl"] = False
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout)) as session:
                # By the header, which every server must know, and then in the body, which some know alone.
                in_body = self._client_auth == "post"
                status, body, headers = await self._ask(session, options, in_body=in_body)
                if self._client_auth == "auto" and status in (400, 401):
                    status, body, headers = await self._ask(session, options, in_body=True)
                    if status == 200:
                        self._client_auth = "post"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if isinstance(error, TimeoutError):
                lasted = f"nothing came for timeout={self._timeout:g} seconds"
                failure: ModelError = ModelTimeoutError(f"No token from {self._shown_url}: {lasted}. Raise `timeout`.")
            elif isinstance(error, ValueError) and urlsplit(self._token_url).username is not None:
                failure = ModelInvalidRequestError(
                    f"No token from {self._shown_url}: leave the user and password out of `token_url`. What the token "
                    "server is shown is `client_id` and `client_secret`."
                )
            else:
                failure = connection_error(error, self._shown_url, proxy, lead="No token from", setting="token_url")
            secrets = [self._client_secret, *(proxy.secrets() if proxy else [])]
            failure.args = (strike_out(str(failure), secrets),)
            mark_as_source_error(failure)
            # aiohttp's frames, and its errors about responses, hold what was sent.
            cause = None if isinstance(error, aiohttp.ClientResponseError) else drop_library_frames(error)
        else:
            return self._read(status, body, headers)
        raise failure from cause

    async def _ask(
        self, session: Any, options: dict[str, Any], *, in_body: bool
    ) -> tuple[int, bytes, Mapping[str, str]]:
        # What is secret is in no variable here, whose frame an error would show.
        shown = None
        if wire.isEnabledFor(logging.DEBUG):
            shown = WireLog([self._client_secret])
            shown.request("POST", self._token_url, self._headers(in_body=in_body), self._form(in_body=in_body))
        asking = session.post(
            self._token_url,
            data=self._form(in_body=in_body),
            headers=self._headers(in_body=in_body),
            allow_redirects=False,
            **reveal(options),
        )
        async with asking as response:
            body = b""
            while len(body) <= _LONGEST_BODY and (more := await response.content.readany()):
                body += more
            if shown is not None:
                shown.head(response.status, response.headers)
                shown.body(body)
            return response.status, body, response.headers

    def _headers(self, *, in_body: bool) -> dict[str, str]:
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        if not in_body:
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret.get_secret_value())}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _form(self, *, in_body: bool) -> bytes:
        client = {"client_id": self._client_id, "client_secret": self._client_secret.get_secret_value()}
        fields = {"grant_type": "client_credentials", **self._fields, **(client if in_body else {})}
        return urlencode(fields).encode()

    def _read(self, status: int, body: bytes, headers: Mapping[str, str]) -> tuple[SecretStr, float | None]:
        """The token in an answer of the token server's."""
        said = parse_body(body)
        detail: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
        if status == 200 and isinstance(token := detail.get("access_token"), str) and token:
            try:
                lives_s = float(detail.get("expires_in") or 0)
            except (OverflowError, TypeError, ValueError):
                lives_s = 0.0
            return SecretStr(token), lives_s if lives_s > 0 else None
        meant = error_of_response(status, body, headers)
        failure: ModelError = meant
        why = f"{meant}: {detail['error_description']}" if detail.get("error_description") else str(meant)
        if status == 200:
            failure = ModelAuthenticationError()
            why = f"its answer holds no `access_token`, but {', '.join(map(str, detail)) or 'no JSON object'}"
        elif status < 500 and status not in _PASSING:
            failure = ModelAuthenticationError()
            why = f"{why.rstrip('.')}. Are `client_id`, `client_secret` and `scope` right?"
        vars(failure).update(vars(meant))
        failure.args = (strike_out(f"No token from {self._shown_url}: {why}", [self._client_secret]),)
        mark_as_source_error(failure)
        raise failure

    # --- what nobody may see ---

    def __repr__(self) -> str:
        return f"client_credentials({self._shown_url!r}, {self._client_id!r}, {self._client_secret!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientCredentials":
        return self  # a copy would ask for tokens of its own

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"{self!r} holds a secret, so it cannot be pickled. Give `auth` a function at the top of a module "
            "that calls it, or make the model where it is used."
        )


def client_credentials(
    token_url: str,
    client_id: str,
    client_secret: str | SecretStr,
    *,
    scope: str | Sequence[str] | None = None,
    params: Mapping[str, str] | None = None,
    client_auth: ClientAuth = "auto",
    timeout: float = 30.0,
    verify: bool | str = True,
) -> ClientCredentials:
    """Tokens for `auth=` of `ChatEndpoint` and `ChatHTTP`, by OAuth 2.0's client credentials grant (RFC 6749, 4.4).

    The first token is asked for when the model is first used. It is renewed a minute before it expires by the server's
    `expires_in` (a short-lived one after four fifths of its life), and when the model's server answers 401. It needs
    the extra `langplug[http]`.

    Args:
        token_url: The token server's address.
        client_id: Who asks.
        client_secret: Its secret. It is in no repr, error, log or pickle.
        scope: What the token is for: one scope, or several.
        params: More fields of the request's form, such as `{"audience": "..."}`.
        client_auth: Whether id and secret go into the `Authorization` header (`"basic"`), the form (`"post"`), or the
            header first and, if that is refused, the form (`"auto"`).
        timeout: Seconds that the token server has to answer.
        verify: Whether its certificate is checked, or a file of certificates to check it against.

    Raises, when it is used:
        ModelError: Why there is no token: `ModelAuthenticationError` if the token server refuses the client,
            `ModelConnectionError` or `ModelTimeoutError` if it is not there.
    """
    secret = client_secret if isinstance(client_secret, SecretStr) else SecretStr(client_secret)
    fields = dict(params or {})
    if scope is not None:
        fields["scope"] = scope if isinstance(scope, str) else " ".join(scope)
    return ClientCredentials(
        token_url, client_id, secret, fields=fields, client_auth=client_auth, timeout=timeout, verify=verify
    )
