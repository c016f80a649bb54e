"""Any LangChain model behind the wires that tools speak."""

from collections.abc import Collection
from typing import Any

from langplug.serve.asgi import Application
from langplug.serve.exchange import Exchange
from langplug.serve.gate import LOOPBACK, Gate
from langplug.serve.queue import Queue
from langplug.serve.served import Catalog

__all__ = ["app"]


def app(
    models: Any,
    *,
    hosts: Collection[str] | None = LOOPBACK,
    origins: Collection[str] = (),
    api_key: str | None = None,
    max_body: int = 32 * 2**20,
    strict: bool = False,
    show_steps: bool = False,
    user_threads: bool = False,
    max_concurrency: int = 1024,
    max_queue: int = 1024,
    timeout: float | None = None,
    ping_interval: float | None = 15,
    write_timeout: float | None = 120,
) -> Application:
    """An ASGI application that answers on the wires of OpenAI and Anthropic, under `/v1`.

    Args:
        models: A chat model, chain or graph; or several, as `{"id": model}`. One that is not langplug's is adopted.
            Or a `Catalog`, which is filled when its models are loaded; what is asked before is answered 503.
        hosts: The names under which it may be asked, without ports; None for any. Others get 421.
        origins: Origins whose pages may ask from a browser, such as `http://localhost:3000`. Others get 403, but the
            server's own.
        api_key: What clients have to send, as `Authorization: Bearer` or `x-api-key`; None if nothing.
        max_body: Bytes that the body of a request may have.
        strict: Whether what would be ignored of a request is refused with 400.
        show_steps: Whether the steps of agents and graphs – what is said before the answer, calls of tools and their
            results – are told as reasoning, each as it happens. Else the answer alone is told. A `Catalog` has a
            setting of its own.
        user_threads: Whether a graph with a checkpointer keeps one thread for each `user` (`metadata.user_id`) that
            clients of Chat Completions and Messages name. Whoever may ask at all may name any user.
        max_concurrency: How many calls run at once; others wait in the order in which they came.
        max_queue: How many may wait; more are answered 429, with `Retry-After`.
        timeout: Seconds that a call may take, waiting included, before it ends with 504 or, in the middle of a stream,
            with an error event; None for any.
        ping_interval: Seconds after which a stream in which nothing comes says that it lives; None for never. With the
            first of them the status is sent, so that what fails later has none of its own.
        write_timeout: Seconds after which a client that is there, and takes nothing of what waits for it, is given up,
            so that others have its turn; and one that sends nothing of its body, with 408. None for never.

    Raises:
        TypeError: If one of the models is none, or `hosts` or `origins` is one text.
        ValueError: If there is no model, the key is empty, a host or an origin is none, or a limit is none.

    Example:
        >>> from langplug.models import ChatScripted
        >>> application = app({"hello": ChatScripted(replies=["Hello."])})  # then: uvicorn module:application
    """
    if api_key is not None and not api_key:
        raise ValueError("api_key is empty, so that anybody would know it. Leave it out, or give one.")
    for name, given in {"hosts": hosts, "origins": origins}.items():
        if isinstance(given, str):
            raise TypeError(f"{name} is {given!r}; expected a list, such as [{given!r}]")
    names = None if hosts is None else frozenset(name.lower() for name in hosts)
    gate = Gate(hosts=names, origins=frozenset(origins), key=api_key, max_body=max_body)
    for name, seconds in {"ping_interval": ping_interval, "write_timeout": write_timeout}.items():
        if seconds is not None and not seconds > 0:
            raise ValueError(f"{name} is {seconds:g}; expected seconds above 0, or None")
    queue = Queue(max_concurrency=max_concurrency, max_queue=max_queue, timeout=timeout)
    catalog = (
        models if isinstance(models, Catalog) else Catalog(models, show_steps=show_steps, user_threads=user_threads)
    )
    exchange = Exchange(
        catalog=catalog,
        gate=gate,
        strict=strict,
        queue=queue,
        ping_interval=ping_interval,
        write_timeout=write_timeout,
    )
    return Application(exchange)
