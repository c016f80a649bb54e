"""`respond_batch`: a model that answers many requests at once, as the source of one that answers each caller.

Whoever asks (`invoke`, `ainvoke`, `stream`, `batch`, `abatch`, from any thread and event loop) gets a place in one
queue; `langplug._bridge.micro_batches` gathers them. The class gets a `respond` that waits for its own answer.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Hashable, Sequence
from typing import Any, ClassVar, Final, cast

from langchain_core.runnables import RunnableConfig

from langplug._bridge.micro_batches import BatchLimits, Ticket
from langplug._bridge.shapes import Shape
from langplug._bridge.threads import max_threads
from langplug._model.annotations import annotations_in, read_signature
from langplug._request import Request

OPTIONS: Final = ("max_batch", "max_wait", "batch_key", "split_on_error")
"""What a class with a `respond_batch` may say of it."""


def has_door(cls: Any) -> bool:
    """Whether the class answers by its `respond_batch`."""
    return cls.respond is respond


def declare_options(bases: tuple[type, ...], body: dict[str, Any]) -> None:
    """Make the options that a class body sets class variables, unless they are fields: pydantic asks for either."""
    if "respond_batch" not in body and not any(hasattr(base, "respond_batch") for base in bases):
        return
    annotations = annotations_in(body)
    plain = [name for name in OPTIONS if name in body and name not in annotations and not inspect.isroutine(body[name])]
    if plain:
        body["__annotations__"] = {**annotations, **dict.fromkeys(plain, ClassVar[Any])}


def open_door(cls: Any) -> None:
    """Give a class with a `respond_batch` a `respond` that waits for its own answer.

    Raises:
        TypeError: If the class has a `respond` as well, or its `respond_batch` or a limit cannot be what it must be.
    """
    if "respond_batch" not in vars(cls):
        return
    where = f"{cls.__module__}.{cls.__qualname__}"
    if vars(cls).get("respond", respond) is not respond:
        raise TypeError(
            f"{where} has a `respond` and a `respond_batch`. Keep one of them: every call, also that of one request, "
            "is answered by `respond_batch` where there is one."
        )
    check_function(vars(cls)["respond_batch"], f"{where}.respond_batch", ("self", "requests"))
    limits_of(cls)
    cls.respond = respond
    cls.__langplug_source__ = "respond_batch"


def check_function(function: Any, where: str, expected: tuple[str, ...]) -> None:
    """Check the parameters of a function from many requests to many answers.

    Raises:
        TypeError: If it does not take a list of requests alone.
    """
    if isinstance(function, staticmethod | classmethod | property) or not callable(function):
        raise TypeError(f"{where} is a {type(function).__name__}. It must be a method `respond_batch(self, requests)`.")
    parameters = [*read_signature(function).parameters.values()]
    positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    if len(positional) != len(expected):
        raise TypeError(f"{where} must take ({', '.join(expected)}), the requests of one batch as a list.")
    annotation = positional[-1].annotation
    if annotation is Request or annotation == "Request":
        raise TypeError(
            f"{where}: the parameter {positional[-1].name!r} is declared as a Request, but it is a list of them. Write "
            f"`{positional[-1].name}: Sequence[Request]`."
        )


def limits_of(owner: Any) -> BatchLimits:
    """How calls of a model are gathered; of a class, what it says for all its models.

    Raises:
        TypeError: If one of the options is not what it must be.
    """
    max_batch, max_wait, batch_key, split_on_error = (getattr(owner, name, None) for name in OPTIONS)
    where = getattr(owner, "__name__", type(owner).__name__)
    if max_batch is not None and (type(max_batch) is not int or max_batch < 1):
        raise TypeError(f"{where}.max_batch is {max_batch!r}. It must be how many requests a batch may hold, or None.")
    if max_wait is not None and (not isinstance(max_wait, int | float) or max_wait < 0):
        raise TypeError(f"{where}.max_wait is {max_wait!r}. It must be seconds that a batch waits for more, or None.")
    if batch_key is not None and not callable(batch_key):
        raise TypeError(f"{where}.batch_key is {batch_key!r}. It must be a function of a request.")
    return BatchLimits(max_batch=max_batch, max_wait=max_wait, splits=bool(split_on_error))


def at_once(count: int, config: RunnableConfig | list[RunnableConfig] | None) -> RunnableConfig | list[RunnableConfig]:
    """The configuration of a `batch`, with a thread for each of `count` inputs unless it says how many there may be.

    langchain-core's default is a few more than the machine has cores, and no batch could ever be larger.
    """
    ours = RunnableConfig(max_concurrency=max(1, min(count, max_threads())))
    if isinstance(config, list):
        return [cast("RunnableConfig", {**ours, **config[0]}), *config[1:]] if config else config
    return cast("RunnableConfig", {**ours, **(config or {})})


def respond(self: Any, request: Request, /) -> Generator[Any, None, None]:
    """Answer by `respond_batch`, together with others."""
    ticket = _enter(self, request)
    try:
        while (parts := ticket.parts.take()) is not None:
            yield from parts
    finally:
        ticket.leave()


def respond_on_loop(model: Any) -> tuple[Callable[[Request], Any], Shape]:
    """What answers on an event loop, where waiting takes no thread."""

    async def arespond(asked: Request) -> AsyncGenerator[Any, None]:
        ticket = _enter(model, asked)
        try:
            while (parts := await ticket.parts.atake()) is not None:
                for part in parts:
                    yield part
        finally:
            ticket.leave()

    return arespond, Shape.ASYNC_GENERATOR


def _enter(model: Any, request: Request) -> Ticket:
    key_of: Callable[[Request], Hashable] | None = getattr(model, "batch_key", None)
    key = key_of(request) if key_of is not None else None
    ask: Callable[[Sequence[Request]], Any] = model.respond_batch
    ticket = Ticket(ask, request, _Group(model, key), limits_of(model), f"{type(model).__name__}.respond_batch")
    model.__langplug_batches__.enter(ticket)
    return ticket


class _Group:
    """Equal where one call of `respond_batch` can serve both: the same settings, and the author's key."""

    __slots__ = ("_key", "_model")

    def __init__(self, model: Any, key: Hashable) -> None:
        self._model = model
        self._key = key

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Group):
            return False
        try:
            return bool(self._key == other._key and (self._model is other._model or self._model == other._model))
        except Exception:  # noqa: BLE001 - of an author's values, such as arrays; an error would end the queue for all
            return False

    __hash__ = None  # type: ignore[assignment] # models are compared, and have no hash
