"""Any LangChain model behind the wires that tools speak."""

from collections.abc import Collection
from typing import Any

from langplug.serve.asgi import Application
from langplug.serve.exchange import Exchange
from langplug.serve.gate import LOOPBACK, Gate
from langplug.serve.served import Catalog

__all__ = ["app"]


def app(
    models: Any,
    *,
    hosts: Collection[str] | None = LOOPBACK,
    api_key: str | None = None,
    max_body: int = 32 * 2**20,
    strict: bool = False,
) -> Application:
    """An ASGI application that answers on OpenAI's wire, under `/v1`.

    Args:
        models: A chat model, chain or graph; or several, as `{"id": model}`. One that is not langplug's is adopted.
        hosts: The names under which it may be asked, without ports; None for any. Others get 421.
        api_key: What clients have to send, as `Authorization: Bearer` or `x-api-key`; None if nothing.
        max_body: Bytes that the body of a request may have.
        strict: Whether what would be ignored of a request is refused with 400.

    Raises:
        TypeError: If one of the models is none.
        ValueError: If there is no model, or the key is empty.

    Example:
        >>> from langplug.models import ChatScripted
        >>> application = app({"hello": ChatScripted(replies=["Hello."])})  # then: uvicorn module:application
    """
    if api_key is not None and not api_key:
        raise ValueError("api_key is empty, so that anybody would know it. Leave it out, or give one.")
    gate = Gate(hosts=hosts, key=api_key, max_body=max_body)
    return Application(Exchange(catalog=Catalog(models), gate=gate, strict=strict))
