"""References to servers with an OpenAI-compatible API: `http://host:port/v1`, or `http://host:port/v1#model`."""

import re
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urlsplit

from langchain_core.exceptions import (
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelTimeoutError,
)
from langchain_core.language_models import BaseChatModel

from langplug._references.kind import Settings
from langplug._references.making import make_ready_made
from langplug._suggest import did_you_mean

FORM: Final = "http://host:port/v1#model"

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_HOST_WITH_PORT: Final = re.compile(r"(localhost|[\w-]+(\.[\w-]+)*|\[[0-9a-fA-F:]+\]):\d+(/.*|#.*)?")

_SAYS_ENOUGH: Final = (
    ModelConnectionError,
    ModelTimeoutError,
    ModelAuthenticationError,
    ModelPermissionDeniedError,
)
"""What another address or another name would not cure; the words say whether the server runs, and where keys go."""

_LIST_S: Final = 10.0
"""Seconds that a server has for saying what it serves."""

_LISTED: Final = 20
"""Names of models that an error shows; gateways serve hundreds."""


def fits(reference: str) -> bool:
    """Whether it is written so."""
    return bool(_SCHEME.match(reference) or _HOST_WITH_PORT.fullmatch(reference))


def load(reference: str, settings: Settings) -> BaseChatModel:
    """A `ChatEndpoint` with the model that the server has.

    Raises:
        ModelError: If the server does not answer, or if it cannot be told which model is meant.
    """
    try:
        address, fragment = urldefrag(reference)
    except ValueError as error:
        raise ValueError(f"{reference!r} is not an address: {error}") from None
    if not _SCHEME.match(reference):
        raise ValueError(f"{reference!r} lacks its scheme: write http://{reference}")
    scheme = urlsplit(address).scheme.lower()
    if scheme not in ("http", "https"):
        path = address.partition(":")[2].lstrip("/")
        also = f"; a file is referred to by its path, /{path}" if scheme == "file" else ""
        raise ValueError(f"{reference!r} begins with {scheme}: expected http:// or https://{also}")
    if "base_url" in settings:
        raise TypeError(f"{reference!r} says where the server is: leave out base_url={settings['base_url']!r}")
    named = unquote(fragment)  # what follows the `#` may be quoted, as in any address
    if named and "model" in settings:
        raise TypeError(f"{reference!r} says which model it is: leave out model={settings['model']!r}")
    # As people copy it out of a browser or a log.
    given = {"model": named, **settings, "base_url": address.rstrip("/").removesuffix("/models")}
    # Errors repeat the reference; a password or a key in it is refused, and must not be in the error either.
    shown = re.sub(r"//[^/]*@|\?[^#]*", lambda hidden: "//...@" if hidden[0].startswith("//") else "", reference)
    endpoint: Any = make_ready_made("ChatEndpoint", shown, given)
    # A name among the settings is taken at its word: a gateway may know more names than it lists.
    model: BaseChatModel = endpoint if "model" in settings else _find_model(endpoint)
    return model


def _find_model(endpoint: Any) -> Any:
    """`endpoint` with the model that it names, or with the only one that the server has.

    Raises:
        ModelError: If the server does not answer, or does not have the model; the error says how to choose one.
    """
    wanted = endpoint.model
    try:
        endpoint, served = _ask_what_it_serves(endpoint)
    except _SAYS_ENOUGH:
        raise
    except ModelError as error:
        if wanted:
            return endpoint  # servers without a list of models are many; a wrong name is refused by the first answer
        address = endpoint.base_url
        text = (
            f"{address} does not list its models ({str(error).rstrip('.')}). If it is the address of an "
            f"OpenAI-compatible API, name the model: {address}#MODEL. Such an address mostly ends in /v1"
        )
        error.args = (text,)
        raise
    address = endpoint.base_url
    names = [name for name, _ in served]
    listed = ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")
    if wanted:
        known = {one for name, aliases in served for one in (name, *aliases)}
        if not names or wanted in known or f"{wanted}:latest" in known:  # Ollama's tag, which may be left out
            return endpoint
        near = did_you_mean(wanted, names)
        raise ModelNotFoundError(
            f"{address} has no model {wanted!r}.{near} It has: {listed}. Names that a server does not list are "
            f"given as a setting: model={wanted!r}"
        )
    if not names:
        raise ModelNotFoundError(f"{address} has no model: load one on the server, or name one, {address}#MODEL")
    if len(names) > 1:
        raise ModelNotFoundError(
            f"{address} has {len(names)} models: choose one, such as {address}#{names[0]}. It has: {listed}"
        )
    return endpoint.model_copy(update={"model": names[0]})


def _ask_what_it_serves(endpoint: Any) -> tuple[Any, list[tuple[str, list[str]]]]:
    """The server's models, each with its aliases, and the endpoint with the address at which it lists them."""
    addresses = [endpoint.base_url]
    if not re.search(r"/v\d+\w*$", endpoint.base_url):
        addresses.append(f"{endpoint.base_url}/v1")  # who types an address often leaves that out
    first: ModelError | None = None
    for address in addresses:
        found = endpoint.model_copy(update={"base_url": address})
        # A server that is down, or hangs, is said at once: somebody waits for the first prompt.
        limit = min(_LIST_S, endpoint.first_token_timeout or _LIST_S)
        quick = found.model_copy(update={"max_retries": 0, "first_token_timeout": limit})
        try:
            served = quick.served_models()
        except _SAYS_ENOUGH:
            raise
        except ModelError as error:
            first = first or error
            continue
        finally:
            quick.close()
        if served or address == addresses[-1]:
            by_name = {
                str(one["id"]): [str(other) for other in one.get("aliases") or ()] for one in served if "id" in one
            }
            return found, list(by_name.items())
    assert first is not None
    raise first
