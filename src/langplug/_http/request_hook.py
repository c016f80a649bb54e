"""`on_request`: an author's last word on a request before it is sent, to sign or to stamp it."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from pydantic import SecretStr

from langplug._bridge.threads import in_thread
from langplug._http.client import HTTPRequest
from langplug._http.headers import hide_secrets, merge_headers
from langplug._redaction import reveal
from langplug._request import Request


@dataclass(slots=True, kw_only=True)
class OutgoingRequest:
    """An HTTP request as it is about to be sent, with the key in it. What the hook changes is what is sent.

    Its repr shows the method alone, since debuggers and error trackers show the variables that hold it.

    Attributes:
        method: Its method, such as `"POST"`.
        url: Its whole address, with the query.
        headers: Its headers, but for those that follow from the connection (`Host`, `Content-Length`).
        body: The bytes of its body; `b""` for none.
        request: The call that it is for, with `request.run`; None if it is not for an answer, as in `served_models`.
    """

    method: str
    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request: Request | None = field(repr=False)


RequestHook: TypeAlias = Callable[[OutgoingRequest], Mapping[str, str] | Awaitable[Mapping[str, str] | None] | None]
"""Changes the request that it is given, and may return headers to add. Sync (it may block, and runs in a thread) or
async."""


async def apply_hook(hook: RequestHook, sent: HTTPRequest, request: Request | None) -> HTTPRequest:
    """`sent` as the hook leaves it.

    Raises:
        TypeError: If the hook leaves something that cannot be sent. What the hook raises is raised, with a note.
        ValueError: If it sets a header that HTTP does not allow, or that is the connection's own.
    """
    outgoing = OutgoingRequest(
        method=sent.method,
        url=reveal(sent.secret_url or sent.url),
        headers=reveal(dict(sent.headers)),
        body=sent.body or b"",
        request=request,
    )
    try:
        if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004 - to look at it
            more: Any = await hook(outgoing)  # type: ignore[misc] # it is one
        else:
            more = await in_thread(lambda: hook(outgoing))
            more = await more if inspect.isawaitable(more) else more
        return _read_back(outgoing, more, sent)
    except Exception as error:
        error.add_note("It was raised by the function that was given as `on_request`, or by what that has changed.")
        raise


def _read_back(outgoing: OutgoingRequest, more: Any, sent: HTTPRequest) -> HTTPRequest:
    if more is not None and not isinstance(more, Mapping):
        raise TypeError(f"`on_request` must return headers to add, or None, but returned a {type(more).__name__}.")
    if not isinstance(outgoing.body, bytes | str):
        raise TypeError(f"`on_request` has set the body to a {type(outgoing.body).__name__}; expected bytes.")
    body = outgoing.body.encode() if isinstance(outgoing.body, str) else outgoing.body
    headers = merge_headers(hide_secrets(outgoing.headers), hide_secrets(more or {}))
    # What was secret stays so, whatever its header is called: the key itself, for one.
    was_secret = {name.lower() for name, value in sent.headers.items() if isinstance(value, SecretStr)}
    return replace(
        sent,
        method=outgoing.method,
        # A signature may be part of the address. Errors go on showing the address as it was.
        secret_url=SecretStr(outgoing.url),
        body=body if body or sent.body is not None else None,
        headers={
            name: SecretStr(value) if isinstance(value, str) and name.lower() in was_secret else value
            for name, value in headers.items()
        },
    )
