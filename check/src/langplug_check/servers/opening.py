"""Which server a URL leads to, and which of its models is asked: wherever there is none, a sentence says why."""

import ssl
from typing import Final
from urllib.parse import urldefrag, urlsplit

from langplug_check.servers.server import BUSY, USUAL, Reply, Server
from langplug_check.verdicts import Failed, NotObserved

EXAMPLE: Final = "http://127.0.0.1:8000/v1"

MODELS_LIMIT_S: Final = 20.0
"""Seconds that a list of models may take, which no model has to think about."""

SHOWN: Final = 12
"""Models that an error names."""


def open_server(url: str, *, model: str = "", key: str = "", limit_s: float = 60.0) -> Server:
    """A server that answers a plain question, or says by an error of its own why not.

    Args:
        url: Its base URL; `/v1` may be left out, and `#NAME` may name the model.
        model: The id of the model that is asked. Default: the first that the server lists.
        key: The key that it wants; empty if none.
        limit_s: Seconds that one answer may take.

    Raises:
        ValueError: If the URL is none, if nothing answers there, or something that is no such server; if the server
            refuses the key, or has no such model.
    """
    base, named = urldefrag(url)
    require_url(base)
    server = Server(url=base.rstrip("/"), model=model or named, key=usable(key), limit_s=limit_s)
    listing = spoken(server, "GET", "/models")
    listed = ids_of(listing)
    if not listed and listing.status not in (401, 403) and not base.rstrip("/").endswith("/v1"):
        below = Server(url=f"{server.url}/v1", model=server.model, key=server.key, limit_s=limit_s)
        listed = ids_of(spoken(below, "GET", "/models"))
        server = below if listed else server
    if not (server.model or listed):
        refuse_key(listing, server)
        raise ValueError(
            f"{server.url} lists no models: GET {server.url}/models gave {kind_of(listing)}. Give the base URL, such "
            f"as {EXAMPLE}, or name a model (--model), if the server has no list"
        )
    server.model = server.model or listed[0]
    require_answer(server, listed)
    return server


def require_url(url: str) -> None:
    """Look whether a URL can be a server's.

    Raises:
        ValueError: If not. What may be a password is not repeated.
    """
    try:
        parts = urlsplit(url)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # of a port, or of brackets
        parts, whole = None, False
    if parts is not None and (parts.username or parts.password):
        raise ValueError("the URL holds a name or a password: give it without, and a key by --api-key env:VARIABLE")
    if parts is None or not whole or not url.isascii() or not url.isprintable() or " " in url or parts.query:
        meant = f"; did you mean http://{url}?" if "://" not in url and "?" not in url and url[:1].isalnum() else ""
        raise ValueError(f"{url!r} is no base URL of a server, such as {EXAMPLE}{meant}")


def usable(key: str) -> str:
    """A key as a header can hold it.

    Raises:
        ValueError: If none can; the key is not repeated.
    """
    stripped = key.strip()  # what is read from a file mostly ends with a line's end
    if not (stripped.isascii() and (stripped.isprintable())):
        raise ValueError("the key holds characters that no header can: is it the right variable?")
    return stripped


def spoken(server: Server, method: str, path: str) -> Reply:
    """What is answered to a first request, which has to be HTTP.

    Raises:
        ValueError: If nothing answers, or not in HTTP.
    """
    try:
        return server.request(method, path, limit_s=min(MODELS_LIMIT_S, server.limit_s))
    except NotObserved as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise ValueError(
                f"the certificate of {server.url} is not trusted ({error.__cause__.verify_message}): name a file with "
                "its authority in the environment variable SSL_CERT_FILE"
            ) from error
        if isinstance(error.__cause__, ssl.SSLError):
            raise ValueError(f"{server.url} does not speak TLS: does it begin with http://?") from error
        why = getattr(error.__cause__, "strerror", None) or error
        raise ValueError(f"nothing answers at {server.url}: {why}") from error
    except Failed as error:
        raise ValueError(f"what listens at {server.url} does not speak HTTP: {error.observed}") from error


def ids_of(listing: Reply) -> list[str]:
    """The models that a list names; empty if it is none."""
    try:
        return [str(one["id"]) for one in listing.json["data"]] if listing.status == 200 else []
    except (Failed, LookupError, TypeError):
        return []  # the statements will tell what is wrong with it


def require_answer(server: Server, listed: list[str]) -> None:
    """Ask the plain question, and look for an answer or an error that are such a server's.

    Raises:
        ValueError: If it is something else that answers, or if the key or the model is refused.
    """
    try:
        reply = first_answer(server)
    except NotObserved as error:
        raise ValueError(f"{server.model!r} at {server.url} does not answer a plain question: {error}") from error
    except Failed as error:
        raise ValueError(f"{server.url} does not answer a plain question: {error.observed}") from error
    refuse_key(reply, server)
    if reply.status in BUSY:
        raise ValueError(f"{server.url} answers no questions now ({kind_of(reply)}): try again later")
    if reply.status == 200 and (listed or reply.kind != "text/html"):
        return
    if listed and server.model not in listed and 400 <= reply.status < 500:
        more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
        raise ValueError(
            f"{server.url} has no model {server.model!r} ({kind_of(reply)}). It has: {', '.join(listed[:SHOWN])}{more}"
        )
    if not listed and (reply.kind != "application/json" or reply.status in (404, 405)):
        raise ValueError(
            f"{server.url} is no server that speaks OpenAI's Chat Completions: POST {server.url}/chat/completions gave "
            f"{kind_of(reply)}. Give its base URL, such as {EXAMPLE}, and the name of a model that it has (--model)"
        )


def first_answer(server: Server) -> Reply:
    """What is answered to a plain question, asked with as many of the usual fields as the server takes."""
    for usual in USUAL:
        server.usual = usual
        server.__dict__.pop("first", None)
        if server.first.status not in (400, 422):
            return server.first
    server.usual = USUAL[0]
    return server.first


def refuse_key(reply: Reply, server: Server) -> None:
    """Look whether a refusal is one of the key.

    Raises:
        ValueError: If so.
    """
    if reply.status not in (401, 403):
        return
    asks = "refuses this key" if server.key else "wants a key: put it into a variable, and give --api-key env:VARIABLE"
    raise ValueError(f"{server.url} {asks} ({kind_of(reply)})")


def kind_of(reply: Reply) -> str:
    """What came back, in a few words: the message of an error, and no page of HTML."""
    if reply.kind == "text/html":
        return f"{reply.status} and a page of HTML"
    try:
        return f"{reply.status}: {reply.json['error']['message']:.200}"
    except (Failed, LookupError, TypeError, ValueError):
        return reply.shown if reply.data else f"{reply.status} and nothing else"
