"""`HTTPModel`: the settings that every model behind HTTP has, and how it sends its requests."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, ClassVar, Self
from urllib.parse import parse_qsl, urlsplit

from langchain_core.exceptions import ModelInvalidRequestError
from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

import langplug
from langplug import ChatModel, Finish, MissingSecretError, Part, Request, env, resource
from langplug._bridge.threads import in_thread
from langplug._errors import advised
from langplug._http import extra
from langplug._http.certificates import tls_context
from langplug._http.client import Client, HTTPRequest, NewReader, Response, SendOptions
from langplug._http.client_credentials import ClientCredentials
from langplug._http.credentials import Credentials, KeySource
from langplug._http.headers import find_header, hide_secrets, merge_headers
from langplug._http.proxy import proxy_for
from langplug._http.request import join_address, show_address
from langplug._http.request_hook import RequestHook, apply_hook
from langplug._model.parameters import MaxRetries, parameters_of
from langplug._model.pickles import LOST, is_picklable
from langplug._redaction import hide, reveal, secrets_in
from langplug._secrets import is_secret_name

_SETTINGS = ("base_url", "proxy", "verify", "client_cert", "max_connections", "connect_timeout", "session")
"""The fields that the connections depend on."""

_FUNCTIONS = ("auth", "on_request")
"""The fields that hold a function without which a model cannot ask."""


class HTTPModel(ChatModel):
    """A model that is asked over HTTP. It does not connect before it is first used."""

    base_url: str
    """The address of the server's API, such as `http://localhost:8000/v1`."""

    api_key: SecretStr | None = env("LANGPLUG_API_KEY", default=None)
    """The key, if the server wants one. That of the environment goes to the hosts that `LANGPLUG_API_KEY_HOSTS` lists
    (`api.acme.com, *.corp.example, localhost:8000`), if it is set. An `Authorization` in `headers` takes its place."""

    auth: KeySource | str | None = Field(default=None, exclude=True, repr=False)
    """A function, sync or async, that returns the key, for keys that expire: it is called when the model is first used,
    and once more, for all calls together, when the server answers 401. A string is taken as `api_key`."""

    headers: dict[str, Any] = Field(default_factory=dict)
    """More headers for each request; those of one call are added to them. A `SecretStr`, and what is named like a
    secret (`X-Api-Key`, `Cookie`), is never shown, and is not part of pickles."""

    on_request: RequestHook | None = Field(default=None, exclude=True, repr=False)
    """A function, sync or async, that is given each `OutgoingRequest` just before it is sent, each time that it is, and
    may change its headers, address and body: to sign it, or to stamp it. It may return headers to add."""

    connect_timeout: float | None = Field(default=10, gt=0)
    """Seconds to connect."""

    first_token_timeout: float | None = Field(default=600, gt=0)
    """Seconds from sending the request to the first part of the answer; if it is not streamed, to all of it. None: no
    limit."""

    token_timeout: float | None = Field(default=120, gt=0)
    """Seconds between two parts of a streamed answer. None: no limit."""

    max_retries: MaxRetries = 2
    """How often a request that failed in a way that may pass is sent again, as long as no part of an answer has come.
    Between tries: 0.5 s, doubling up to 8 s, with jitter, and at least what the server's `Retry-After` asks for.
    One that reaches a kept connection just as the server closes it (the connection ends within a quarter of a second,
    and nothing of an answer has come) is sent over a new connection at once. That happens once, and does not count."""

    max_connections: int = Field(default=1024, ge=1)
    """How many requests may run at once on each event loop; others wait for their turn. That wait counts for `timeout`
    alone: the other limits begin when the request is sent."""

    max_answer_bytes: int | None = Field(default=128 * 2**20, ge=1)
    """How large the body of an answer may be, in bytes. A larger one is an `IncompleteAnswerError` that is not tried
    again. None: no limit."""

    max_event_bytes: int | None = Field(default=32 * 2**20, ge=1)
    """How large one event, line or item of a streamed answer may be, in bytes; as `max_answer_bytes`."""

    proxy: str | None = None
    """A proxy's URL. Default: by the environment (`HTTPS_PROXY`, `NO_PROXY`, ...)."""

    verify: bool | str = True
    """Whether the server's certificate is checked, or a file of certificates to check it against."""

    client_cert: str | tuple[str, str] | None = None
    """The client's certificate, for servers that want one: a PEM file, or one and the file of its key."""

    session: Any = Field(default=None, exclude=True, repr=False)
    """An `aiohttp.ClientSession` of your own, for the event loop that it belongs to, or a function that makes one,
    called for each loop. Connections, proxy and TLS are then its business. You close the one that you have made."""

    @property
    def __langplug_origin__(self) -> str:
        """The host, and the port if it is given: the server, whichever of its wires is spoken."""
        return urlsplit(self.base_url).netloc.lower()

    @field_validator("base_url", "proxy")
    @classmethod
    def _check_url(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        url = url.strip()
        parts = urlsplit(url)
        if parts.scheme.startswith("socks"):
            raise ValueError(
                "A SOCKS proxy is not supported. Give an HTTP proxy, or a `session` with a connector for SOCKS."
            )
        if parts.scheme not in ("http", "https") or not parts.hostname:
            like = "http://127.0.0.1:7890" if info.field_name == "proxy" else "http://localhost:8000/v1"
            raise ValueError(f"{url!r} is not an address; expected one like {like!r}.")
        if parts.username or parts.password:
            raise TypeError(  # a ValueError would be shown with the address
                "An address must not hold a user name or a password, which traces would show. Pass `api_key` or "
                "`headers`; for a proxy, set the environment variable HTTPS_PROXY."
            )
        refuse_key_in_query(url)
        if parts.fragment:
            raise ValueError(f"{url!r} has a fragment, which is never sent: leave out what follows the '#'.")
        try:
            _ = parts.port
        except ValueError as error:
            raise ValueError(f"{url!r} is not an address: {error}.") from None
        path, query_sign, query = url.partition("?")
        return f"{path.rstrip('/')}{query_sign}{query}".rstrip("?")

    __langplug_fixed__: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "proxy", "verify", "client_cert", "session", "max_connections", "max_answer_bytes"}
        | {"max_event_bytes", "on_request"}
    )
    """What no call can change: a gateway that passes on its callers' arguments would send the key where they say."""

    @field_validator("headers")
    @classmethod
    def _hide_secrets(cls, headers: dict[str, Any]) -> dict[str, Any]:
        return hide_secrets(headers)

    @model_validator(mode="before")
    @classmethod
    def _take_one_key(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("auth") is None:
            return given
        if given.get("api_key") is not None:
            raise TypeError("Both `api_key` and `auth` are given. Pass one of them.")
        auth = given["auth"]
        if isinstance(auth, str | SecretStr):
            key = auth if isinstance(auth, SecretStr) else SecretStr(auth)
            return {**given, "auth": None, "api_key": key}
        return {**given, "api_key": None}  # not that of the environment, either

    def __langplug_hide__(self, given: dict[str, Any]) -> dict[str, Any]:
        """As for every model; secret headers, and secrets in a body or query, are hidden like the model's own."""
        nested = {
            name: hide(value, is_plain=self.__langplug_is_template__)
            for name, value in given.items()
            if name in ("headers", "extra_body", "query", "body")
        }
        return super().__langplug_hide__({**given, **nested})

    def call_parameters(self, stop: list[str] | None, given: dict[str, Any]) -> dict[str, Any]:
        """As for every model; secret headers of one call are hidden like the model's own."""
        return super().call_parameters(stop, self.__langplug_for_call__(given))

    def __langplug_for_call__(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of one call: its headers are added to the model's."""
        headers = given.get("headers")
        if not isinstance(headers, Mapping):
            return {**given}
        return {**given, "headers": merge_headers(self.headers, hide_secrets(headers))}

    # --- what models build on ---

    def authorize(self, request: HTTPRequest, key: SecretStr, /) -> HTTPRequest:
        """`request` with the key in it: in the parameters of its query that are to hold it, else in a header.

        An `Authorization` that was given is sent as it is, in the key's place.
        """
        if not request.key_parameters:
            if find_header(request.headers, "Authorization") is not None:
                return request
            shown = SecretStr(f"Bearer {key.get_secret_value()}")
            return replace(request, headers={**request.headers, "Authorization": shown})
        query = dict.fromkeys(request.key_parameters, key)
        return replace(
            request,
            url=show_address(request.url, "", query),
            secret_url=SecretStr(join_address(reveal(request.secret_url or request.url), "", query)),
        )

    async def open_answer(self, request: Request, /) -> Response:
        """Ask for the answer to `request`, and return it once it has begun. Each kind of model does it by `send`."""
        raise NotImplementedError

    async def send(self, request: HTTPRequest, new_reader: NewReader, call: Request | None = None) -> Response:
        """Send a request and return its answer once it has begun. It must be closed.

        Args:
            request: What to send.
            new_reader: Makes the reader of the answer.
            call: The call that it is for, as `on_request` sees it.

        Raises:
            ModelError: If no answer has begun.
        """
        client = await self.client
        key = self._key_to_send()
        renew_key = None
        if self.auth is not None:
            renew_key = await self.key_renewal
            key = await renew_key()
        sent = replace(
            request,
            headers=merge_headers(
                {
                    "User-Agent": f"langplug/{langplug.__version__}",
                    "Accept-Encoding": "identity",  # compressed, the parts of a stream would wait for each other
                },
                request.headers,
                self.headers,
            ),
        )
        hook = self.on_request
        return await client.open(
            sent,
            new_reader,
            self.send_options(),
            key=key,
            renew_key=renew_key,
            authorize=self.authorize,
            finish=None if hook is None else lambda ready: apply_hook(hook, ready, call),
        )

    def _key_to_send(self) -> SecretStr | None:
        """The key, but for one of the environment's that is meant for another server."""
        if self.api_key is None or "api_key" in self.model_fields_set:
            return self.api_key
        source = parameters_of(type(self)).environment.get("api_key")
        is_ours = source is not None and source.name == "LANGPLUG_API_KEY"
        return None if is_ours and not self._takes_environment_key() else self.api_key

    def _takes_environment_key(self) -> bool:
        """Whether a key from the environment is meant for this server: `LANGPLUG_API_KEY_HOSTS` says for which."""
        hosts = os.environ.get("LANGPLUG_API_KEY_HOSTS", "").replace(",", " ").split()
        address = urlsplit(self.base_url)
        port = address.port or (443 if address.scheme == "https" else 80)
        names = (address.hostname or "", f"{address.hostname}:{port}")
        return not hosts or any(fnmatchcase(name, host.lower()) for host in hosts for name in names)

    def send_options(self) -> SendOptions:
        """How long to wait, and what no error may show."""
        return SendOptions(
            first_token_timeout=self.first_token_timeout,
            token_timeout=self.token_timeout,
            max_answer_bytes=self.max_answer_bytes,
            secrets=partial(secrets_in, vars(self)),
        )

    async def respond(self, request: Request, /) -> AsyncIterator[Part]:
        """Ask the server and yield its answer part by part."""
        answer = await self.open_answer(request)
        try:
            if answer.adaptations:
                yield Finish(metadata={"adaptations": answer.adaptations})
            while (parts := await answer.read()) is not None:
                for part in parts:
                    yield part
        finally:
            answer.close()

    # --- what is made when it is first used ---

    @resource(uses=_SETTINGS)
    async def client(self) -> AsyncIterator[Client]:
        """The connections, on the event loop that runs."""
        session: Any = self.session
        if session is not None and not callable(session):
            # aiohttp's sessions belong to the event loop that they were made on.
            if session.closed or getattr(session, "_loop", None) not in {None, asyncio.get_running_loop()}:
                message = (
                    f"The `session` {'is closed' if session.closed else 'belongs to another event loop'}. Sync calls, "
                    "and each event loop, need one of their own: pass a function that makes one, such as "
                    "`session=make_session`."
                )
                raise advised(ModelInvalidRequestError(message))
            yield Client(session, {})  # and leave it open: who made it closes it
            return
        proxy = proxy_for(self.base_url, self.proxy) if session is None else None
        session, options = (session(), {}) if session is not None else await self._open_session()
        try:
            yield Client(session, options, proxy, most_at_once=self.max_connections)
        finally:
            await session.close()

    @resource(uses=("auth",))
    async def key_renewal(self) -> Callable[..., Awaitable[SecretStr]]:
        """Gives the key that `auth` returned last, or another one if that is the refused one."""
        assert callable(self.auth)
        # These keep it themselves: they know when it expires, and share it between event loops.
        return self.auth.atoken if isinstance(self.auth, ClientCredentials) else Credentials(self.auth).key

    async def _open_session(self) -> tuple[Any, dict[str, Any]]:
        """A session of aiohttp's, and what goes to it with each request: it takes TLS there."""
        aiohttp = extra.aiohttp
        from langplug._http.connections import Connector  # after the line above, which says what to install

        options: dict[str, Any] = {}
        if self.verify is False:
            options["ssl"] = False
        elif self.verify is not True or self.client_cert is not None:
            options["ssl"] = await in_thread(partial(tls_context, self.verify, self.client_cert))
        session = aiohttp.ClientSession(
            connector=Connector(limit=0),  # `Client` limits them
            auto_decompress=False,  # `Client` does it, within bounds
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),  # what one user's answer sets is not sent with the next one's
        )
        return session, options

    # --- copies and pickles ---

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        memo = {} if memo is None else memo
        functions = ("session", *_FUNCTIONS)
        memo |= {id(shared): shared for name in functions if (shared := getattr(self, name, None)) is not None}
        return super().__deepcopy__(memo)

    def __langplug_pickled_fields__(self) -> dict[str, Any]:
        """Without a session, which belongs to this process; a function that makes one is kept if it can be pickled."""
        fields = super().__langplug_pickled_fields__()
        kept = {name: one for name in ("session", *_FUNCTIONS) if callable(one := fields[name]) and is_picklable(one)}
        return {**fields, "session": None, **dict.fromkeys(_FUNCTIONS), **kept}

    def __getstate__(self) -> dict[Any, Any]:
        """As of every model, without secrets."""
        state = super().__getstate__()
        held = state["__dict__"]
        lost = {name: "" for name in _FUNCTIONS if getattr(self, name, None) is not None and held.get(name) is None}
        return {**state, LOST: {**state[LOST], **lost}}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """A secret header, and a function for the key that cannot be pickled, have to be given anew."""
        lost = [*state.get(LOST, ())]
        if lost and all(name in _FUNCTIONS for name in lost):
            raise MissingSecretError(
                f"`{lost[0]}` of this {type(self).__name__} is not in the pickle: it holds a secret, or cannot be "
                "pickled. Give a function that is defined at the top of a module; or make the model where it is used."
            )
        super().__setstate__(state)


def refuse_key_in_query(url: str) -> None:
    """Do nothing if no parameter in the query of an address is called like a secret, or it is to be filled in.

    Raises:
        TypeError: If there is one: reprs and traces would show it.
    """
    for name, value in parse_qsl(urlsplit(url).query):
        if "{" not in value and (is_secret_name(name) or name.lower() in ("key", "sig", "signature")):
            raise TypeError(
                f"An address must not hold a key, as the parameter {name!r} of this one does: traces would show it. "
                "Pass `api_key` or `headers`; with ChatHTTP, query={'" + name + "': SecretStr(...)}."
            )
